"""Rules for the values of config keys: a test and its words."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import printable

LARGEST_WHOLE = 2**31 - 1
_MAX_TEXT = 4096  # characters, as for a path
_MAX_ITEMS = 10_000


@dataclass(frozen=True)
class ValueRule:
    """A set of values.

    Attributes:
        words: the values in words, as in "it must be ...".
        holds: whether a value belongs to the set; values of any type are passed.
        names: the values, if they are a few words.
    """

    words: str
    holds: Callable[[Any], bool]
    names: tuple[str, ...] = ()


def whole(low: int, high: int = LARGEST_WHOLE) -> ValueRule:
    """Return the rule of integers from ``low`` to ``high``."""
    words = f"a whole number from {low:,} to {high:,}"
    return ValueRule(words, lambda value: is_whole(value) and low <= value <= high)


def number(low: float, high: float, *, above: bool = False, below: bool = False) -> ValueRule:
    """Return the rule of finite numbers from ``low`` to ``high``; ``above`` and ``below`` exclude the bounds."""

    def holds(value: Any) -> bool:
        if not is_number(value) or not low <= value <= high:
            return False
        return not (above and value == low) and not (below and value == high)

    start = f"a number above {low:g}" if above else f"a number from {low:g}"
    return ValueRule(f"{start} {'and below' if below else 'to' if not above else 'and at most'} {high:g}", holds)


def choice(*names: str) -> ValueRule:
    """Return the rule of a few words."""
    shown = [name or "'' (none)" for name in names]
    words = f"{', '.join(shown[:-1])} or {shown[-1]}" if len(shown) > 1 else shown[0]
    return ValueRule(words, lambda value: isinstance(value, str) and value in names, names)


def text(words: str = "a text without control characters", *, empty: bool = True) -> ValueRule:
    """Return the rule of a text on one line."""
    return ValueRule(words, lambda value: is_text(value) and (empty or bool(value.strip())))


def items(rule: ValueRule, low: int = 0, high: int = _MAX_ITEMS, *, plural: str = "", test: str = "") -> ValueRule:
    """Return the rule of a list whose items follow a rule.

    Args:
        rule: of each item.
        low, high: smallest and largest number of items.
        plural: the list in words.
        test: "increasing" or "distinct" items, or "" for any.
    """

    def holds(value: Any) -> bool:
        if not isinstance(value, (list, tuple)) or not low <= len(value) <= high:
            return False
        return all(rule.holds(item) for item in value) and (not test or _ORDERS[test](value))

    count = f"{low} values" if low == high else f"at least {low} values" if low else "any number of values"
    order = f", {test}" if test else ""
    return ValueRule(plural or f"a list of {count}{order}, each {rule.words}", holds)


def is_whole(value: Any) -> bool:
    """Return whether a value is an integer; a truth value is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number; a truth value is not."""
    if is_whole(value):
        return value.bit_length() < 1000
    return isinstance(value, float) and math.isfinite(value)


def is_text(value: Any) -> bool:
    """Return whether a value is a text on one line: no control characters, at most 4096 characters."""
    return isinstance(value, str) and len(value) <= _MAX_TEXT and printable(value) == value


def is_plain(value: Any, depth: int = 0) -> bool:
    """Return whether a value is a text, a truth value, a number of usual size, or a list of these."""
    if isinstance(value, (list, tuple)):
        return depth < 6 and len(value) <= _MAX_ITEMS and all(is_plain(item, depth + 1) for item in value)
    if isinstance(value, bool) or is_text(value):
        return True
    return is_number(value) and (isinstance(value, float) or abs(value) <= LARGEST_WHOLE)


def _is_increasing(values: Sequence[Any]) -> bool:
    return all(before < after for before, after in itertools.pairwise(values))


_ORDERS: dict[str, Callable[[Sequence[Any]], bool]] = {
    "increasing": _is_increasing,
    "distinct": lambda values: len(set(values)) == len(values),
}
