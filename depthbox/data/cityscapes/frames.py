"""The files of Cityscapes' official folders that belong to one frame."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "val")
IMAGES, TRUTH = "leftImg8bit", "gtFine"
IMAGE_SUFFIX = f"_{IMAGES}.png"

_LAYOUT = (
    f"The folder must hold {IMAGES}/{{split}}/{{city}}/*{IMAGE_SUFFIX} and {TRUTH}/{{split}}/{{city}}/*_{TRUTH}_*: "
    f"unpack {IMAGES}_trainvaltest.zip and {TRUTH}_trainvaltest.zip of www.cityscapes-dataset.com into it"
)


@dataclass(frozen=True)
class Frame:
    """One image and its ground truth.

    Attributes:
        name: path of the image below ``leftImg8bit``, with forward slashes: ``val/frankfurt/...png``.
        image: the image.
        instance_ids: 16-bit PNG of objects; None where there is none.
        label_ids: 8-bit PNG of classes; None where there is none.
        polygons: json of polygons; None where there is none. It or ``instance_ids`` is there.
    """

    name: str
    image: Path
    instance_ids: Path | None
    label_ids: Path | None
    polygons: Path | None


def truth_file(image_file: str | os.PathLike[str], kind: str = "instanceIds.png") -> Path:
    """Where the ground truth of an image lies, whether or not it is there.

    Args:
        image_file: ``.../leftImg8bit/{split}/{city}/{frame}_leftImg8bit.png``.
        kind: end of the name: "instanceIds.png", "labelIds.png" or "polygons.json".

    Returns:
        ``.../gtFine/{split}/{city}/{frame}_gtFine_{kind}``.

    Raises:
        ValueError: the path is not of that form.
    """
    path = Path(image_file)
    folders = list(path.parent.parts)
    if IMAGES not in folders or not path.name.endswith(IMAGE_SUFFIX):
        raise ValueError(
            f"{path} is not a Cityscapes image: its ground truth is found only where the path has the form "
            f".../{IMAGES}/{{split}}/{{city}}/{{frame}}{IMAGE_SUFFIX}; keep the official folders and names"
        )
    # The last one, so that a folder above the data may have the same name.
    folders[len(folders) - 1 - folders[::-1].index(IMAGES)] = TRUTH
    return Path(*folders, f"{path.name.removesuffix(IMAGE_SUFFIX)}_{TRUTH}_{kind}")


def find_frames(root: str | os.PathLike[str], split: str) -> list[Frame]:
    """All frames of a split, in the order of their names.

    Args:
        root: the folder of ``leftImg8bit`` and ``gtFine``.
        split: "train" or "val".

    Raises:
        ValueError: another split; the others have no objects annotated.
        FileNotFoundError: no images, an image without instanceIds and polygons, or a ground truth without image.
    """
    if split not in SPLITS:
        raise ValueError(f"the split is one of {SPLITS}, not '{split}': the others have no objects annotated")
    root = Path(root)
    folder = root / IMAGES / split
    images = _visible(folder, f"*{IMAGE_SUFFIX}")
    if not images:
        raise FileNotFoundError(f"there are no images {folder}/*/*{IMAGE_SUFFIX}. {_LAYOUT}")
    frames = [_frame(root, image) for image in images]
    bare = [str(frame.image) for frame in frames if not (frame.instance_ids or frame.polygons)]
    if bare:
        raise FileNotFoundError(
            f"{len(bare)} of {len(frames)} images have neither instanceIds.png nor polygons.json: {_some(bare)}. "
            f"{_LAYOUT}"
        )
    _check_no_image_is_missing(root / TRUTH / split, frames)
    return frames


def _frame(root: Path, image: Path) -> Frame:
    def existing(kind: str) -> Path | None:
        path = truth_file(image, kind)
        return path if path.is_file() else None

    name = image.relative_to(root / IMAGES).as_posix()
    return Frame(name, image, existing("instanceIds.png"), existing("labelIds.png"), existing("polygons.json"))


def _check_no_image_is_missing(folder: Path, frames: Sequence[Frame]) -> None:
    known = {truth_file(frame.image, kind) for frame in frames for kind in ("instanceIds.png", "polygons.json")}
    found = _visible(folder, f"*_{TRUTH}_instanceIds.png") + _visible(folder, f"*_{TRUTH}_polygons.json")
    lost = [str(path) for path in sorted(found) if path not in known]
    if lost:
        raise FileNotFoundError(
            f"{len(lost)} ground-truth files have no image: {_some(lost)}. Add the images, or remove these files to "
            f"convert a part of the split. {_LAYOUT}"
        )


def _visible(folder: Path, pattern: str) -> list[Path]:
    """Files {folder}/{city}/{pattern}, sorted; archives of other systems bring hidden "._" copies."""
    return sorted(path for path in folder.glob(f"*/{pattern}") if not path.name.startswith("."))


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")
