"""Findings of a dataset check: kinds, counts, the first and the worst examples."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ...io.annotations.notes import RULES as NOTE_RULES
from .rules import RULES, SEVERITIES, Rule, Severity, rule_of_note

FIRST = 10
WORST = 6
_LONGEST = 300

Box = tuple[float, float, float, float]
Point = tuple[float, float]


@dataclass(frozen=True)
class Example:
    """One case of a finding.

    Attributes:
        detail: the problem of this case, one line.
        file: the image or depth file, relative to its folder; "" = none.
        annotation_id: as in the user's file; None = does not apply.
        box: (x, y, width, height) in pixels of the image; None = the annotation has no usable box.
        depth: whether the case concerns the depth map of ``file``.
        declared_size: (height, width) in the annotations if the image has another size.
        count: number of cases that this one stands for.
        points: points (x, y) in pixels of the image that the case is about.
    """

    detail: str
    file: str = ""
    annotation_id: int | float | str | None = None
    box: Box | None = None
    depth: bool = False
    declared_size: tuple[int, int] | None = None
    count: int = 1
    points: tuple[Point, ...] = ()

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
class _Cases:
    """Cases of one rule."""

    rule: Rule
    count: int = 0
    first: list[Example] = field(default_factory=list)
    worst: list[tuple[float, int, Example]] = field(default_factory=list)

    def add(self, example: Example, badness: float) -> None:
        if len(self.first) < FIRST:
            self.first.append(example)
        keep = heapq.heappush if len(self.worst) < WORST else heapq.heappushpop
        keep(self.worst, (badness, -self.count, example))  # the number is unique, so examples are never compared
        self.count += 1


@dataclass
class Findings:
    """Collection of cases; only a few examples of each kind are kept, so memory does not grow with their number."""

    _cases: dict[str, _Cases] = field(default_factory=dict)

    def add(self, kind: str, example: Example, badness: float = 0.0) -> None:
        """Count a case; of equal ``badness`` the earlier case is the worse.

        Raises:
            KeyError: a kind that is neither in ``RULES`` nor a rule of the annotation readers.
        """
        if kind not in self._cases:
            self._cases[kind] = _Cases(RULES.get(kind) or rule_of_note(NOTE_RULES[kind]))
        self._cases[kind].add(example, badness)

    def add_all(self, rule: Rule, count: int, examples: Sequence[Example]) -> None:
        """Count several cases of any rule, of which only some are given as examples."""
        cases = self._cases.setdefault(rule.kind, _Cases(rule))
        total = cases.count + count
        for example in examples:
            cases.add(example, 0.0)
        cases.count = total

    def count(self, kind: str) -> int:
        """Return the number of cases of a kind."""
        return self._cases[kind].count if kind in self._cases else 0

    def drop(self, kind: str) -> None:
        """Forget the cases of a kind."""
        self._cases.pop(kind, None)

    def change(self, kind: str, change: Callable[[Rule], Rule]) -> None:
        """Change the rule of a kind that was found, such as its severity."""
        if kind in self._cases:
            self._cases[kind].rule = change(self._cases[kind].rule)

    def list(self) -> tuple[Finding, ...]:
        """Return the findings by severity, then those of ``RULES`` in their order, then the others as found."""
        order = {kind: place for place, kind in enumerate([*RULES, *self._cases][::-1])}
        found = sorted(self._cases.values(), key=lambda c: (SEVERITIES.index(c.rule.severity), -order[c.rule.kind]))
        return tuple(
            Finding(
                cases.rule,
                cases.count,
                tuple(cases.first),
                tuple(example for _, _, example in sorted(cases.worst, key=lambda case: case[:2])[::-1]),
            )
            for cases in found
        )


def count_severity(findings: Sequence[Finding], severity: Severity) -> int:
    """Return the number of kinds of a severity that were found."""
    return sum(finding.rule.severity == severity for finding in findings)


def fill_remedies(findings: Sequence[Finding], images: str, depth: str) -> tuple[Finding, ...]:
    """Write the folders of the dataset into the commands of the remedies."""

    def fill(rule: Rule) -> Rule:
        return replace(rule, remedy=rule.remedy.replace("IMAGES", images).replace("DEPTH", depth))

    return tuple(
        replace(finding, rule=fill(finding.rule)) if finding.rule.kind in RULES else finding for finding in findings
    )


def to_line(text: object) -> str:
    """Return an error message as one line of limited length."""
    line = " ".join(str(text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
