"""DepthBox: instance segmentation from box annotations, on Detectron2."""

try:
    import detectron2  # noqa: F401
except ImportError as error:
    raise ImportError(
        "DepthBox needs Detectron2, which is not on the package index under its own name; "
        "install it with `python scripts/install_detectron2.py` (see the README)"
    ) from error

from . import modeling
from .config import add_depthbox_config

__version__ = "0.1.0"
__all__ = ["__version__", "add_depthbox_config", "modeling"]
