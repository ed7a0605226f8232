"""DepthBox: instance segmentation from box annotations, on Detectron2.

The network and its config are imported at first use, because the import of torch takes seconds.
"""

from __future__ import annotations

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any

from .errors import PrintableFilter

if TYPE_CHECKING:
    from . import modeling
    from .api import Network, Result, check, load, train
    from .config import add_depthbox_config

__version__ = "0.1.0"
__all__ = ["Network", "Result", "__version__", "add_depthbox_config", "check", "load", "modeling", "train"]
_API = ("Network", "Result", "check", "load", "train")

# Libraries report nothing about their use unless the user has set these variables.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("DO_NOT_TRACK", "1")
if logging.lastResort is not None:  # prints warnings of commands that do not set up logging
    logging.lastResort.addFilter(PrintableFilter())


def __getattr__(name: str) -> Any:
    """Import a name of ``__all__``; each registers the meta-architecture and the backbones."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    try:
        import detectron2  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "DepthBox needs Detectron2, which the package index does not contain; "
            "install it with `python scripts/install_detectron2.py` (see the README)"
        ) from error
    modeling = importlib.import_module(".modeling", __name__)
    if name in _API:
        return getattr(importlib.import_module(".api", __name__), name)
    return modeling if name == "modeling" else importlib.import_module(".config", __name__).add_depthbox_config
