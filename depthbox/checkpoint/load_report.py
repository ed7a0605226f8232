"""What became of a file's tensors and of a network's, in a few lines that fit a terminal."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_WIDTH = 88  # of a line
_GROUPS = 8  # names at most under one heading


@dataclass(frozen=True)
class LoadReport:
    """What became of a file's tensors and of a network's; all names are the network's but those of a file's rest.

    Attributes:
        source: as the user named it.
        layout: whose names the file has, "" for ours.
        loaded: taken from the file.
        missing: not in the file, at their initial values.
        wrong_shape: shapes in file and network, by name; at their initial values.
        implied: constants and counters that the file's layout leaves out.
        unexpected: in the file, and unknown.
        not_needed: in the file, and known, but of no use here.
        added: initial values that completed a tensor of the file, in words.
    """

    source: str
    layout: str
    loaded: list[str]
    missing: list[str]
    wrong_shape: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    implied: list[str]
    unexpected: list[str]
    not_needed: list[str]
    added: list[str]

    @property
    def complete(self) -> bool:
        """Every tensor of the network has its value from the file."""
        return not self.missing and not self.wrong_shape

    def share(self, prefix: str = "") -> tuple[int, int]:
        """How many tensors under a prefix are loaded, and of how many that a file may hold."""
        groups: list[Iterable[str]] = [self.loaded, self.missing, self.wrong_shape]
        counts = [sum(name.startswith(prefix) for name in group) for group in groups]
        return counts[0], sum(counts)

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.missing) + len(self.wrong_shape) + len(self.implied)
        lines = [
            f"{len(self.loaded)} of {total} tensors loaded" + (f", named as in {self.layout}" if self.layout else "")
        ]
        lines.append(f"  from {self.source}")
        lines += [f"  not in the file: {words}" for words in self.added]
        lines += _section("not in the file, at initial values", self.missing)
        if self.wrong_shape:
            lines.append(f"  of another shape, at initial values: {len(self.wrong_shape)}")
            shown = list(self.wrong_shape.items())[:_GROUPS]
            lines += [f"    {name}\n      {_size(a)} in the file, {_size(b)} here" for name, (a, b) in shown]
            if len(self.wrong_shape) > len(shown):
                lines.append(f"    and {len(self.wrong_shape) - len(shown)} more")
        lines += _section("constants and counters that such files leave out", self.implied)
        lines += _section("in the file, unknown here", self.unexpected)
        lines += _section("in the file, not needed here", self.not_needed)
        return "\n".join(lines)


def _section(title: str, names: Iterable[str]) -> list[str]:
    names = list(names)
    if not names:
        return []
    text = ", ".join(_grouped(names))
    indent = " " * 4
    lines = textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return [f"  {title}: {len(names)}", *lines]


def _grouped(names: list[str]) -> list[str]:
    """Names, or as many of their first parts as make few enough groups, with the number of names in each."""
    deepest = max(name.count(".") + 1 for name in names)
    for depth in range(deepest, 0, -1):
        groups = Counter(".".join(name.split(".")[:depth]) for name in names)
        if len(groups) <= _GROUPS:
            break
    shown = [name if name in names else f"{name}.* ({n})" for name, n in list(groups.items())[:_GROUPS]]
    return shown + ([f"and {len(groups) - _GROUPS} more"] if len(groups) > _GROUPS else [])


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"
