"""Ids of any kind in the user's files, and the numbers that replace them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeGuard

Id = int | float | str
Number = int | float
_ID_TYPES = frozenset({int, float, str})
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_MAX_DIGITS = 40


class IdLookup:
    """Canonical numbers of the user's ids.

    Args:
        numbers: id -> number, from 1 on.
    """

    def __init__(self, numbers: Mapping[Id, int]) -> None:
        self.exact = dict(numbers)
        self._names: dict[str, int] = {}

    def add_names(self, names: Mapping[str, int]) -> None:
        """Let names stand for ids, unless they are ids themselves."""
        self._names.update(names)

    def find(self, value: Any) -> int | None:
        """Return the number of an id; None for an unknown id or a value that is not an id.

        A number also matches the id that is the same number as a text, and the other way round.
        """
        if type(value) not in _ID_TYPES:
            return None
        for spelling in (value, _other_type(value)):
            number = None if spelling is None else self.exact.get(spelling) or self._other.get(spelling)
            if number is not None:
                return number
        return self._names.get(value)

    @cached_property
    def _other(self) -> dict[Id, int]:
        others: dict[Id, int] = {}
        for identity, number in self.exact.items():
            other = _other_type(identity)
            if other is not None:
                others.setdefault(other, number)
        return others

    def is_exact(self, value: Any) -> bool:
        """Return whether a value is an id of the list, of the same type."""
        return type(value) in _ID_TYPES and value in self.exact


class RepeatedEntries:
    """Search for entries that have the id of an earlier one."""

    def __init__(self) -> None:
        self._first: dict[Id, dict[str, Any]] = {}

    def find(self, entry: dict[str, Any]) -> str:
        """Return the rule of the note about an entry: it repeats an earlier one or its id; "" if it does neither."""
        identity = entry.get("id")
        first = self._first.setdefault(identity, entry) if is_id(identity) else entry
        if first is entry:
            return ""
        return "annotation_twice" if first == entry else "annotation_id_twice"


def is_id(value: Any) -> TypeGuard[Id]:
    """Return whether a value can be an id: a finite number or a text."""
    return type(value) in _ID_TYPES and (type(value) is not float or math.isfinite(value))


def order_of_ids(ids: Sequence[Id]) -> list[int]:
    """Return the indices of ids in canonical order: sorted if all ids are numbers, else as they are."""
    if any(isinstance(identity, str) for identity in ids):
        return list(range(len(ids)))
    return sorted(range(len(ids)), key=lambda index: ids[index])


def has_repeats(values: Iterable[Any]) -> bool:
    """Return whether an id occurs more than once among values of any kind."""
    ids = [value for value in values if type(value) in _ID_TYPES]
    return len(set(ids)) < len(ids)


def to_number(value: Any) -> Number | None:
    """Return a number, or the number that a text writes; None for anything else. NaN and infinity are numbers."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str) and len(value) <= _MAX_DIGITS and _NUMBER.fullmatch(value.strip()):
        return float(value) if any(letter in value for letter in ".eE") else int(value)
    return None


def _other_type(identity: Id) -> Id | None:
    """Return the same id as a text, or as a number."""
    if isinstance(identity, str):
        return to_number(identity)
    if isinstance(identity, float) and not identity.is_integer():
        return str(identity)
    return str(int(identity)) if abs(identity) < 10**_MAX_DIGITS else None
