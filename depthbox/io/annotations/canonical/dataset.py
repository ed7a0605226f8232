"""Annotations of any format as the canonical dataset."""

from __future__ import annotations

from typing import Any

from ..json_file import without_garbage_collection
from ..notes import NoteCounter, shorten
from ..records import AnnotationError, AnnotationSet, NumberedValues, OriginalIds, RawAnnotations
from .categories import read_categories
from .image_entries import ImageReader
from .objects import ObjectReader

_LISTS = ("images", "annotations", "categories")


def canonicalize(raw: RawAnnotations, *, check_files: bool = True, check_sizes: bool = False) -> AnnotationSet:
    """Convert annotations to canonical form, see ``AnnotationSet``.

    Unambiguous faults are repaired. Entries that cannot be used are left out. The notes count both.
    Images and categories are numbered in the order of their ids if all of them are numbers, else in the order of the
    file; annotations in the order of the file. Values that need no repair are shared with ``raw.content``, which is not
    changed: treat both as read-only.

    Args:
        raw: result of a reader.
        check_files: list the image folder once and match each ``file_name`` to a file; otherwise names are normalized
            only and no image counts as missing.
        check_sizes: also compare each height and width with the header of the image file, and leave out images whose
            header cannot be read. Otherwise only the headers of images without a usable height and width are read.

    Raises:
        AnnotationError: the image folder does not exist, the content does not hold the lists of COCO, an image or
            category id is ambiguous, or no image can be used.
    """
    if check_files and not raw.image_root.is_dir():
        raise AnnotationError(
            f"the image folder {raw.image_root} of {raw.source} does not exist: correct the image folder"
        )
    try:
        with without_garbage_collection():
            return _build(raw, check_files, check_sizes)
    except RecursionError as error:
        raise AnnotationError(f"{raw.source} is nested too deeply. Export the annotations again") from error


def _build(raw: RawAnnotations, check_files: bool, check_sizes: bool) -> AnnotationSet:
    content: Any = raw.content
    if not isinstance(content, dict):
        raise AnnotationError(f"{raw.source} is not a COCO JSON file: it holds {shorten(content)}, not an object")
    listed, annotated = _require_list(raw, "images"), _require_list(raw, "annotations")
    notes = NoteCounter()
    categories = read_categories(content.get("categories"), annotated, raw.source, notes)
    images = ImageReader(raw, notes, check_files=check_files, check_sizes=check_sizes).read(listed)
    objects = ObjectReader(images, categories, notes).read(annotated)
    canonical = {key: value for key, value in content.items() if key not in _LISTS}
    canonical |= {"images": images.entries, "annotations": objects.entries, "categories": categories.entries}
    return AnnotationSet(
        raw.source,
        raw.kind,
        raw.image_root,
        canonical,
        OriginalIds(
            NumberedValues(images.original_ids),
            NumberedValues(objects.original_ids),
            NumberedValues(categories.original_ids),
        ),
        NumberedValues(objects.positions),
        raw.content,
        images.missing,
        images.other_size,
        (*raw.notes, *notes.notes()),
    )


def _require_list(raw: RawAnnotations, key: str) -> list[Any]:
    """Return a list of the content; a file without annotations, such as that of a test set, has no objects."""
    value = raw.content.get(key)
    if value is None and key == "annotations":
        return []
    if value is None:
        raise AnnotationError(
            f"{raw.source} is not a COCO JSON file: missing list(s): {key}. Export the annotations as COCO instances"
        )
    if not isinstance(value, list):
        raise AnnotationError(f"{raw.source} is not a COCO JSON file: {key} is {shorten(value)}, not a list")
    return value
