"""Masks for given boxes, as a job over a COCO JSON file."""
