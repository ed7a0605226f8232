"""Notes of annotation readers as findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...io.annotations.records import Note, NoteCase
from .findings import Example, Findings
from .rules import rule_of_note

# A larger share of missing or unreadable images means that the image folder is wrong.
MOST = 0.5
LOST_IMAGES = ("image_missing", "image_unreadable", "image_size_unknown")


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
        rule = rule_of_note(note)
        if note.rule in LOST_IMAGES and lost > MOST * (images + left_out):
            rule = replace(rule, severity="error")
        cases = note.cases or tuple(NoteCase(text) for text in note.examples)
        findings.add_all(rule, note.count, [_to_example(case) for case in cases])


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
