"""Conversion of PASCAL VOC 2012, with or without SBD, to COCO JSON."""
