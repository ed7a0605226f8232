"""Report of a weight file loaded into a network, in a few terminal lines."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_WIDTH = 88  # of a line
_GROUPS = 8  # maximum number of names per heading


@dataclass(frozen=True)
class LoadReport:
    """Tensor names of a network and of a weight file, sorted by the result of loading.

    Attributes:
        source: path or URL as given by the user.
        layout: project whose names the file has, "" for DepthBox.
        loaded: names in the network that were loaded from the file.
        missing: names in the network that are not in the file; these tensors keep their initial values.
        wrong_shape: name -> (shape in the file, shape in the network); these tensors keep their initial values.
        implied: constants and counters of the network that the layout of the file omits.
        unexpected: names in the file that are unknown.
        not_needed: names in the file that are known and have no counterpart in the network.
        added: descriptions of the initial values that completed a tensor of the file.
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
        """True if every tensor of the network was loaded."""
        return not self.missing and not self.wrong_shape

    def share(self, prefix: str = "") -> tuple[int, int]:
        """Count the loaded tensors under a prefix, and all tensors under it that a file can hold."""
        groups: list[Iterable[str]] = [self.loaded, self.missing, self.wrong_shape]
        counts = [sum(name.startswith(prefix) for name in group) for group in groups]
        return counts[0], sum(counts)

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.missing) + len(self.wrong_shape) + len(self.implied)
        lines = [
            f"{len(self.loaded)} of {total} tensors loaded"
            + (f", with the names of {self.layout}" if self.layout else "")
        ]
        lines.append(f"  from {self.source}")
        lines += [f"  not in the file: {words}" for words in self.added]
        lines += _format_section("not in the file, at initial values", self.missing)
        if self.wrong_shape:
            lines.append(f"  of another shape, at initial values: {len(self.wrong_shape)}")
            first = list(self.wrong_shape.items())[:_GROUPS]
            lines += [
                f"    {name}\n      {_format_shape(a)} in the file, {_format_shape(b)} here" for name, (a, b) in first
            ]
            if len(self.wrong_shape) > len(first):
                lines.append(f"    and {len(self.wrong_shape) - len(first)} more")
        lines += _format_section("constants and counters that such files omit", self.implied)
        lines += _format_section("in the file, unknown here", self.unexpected)
        lines += _format_section("in the file, not needed here", self.not_needed)
        return "\n".join(lines)


def _format_section(title: str, names: Iterable[str]) -> list[str]:
    names = list(names)
    if not names:
        return []
    text = ", ".join(_group_names(names))
    indent = " " * 4
    lines = textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return [f"  {title}: {len(names)}", *lines]


def _group_names(names: list[str]) -> list[str]:
    """Shorten a list of names: group them by the longest prefixes that give at most ``_GROUPS`` groups."""
    deepest = max(name.count(".") + 1 for name in names)
    for depth in range(deepest, 0, -1):
        groups = Counter(".".join(name.split(".")[:depth]) for name in names)
        if len(groups) <= _GROUPS:
            break
    result = [name if name in names else f"{name}.* ({n})" for name, n in list(groups.items())[:_GROUPS]]
    return result + ([f"and {len(groups) - _GROUPS} more"] if len(groups) > _GROUPS else [])


def _format_shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "scalar"
