"""Files of a PASCAL VOC 2012 folder that belong to the images of a split."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "val", "trainval", "train_aug")
IMAGES = "JPEGImages"
OBJECT_FOLDERS = ("SegmentationObject", "SegmentationObjectAug")
CLASS_FOLDERS = ("SegmentationClass", "SegmentationClassAug")

_MAX_LIST_BYTES = 1 << 26
_LAYOUT = (
    f"The folder must hold {IMAGES}/*.jpg, ImageSets/Segmentation/*.txt, {OBJECT_FOLDERS[0]}/*.png and "
    f"{CLASS_FOLDERS[0]}/*.png: unpack VOCtrainval_11-May-2012.tar, and name its folder VOCdevkit/VOC2012"
)
_SBD = (
    "Images beyond those of VOC have their objects in SBD: unpack its benchmark.tgz and name the folder that contains "
    "inst/*.mat with --sbd"
)


@dataclass(frozen=True)
class VocImage:
    """One image of a split and its ground truth: either ``objects`` and ``classes``, or ``sbd``.

    Attributes:
        name: name without suffix, such as "2007_000032".
        image: image file.
        objects: PNG of objects; None = does not exist.
        classes: PNG of classes; None = does not exist.
        sbd: MATLAB file of SBD; None = not used.
    """

    name: str
    image: Path
    objects: Path | None
    classes: Path | None
    sbd: Path | None = None


def find_root(root: str | os.PathLike[str]) -> Path:
    """Return the folder that contains JPEGImages: the given one, or VOC2012 or VOCdevkit/VOC2012 below it.

    Raises:
        FileNotFoundError: none of these folders exists.
    """
    root = Path(root)
    for folder in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (folder / IMAGES).is_dir():
            return folder
    raise FileNotFoundError(f"{root} has no folder {IMAGES}. {_LAYOUT}")


def find_images(root: Path, split: str, sbd: str | os.PathLike[str] | None = None) -> list[VocImage]:
    """Find the files of all images of a split, in the order of its list.

    Args:
        root: folder of JPEGImages.
        split: name of a list in ImageSets/Segmentation.
        sbd: folder of SBD, with inst/*.mat; used for the images without a PNG of objects.

    Raises:
        ValueError: another split, or a list that is empty or names an image twice.
        FileNotFoundError: the list, images, or their ground truth are missing.
    """
    names = read_names(root, split)
    images = [_find_files(root, name, None if sbd is None else Path(sbd)) for name in names]
    _require([str(entry.image) for entry in images if not entry.image.is_file()], len(names), "images do not exist", "")
    bare = [entry.name for entry in images if entry.objects is None and entry.sbd is None]
    _require(bare, len(names), f"images have no {OBJECT_FOLDERS[0]}/*.png", _SBD if split == "train_aug" else "")
    plain = [entry.name for entry in images if entry.objects is not None and entry.classes is None]
    _require(plain, len(names), f"images have no {CLASS_FOLDERS[0]}/*.png", "")
    return images


def read_names(root: Path, split: str) -> list[str]:
    """Read the list of a split.

    Raises:
        ValueError: another split, or a list that is empty, names an image twice or is not a list of names.
        FileNotFoundError: the list does not exist.
    """
    if split not in SPLITS:
        raise ValueError(f"the split is one of {SPLITS}, not '{split}'")
    path = _list_file(root, split)
    if not path.is_file():
        remedy = (
            "Copy the list of the 10,582 training images of VOC and SBD to this file"
            if split == "train_aug"
            else _LAYOUT
        )
        raise FileNotFoundError(f"{path} does not exist. {remedy}")
    if path.stat().st_size > _MAX_LIST_BYTES:
        raise ValueError(f"{path} is too large for a list of images: copy the official list")
    text = path.read_bytes().decode("utf-8", "replace")
    names = [_to_name(line) for line in text.splitlines() if line.strip()]
    odd = next((name for name in names if not name or not name.isprintable() or name in (".", "..")), None)
    if odd is not None or not names:
        raise ValueError(f"{path} is not a list with one image name per line: copy the official list")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{path} names the image {name} twice: remove one of the lines")
        seen.add(name)
    return names


def count_common(root: Path, names: Sequence[str], split: str) -> int:
    """Return how many of the names are in the list of another split; 0 if this list does not exist."""
    if not _list_file(root, split).is_file():
        return 0
    return len(set(names) & set(read_names(root, split)))


def _list_file(root: Path, split: str) -> Path:
    return root / "ImageSets" / "Segmentation" / f"{split}.txt"


def _to_name(line: str) -> str:
    """Return the name of an image; lists of SBD name "/JPEGImages/2007_000032.jpg /Segmentation...png" instead."""
    first = line.split()[0].replace("\\", "/")
    name = first.rpartition("/")[2]
    return name.rpartition(".")[0] if name.lower().endswith((".jpg", ".png")) else name


def _find_files(root: Path, name: str, sbd: Path | None) -> VocImage:
    objects = _find_first(root, OBJECT_FOLDERS, name)
    classes = _find_first(root, CLASS_FOLDERS, name)
    matlab = None if objects is not None or sbd is None else sbd / "inst" / f"{name}.mat"
    return VocImage(
        name,
        root / IMAGES / f"{name}.jpg",
        objects,
        classes,
        matlab if matlab is not None and matlab.is_file() else None,
    )


def _find_first(root: Path, folders: Sequence[str], name: str) -> Path | None:
    paths = (root / folder / f"{name}.png" for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def _require(missing: Sequence[str], count: int, problem: str, remedy: str) -> None:
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise FileNotFoundError(f"{len(missing)} of {count} {problem}: {shown}. {remedy or _LAYOUT}")
