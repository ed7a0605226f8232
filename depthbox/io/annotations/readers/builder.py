"""Assembly of COCO content from the images and objects of another format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ..notes import NoteCounter
from ..records import AnnotationError, Format, RawAnnotations
from .image_files import measure_image
from .rules import IMAGE_ANNOTATED_TWICE, IMAGE_UNREADABLE, SIZE_CONTRADICTION, SIZE_OF_FILE_USED, SIZE_RESCALED
from .shapes import LabeledShape

Size = tuple[int, int]
SizeRelation = Literal["same", "resized", "file", "unknown"]


class ContentBuilder:
    """Images and objects of one set of annotations, collected as COCO content.

    Attributes:
        notes: findings of the reader.
    """

    def __init__(self, source: Path, kind: Format, image_root: Path) -> None:
        """Start without images.

        Args:
            source: the annotation file or folder.
            kind: its format.
            image_root: folder that each ``file_name`` is relative to.
        """
        self.source, self.kind, self.image_root = source, kind, image_root
        self.notes = NoteCounter()
        self._images: dict[str, dict[str, Any]] = {}
        self._annotations: list[dict[str, Any]] = []

    def measure(self, file_name: str) -> Size | None:
        """Return the upright (height, width) of an image; None and a note if it cannot be read."""
        if file_name in self._images:
            return self._images[file_name]["height"], self._images[file_name]["width"]
        try:
            return measure_image(self.image_root / file_name)
        except AnnotationError as error:
            self.notes.add(IMAGE_UNREADABLE, str(error))
            return None

    def add(self, file_name: str, objects: Sequence[LabeledShape], origin: str, stated: Size | None = None) -> None:
        """Add an image and its objects.

        Args:
            file_name: of the image, relative to ``image_root``.
            objects: in pixels of the stated size.
            origin: the annotation file or entry, for the notes.
            stated: (height, width) in the annotation; None = that of the image file.
        """
        size = self.measure(file_name)
        if size is None:
            return
        if stated is not None and stated != size:
            fitted = self._fit(objects, stated, size, origin)
            if fitted is None:
                return
            objects = fitted
        if file_name in self._images:
            self.notes.add(IMAGE_ANNOTATED_TWICE, f"{file_name} ({origin})")
        image = self._images.setdefault(
            file_name,
            {"id": len(self._images) + 1, "file_name": file_name, "height": size[0], "width": size[1]},
        )
        for entry in objects:
            self._annotations.append(_annotation(len(self._annotations) + 1, image["id"], entry))

    def finish(self, classes: Mapping[Any, str] | None = None, names: Sequence[str] = ()) -> RawAnnotations:
        """Return the collected content.

        Args:
            classes: label of the objects -> name of the class, in the order of the category ids; None = the names of
                the objects, sorted.
            names: further names of classes, such as those of other splits.

        Raises:
            AnnotationError: no image was added.
        """
        if not self._images:
            raise AnnotationError(self._reason())
        if classes is None:
            found = {annotation["category_id"] for annotation in self._annotations}
            classes = {name: name for name in sorted(found.union(names))}
        ids = {label: number for number, label in enumerate(classes, 1)}
        for annotation in self._annotations:
            annotation["category_id"] = ids[annotation["category_id"]]
        categories = [{"id": ids[label], "name": name} for label, name in classes.items()]
        content = {"images": list(self._images.values()), "annotations": self._annotations, "categories": categories}
        return RawAnnotations(self.source, self.kind, self.image_root, content, self.notes.notes())

    def _fit(
        self, objects: Sequence[LabeledShape], stated: Size, size: Size, origin: str
    ) -> Sequence[LabeledShape] | None:
        relation = compare_sizes(objects, stated, size)
        case = f"{origin}: {stated[1]} x {stated[0]} pixels annotated, {size[1]} x {size[0]} in the image"
        if relation == "unknown":
            self.notes.add(SIZE_CONTRADICTION, case)
            return None
        if relation == "file":
            self.notes.add(SIZE_OF_FILE_USED, case)
            return objects
        self.notes.add(SIZE_RESCALED, case)
        down, across = size[0] / stated[0], size[1] / stated[1]
        return [LabeledShape(entry.label, entry.shape.scaled(across, down), entry.extra) for entry in objects]

    def _reason(self) -> str:
        left_out = [note for note in self.notes.notes() if note.kind == "left out"]
        if not left_out:
            return f"{self.source} has no annotated images; correct the path, or give --images"
        note = left_out[0]
        example = f" ({note.examples[0]})" if note.examples else ""
        return (
            f"{self.source} has no image that can be used with those in {self.image_root}: {note.count} {note.text}"
            f"{example}. {note.remedy}"
        )


def compare_sizes(objects: Sequence[LabeledShape], stated: Size, size: Size) -> SizeRelation:
    """Compare an annotated image size with the size of the image file.

    Args:
        objects: in the coordinates of the annotation.
        stated: (height, width) in the annotation.
        size: upright (height, width) of the image file.

    Returns:
        "same"; "resized" if both sides changed by the same factor and the objects lie in the annotated size; "file" if
        the objects only lie in the image of the file; "unknown" otherwise.
    """
    if stated == size:
        return "same"
    right = max((entry.shape.far_corner[0] for entry in objects), default=0.0)
    bottom = max((entry.shape.far_corner[1] for entry in objects), default=0.0)
    fits_stated = bottom <= stated[0] + 1 and right <= stated[1] + 1
    fits_file = bottom <= size[0] + 1 and right <= size[1] + 1
    if any(entry.shape.is_rle for entry in objects):  # masks have the stated size
        return "unknown"
    if fits_stated and _is_resized(stated, size):
        return "resized"
    return "file" if fits_file and not fits_stated else "unknown"


def _is_resized(stated: Size, size: Size) -> bool:
    """Return whether one factor explains both sides, each rounded to whole pixels."""
    lowest = max((new - 1) / old for old, new in zip(stated, size, strict=True))
    highest = min((new + 1) / old for old, new in zip(stated, size, strict=True))
    return lowest <= highest


def _annotation(number: int, image_id: int, entry: LabeledShape) -> dict[str, Any]:
    shape = entry.shape
    annotation = {
        "id": number,
        "image_id": image_id,
        "category_id": entry.label,
        **({} if shape.bbox is None else {"bbox": list(shape.bbox)}),
        "area": shape.area,
        "iscrowd": 0,
        **entry.extra,
    }
    if shape.points:
        annotation["point_coords"] = [list(point) for point in shape.points]
        annotation["point_labels"] = [1] * len(shape.points)
    if shape.segmentation is not None:
        annotation["segmentation"] = shape.segmentation
    return annotation
