"""From given boxes to masks at the size of the original image: one for each box, whatever the detector thinks of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..distillation.candidates import own_candidates
from ..distillation.matching import depth_consistency_score, matching_scores
from ..modeling.fcos.inference import Detections
from ..modeling.meta_arch.depthbox import DepthBox
from ..ops import cells_inside, depth_on_grid, depth_similarity

_MARGIN = 0.25  # of the box's sides: so far around it a mask is looked at, to see whether it fits


@dataclass(frozen=True)
class View:
    """An image as the network sees it.

    Attributes:
        image: (3, h, w) uint8, in the network's channel order.
        mirrored: left and right are exchanged.
        depth: (1, h, w) float32 in [0, 1], mirrored with the image; None = not used.
    """

    image: Tensor
    mirrored: bool = False
    depth: Tensor | None = None


@dataclass(frozen=True)
class BoxMask:
    """The mask of one box.

    Attributes:
        mask: (rows, columns) bool, of the pixels from ``left``, ``top`` on; it lies within the box.
        left, top: first pixel.
        score: quality in [0, 1], what the mask's IoU with the truth is taken to be; for sorting.
    """

    mask: Tensor
    left: int
    top: int
    score: float


@dataclass(frozen=True)
class DepthRule:
    """How depth takes part in the choice among candidates (eq. 8 and 9), see ``TeacherLabeler``."""

    beta: float
    threshold: float
    scale: float
    size: int
    dilation: int


class BoxLabeler:
    """Computes the mask of each given box.

    The mask head is evaluated at the positions whose predicted boxes overlap the given one most, of any class, and at
    the centre cells of the level that FCOS assigns to a box of that size. The best of these by the matching score
    (eq. 9) are averaged, over all views. The mean is stretched a little so that it fills the box, and cut to it.

    Args:
        network: in evaluation mode.
        candidates: positions that compete for a box.
        averaged: the best of them that are averaged in each view.
        alpha: weight of the boxes' IoU in the matching score.
        depth: how depth takes part; None = it does not.
        fit: how far the mean's extent is moved to the box's sides, 0 = not, 1 = onto them.
        chunk: boxes whose masks are held at a time.
    """

    def __init__(
        self,
        network: DepthBox,
        *,
        candidates: int = 16,
        averaged: int = 5,
        alpha: float = 0.8,
        depth: DepthRule | None = None,
        fit: float = 0.5,
        chunk: int = 16,
    ) -> None:
        self.network, self.candidates, self.averaged = network, candidates, averaged
        self.alpha, self.depth, self.fit, self.chunk = alpha, depth, fit, chunk

    @torch.no_grad()
    def __call__(self, views: Sequence[View], boxes: Tensor, size: tuple[int, int]) -> Iterator[BoxMask]:
        """The masks of an image's boxes, in their order.

        Args:
            views: at least one, without padding, all of the whole image.
            boxes: (N, 4) xyxy in pixels of the original image, each with an area inside it.
            size: (height, width) of the original image.
        """
        seen = [self._see(view) for view in views]
        for part in boxes.to(self.network.device, torch.float32).split(self.chunk) if len(boxes) else ():
            maps = [self._mean_maps(parts, view, part, size) for parts, view in zip(seen, views, strict=True)]
            for n, box in enumerate(part):
                yield self._finish([means[n] for means in maps], [v.mirrored for v in views], views, box, size)

    def _see(self, view: View) -> tuple:
        images, dense, features = self.network.predict_dense([{"image": view.image}])
        similarity = None
        if self.depth is not None and view.depth is not None:
            stride, padded = self.network.mask_head.out_stride, (images.tensor.shape[2], images.tensor.shape[3])
            grid = depth_on_grid(view.depth.to(self.network.device), padded, stride)
            height, width = images.image_sizes[0]
            valid = cells_inside((grid.shape[1], grid.shape[2]), height, width, stride, grid.device)[None]
            rule = self.depth
            similarity = depth_similarity(grid[None], valid, rule.size, rule.dilation, rule.scale)[0], valid
        return dense, features, similarity

    def _mean_maps(self, seen: tuple, view: View, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """Mean probabilities (N, H, W) of the best candidates of each box, on the view's mask grid."""
        dense, features, similarity = seen
        placed = _place(boxes, size, (view.image.shape[1], view.image.shape[2]), view.mirrored)
        positions = self.network.proposal_generator.positions(dense)
        found, owners = own_candidates(dense, positions, placed, per_box=self.candidates)
        logits = next(self.network.predict_masks(dense, features, [found])).logits
        probabilities = logits.float().sigmoid()
        scores = self._scores(found, placed[owners], probabilities, similarity)
        means = []
        for n in range(len(boxes)):
            mine = torch.nonzero(owners == n)[:, 0]
            best = mine[scores[mine].topk(min(self.averaged, len(mine))).indices]
            means.append(probabilities[best, 0].mean(0))
        return torch.stack(means)

    def _scores(
        self, found: Detections, boxes: Tensor, probabilities: Tensor, similarity: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        iou = _iou(boxes, found.boxes)
        depth_scores, beta = torch.zeros_like(iou), 0.0
        if self.depth is not None and similarity is not None:
            beta = self.depth.beta
            depth_scores = depth_consistency_score(probabilities * similarity[1], similarity[0], self.depth.threshold)
        return matching_scores(iou, depth_scores, found.scores, self.alpha, beta)

    def _finish(
        self, maps: list[Tensor], mirrored: list[bool], views: Sequence[View], box: Tensor, size: tuple[int, int]
    ) -> BoxMask:
        """The views' mean, at the original image's pixels, fitted to the box and cut to it."""
        stride = self.network.mask_head.out_stride
        shapes = [(view.image.shape[1], view.image.shape[2]) for view in views]

        def sample(x: Tensor, y: Tensor) -> Tensor:
            parts = [
                sample_map(m, stride, shape, size, size[1] - x if flip else x, y)
                for m, shape, flip in zip(maps, shapes, mirrored, strict=True)
            ]
            return torch.stack(parts).mean(0)

        margin = (box[2:] - box[:2]) * _MARGIN
        x, y = (
            _pixels(box[0] - margin[0], box[2] + margin[0], size[1]),
            _pixels(box[1] - margin[1], box[3] + margin[1], size[0]),
        )
        around = sample(x, y)
        extent = _extent(around > 0.5, x, y)
        overlap = 0.0 if extent is None else float(_iou(extent[None], box[None]))
        x, y = _pixels(box[0], box[2], size[1]), _pixels(box[1], box[3], size[0])
        inside = sample(x, y)
        if extent is not None and self.fit > 0 and overlap > 0.3:
            source = extent + (box - extent) * (1 - self.fit)
            inside = sample(_move(x, box[0::2], source[0::2]), _move(y, box[1::2], source[1::2]))
        mask = inside > 0.5
        return BoxMask(mask.cpu(), int(x[0] - 0.5), int(y[0] - 0.5), quality(inside, mask, overlap))


def quality(probabilities: Tensor, mask: Tensor, overlap: float) -> float:
    """What a mask is worth without the truth: its certainty times how well its extent fits the box.

    The certainty is the IoU that is to be expected if the probabilities are right: those inside the mask over all of
    them and what is missing to 1 inside the mask.

    Args:
        probabilities: (H, W) in [0, 1] within the box.
        mask: (H, W) bool of them.
        overlap: IoU of the mask's extent with the box.
    """
    inside = float(probabilities[mask].sum())
    union = float(probabilities.sum()) + float(mask.sum()) - inside
    return round(overlap * inside / union, 5) if union > 0 else 0.0


def sample_map(
    values: Tensor, stride: int, view: tuple[int, int], size: tuple[int, int], x: Tensor, y: Tensor
) -> Tensor:
    """A map of a view at places of the original image, bilinearly; beyond its border it goes on.

    Args:
        values: (H, W) on the view's mask grid, padding included.
        stride: pixels of the view per cell.
        view, size: (height, width) of the view without padding and of the original image.
        x, y: (columns,) and (rows,) in pixels of the original; 0.5 is the centre of the first one.

    Returns:
        (rows, columns).
    """
    axes = []
    for place, old, new, cells in ((x, size[1], view[1], values.shape[1]), (y, size[0], view[0], values.shape[0])):
        cell = (place * (new / old) - 0.5 - stride // 2) / stride
        axes.append(cell * 2 / max(cells - 1, 1) - 1)
    down, across = torch.meshgrid(axes[1], axes[0], indexing="ij")
    grid = torch.stack((across, down), dim=2)[None].to(values.dtype)
    return F.grid_sample(values[None, None], grid, padding_mode="border", align_corners=True)[0, 0]


def _place(boxes: Tensor, size: tuple[int, int], view: tuple[int, int], mirrored: bool) -> Tensor:
    """Boxes of the original image in the pixels of a view."""
    if mirrored:
        boxes = torch.stack((size[1] - boxes[:, 2], boxes[:, 1], size[1] - boxes[:, 0], boxes[:, 3]), dim=1)
    return boxes * boxes.new_tensor((view[1] / size[1], view[0] / size[0])).repeat(2)


def _iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU (N,) of boxes (N, 4) and (N, 4), pair by pair."""
    sides = torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])
    common = sides.clamp(min=0).prod(1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (first, second)]
    return common / (areas[0] + areas[1] - common).clamp(min=1e-6)


def _pixels(low: Tensor, high: Tensor, side: int) -> Tensor:
    """Centres of the pixels of an image side that lie between two places; at least one."""
    first = min(max(int(torch.ceil(low - 0.5)), 0), side - 1)
    last = min(max(int(torch.ceil(high - 0.5)), first + 1), side)
    return torch.arange(first, last, device=low.device) + 0.5


def _extent(mask: Tensor, x: Tensor, y: Tensor) -> Tensor | None:
    """The box (4,) of a mask's pixels, xyxy, or None where there is none."""
    rows, columns = torch.nonzero(mask.any(1))[:, 0], torch.nonzero(mask.any(0))[:, 0]
    if len(rows) == 0:
        return None
    return torch.stack((x[columns[0]] - 0.5, y[rows[0]] - 0.5, x[columns[-1]] + 0.5, y[rows[-1]] + 0.5))


def _move(places: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Places of an interval ``old`` (2,) as the same shares of the interval ``new``."""
    return (places - old[0]) / (old[1] - old[0]).clamp(min=1e-6) * (new[1] - new[0]) + new[0]
