"""Reader of YOLO datasets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...records import AnnotationError, RawAnnotations
from ..builder import ContentBuilder
from ..documents import read_text, track
from ..image_files import canonical_split, is_folder
from ..rules import (
    CLASS_COUNT_DIFFERS,
    CONFIDENCE,
    DECIMAL_COMMA,
    IMAGE_WITHOUT_LABEL,
    LABEL_SHARED,
    LABEL_WITHOUT_IMAGE,
    SPLIT_NOT_FOUND,
)
from ..shapes import LabeledShape
from .entries import YoloImages, folder_images, given_images, resolve_entry, split_images
from .label_files import LabelFinder
from .labels import parse_labels
from .source import YoloSource, load_source

_FEW = 3


def yolo_splits(source: Path) -> tuple[str, ...]:
    """Return the splits of a dataset whose images exist; () if it has no splits.

    Raises:
        AnnotationError: the dataset's file cannot be read.
    """
    return _existing_splits(load_source(source))


def read_yolo(
    source: Path, images: Path | None = None, split: str = "train", progress: bool = True
) -> RawAnnotations | None:
    """Return the annotations of one split of a YOLO dataset.

    Segments and oriented boxes become polygons, pose labels become boxes. An image without a label file is an image
    without objects.

    Args:
        source: the dataset's folder, its YAML or .data file, or its list of class names.
        images: folder of the images of the split; None = as the dataset's file says.
        split: name of the split, for a dataset with splits.
        progress: show a progress bar for thousands of images.

    Returns:
        The annotations; None if the dataset has splits, but not this one.

    Raises:
        AnnotationError: a label file is not in YOLO's format, or there are no labels that can be used.
    """
    dataset = load_source(source)
    split = canonical_split(split)
    if images is None and dataset.entries and split not in dataset.entries:
        return None
    builder = ContentBuilder(source, "yolo", dataset.root)
    found = _find_images(dataset, images, split, builder)
    builder.image_root = found.root
    if dataset.count is not None and dataset.count != len(dataset.names):
        builder.notes.add(CLASS_COUNT_DIFFERS, f"nc is {dataset.count}, {len(dataset.names)} names")
    for name in set(dataset.entries) - set(_existing_splits(dataset)) - {split}:
        builder.notes.add(SPLIT_NOT_FOUND, f"{name}: {', '.join(dataset.entries[name])}")
    _LabelReading(dataset, found, builder).read(progress)
    return builder.finish(dataset.names)


def _existing_splits(dataset: YoloSource) -> tuple[str, ...]:
    return tuple(
        split
        for split in ("train", "val", "test")
        if split in dataset.entries and all(resolve_entry(dataset, entry) for entry in dataset.entries[split])
    )


def _find_images(dataset: YoloSource, images: Path | None, split: str, builder: ContentBuilder) -> YoloImages:
    if images is not None:
        found = given_images(dataset, images, split)
    elif dataset.entries:
        found = split_images(dataset, split, builder.notes)
    else:
        folder = dataset.root / "images"
        found = folder_images(folder if is_folder(folder) else dataset.root)
    if not found.files:
        raise AnnotationError(f"there are no images in {found.root}; correct {dataset.file}, or give --images")
    return found


class _LabelReading:
    """Images of one split and their label files, read one after the other."""

    def __init__(self, dataset: YoloSource, images: YoloImages, builder: ContentBuilder) -> None:
        self._dataset, self._images, self._builder = dataset, images, builder
        self._classes = frozenset(dataset.names)
        self._finder = LabelFinder(dataset.root, images.folders)
        self._problems: list[str] = []
        self._without: list[str] = []

    def read(self, progress: bool) -> None:
        for image in track(self._images.files, "YOLO", progress):
            self._add(image)
        if self._problems:
            more = f" ({len(self._problems) - 1} more lines cannot be read)" if len(self._problems) > 1 else ""
            raise AnnotationError(self._problems[0] + more)
        total = len(self._images.files)
        if len(self._without) == total:
            expected = self._finder.expected(self._images.files[0])
            raise AnnotationError(
                f"there are no labels (.txt files) in {expected}, where those of the images in {self._images.root}"
                " belong; add them, or correct --images"
            )
        self._note_missing(total)

    def _add(self, image: Path) -> None:
        name = image.relative_to(self._images.root).as_posix()
        known = len(self._finder.used)
        file = self._finder.find(image)
        if file is None:
            self._without.append(name)
            self._builder.add(name, (), name)
            return
        if len(self._finder.used) == known:
            self._builder.notes.add(LABEL_SHARED, f"{name}: {file.name}")
        lines = parse_labels(read_text(file), self._classes, self._dataset.keypoints)
        self._problems.extend(f"{file} {problem}" for problem in lines.problems)
        self._builder.notes.add(CONFIDENCE, file.name, lines.confidences)
        self._builder.notes.add(DECIMAL_COMMA, file.name, lines.decimal_commas)
        size = self._builder.measure(name)
        if size is not None:
            objects = [LabeledShape(label.number, label.to_pixels(*size)) for label in lines.labels]
            self._builder.add(name, objects, file.name)

    def _note_missing(self, total: int) -> None:
        """Note images without labels and labels without an image; many of the former mean unfinished labels."""
        rule = IMAGE_WITHOUT_LABEL
        if len(self._without) >= max(_FEW, total // 10):
            text = (
                f"{rule.text}; only {total - len(self._without)} of {total} images have one, as if labels were missing"
            )
            rule = replace(rule, text=text)
        for name in self._without:
            self._builder.notes.add(rule, name)
        for file in self._finder.unused():
            self._builder.notes.add(LABEL_WITHOUT_IMAGE, str(file))
