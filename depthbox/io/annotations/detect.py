"""Detection of the annotation format of a path, and the one function that reads annotations of any format."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .coco import read_coco
from .locate import LocatedAnnotations, is_table, locate_annotations
from .readers.coco_files import find_coco_files
from .readers.cvat import cvat_splits, read_cvat
from .readers.image_files import canonical_split, is_folder
from .readers.labelme import labelme_splits, read_labelme
from .readers.labelstudio import read_label_studio
from .readers.openimages import open_images_splits, read_open_images
from .readers.points_table import points_table_splits, read_points_table
from .readers.voc import read_voc, read_voc_table, voc_splits, voc_table_splits
from .readers.yolo import read_yolo, yolo_splits
from .records import AnnotationError, Format, RawAnnotations


def find_format(path: str | os.PathLike[str]) -> Format:
    """Return the format of annotations, from file names and a look into the files.

    Args:
        path: an annotation file, or the folder of a dataset.

    Raises:
        AnnotationError: there is nothing at the path, or nothing that can be read.
    """
    with _name_failures(path):
        return locate_annotations(Path(path)).kind


def splits_of(source: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the splits of a dataset among "train", "val" and "test"; () if it has no splits.

    Raises:
        AnnotationError: there are no annotations that can be read.
    """
    with _name_failures(source):
        found = locate_annotations(Path(source))
        if found.kind == "yolo":
            return yolo_splits(found.path)
        if found.kind == "voc":
            return voc_table_splits(found.path) if is_table(found.path) else voc_splits(found.path)
        if found.kind == "cvat":
            return cvat_splits(found.path)
        if found.kind == "labelme":
            return labelme_splits(found.path)
        if found.kind == "openimages":
            return open_images_splits(found.path)
        if found.kind == "points":
            return points_table_splits(found.path)
        if found.kind == "coco":
            return tuple(split for split in find_coco_files(found.path) if split)
        return ()


def choose_split(source: str | os.PathLike[str], preferred: Sequence[str]) -> str:
    """Return the first of the preferred splits that a dataset has; the first one for a dataset without splits."""
    known = splits_of(source)
    return next((split for split in preferred if split in known), preferred[0])


def read_raw(
    source: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    split: str = "train",
    progress: bool = True,
) -> RawAnnotations | None:
    """Return the annotations of a dataset as its reader found them.

    Args:
        source: an annotation file, or the folder of a dataset.
        images: folder of the images; None = as defined by the format.
        split: "train", "val" or "test" (also "valid"), of a dataset with splits. A dataset without splits,
            for which ``splits_of`` is empty, is read as a whole.
        progress: show a progress bar on stderr for thousands of files.

    Returns:
        The annotations; None if the dataset has splits, but not this one.

    Raises:
        AnnotationError: there are no annotations that can be used.
    """
    with _name_failures(source):
        found = locate_annotations(Path(source))
        folder = None if images is None else Path(images)
        if folder is not None and not is_folder(folder):
            raise AnnotationError(f"the folder {folder} does not exist; correct --images")
        return _read(found, folder, canonical_split(split), progress)


def read_annotation_file(json_file: str, image_root: str | None = None, split: str = "train") -> RawAnnotations:
    """Read annotations of any format.

    Args:
        json_file: annotation file or folder.
        image_root: image folder; None = as the format defines it.
        split: split of a divided dataset.

    Raises:
        AnnotationError: the annotations cannot be read.
    """
    if json_file.lower().endswith(".json"):
        with suppress(AnnotationError):  # COCO is by far the most frequent format; it is parsed only once
            return read_coco(json_file, image_root)
    raw = read_raw(json_file, image_root, split)
    if raw is None:
        raise AnnotationError(f"{json_file} has no split {split}: name one annotation file")
    return raw


def _read(found: LocatedAnnotations, images: Path | None, split: str, progress: bool) -> RawAnnotations | None:
    path = found.path
    if found.kind == "yolo":
        return read_yolo(path, images, split, progress)
    if found.kind == "voc":
        if is_table(path):
            return read_voc_table(path, images, split)
        return read_voc(path, images, split, progress)
    if found.kind == "cvat":
        return read_cvat(path, images, split, progress)
    if found.kind == "labelstudio":
        return read_label_studio(path, images, progress)
    if found.kind == "labelme":
        return read_labelme(path, images, split, progress)
    if found.kind == "openimages":
        return read_open_images(path, images, split, progress)
    if found.kind == "points":
        return read_points_table(path, images, split)
    files = find_coco_files(path)
    file = files.get("") or files.get(split)
    return None if file is None else read_coco(file, images, split)


@contextmanager
def _name_failures(source: str | os.PathLike[str]) -> Iterator[None]:
    """Raise an ``AnnotationError`` instead of the system's errors, such as missing permissions."""
    try:
        yield
    except OSError as error:
        place = error.filename or source
        raise AnnotationError(f"{place} cannot be read: {error.strerror or error}; correct its permissions") from error
