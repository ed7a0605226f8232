"""Frames of Cityscapes: the files of the official folders that belong together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "val")
IMAGES, GROUND_TRUTH = "leftImg8bit", "gtFine"
IMAGE_SUFFIX = f"_{IMAGES}.png"

_LAYOUT = (
    f"The folder must hold {IMAGES}/{{split}}/{{city}}/*{IMAGE_SUFFIX} and "
    f"{GROUND_TRUTH}/{{split}}/{{city}}/*_{GROUND_TRUTH}_*: "
    f"unpack {IMAGES}_trainvaltest.zip and {GROUND_TRUTH}_trainvaltest.zip of www.cityscapes-dataset.com into it"
)


@dataclass(frozen=True)
class CityscapesFrame:
    """One image and its ground truth; at least one of ``instance_ids`` and ``polygons`` exists.

    Attributes:
        name: path of the image below ``leftImg8bit``, with forward slashes: ``val/frankfurt/...png``.
        image: image file.
        instance_ids: 16-bit PNG of objects; None = does not exist.
        label_ids: 8-bit PNG of classes; None = does not exist.
        polygons: JSON file of polygons; None = does not exist.
    """

    name: str
    image: Path
    instance_ids: Path | None
    label_ids: Path | None
    polygons: Path | None


def ground_truth_file(image_file: str | os.PathLike[str], kind: str = "instanceIds.png") -> Path:
    """Return the ground-truth file of an image, which may not exist.

    Args:
        image_file: ``.../leftImg8bit/{split}/{city}/{frame}_leftImg8bit.png``.
        kind: end of the file name: "instanceIds.png", "labelIds.png" or "polygons.json".

    Returns:
        ``.../gtFine/{split}/{city}/{frame}_gtFine_{kind}``.

    Raises:
        ValueError: the path is not of that form.
    """
    path = Path(image_file)
    folders = list(path.parent.parts)
    if IMAGES not in folders or not path.name.endswith(IMAGE_SUFFIX):
        raise ValueError(
            f"{path} is not a Cityscapes image: its ground truth is found only if the path has the form "
            f".../{IMAGES}/{{split}}/{{city}}/{{frame}}{IMAGE_SUFFIX}; keep the official folders and names"
        )
    # The last folder of that name, because a folder above the data may have the same name.
    folders[len(folders) - 1 - folders[::-1].index(IMAGES)] = GROUND_TRUTH
    return Path(*folders, f"{path.name.removesuffix(IMAGE_SUFFIX)}_{GROUND_TRUTH}_{kind}")


def find_frames(root: str | os.PathLike[str], split: str) -> list[CityscapesFrame]:
    """Find all frames of a split, in the order of their names.

    Args:
        root: folder of ``leftImg8bit`` and ``gtFine``.
        split: "train" or "val".

    Raises:
        ValueError: another split, which has no annotated objects.
        FileNotFoundError: no images, an image without instanceIds and polygons, or ground truth without image.
    """
    if split not in SPLITS:
        raise ValueError(f"the split is one of {SPLITS}, not '{split}': other splits have no annotated objects")
    root = Path(root)
    folder = root / IMAGES / split
    images = _list_visible(folder, f"*{IMAGE_SUFFIX}")
    if not images:
        raise FileNotFoundError(f"there are no images {folder}/*/*{IMAGE_SUFFIX}. {_LAYOUT}")
    frames = [_find_files(root, image) for image in images]
    bare = [str(frame.image) for frame in frames if not (frame.instance_ids or frame.polygons)]
    if bare:
        raise FileNotFoundError(
            f"{len(bare)} of {len(frames)} images have neither instanceIds.png nor polygons.json: {_shorten(bare)}. "
            f"{_LAYOUT}"
        )
    _require_images(root / GROUND_TRUTH / split, frames)
    return frames


def _find_files(root: Path, image: Path) -> CityscapesFrame:
    def find(kind: str) -> Path | None:
        path = ground_truth_file(image, kind)
        return path if path.is_file() else None

    name = image.relative_to(root / IMAGES).as_posix()
    return CityscapesFrame(name, image, find("instanceIds.png"), find("labelIds.png"), find("polygons.json"))


def _require_images(folder: Path, frames: Sequence[CityscapesFrame]) -> None:
    known = {ground_truth_file(frame.image, kind) for frame in frames for kind in ("instanceIds.png", "polygons.json")}
    found = _list_visible(folder, f"*_{GROUND_TRUTH}_instanceIds.png") + _list_visible(
        folder, f"*_{GROUND_TRUTH}_polygons.json"
    )
    lost = [str(path) for path in sorted(found) if path not in known]
    if lost:
        raise FileNotFoundError(
            f"{len(lost)} ground-truth files have no image: {_shorten(lost)}. Add the images, or remove these files to "
            f"convert a part of the split. {_LAYOUT}"
        )


def _list_visible(folder: Path, pattern: str) -> list[Path]:
    """List the files {folder}/{city}/{pattern}, sorted, without the hidden "._" copies of some archives."""
    return sorted(path for path in folder.glob(f"*/{pattern}") if not path.name.startswith("."))


def _shorten(paths: Sequence[str]) -> str:
    return ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")
