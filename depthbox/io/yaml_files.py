"""YAML files of users: bounded in size, nesting and aliases, and without tags, so that reading runs no code."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError, printable

MAX_BYTES = 10_000_000
MAX_NESTING = 50
MAX_VALUES = 500_000  # of a file, with its aliases expanded
_SHOWN = 60  # characters of a key in messages
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TextBase: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class YamlError(UserError):
    """A file that is not valid YAML. The message names the file, the line and the remedy."""


def read_yaml(path: str | os.PathLike[str], *, as_text: bool = False) -> Any:
    """Read a YAML file of one document.

    Args:
        path: a UTF-8 file of at most ``MAX_BYTES`` bytes.
        as_text: return all scalars as strings: ``no`` and ``1`` stay words.

    Returns:
        Dicts, lists, strings, numbers, booleans, dates and None; None for an empty file. Aliases share objects.

    Raises:
        FileNotFoundError: the file does not exist.
        YamlError: the path is not a regular file, or see ``parse_yaml``.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise YamlError(f"{path} is not a file: name a YAML file")
    with open(path, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    return parse_yaml(content, str(path), as_text=as_text)


def parse_yaml(content: bytes | str, name: str, *, as_text: bool = False) -> Any:
    """Parse YAML of one document.

    Args:
        content: the text, as UTF-8 if bytes.
        name: name of the file, for messages.
        as_text: see ``read_yaml``.

    Returns:
        See ``read_yaml``.

    Raises:
        YamlError: not UTF-8 text, larger than ``MAX_BYTES``, invalid YAML, a tag (``!!python/...``), a repeated key, a
            key that is a list or a map, more than ``MAX_NESTING`` levels, a recursive alias, or aliases that expand to
            more than ``MAX_VALUES`` values.
    """
    if len(content) > MAX_BYTES:
        raise YamlError(f"{name} is larger than {MAX_BYTES // 10**6} MB: name a YAML file of settings")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise YamlError(f"{name} is not valid YAML: line {line} is not UTF-8 text; save the file as UTF-8") from error
    try:
        _check_events(yaml.parse(text, Loader=_TextBase))
        return yaml.load(text, Loader=_TextLoader if as_text else _Loader)
    except yaml.YAMLError as error:
        raise YamlError(f"{name} is not valid YAML: {_describe(error)}") from error
    except UnicodeEncodeError as error:  # a lone surrogate in a text
        raise YamlError(f"{name} is not valid YAML: it is not Unicode text; save the file as UTF-8") from error


class _Strict:
    """Mixin of loaders that refuses repeated keys, of which YAML keeps the last, and shows the lines of errors."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        """Build the dict of a map."""
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):  # an alias of a list; others are refused before
                raise _problem("a key is a list or a map; keys are words", key.start_mark)
            word = (key.tag, key.value)
            if word in seen and key.tag != "tag:yaml.org,2002:merge":
                raise _problem(f"the key {key.value[:_SHOWN]!r} appears twice; remove one", key.start_mark)
            seen.add(word)
        return super().construct_mapping(node, deep=deep)  # type: ignore[misc]

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Build the value of a node; a date or number that does not exist is an error with its line."""
        try:
            return super().construct_object(node, deep=deep)  # type: ignore[misc]
        except (ValueError, OverflowError) as error:
            text = str(node.value)[:_SHOWN]
            raise _problem(f"the value {text!r} cannot be read ({error}); correct it", node.start_mark) from error


class _Loader(_Strict, _Base):
    """Loader of numbers, booleans, dates and strings."""


class _TextLoader(_Strict, _TextBase):
    """Loader of strings alone."""


class _Level:
    """An open list or map of the event stream."""

    def __init__(self, anchor: str | None, is_map: bool) -> None:
        self.anchor, self.is_map = anchor, is_map
        self.children = 0
        self.size = 1


def _check_events(events: Iterable[yaml.Event]) -> None:
    """Refuse tags, deep nesting, composed keys, and aliases that expand to too many values.

    The parser emits one event at a time, so that nothing is built before its size is known.
    """
    levels = [_Level(None, False)]
    sizes: dict[str, int | None] = {}  # of each anchor, None while it is open
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            size = sizes.get(event.anchor, 1)
            if size is None:
                raise _problem(f"the alias *{event.anchor[:_SHOWN]} contains itself; remove it", event.start_mark)
            _count(levels[-1], size, event)
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            closed = levels.pop()
            if closed.anchor is not None:
                sizes[closed.anchor] = closed.size
            levels[-1].children += 1
            _count(levels[-1], closed.size, event, children=0)
        elif isinstance(event, yaml.NodeEvent):
            _check_node(event, levels)
            if isinstance(event, yaml.ScalarEvent):
                if event.anchor is not None:
                    sizes[event.anchor] = 1
                _count(levels[-1], 1, event)
            else:
                if event.anchor is not None:
                    sizes[event.anchor] = None
                levels.append(_Level(event.anchor, isinstance(event, yaml.MappingStartEvent)))


def _check_node(event: Any, levels: list[_Level]) -> None:
    if event.tag is not None:
        raise _problem(f"the tag {event.tag[:_SHOWN]!r} is not allowed; write a plain value", event.start_mark)
    if isinstance(event, yaml.ScalarEvent):
        return
    if len(levels) > MAX_NESTING:
        raise _problem(f"lists and maps are nested more than {MAX_NESTING} levels deep", event.start_mark)
    if levels[-1].is_map and levels[-1].children % 2 == 0:
        raise _problem("a key is a list or a map; keys are words", event.start_mark)


def _count(level: _Level, size: int, event: yaml.Event, children: int = 1) -> None:
    level.children += children
    level.size += size
    if level.size > MAX_VALUES:
        raise _problem(f"the file holds more than {MAX_VALUES:,} values, with its aliases", event.start_mark)


def _problem(text: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=mark)


def _describe(error: yaml.YAMLError) -> str:
    """Return line and cause of an error of the YAML library."""
    if isinstance(error, yaml.reader.ReaderError):
        return f"it contains the character {error.character!r} at position {error.position}; is it a text file?"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    causes = [text for text in (getattr(error, "context", None), getattr(error, "problem", None)) if text]
    cause = printable(", ".join(causes) or " ".join(str(error).split()))
    return f"line {mark.line + 1}: {cause}" if mark is not None else f"{cause}; correct it"
