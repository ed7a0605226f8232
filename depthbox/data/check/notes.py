"""Severity of the notes of annotation readers, and their conversion to findings."""

from __future__ import annotations

from collections.abc import Sequence

from ...io.annotations.notes import NoteRule
from ...io.annotations.records import Note, NoteCase
from .findings import Example, Findings
from .rules import Rule, Severity

# A larger share of missing or unreadable images means that the image folder is wrong.
MOST = 0.5
LOST_IMAGES = ("image_missing", "image_unreadable", "image_size_unknown", "annotation_without_image")

_BY_KIND: dict[str, Severity] = {"repaired": "info", "left out": "warning", "contradiction": "warning"}
# Contradictions at which training stops or learns nonsense.
_ERRORS = ("image_size_differs", "image_turned", "all_crowds")
# Left out as intended, or without a loss.
_INTENDED = ("crowd", "ignored", "category_unused_root", "image_tags", "split_not_found")


def note_severity(rule: NoteRule | Note) -> Severity:
    """Return the severity of a note, apart from its number of cases."""
    name = rule.rule if isinstance(rule, Note) else rule.name
    if name in _ERRORS:
        return "error"
    return "info" if name in _INTENDED else _BY_KIND[rule.kind]


def add_notes(notes: Sequence[Note], findings: Findings, images: int) -> None:
    """Add the notes of a reader to findings.

    Args:
        notes: of an annotation set.
        findings: takes the notes.
        images: number of images of the set, without those that are left out.
    """
    lost = sum(note.count for note in notes if note.rule in LOST_IMAGES)
    left_out = sum(note.count for note in notes if note.rule in LOST_IMAGES and note.rule != "image_missing")
    for note in notes:
        severity = note_severity(note)
        if note.rule in LOST_IMAGES and lost > MOST * (images + left_out):
            severity = "error"
        remedy = note.remedy[:1].upper() + note.remedy[1:].rstrip(".") + "." if note.remedy else ""
        cases = note.cases or tuple(NoteCase(text) for text in note.examples)
        findings.add_all(
            Rule(note.rule, severity, note.text, remedy), note.count, [_to_example(case) for case in cases]
        )


def _to_example(case: NoteCase) -> Example:
    nameless = f"an annotation without id{': ' * bool(case.detail)}" if case.annotation_id is None else ""
    return Example(
        (nameless if case.annotation else "") + case.detail,
        case.file_name,
        annotation_id=case.annotation_id,
        box=case.box,
        declared_size=case.declared_size,
        count=case.count,
    )
