"""Config files: their keys and values, with those of the files that they name as ``_BASE_``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..io.yaml_files import YamlError, read_yaml
from .error import ConfigError

BASE, VERSION = "_BASE_", "VERSION"
LATEST_VERSION = 2  # of Detectron2's config format, since 2019
_MAX_FILES = 50
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_LONGEST_PATH = 1000  # characters in a message


@dataclass(frozen=True)
class ConfigSetting:
    """A value of a config file or of the command line.

    Attributes:
        value: as it was read.
        source: the file, or "the command line".
    """

    value: Any
    source: str


def read_config_file(path: str) -> dict[str, ConfigSetting]:
    """Read a config file and its bases.

    Nothing is fetched from the network, and no tag of YAML is accepted.

    Args:
        path: a YAML file.

    Returns:
        The settings by dotted key, where a file has priority over its bases. A section without keys is a setting with
        the value {}.

    Raises:
        ConfigError: a file is missing or broken, ``_BASE_`` is not a file, names an address or leads back to its own
            file, or VERSION is not that of Detectron2.
    """
    if not os.path.isfile(path):
        raise ConfigError(f"the config file {path} does not exist: correct --config-file")
    return _BaseReader().read(Path(path), ())


class _BaseReader:
    """Reader of a file and its bases, which counts the files."""

    def __init__(self) -> None:
        self._count = 0

    def read(self, path: Path, open_files: tuple[Path, ...]) -> dict[str, ConfigSetting]:
        """Read a file; ``open_files`` are those that lead to it."""
        resolved = path.resolve()
        if resolved in open_files:
            raise ConfigError(f"{open_files[-1]}: {BASE} leads back to {path}, which needs it; remove the line")
        self._count += 1
        if self._count > _MAX_FILES:
            raise ConfigError(f"{path}: a config has at most {_MAX_FILES} files; remove lines of {BASE}")
        tree = _read_tree(path)
        settings: dict[str, ConfigSetting] = {}
        for base in _list_bases(tree, path):
            settings |= self.read(base, (*open_files, resolved))
        own = _collect(tree, path)
        check_version(own, str(path))
        for key in own:  # a value replaces a section, and a section a value: both are refused later, by its type
            for other in [other for other in settings if other.startswith(f"{key}.") or key.startswith(f"{other}.")]:
                if own[key].value != {}:
                    del settings[other]
        return settings | own


def _collect(tree: Mapping[Any, Any], path: Path) -> dict[str, ConfigSetting]:
    """Return the settings of a tree; its keys may be nested or dotted."""
    settings: dict[str, ConfigSetting] = {}
    for key, setting in _flatten(tree, path, str(path)):
        if key in settings:
            raise ConfigError(f"{path}: {shorten(key)[1:-1]} is set twice, as nested and as dotted key; remove one")
        settings[key] = setting
    return settings


def check_version(settings: Mapping[str, ConfigSetting], source: str) -> None:
    """Refuse a VERSION that is not that of Detectron2's config format.

    Raises:
        ConfigError: naming the file.
    """
    version = settings.get(VERSION, ConfigSetting(LATEST_VERSION, "")).value
    if isinstance(version, bool) or version != LATEST_VERSION:
        raise ConfigError(
            f"{source}: {VERSION} is {version!r}, but only configs of version {LATEST_VERSION} can be read; "
            f"write {VERSION}: {LATEST_VERSION} and the keys of this version"
        )


def _read_tree(path: Path) -> dict[str, Any]:
    try:
        tree = read_yaml(path)
    except YamlError as error:
        raise ConfigError(f"the config file {error}") from error
    except OSError as error:
        raise ConfigError(f"the config file {path} cannot be read: {error.strerror or error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"the config file {path} holds a {type(tree).__name__}, not sections such as 'SOLVER:'")
    return tree


def _list_bases(tree: dict[str, Any], path: Path) -> list[Path]:
    if BASE not in tree:
        return []
    given = tree.pop(BASE)
    names = given if isinstance(given, list) else [given]
    return [_find_base(name, path) for name in names]


def _find_base(name: Any, path: Path) -> Path:
    if not isinstance(name, str) or not name or "\0" in name:
        raise ConfigError(f"{path}: {BASE} is {shorten(name)}, not the path of a config file; correct or remove it")
    if _SCHEME.match(name):
        raise ConfigError(
            f"{path}: {BASE} is the address {shorten(name)}. Configs are read from this machine only: download the "
            f"file, inspect it, and name its path"
        )
    base = path.parent / os.path.expanduser(name)
    try:
        found = base.is_file()
    except OSError:  # such as a name that is too long
        found = False
    if not found:
        raise ConfigError(
            f"{path}: {BASE} is {shorten(name)}, but {shorten(str(base), _LONGEST_PATH)} is not a file; correct it"
        )
    return base


def _flatten(tree: Mapping[Any, Any], path: Path, source: str, prefix: str = "") -> Iterator[tuple[str, ConfigSetting]]:
    for key, value in tree.items():
        if not isinstance(key, str) or not key:
            place = f"{prefix[:-1]} has" if prefix else "there is"
            raise ConfigError(f"{path}: {place} the key {shorten(key)}, but keys of a config are words; correct it")
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, path, source, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", ConfigSetting(value, source)


def shorten(value: Any, limit: int = 80) -> str:
    """Return the ``repr`` of a value in at most ``limit`` characters, for messages."""
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number of more than 75 digits"
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."
