"""Readers of annotation formats other than COCO. Each returns ``RawAnnotations``."""
