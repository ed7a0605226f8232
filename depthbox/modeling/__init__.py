"""Networks; importing the package registers the meta-architecture and the backbones with Detectron2."""

from . import backbone
from .meta_arch.depthbox import DepthBox
from .meta_arch.p2seg import P2Seg

__all__ = ["DepthBox", "P2Seg", "backbone"]
