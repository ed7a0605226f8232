"""Settings file of ``depthbox train``: the options of the command line as YAML."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import printable

_LARGEST = 2**31 - 1  # of a number
# Options of own data: name -> type. Paths in a settings file are relative to the file.
PATHS = ("data", "images", "depth", "class_maps", "val_data", "val_images", "output")
SETTINGS: dict[str, type] = {
    **dict.fromkeys(PATHS, str),
    **dict.fromkeys(("model", "weights", "method", "stage", "device"), str),
    **dict.fromkeys(("val_share", "epochs"), float),
    **dict.fromkeys(("split_seed", "batch_size", "size", "iterations", "num_gpus"), int),
    "overrides": dict,
}


def merge_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Merge the settings file and the command line, which takes precedence; options of neither are left out.

    Raises:
        ValueError: the settings file is missing or broken, or has an unknown option or a value of the wrong type.
    """
    given = {name: getattr(arguments, name, None) for name in SETTINGS if name != "overrides"}
    settings = read_settings(arguments.settings) if arguments.settings else {}
    return {**settings, **{name: value for name, value in given.items() if value is not None}}


def read_settings(path: Path) -> dict[str, Any]:
    """Read a settings file.

    Raises:
        ValueError: the file is missing or broken, or has an unknown option or a value of the wrong type.
    """
    from ..io.yaml_files import YamlError, read_yaml

    if not path.is_file():
        raise ValueError(f"the settings file {path} does not exist: correct --settings")
    try:
        content = read_yaml(path)
    except YamlError as error:
        raise ValueError(f"the settings file {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"the settings file {path} must hold lines such as 'data: boxes.json'")
    return dict(_read_option(path, str(key), value) for key, value in content.items())


def format_overrides(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the overrides of a settings file, nested or dotted, as KEY VALUE words."""
    words = []
    for key, value in tree.items():
        if isinstance(value, dict):
            words += format_overrides(value, f"{prefix}{key}.")
        else:
            words += [f"{prefix}{key}", value if isinstance(value, str) else repr(value)]
    return words


def _is_line(value: str) -> bool:
    """Return whether a text of a usual length has no control characters, which no path contains."""
    return len(value) <= 4096 and printable(value) == value


def _shorten(value: str) -> str:
    return value if len(value) <= 80 else f"{value[:76]} ..."


def _read_option(path: Path, key: str, value: Any) -> tuple[str, Any]:
    name = key.replace("-", "_")
    if name not in SETTINGS:
        near = difflib.get_close_matches(name, SETTINGS, n=1)
        hint = f"did you mean {near[0]}?" if near else "see `depthbox train --help`"
        raise ValueError(f"{path}: unknown option '{_shorten(key)}', {hint}")
    wanted = SETTINGS[name]
    fits = isinstance(value, (int, float) if wanted is float else wanted) and not isinstance(value, bool)
    if not fits:
        raise ValueError(f"{path}: {key} is {_shorten(repr(value))}, not of type {wanted.__name__}")
    if isinstance(value, str) and (not value.strip() or not _is_line(value)):
        raise ValueError(f"{path}: {key} is {_shorten(repr(value))}, but it must be a text on one line")
    if isinstance(value, (int, float)) and not abs(value) <= _LARGEST:
        raise ValueError(f"{path}: {key} is {_shorten(repr(value))}, but it must be a number of usual size")
    place = path.parent / os.path.expanduser(value) if name in (*PATHS, "weights") else path
    if name == "weights":  # a file, or a word such as "none"
        return name, str(place) if place.is_file() else value
    return name, place if name in PATHS else value
