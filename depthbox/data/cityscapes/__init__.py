"""Conversion of Cityscapes to COCO JSON."""
