"""Statistics of similar pairs: share of the neighbors of similar color or depth with the same label.

The pairs are those of the pairwise losses: on the mask grid, from every pixel in an object's box to each of its
neighbors. A pair is *kept* if color or depth of its pixels are similar. It is *pure* if both pixels have the same
label, inside or outside this object's mask. S_d = exp(-κ |Δd|) > τ_d is equivalent to |Δd| < -ln(τ_d) / κ, so that one
histogram of |Δd| serves all κ and τ_d.
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

# Points of the curves of the plot, in addition to the settings asked for.
_COLOR_CURVE = tuple(i / 50 for i in range(1, 50))
_DEPTH_CURVE = tuple(10 ** (i / 24 - 4) for i in range(97))

# Kinds of pairs: across the object's border; of one label, at a pixel with a pair across the border; all others.
CROSSING, SAME_AT_BORDER, SAME_ELSEWHERE = range(3)


@dataclass(frozen=True)
class AffinitySettings:
    """Thresholds and grid of the measurement.

    Attributes:
        color_thresholds: τ, smallest color similarity of a kept pair, in (0, 1).
        depth_scales: κ > 0.
        depth_thresholds: τ_d, in (0, 1); S_d of a kept pair is above it.
        stride, size, dilation: input pixels per cell of the mask grid; kernel of neighbors.
        bottom_pixels_removed: pixel rows at the bottom of the original image that are excluded as neighbors.

    Raises:
        ValueError: a threshold or another value is out of range, or a list is empty.
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
        """All color similarities at which pairs are counted, ascending."""
        return tuple(sorted({*self.color_thresholds, *_COLOR_CURVE}))

    @property
    def depth_cutoffs(self) -> tuple[float, ...]:
        """All |Δd| at which pairs are counted, ascending."""
        asked = {depth_cutoff(scale, low) for scale in self.depth_scales for low in self.depth_thresholds}
        return tuple(sorted({*asked, *_DEPTH_CURVE}))


@dataclass(frozen=True)
class Affinity:
    """Statistics of the pairs that one rule keeps: shares in [0, 1], NaN for a share of zero pairs.

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
    """Histogram of the pairs of a dataset.

    Attributes:
        settings: settings of the measurement.
        counts: (levels + 1, cutoffs + 1, 3) int64, indexed by the number of ``settings.color_levels`` that a pair
            reaches, the number of ``settings.depth_cutoffs`` that its |Δd| reaches, and its kind.
        images, objects: number of images and objects of the pairs.
        has_depth: True if depth was read, so that the second dimension is meaningful.
    """

    settings: AffinitySettings
    counts: Tensor
    images: int
    objects: int
    has_depth: bool

    def kept(self, color_threshold: float | None = None, cutoff: float | None = None) -> Tensor:
        """Count the pairs (3,) int64 of each kind that reach a color similarity and stay below a |Δd|; None = any.

        Raises:
            ValueError: the similarity or the |Δd| is not among those of the settings.
        """
        first, last = 0, self.counts.shape[1]
        if color_threshold is not None:
            first = self.settings.color_levels.index(color_threshold) + 1
        if cutoff is not None:
            last = self.settings.depth_cutoffs.index(cutoff) + 1
        return self.counts[first:, :last].sum((0, 1))

    def affinity(self, color_threshold: float | None = None, cutoff: float | None = None) -> Affinity:
        """Compute the statistics of a rule; without arguments those of all pairs (purity = base rate)."""
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
    """Return the |Δd| below which exp(-scale |Δd|) is above the threshold."""
    return -math.log(threshold) / scale


def average_depth(depth: Tensor, stride: int) -> Tensor:
    """Average depth (B, 1, H, W) over each cell: (B, 1, ceil(H / stride), ceil(W / stride)), border replicated."""
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
    """Count the pairs of one image.

    Args:
        image: (3, H, W) RGB in [0, 255].
        boxes: (N, 4) xyxy, input pixels.
        masks: (N, H, W) bool.
        depth: (1, H, W) in [0, 1], or None.
        settings: settings of the measurement.
        removed_rows: pixel rows at the bottom of this image that are excluded as neighbors.

    Returns:
        (levels + 1, cutoffs + 1, 3) int64, see ``PairCounts``.
    """
    stride, offsets = settings.stride, neighbor_offsets(settings.size, settings.dilation)
    height, width = image.shape[-2:]
    rest = (0, -width % stride, 0, -height % stride)  # zero padding, as for the network's images
    small = F.avg_pool2d(F.pad(image[None].float(), rest), stride)
    valid = cells_inside((small.shape[2], small.shape[3]), height - removed_rows, width, stride)
    reach = torch.stack([shift(valid.float(), *offset) > 0 for offset in offsets])
    similarity = color_similarity(rgb_to_lab(small.floor() / 255), valid[None], settings.size, settings.dilation)[0]
    levels, cutoffs = torch.tensor(settings.color_levels), torch.tensor(settings.depth_cutoffs)
    code = torch.bucketize(similarity, levels, right=True) * (len(cutoffs) + 1)
    if depth is not None:
        small_depth = average_depth(depth[None].float(), stride)[0, 0]
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
    """Count the pairs of all objects with a mask; crowds are skipped.

    Args:
        records: Detectron2's dataset dicts; depth is read if all of them have ``depth_file_name``.
        settings: settings of the measurement.
        min_size: short side in pixels to which images are resized (long side at most twice that); 0 = no resizing.
        progress: function that wraps the records, such as a progress bar.

    Raises:
        ValueError: none of the objects has a mask, or ``BoxDepthMapper`` rejects a record.
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
        raise ValueError("no object has a mask (segmentation), but purity is measured against ground-truth masks")
    return PairCounts(settings, counts, len(records), objects, has_depth)


def _count_object(
    code: Tensor, reach: Tensor, label: Tensor, row: Tensor, column: Tensor, offsets: list[tuple[int, int]], length: int
) -> Tensor:
    """Count the pairs (length,) that start in one box; ``code`` and ``reach`` are (neighbors, H, W)."""
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
