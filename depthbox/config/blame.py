"""Search for the config key that lets a construction fail, for values that no rule knows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from detectron2.config import CfgNode, get_cfg

from .defaults import add_depthbox_config
from .error import ConfigError
from .files import shorten
from .table import RULES

Built = TypeVar("Built")
_SECONDS = 20.0
_SECTIONS = ("MODEL", "SOLVER", "INPUT", "DATALOADER", "TEST")
# Without network and weights, on the CPU: only the values of the config are tried.
_TRIAL = {"MODEL.DEVICE": "cpu", "MODEL.TIMM.PRETRAINED": False, "MODEL.TIMM.WEIGHTS": "", "MODEL.COMPILE": False}
_NAMED = re.compile(rf"\b(?:{'|'.join(_SECTIONS)})\.[A-Z_]+")


def build_from_config(cfg: CfgNode, build: Callable[[CfgNode], Built]) -> Built:
    """Build something from a config, and name the key if a value of the config lets it fail.

    After a failure each key with another value than its default is set to the default, alone, and the construction is
    repeated. If one such change lets it succeed, the value of this key was the cause. True, False and the words that a
    key allows are sane values and never blamed.

    Args:
        cfg: config.
        build: constructs the object from a config; it is called again after a failure.

    Returns:
        The return value of ``build``.

    Raises:
        ConfigError: the value of a key is the cause.
        Exception: any other exception of ``build``, unchanged: no single key is the cause.
    """
    try:
        return build(cfg)
    except (ConfigError, OSError, ImportError):
        raise  # they name file and remedy
    except Exception as error:
        if isinstance(error, ValueError) and _NAMED.search(str(error)):
            raise  # names the key
        key = find_responsible_key(cfg, build)
        if key is None:
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConfigError(
            f"{key} is {shorten(_find(cfg, key))}, with which the network or optimizer cannot be built "
            f"({type(error).__name__}: {reason}); with the default, {shorten(_find(_defaults(), key))}, it can"
        ) from error


def find_responsible_key(cfg: CfgNode, build: Callable[[CfgNode], Any], seconds: float = _SECONDS) -> str | None:
    """Return the first key whose default lets a construction succeed; None if there is none in this time.

    A construction that succeeds on the CPU without any change failed for another reason, such as a lack of memory.
    """
    begin = time.monotonic()
    trial = _change(cfg, _TRIAL)
    if _succeeds(trial, build):
        return None
    defaults = _defaults()
    for key in list_suspects(cfg):
        if time.monotonic() - begin > seconds:
            return None
        if _succeeds(_change(trial, {key: _find(defaults, key)}), build):
            return key
    return None


def list_suspects(cfg: CfgNode) -> list[str]:
    """Return the keys with a value that differs from the default and that may be nonsense."""
    return [key for key, value, default in _compare(cfg, _defaults()) if _is_suspect(key, value, default)]


def _is_suspect(key: str, value: Any, default: Any) -> bool:
    if key in _TRIAL or value == default or isinstance(value, bool):
        return False
    if key in ("MODEL.META_ARCHITECTURE", "MODEL.BACKBONE.NAME"):  # are looked up in the registries
        return False
    rule = RULES.get(key)
    return not (rule and value in rule.names)


def _compare(cfg: CfgNode, defaults: CfgNode, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    for name, default in defaults.items():
        key = f"{prefix}{name}"
        if name not in cfg or (not prefix and name not in _SECTIONS):
            continue
        if isinstance(default, CfgNode):
            yield from _compare(cfg[name], default, f"{key}.")
        else:
            yield key, cfg[name], default


def _succeeds(cfg: CfgNode, build: Callable[[CfgNode], Any]) -> bool:
    try:
        build(cfg)
    except Exception:
        return False
    return True


def _change(cfg: CfgNode, values: dict[str, Any]) -> CfgNode:
    changed = cfg.clone()
    changed.defrost()
    for key, value in values.items():
        *sections, last = key.split(".")
        node = changed
        for section in sections:
            node = node.get(section, CfgNode())
        if last in node:
            node[last] = value
    changed.freeze()
    return changed


def _find(cfg: CfgNode, key: str) -> Any:
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def _defaults() -> CfgNode:
    defaults = get_cfg()
    add_depthbox_config(defaults)
    return defaults
