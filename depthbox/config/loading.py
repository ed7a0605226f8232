"""Loading of a frozen config from a YAML file and KEY VALUE pairs, with explanatory errors."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from detectron2.config import CfgNode, get_cfg


class ConfigError(ValueError):
    """Error of a config file, an override or an option; the message contains the remedy."""


def load_config(add_keys: Callable[[CfgNode], None], config_file: str = "", overrides: Sequence[str] = ()) -> CfgNode:
    """Build the config of a run from the defaults of Detectron2 and the project, a YAML file and overrides.

    Args:
        add_keys: function that adds the keys of the project in place (``depthbox.add_depthbox_config``).
        config_file: a YAML file, which may name another one as _BASE_; "" = none.
        overrides: KEY VALUE KEY VALUE..., with priority over the file.

    Returns:
        A frozen config.

    Raises:
        ConfigError: a missing or broken file, an unknown key, or a value of the wrong type.
    """
    cfg = get_cfg()
    add_keys(cfg)
    if config_file:
        _merge_file(cfg, config_file)
    _merge_overrides(cfg, overrides)
    cfg.freeze()
    return cfg


def _merge_file(cfg: CfgNode, config_file: str) -> None:
    if not os.path.isfile(config_file):
        raise ConfigError(f"the config file {config_file} does not exist: correct --config-file")
    try:
        tree = CfgNode.load_yaml_with_base(config_file)
    except Exception as error:
        raise ConfigError(f"the config file {config_file} cannot be read: {error}") from error
    known = set(_iterate_keys(cfg))
    for key in _iterate_keys(tree):
        if not _is_known(key, known):
            raise ConfigError(_format_unknown(key, known, config_file))
    try:
        cfg.merge_from_file(config_file)
    except (ValueError, KeyError, AssertionError) as error:
        raise ConfigError(f"the config file {config_file} does not fit: {error}") from error


def _merge_overrides(cfg: CfgNode, overrides: Sequence[str]) -> None:
    if len(overrides) % 2:
        raise ConfigError(f"overrides are pairs KEY VALUE, but there are {len(overrides)} words: {' '.join(overrides)}")
    known = set(_iterate_keys(cfg))
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        if key not in known:
            raise ConfigError(_format_unknown(key, known, "the command line"))
        try:
            cfg.merge_from_list([key, value])
        except (ValueError, AssertionError, SyntaxError) as error:
            raise ConfigError(f"'{value}' is not a value of {key}: {error}") from error


def _iterate_keys(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _iterate_keys(value, f"{prefix}{key}.")


def _is_known(key: str, known: set[str]) -> bool:
    return key in known or key == "_BASE_"


def _format_unknown(key: str, known: set[str], where: str) -> str:
    similar = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    last = key.rpartition(".")[2]
    similar += [other for other in sorted(known) if other.rpartition(".")[2] == last and other not in similar][:2]
    hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
    return f"{where} sets the unknown key {key}{hint}"
