"""Networks; importing the package registers the meta-architecture and the backbones with Detectron2."""

from . import backbone
from .meta_arch.depthbox import DepthBox

__all__ = ["DepthBox", "backbone"]
