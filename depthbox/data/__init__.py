"""Datasets, and the conversion of images, depth maps and annotations to inputs of the network."""

from .datasets import register_coco_style, register_from_config
from .depth_io import DepthFileError, read_depth, write_depth
from .depth_transforms import register_depth_transform, transform_depth
from .mapper import BoxDepthMapper

__all__ = [
    "BoxDepthMapper",
    "DepthFileError",
    "read_depth",
    "register_coco_style",
    "register_depth_transform",
    "register_from_config",
    "transform_depth",
    "write_depth",
]
