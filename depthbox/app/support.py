"""Import of Gradio without its telemetry."""

from __future__ import annotations

import os
from typing import Any


def import_gradio() -> Any:
    """Import Gradio with analytics and telemetry disabled.

    Raises:
        ImportError: Gradio is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import gradio
    except ImportError as error:
        raise ImportError("the page needs gradio, which is not installed: pip install 'depthbox[app]'") from error
    return gradio
