"""How well alike colour and alike depth tell whether two neighbouring pixels belong to one object.

The pairs are those of the pairwise losses: on the mask grid, from every pixel in an object's box to each of its
neighbours. A pair is *kept* where the pixels are alike; it is *pure* where both have the same label, inside or outside
this object's mask. As S_d = exp(-κ |Δd|) > τ_d means |Δd| < -ln(τ_d) / κ, one histogram of |Δd| answers for all κ, τ_d.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.data import transforms as T
from torch import Tensor
from torch.nn import functional as F

from ...data.mapper import BoxDepthMapper
from ...ops import box_extents, cells_inside, color_similarity, depth_on_grid, neighbor_offsets, rgb_to_lab, shift

# What the curves of the plot are drawn through, besides the settings asked for.
_COLOR_CURVE = tuple(i / 50 for i in range(1, 50))
_DEPTH_CURVE = tuple(10 ** (i / 24 - 4) for i in range(97))

# The last dimension of a histogram: pairs across the object's border, pairs of one label that start at a pixel with
# such a pair, all other pairs of one label.
CROSSING, SAME_AT_BORDER, SAME_ELSEWHERE = range(3)


@dataclass(frozen=True)
class AffinitySettings:
    """What is measured.

    Attributes:
        color_thresholds: τ, least colour similarity of a kept pair, in (0, 1).
        depth_scales: κ > 0.
        depth_thresholds: τ_d, in (0, 1); S_d of a kept pair is above it.
        stride: input pixels per cell of the mask grid.
        size, dilation: the kernel of neighbours.
        bottom_pixels_removed: rows at the bottom of the original image that are no neighbours.
    """

    color_thresholds: tuple[float, ...] = (0.1, 0.3, 0.5)
    depth_scales: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
    depth_thresholds: tuple[float, ...] = (0.3, 0.5, 0.7)
    stride: int = 4
    size: int = 3
    dilation: int = 2
    bottom_pixels_removed: int = 0

    def __post_init__(self) -> None:
        outside = [value for value in (*self.color_thresholds, *self.depth_thresholds) if not 0 < value < 1]
        if outside or not (self.color_thresholds and self.depth_scales and self.depth_thresholds):
            raise ValueError(f"thresholds must lie between 0 and 1, at least one of each kind; got {outside or 'none'}")
        if min(self.depth_scales) <= 0 or self.stride < 1 or self.bottom_pixels_removed < 0:
            raise ValueError("depth scales must be above 0, the stride at least 1, the removed rows 0 or more")

    @property
    def color_levels(self) -> tuple[float, ...]:
        """All similarities at which pairs are counted, ascending."""
        return tuple(sorted({*self.color_thresholds, *_COLOR_CURVE}))

    @property
    def depth_cutoffs(self) -> tuple[float, ...]:
        """All |Δd| at which pairs are counted, ascending."""
        asked = {depth_cutoff(scale, low) for scale in self.depth_scales for low in self.depth_thresholds}
        return tuple(sorted({*asked, *_DEPTH_CURVE}))


@dataclass(frozen=True)
class Affinity:
    """What one rule makes of the pairs; shares in [0, 1], NaN where there is nothing to divide by.

    Attributes:
        kept: share of all pairs that are kept.
        purity: share of the kept pairs whose pixels have the same label.
        recall: share of the same-label pairs that are kept.
        leak: share of the pairs across the object's border that are kept.
        border_purity: purity among the pairs that start at a pixel with a pair across the border.
    """

    kept: float
    purity: float
    recall: float
    leak: float
    border_purity: float


@dataclass(frozen=True)
class PairCounts:
    """Histogram of the pairs of a data set.

    Attributes:
        settings: what was counted.
        counts: (levels + 1, cutoffs + 1, 3) int64: how many of ``settings.color_levels`` a pair reaches, how many of
            ``settings.depth_cutoffs`` its |Δd| reaches, its kind.
        images, objects: how many they come from.
        has_depth: whether the second dimension means anything.
    """

    settings: AffinitySettings
    counts: Tensor
    images: int
    objects: int
    has_depth: bool

    def kept(self, color_threshold: float | None = None, cutoff: float | None = None) -> Tensor:
        """Pairs (3,) int64 of each kind that reach a colour similarity and stay below a |Δd|; None = any.

        Raises:
            ValueError: one of the two was not counted.
        """
        first, last = 0, self.counts.shape[1]
        if color_threshold is not None:
            first = self.settings.color_levels.index(color_threshold) + 1
        if cutoff is not None:
            last = self.settings.depth_cutoffs.index(cutoff) + 1
        return self.counts[first:, :last].sum((0, 1))

    def affinity(self, color_threshold: float | None = None, cutoff: float | None = None) -> Affinity:
        """How much the rule keeps, and how pure it is; with neither argument, all pairs (purity = base rate)."""
        kept, every = self.kept(color_threshold, cutoff).tolist(), self.kept().tolist()
        same = kept[SAME_AT_BORDER] + kept[SAME_ELSEWHERE]
        return Affinity(
            kept=_share(sum(kept), sum(every)),
            purity=_share(same, sum(kept)),
            recall=_share(same, every[SAME_AT_BORDER] + every[SAME_ELSEWHERE]),
            leak=_share(kept[CROSSING], every[CROSSING]),
            border_purity=_share(kept[SAME_AT_BORDER], kept[SAME_AT_BORDER] + kept[CROSSING]),
        )


def depth_cutoff(scale: float, threshold: float) -> float:
    """The |Δd| below which exp(-scale |Δd|) is above the threshold."""
    return -math.log(threshold) / scale


def grid_depth(depth: Tensor, stride: int) -> Tensor:
    """Mean depth (B, 1, ceil(H / stride), ceil(W / stride)) of each cell of (B, 1, H, W); its border goes on."""
    padded = (depth.shape[2] + -depth.shape[2] % stride, depth.shape[3] + -depth.shape[3] % stride)
    return torch.stack([depth_on_grid(single, padded, stride) for single in depth])


def count_pairs(
    image: Tensor,
    boxes: Tensor,
    masks: Tensor,
    depth: Tensor | None,
    settings: AffinitySettings,
    removed_rows: int = 0,
) -> Tensor:
    """Histogram of one image's pairs.

    Args:
        image: (3, H, W) RGB in [0, 255].
        boxes: (N, 4) xyxy, input pixels.
        masks: (N, H, W) bool.
        depth: (1, H, W) in [0, 1], or None.
        settings: what to count.
        removed_rows: rows of this image, from its bottom, that are no neighbours.

    Returns:
        (levels + 1, cutoffs + 1, 3) int64, see ``PairCounts``.
    """
    stride, offsets = settings.stride, neighbor_offsets(settings.size, settings.dilation)
    height, width = image.shape[-2:]
    rest = (0, -width % stride, 0, -height % stride)  # the network's images are padded with zeros, too
    small = F.avg_pool2d(F.pad(image[None].float(), rest), stride)
    valid = cells_inside((small.shape[2], small.shape[3]), height - removed_rows, width, stride)
    reach = torch.stack([shift(valid.float(), *offset) > 0 for offset in offsets])
    similarity = color_similarity(rgb_to_lab(small.floor() / 255), valid[None], settings.size, settings.dilation)[0]
    levels, cutoffs = torch.tensor(settings.color_levels), torch.tensor(settings.depth_cutoffs)
    code = torch.bucketize(similarity, levels, right=True) * (len(cutoffs) + 1)
    if depth is not None:
        small_depth = grid_depth(depth[None].float(), stride)[0, 0]
        distance = torch.stack([(small_depth - shift(small_depth, *offset)).abs() for offset in offsets])
        code += torch.bucketize(distance, cutoffs, right=True)
    start = stride // 2
    labels = F.pad(masks.to(torch.uint8), rest)[:, start::stride, start::stride]
    rows, columns = box_extents(boxes, small.shape[2], small.shape[3], stride)
    shape = (len(levels) + 1, len(cutoffs) + 1, 3)
    counts = torch.zeros(math.prod(shape), dtype=torch.int64)
    for label, row, column in zip(labels, rows, columns, strict=True):
        counts += _count_object(code, reach, label, row, column, offsets, len(counts))
    return counts.reshape(shape)


def count_dataset(
    records: Sequence[Mapping[str, Any]],
    settings: AffinitySettings,
    min_size: int = 0,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> PairCounts:
    """Histogram of the pairs of all objects with a mask; crowds are left out.

    Args:
        records: Detectron2's dicts; depth is read where all of them have ``depth_file_name``.
        settings: what to count.
        min_size: short side that images are resized to, at most twice that long; 0 = as they are.
        progress: wraps the records, to show a bar.

    Raises:
        ValueError: there is no object with a mask; and what ``BoxDepthMapper`` raises.
    """
    has_depth = all(record.get("depth_file_name") for record in records)
    resize = [T.ResizeShortestEdge(min_size, 2 * min_size)] if min_size else []
    fields = ("gt_masks", "gt_has_mask", "depth") if has_depth else ("gt_masks", "gt_has_mask")
    mapper = BoxDepthMapper(True, augmentations=resize, image_format="RGB", fields=fields)
    shape = (len(settings.color_levels) + 1, len(settings.depth_cutoffs) + 1, 3)
    counts, objects = torch.zeros(shape, dtype=torch.int64), 0
    for sample in map(mapper, progress(records)):
        found = sample["instances"][sample["instances"].gt_has_mask]
        objects += len(found)
        removed = int(settings.bottom_pixels_removed * sample["image"].shape[1] / sample["height"])
        boxes, masks = found.gt_boxes.tensor, found.gt_masks.tensor
        counts += count_pairs(sample["image"], boxes, masks, sample.get("depth"), settings, removed)
    if not objects:
        raise ValueError("no object has a mask (segmentation): purity is measured against true masks")
    return PairCounts(settings, counts, len(records), objects, has_depth)


def _count_object(
    code: Tensor, reach: Tensor, label: Tensor, row: Tensor, column: Tensor, offsets: list[tuple[int, int]], length: int
) -> Tensor:
    """Histogram (length,) of the pairs that start in one box; ``code`` and ``reach`` are (neighbours, H, W)."""
    if not (row.any() and column.any()):
        return torch.zeros(length, dtype=torch.int64)
    (top, bottom), (left, right) = (torch.where(inside)[0][[0, -1]].tolist() for inside in (row, column))
    box = (slice(None), slice(top, bottom + 1), slice(left, right + 1))
    margin = max(dy for dy, _ in offsets)
    canvas = F.pad(label, (margin,) * 4)
    there = torch.stack([_window(canvas, top + margin + dy, left + margin + dx, box) for dy, dx in offsets])
    same, inside = there == label[box[1:]], reach[box]
    at_border = (~same & inside).any(0)
    kind = torch.where(same, torch.where(at_border, SAME_AT_BORDER, SAME_ELSEWHERE), CROSSING)
    return torch.bincount((code[box] * 3 + kind)[inside], minlength=length)


def _window(canvas: Tensor, top: int, left: int, box: tuple[slice, slice, slice]) -> Tensor:
    height, width = box[1].stop - box[1].start, box[2].stop - box[2].start
    return canvas[top : top + height, left : left + width]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
