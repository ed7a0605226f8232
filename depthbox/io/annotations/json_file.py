"""JSON files of annotations."""

from __future__ import annotations

import os
from typing import Any

from ..untrusted.json_files import JsonFileError, read_json, without_garbage_collection
from .records import AnnotationError

__all__ = ["load_json", "without_garbage_collection"]
_EXPORT_AGAIN = "Export or copy the annotations again"


def load_json(path: str | os.PathLike[str]) -> Any:
    """Load a JSON file with the bounds of ``io.untrusted.json_files.read_json``.

    Args:
        path: the JSON file.

    Returns:
        The content.

    Raises:
        AnnotationError: the file is missing, cannot be read or is not JSON.
    """
    try:
        return read_json(path, remedy=_EXPORT_AGAIN)
    except JsonFileError as error:
        raise AnnotationError(str(error)) from error
