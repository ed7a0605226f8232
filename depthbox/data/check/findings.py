"""What a check has found: kinds, counts, the first and the worst examples."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .rules import RULES, SEVERITIES, Rule, Severity

FIRST = 10
WORST = 6
_LONGEST = 300


@dataclass(frozen=True)
class Example:
    """One case of a finding.

    Attributes:
        detail: what is wrong here, one line.
        file: the image or depth file, relative to its folder; "" = none.
        image_id, annotation_id: as in the json; None = does not apply.
        box: (x, y, width, height) in pixels of the image, None = no usable box.
        depth: whether it is about the depth map of ``file``.
        declared_size: (height, width) in the annotations if the image has another size.
    """

    detail: str
    file: str = ""
    image_id: int | float | str | None = None
    annotation_id: int | float | str | None = None
    box: tuple[float, float, float, float] | None = None
    depth: bool = False
    declared_size: tuple[int, int] | None = None

    @property
    def where(self) -> str:
        """The place in words, such as ``a.jpg, annotation 7``; may be empty."""
        annotation = "" if self.annotation_id is None else f"annotation {self.annotation_id}"
        return ", ".join(part for part in (self.file, annotation) if part)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.detail) if part)


@dataclass(frozen=True)
class Finding:
    """All cases of one kind: their number, the first ``FIRST`` and the worst ``WORST`` of them."""

    rule: Rule
    count: int
    first: tuple[Example, ...]
    worst: tuple[Example, ...]


@dataclass
class Findings:
    """Collects examples; of each kind only a few are kept, so memory does not grow with the faults."""

    _count: Counter[str] = field(default_factory=Counter)
    _first: dict[str, list[Example]] = field(default_factory=dict)
    _worst: dict[str, list[tuple[float, int, Example]]] = field(default_factory=dict)

    def add(self, kind: str, example: Example, badness: float = 0.0) -> None:
        """Count a case; of equal ``badness`` the earlier is the worse.

        Raises:
            KeyError: a kind that is not in ``RULES``.
        """
        number = self._count[RULES[kind].kind]
        self._count[kind] += 1
        first = self._first.setdefault(kind, [])
        if len(first) < FIRST:
            first.append(example)
        worst = self._worst.setdefault(kind, [])
        keep = heapq.heappush if len(worst) < WORST else heapq.heappushpop
        keep(worst, (badness, -number, example))  # the number is unique, so examples are never compared

    def count(self, kind: str) -> int:
        """How many cases of a kind there are."""
        return self._count[kind]

    def drop(self, kind: str) -> None:
        """Forget the cases of a kind."""
        for table in (self._count, self._first, self._worst):
            table.pop(kind, None)

    def list(self) -> tuple[Finding, ...]:
        """The findings, gravest first, then in the order of ``RULES``."""
        found = [rule for severity in SEVERITIES for rule in RULES.values() if rule.severity == severity]
        return tuple(
            Finding(
                rule,
                self._count[rule.kind],
                tuple(self._first[rule.kind]),
                tuple(example for _, _, example in sorted(self._worst[rule.kind], key=lambda case: case[:2])[::-1]),
            )
            for rule in found
            if self._count[rule.kind]
        )


def number_of(findings: Sequence[Finding], severity: Severity) -> int:
    """How many kinds of a severity were found."""
    return sum(finding.rule.severity == severity for finding in findings)


def shown(value: Any, longest: int = 60) -> str:
    """A value of the json in one short line."""
    try:
        # Cut before it is written out: a huge list or number would cost more than the whole check.
        text = repr(value[:longest] if isinstance(value, str | list) else value)
    except (ValueError, RecursionError):
        text = f"a huge {type(value).__name__}"
    return text if len(text) <= longest else text[: longest - 3] + "..."


def one_line(text: object) -> str:
    """An error message without line breaks and of bounded length."""
    line = " ".join(str(text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
