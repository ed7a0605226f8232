"""Values of config keys: conversion to the type of the key, and errors in words."""

from __future__ import annotations

import ast
from typing import Any

from .error import ConfigError
from .files import ConfigSetting, shorten
from .rules import ValueRule, is_number, is_plain, is_text, is_whole
from .table import NULLABLE, RULES

_MAX_LITERAL = 10_000  # characters of a list or number in words


def convert(key: str, setting: ConfigSetting, default: Any) -> Any:
    """Return the value of a setting with the type of its key.

    Words such as ``1e-3``, ``(640, 672)`` and ``[p3, p4]`` in quotes are read as Python literals, as Detectron2 does.
    Whole numbers are accepted for keys of decimal numbers, and lists for tuples.

    Args:
        key: dotted name of the key.
        setting: its value and source.
        default: the default value, whose type is that of the key.

    Raises:
        ConfigError: the value has another type or lies outside its range. The message names source, key, value and the
            values that are possible.
    """
    value = _read_word(setting.value, default)
    rule = RULES.get(key)
    if value is None and key in NULLABLE:
        return None
    fitted = _fit_type(value, default)
    if fitted is None or not (rule.holds(fitted) if rule else is_plain(fitted)):
        raise ConfigError(
            f"{setting.source}: {key} is {shorten(setting.value)}, but it must be {_words(rule, default)}"
        )
    return fitted


def _read_word(value: Any, default: Any) -> Any:
    """Return the literal in a word, unless the key is a text; quotes around a text are removed."""
    if not isinstance(value, str) or len(value) > _MAX_LITERAL:
        return value
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    if isinstance(default, str) and not quoted:
        return value
    if isinstance(default, bool) and value in ("true", "false"):
        return value == "true"
    try:
        literal = ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return value
    return literal if not isinstance(default, str) or isinstance(literal, str) else value


def _fit_type(value: Any, default: Any) -> Any:
    """Return the value as the type of the default, or None if it has another type."""
    if isinstance(default, bool):
        return value if isinstance(value, bool) else None
    if isinstance(default, int):
        return value if is_whole(value) else None
    if isinstance(default, float):
        return float(value) if is_number(value) else None
    if isinstance(default, str):
        return value if is_text(value) else None
    if isinstance(default, (list, tuple)):
        return type(default)(value) if isinstance(value, (list, tuple)) else None
    return value if default is None or isinstance(value, type(default)) else None


def _words(rule: ValueRule | None, default: Any) -> str:
    if rule is not None:
        return rule.words
    if isinstance(default, bool):
        return "True or False"
    if isinstance(default, int):
        return "a whole number of usual size"
    if isinstance(default, float):
        return "a finite number"
    if isinstance(default, str):
        return "a text without control characters"
    return f"a list such as {shorten(default)}"
