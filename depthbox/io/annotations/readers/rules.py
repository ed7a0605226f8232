"""Rules of the readers' notes, and their collection."""

from __future__ import annotations

from dataclasses import dataclass

from ..records import MAX_EXAMPLES, Note, NoteKind

_EXAMPLE_LENGTH = 240


@dataclass(frozen=True)
class NoteRule:
    """One kind of finding before it is counted; the attributes are those of ``Note``."""

    kind: NoteKind
    name: str
    text: str
    remedy: str = ""


IMAGE_UNREADABLE = NoteRule(
    "left out", "image_unreadable", "images that cannot be read", "Replace these files, or remove them."
)
IMAGE_NOT_FOUND = NoteRule(
    "left out",
    "annotation_without_image",
    "annotated images that are not in the image folder",
    "Add these images, or give their folder with --images.",
)
IMAGE_WITHOUT_ANNOTATION = NoteRule(
    "left out",
    "image_without_annotation",
    "images without an annotation file",
    "Annotate these images; an image that shows no object needs an annotation file without objects.",
)
IMAGE_ANNOTATED_TWICE = NoteRule(
    "contradiction",
    "image_annotated_twice",
    "images with more than one annotation entry; the objects of all entries are used",
    "Keep one annotation entry per image.",
)
FILE_UNREADABLE = NoteRule(
    "left out",
    "annotation_file_unreadable",
    "annotation files that cannot be read",
    "Correct these files, or export the annotations again.",
)
OBJECT_UNREADABLE = NoteRule(
    "left out", "object_unreadable", "objects without readable coordinates", "Correct or remove these objects."
)
OBJECT_WITHOUT_CLASS = NoteRule(
    "left out", "object_without_class", "objects without a class name", "Give each object a class."
)
SHAPE_UNSUPPORTED = NoteRule(
    "left out",
    "shape_unsupported",
    "shapes that are neither a box nor an outline of an area",
    "Draw these objects as boxes, polygons or masks.",
)
COORDINATES_SWAPPED = NoteRule(
    "repaired", "coordinates_swapped", "boxes with exchanged corners: minimum and maximum were put in order"
)
SIZE_RESCALED = NoteRule(
    "repaired",
    "resized_after_annotation",
    "images resized after the annotation: the boxes were scaled from the annotated size to the image's size",
)
SIZE_OF_FILE_USED = NoteRule(
    "contradiction",
    "annotated_size_differs",
    "annotations that name another image size; their boxes only fit the image's size, which is used",
    "Correct the image size in these annotations.",
)
SIZE_CONTRADICTION = NoteRule(
    "left out",
    "size_contradiction",
    "images whose size contradicts their annotation, so that the boxes may be in other coordinates",
    "Annotate these images again, or restore the images that were annotated.",
)


class NoteCollector:
    """Findings of one reader, counted per rule."""

    def __init__(self) -> None:
        self._examples: dict[NoteRule, list[str]] = {}
        self._counts: dict[NoteRule, int] = {}

    def add(self, rule: NoteRule, example: str = "", count: int = 1) -> None:
        """Count one or more cases of a rule.

        Args:
            rule: the rule.
            example: the file or object, with the cause if it is not clear from the rule.
            count: number of cases.
        """
        if count < 1:
            return
        examples = self._examples.setdefault(rule, [])
        self._counts[rule] = self._counts.get(rule, 0) + count
        if example and len(examples) < MAX_EXAMPLES:
            examples.append(shorten(example, _EXAMPLE_LENGTH))

    def count(self, rule: NoteRule) -> int:
        """Return the number of cases of a rule."""
        return self._counts.get(rule, 0)

    def notes(self) -> tuple[Note, ...]:
        """Return the notes in the order in which the rules were first found."""
        return tuple(
            Note(rule.kind, rule.name, self._counts[rule], rule.text, tuple(examples), rule.remedy)
            for rule, examples in self._examples.items()
        )


def shorten(text: object, length: int = 80) -> str:
    """Return a text as one line of limited length."""
    line = " ".join(str(text)[: 4 * length].split())
    return line if len(line) <= length else line[: length - 3] + "..."
