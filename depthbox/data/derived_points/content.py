"""COCO content whose masks are replaced by points, to study how much points alone teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pycocotools.mask as mask_util

from ...io.annotations.records import CocoContent
from ...io.coco_masks import segmentation_to_rle
from .sampling import POINT_KINDS, Mask, PointKind, choose_point, move_off

Keep = Literal["none", "boxes", "masks"]
KEEP: tuple[Keep, ...] = ("none", "boxes", "masks")

Record = dict[str, Any]
_BOX, _MASK = ("bbox",), ("bbox", "segmentation", "area")
_REPLACED = frozenset((*_MASK, "keypoints", "num_keypoints", "point_coords", "point_labels"))
# Third words of the seeds of the streams; the points themselves have [seed, image id].
_OFF_STREAM, _SHARE_STREAM = 1, 2


@dataclass(frozen=True)
class PointSettings:
    """Points to derive.

    Attributes:
        kind: "random", "center" or "biased", see ``choose_point``.
        seed: integer >= 0. The draws of an image depend on the seed and the id of the image.
        off_object: share of the points that are moved to the nearest pixel outside their object, in [0, 1].
        keep: what each object keeps beside its point: "none", "boxes", or "masks" (with boxes).
        shares: relative numbers of objects with a mask, a box and a point, each >= 0; such objects have this annotation
            alone. None = every object gets a point. Not together with ``keep``.
    """

    kind: PointKind = "random"
    seed: int = 0
    off_object: float = 0.0
    keep: Keep = "none"
    shares: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.kind not in POINT_KINDS:
            raise ValueError(f"the kind of points must be one of {', '.join(POINT_KINDS)}, got {self.kind!r}")
        if self.seed < 0:
            raise ValueError(f"the seed must be >= 0, got {self.seed}")
        if not 0 <= self.off_object <= 1:
            raise ValueError(f"the share of points off the object must be in 0 to 1, got {self.off_object:g}")
        if self.keep not in KEEP:
            raise ValueError(f"keep must be one of {', '.join(KEEP)}, got {self.keep!r}")
        if self.shares is not None:
            shown = " ".join(f"{share:g}" for share in self.shares)
            if not all(0 <= share < float("inf") for share in self.shares) or not sum(self.shares):
                raise ValueError(f"the shares of masks, boxes and points must be >= 0 and not all 0, got {shown}")
            if self.keep != "none":
                raise ValueError(f"shares {shown} and keep {self.keep!r} exclude each other: choose one of them")


@dataclass(frozen=True)
class DerivedPoints:
    """COCO content with points, and the numbers of its objects.

    Attributes:
        content: the content; ids and all other lists are those of the source.
        points, boxes, masks: number of objects that have such an annotation.
        moved: number of points off their object.
        crowds: number of crowds, which are left out.
        without_mask: number of objects without a mask, which are left out.
    """

    content: CocoContent
    points: int
    boxes: int
    masks: int
    moved: int
    crowds: int
    without_mask: int


def derive_points(content: CocoContent, settings: PointSettings) -> DerivedPoints:
    """Replace the masks of COCO content by one point per object, of label 1.

    Args:
        content: repaired COCO content (``io.annotations.canonical.repaired_coco``).
        settings: the kind of the points and what is kept beside them.

    Raises:
        ValueError: no object has a mask.
    """
    objects = [entry for entry in content["annotations"] if not entry.get("iscrowd")]
    usable = [entry for entry in objects if entry.get("segmentation")]
    if not usable:
        raise ValueError("no object has a mask from which a point could be derived")
    by_image: dict[int, list[Record]] = {entry["id"]: [] for entry in content["images"]}
    for entry in usable:
        by_image[entry["image_id"]].append(entry)
    derived: dict[int, Record] = {}
    moved = 0
    for image in content["images"]:
        draws = _ImageDraws(image, settings)
        for entry in by_image[image["id"]]:
            derived[entry["id"]] = draws.derive(entry)
        moved += draws.moved
    annotations = [derived[entry["id"]] for entry in usable]
    return DerivedPoints(
        {**content, "annotations": annotations},
        points=_count(annotations, "point_coords"),
        boxes=_count(annotations, "bbox"),
        masks=_count(annotations, "segmentation"),
        moved=moved,
        crowds=len(content["annotations"]) - len(objects),
        without_mask=len(objects) - len(usable),
    )


class _ImageDraws:
    """Points of one image; each decision has a stream of random numbers, so that no option changes another's draws."""

    def __init__(self, image: Record, settings: PointSettings) -> None:
        self._size = (image["height"], image["width"])
        self._settings = settings
        words = [settings.seed, image["id"]]
        self._points = np.random.default_rng(words)
        self._off = np.random.default_rng([*words, _OFF_STREAM])
        self._kept = np.random.default_rng([*words, _SHARE_STREAM])
        self.moved = 0

    def derive(self, entry: Record) -> Record:
        """Return the annotation of an object as the settings define it."""
        mask = _decode(entry, self._size)
        point = choose_point(mask, self._settings.kind, self._points)
        off = self._off.random() < self._settings.off_object
        kept, has_point = self._keep()
        bare = {key: value for key, value in entry.items() if key not in _REPLACED}
        bare |= {key: entry[key] for key in kept if key in entry}
        if not has_point:
            return bare
        other = move_off(mask, point) if off else None
        self.moved += other is not None
        return {**bare, "point_coords": [list(other or point)], "point_labels": [1]}

    def _keep(self) -> tuple[Sequence[str], bool]:
        """Return the keys that an object keeps and whether it gets a point."""
        shares = self._settings.shares
        if shares is None:
            return {"none": (), "boxes": _BOX, "masks": _MASK}[self._settings.keep], True
        place = int(np.searchsorted(np.cumsum(shares), self._kept.random() * sum(shares), side="right"))
        return (_MASK, _BOX, ())[place], place == 2


def _decode(entry: Record, size: tuple[int, int]) -> Mask:
    """Return the mask of an object; a mask without a pixel, as of a thin polygon, becomes the center of the box."""
    mask: Mask = mask_util.decode(segmentation_to_rle(entry["segmentation"], size)).astype(bool)
    if not mask.any():
        x, y, width, height = entry["bbox"]
        row, column = int(y + height / 2), int(x + width / 2)
        mask[min(max(row, 0), size[0] - 1), min(max(column, 0), size[1] - 1)] = True
    return mask


def _count(annotations: Sequence[Record], key: str) -> int:
    return sum(key in entry for entry in annotations)
