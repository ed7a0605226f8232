"""Records of annotation files: the result of a reader, and the canonical dataset that every command uses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

Format = Literal["coco", "yolo", "voc", "cvat", "labelstudio", "labelme", "openimages", "points"]
CocoContent = dict[str, Any]
T = TypeVar("T")
# "repaired": corrected without doubt; "left out": not used; "contradiction": used, but probably not as meant.
NoteKind = Literal["repaired", "left out", "contradiction"]
MAX_EXAMPLES = 5


class AnnotationError(ValueError):
    """Annotations that cannot be read. The message names the file, the cause and the remedy."""


@dataclass(frozen=True)
class NoteCase:
    """One case of a note.

    Attributes:
        detail: one line, such as "bbox [1, 2, 0, 4]".
        file_name: image relative to the image folder; "" = the case does not belong to an image.
        annotation: the annotation in words, such as "annotation 7"; "" = the case does not belong to an object.
        annotation_id: id of the annotation in the user's file; None = there is none.
        box: (x, y, width, height) in pixels of the image, finite; None = unknown.
        declared_size: (height, width) in the annotations if the image file has another size.
        count: number of cases that this one stands for, such as the lines of a file.
    """

    detail: str = ""
    file_name: str = ""
    annotation: str = ""
    annotation_id: int | float | str | None = None
    box: tuple[float, float, float, float] | None = None
    declared_size: tuple[int, int] | None = None
    count: int = 1

    def __str__(self) -> str:
        file = repr(self.file_name) if self.file_name else ""
        place = " of ".join(part for part in (self.annotation, file) if part)
        return ": ".join(part for part in (place, self.detail) if part)


@dataclass(frozen=True)
class Note:
    """One kind of finding of a reader, counted.

    Attributes:
        kind: "repaired", "left out" or "contradiction".
        rule: short identifier, such as "label_without_image"; the same in every format.
        count: number of cases.
        text: one line without the number, such as "label files without an image".
        examples: up to ``MAX_EXAMPLES`` cases, each naming the file or object.
        remedy: action for the user; "" = none is needed.
        cases: the examples as records, with the image and the box if they are known.
    """

    kind: NoteKind
    rule: str
    count: int
    text: str
    examples: tuple[str, ...] = ()
    remedy: str = ""
    cases: tuple[NoteCase, ...] = ()


def format_note(note: Note) -> str:
    """Format a note as one line: kind, count, text, examples and remedy."""
    examples = f" (such as {', '.join(note.examples[:3])})" if note.examples else ""
    remedy = f". Remedy: {note.remedy}" if note.remedy else ""
    return f"{note.kind}: {note.count:,} {note.text}{examples}{remedy}"


@dataclass(frozen=True)
class RawAnnotations:
    """COCO content as a reader of one format found it, before ids and names are made canonical.

    Attributes:
        source: the annotation file or folder.
        kind: its format.
        image_root: folder that each ``file_name`` is relative to.
        content: ``images``, ``annotations`` and ``categories`` in COCO's form; any other key is kept.
        notes: findings of the reader.
    """

    source: Path
    kind: Format
    image_root: Path
    content: CocoContent
    notes: tuple[Note, ...] = ()


class NumberedValues(Mapping[int, T], Generic[T]):
    """Mapping of the canonical ids 1 to N to the N values of a list, in the memory of that list."""

    def __init__(self, values: Sequence[T]) -> None:
        self._values = values

    def __getitem__(self, number: int) -> T:
        if isinstance(number, int) and 1 <= number <= len(self._values):
            return self._values[number - 1]
        raise KeyError(number)

    def __iter__(self) -> Iterator[int]:
        return iter(range(1, len(self._values) + 1))

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"NumberedValues({self._values!r})"


@dataclass(frozen=True)
class OriginalIds:
    """Canonical id -> id in the file of the user, of each of the three lists."""

    images: Mapping[int, Any]
    annotations: Mapping[int, Any]
    categories: Mapping[int, Any]


@dataclass(frozen=True)
class AnnotationSet:
    """Annotations in canonical form: the one dataset that check, train, eval, label, predict and depth share.

    In ``content`` every id is a unique integer from 1 on. Each image has ``id``, ``file_name`` (relative to
    ``image_root``, with "/" and as the file is spelled on disk), ``height`` and ``width``. Each annotation has ``id``,
    ``image_id``, ``category_id``, ``area`` and ``iscrowd`` (0 or 1), and a box or a point on the object:

    - ``bbox``: x, y, width, height in pixels, finite and of positive area;
    - ``segmentation``: a valid outline of the image's size, only beside a box;
    - ``point_coords`` and ``point_labels``: P points [x, y] in continuous pixels inside the image, and P labels, 1 = on
      the object and 0 = not on it. Without a box one of them is 1, and ``area`` is 0.

    ``background_points`` of an image are points [x, y] on no object. Each category has ``id`` and a unique ``name``.
    Further keys of the user are kept. Nested values are shared with ``original``: treat all of it as read-only.

    Attributes:
        source, kind, image_root: as in ``RawAnnotations``.
        content: canonical COCO content.
        ids: the user's ids.
        positions: canonical annotation id -> its index in ``original["annotations"]``.
        original: COCO content with the user's ids and keys, unchanged; labels are written into it.
        missing: canonical ids of the images whose file does not exist.
        other_size: canonical ids of the images whose file has another size, if ``canonicalize`` checked the sizes.
        notes: repairs, omissions and contradictions.
    """

    source: Path
    kind: Format
    image_root: Path
    content: CocoContent
    ids: OriginalIds
    positions: Mapping[int, int]
    original: CocoContent
    missing: frozenset[int] = frozenset()
    other_size: frozenset[int] = frozenset()
    notes: tuple[Note, ...] = field(default=())

    def without_missing(self) -> AnnotationSet:
        """Return the set without the images whose file does not exist, and without their annotations."""
        return self.without_images(self.missing)

    def without_images(self, left_out: frozenset[int]) -> AnnotationSet:
        """Return the set without some images and their annotations.

        Args:
            left_out: canonical ids of images.
        """
        if not left_out:
            return self
        images = [entry for entry in self.content["images"] if entry["id"] not in left_out]
        objects = [entry for entry in self.content["annotations"] if entry["image_id"] not in left_out]
        content = {**self.content, "images": images, "annotations": objects}
        missing, other_size = self.missing - left_out, self.other_size - left_out
        return dataclasses.replace(self, content=content, missing=missing, other_size=other_size)
