"""Annotations of a user as canonical datasets for training and validation."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..io.annotations.canonical import canonicalize
from ..io.annotations.classes import remap_classes
from ..io.annotations.detect import choose_split, read_raw, splits_of
from ..io.annotations.records import AnnotationSet, Note, RawAnnotations

# A larger share of missing images means that the image folder is wrong.
MOST_MISSING = 0.5
_VAL_SPLITS = ("val", "test", "train")


class OwnDataError(ValueError):
    """Error in the data of a training run. The message contains the remedy."""


@dataclass(frozen=True)
class OwnData:
    """Annotations and images given by the user.

    Attributes:
        data: annotations in any format that ``io.annotations`` reads.
        images: image folder; None = as defined by the annotation format.
        depth: folder of the depth maps; None = without depth.
        class_maps: folder of class maps of the images, for points; None = computed.
        val_data, val_images: annotations and images of the validation set; None = the validation split of ``data``.
        val_share: share of the images kept for validation if the data have no validation set; 0 = no validation.
        seed: seed of the random choice of validation images.
    """

    data: Path
    images: Path | None = None
    depth: Path | None = None
    class_maps: Path | None = None
    val_data: Path | None = None
    val_images: Path | None = None
    val_share: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class OwnSource:
    """Training or validation set of a user's data.

    Attributes:
        annotations: canonical annotations without the images that do not exist or have another size.
        all_annotations: all canonical annotations, the input of ``depthbox check``.
    """

    annotations: AnnotationSet
    all_annotations: AnnotationSet


def read_sources(own: OwnData, progress: bool = True) -> list[OwnSource]:
    """Read the training set and, if given, the validation set, with the classes of the training set.

    Args:
        own: data of the user.
        progress: show progress bars for thousands of files.

    Returns:
        One or two sets.

    Raises:
        OwnDataError: options that do not fit, or most images do not exist.
        AnnotationError: annotations that cannot be read, or classes of the validation set that the training set lacks.
    """
    if own.val_data is None and own.val_images is not None:
        raise OwnDataError("--val-images goes with --val-data: give both, or neither")
    if not 0 <= own.val_share < 1:
        raise OwnDataError(f"--val-share is {own.val_share}: it must be at least 0 and below 1")
    train = _read_split(own.data, own.images, ("train",), progress)
    if train is None:
        names = ", ".join(splits_of(own.data))
        raise OwnDataError(f"{own.data} has no split 'train' (found: {names}): name the training images with --images")
    sources = [_to_source(train, "--images")]
    val = _read_validation(own, progress)
    if val is not None:
        sources.append(_with_classes(_to_source(val, "--val-images"), sources[0].annotations))
    return sources


def shared_images(sources: Sequence[OwnSource]) -> Note | None:
    """Find validation images that are also training images: the same file, or a file with equal content.

    Returns:
        A contradiction with examples; None if the sets share no image.
    """
    train, val = (list(_paths(source.annotations)) for source in sources)
    known, by_size = {os.path.realpath(path) for path in train}, defaultdict(list)
    for path in train:
        by_size[os.path.getsize(path)].append(path)
    shared = []
    digests: dict[int, set[bytes]] = {}  # of the training files of one size: all images may have the same size
    for path in val:
        size = os.path.getsize(path)
        if size in by_size and size not in digests:
            digests[size] = set(map(_digest, by_size[size]))
        if os.path.realpath(path) in known or (size in digests and _digest(path) in digests[size]):
            shared.append(os.path.basename(path))
    if not shared:
        return None
    text = "validation images that are also trained on, so that the measured AP is too high"
    remedy = "remove them from one of the sets"
    return Note("contradiction", "validation_image_trained", len(shared), text, tuple(shared[:5]), remedy)


def _read_validation(own: OwnData, progress: bool) -> RawAnnotations | None:
    if own.val_data is not None:
        return _read_split(own.val_data, own.val_images, _VAL_SPLITS, progress)
    # With --images, all images are training images. The validation split of the format needs its own image folder.
    if own.images is None and "val" in splits_of(own.data):
        return _read_split(own.data, None, ("val",), progress)
    return None


def _read_split(data: Path, images: Path | None, names: Sequence[str], progress: bool) -> RawAnnotations | None:
    return read_raw(data, images, choose_split(data, names), progress=progress)


def _to_source(raw: RawAnnotations, option: str) -> OwnSource:
    annotations = canonicalize(raw, check_files=True, check_sizes=True)
    missing = sum(note.count for note in annotations.notes if note.rule == "image_missing")
    count = len(annotations.content["images"])
    if missing > MOST_MISSING * count:
        example = next((n.examples[0] for n in annotations.notes if n.rule == "image_missing" and n.examples), "")
        raise OwnDataError(
            f"{missing} of {count} images of {raw.source} do not exist in {raw.image_root} (such as {example}): "
            f"correct {option}"
        )
    # `depthbox check` reports other sizes as errors, so these images are only left out in runs without a check.
    return OwnSource(annotations.without_images(annotations.missing | annotations.other_size), annotations)


def _with_classes(source: OwnSource, train: AnnotationSet) -> OwnSource:
    """Give a set the classes of the training set, and their ids."""
    names = [entry["name"] for entry in train.content["categories"]]
    return dataclasses.replace(source, annotations=remap_classes(source.annotations, names, train.ids.categories))


def _paths(annotations: AnnotationSet) -> Iterable[str]:
    return (os.path.join(annotations.image_root, entry["file_name"]) for entry in annotations.content["images"])


def _digest(path: str) -> bytes:
    return hashlib.sha256(Path(path).read_bytes()).digest()
