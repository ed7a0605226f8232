"""Predict a full-resolution mask for each given box, independent of the detector's scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..distillation.candidates import class_agnostic_candidates
from ..distillation.matching import DepthRule, DepthScorer, matching_scores
from ..modeling.fcos.head import HeadOutputs
from ..modeling.fcos.inference import Detections
from ..modeling.meta_arch.depthbox import DepthBox
from ..ops import paired_iou, sample_grid

_MARGIN = 0.25  # of the box's sides; the extent of a mask is measured up to so far around its box
_MIN_OVERLAP = 0.3  # minimum IoU of a mask's extent with its box, exclusive; masks below it are not fitted


@dataclass(frozen=True)
class View:
    """Input of the network: a resized and perhaps mirrored image.

    Attributes:
        image: (3, h, w) uint8, in the network's channel order.
        mirrored: whether left and right are exchanged.
        depth: (1, h, w) float32 in [0, 1], mirrored like the image; None = not used.
    """

    image: Tensor
    mirrored: bool = False
    depth: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[1], self.image.shape[2]


@dataclass(frozen=True)
class EncodedView:
    """A view and the outputs of the network that do not depend on the boxes.

    Attributes:
        view: input of the network.
        dense: predictions of the detector.
        mask_features: (1, C, H, W) float.
        depth: scores of masks by their depth; None = not used.
    """

    view: View
    dense: HeadOutputs
    mask_features: Tensor
    depth: DepthScorer | None


@dataclass(frozen=True)
class BoxMask:
    """Mask of one box.

    Attributes:
        mask: (rows, columns) bool, within the box.
        left, top: first column and row of the mask, in pixels of the original image.
        score: estimated quality of the mask in [0, 1], for sorting.
    """

    mask: Tensor
    left: int
    top: int
    score: float


class BoxLabeler:
    """Mask prediction for box prompts.

    The mask head is evaluated at the locations whose predicted boxes have the highest IoU with the given box, whatever
    their class, and at the locations to which FCOS would assign the box. The masks with the highest matching scores
    (eq. 9) are averaged, over all views. The mean is stretched towards the sides of the box and cropped to it.

    Args:
        network: network in evaluation mode.
        candidates: maximum number of locations per box that are chosen by IoU.
        averaged: number of candidates that are averaged per view.
        alpha: weight of the IoU in the matching score.
        depth: depth term of the matching score; None = not used.
        fit: share of the distance between the mask's extent and the box by which the mask is stretched, in [0, 1].
        chunk: number of boxes whose masks are in memory at a time.
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
        """Predict the masks of an image's boxes, in their order.

        Args:
            views: one or more views of the whole image, without padding.
            boxes: (N, 4) xyxy in pixels of the original image, each with a positive area inside the image.
            size: (height, width) of the original image.
        """
        encoded = [self._encode(view) for view in views]
        for part in boxes.to(self.network.device, torch.float32).split(self.chunk) if len(boxes) else ():
            maps = [self._mean_maps(view, part, size) for view in encoded]
            for n, box in enumerate(part):
                yield self._postprocess([means[n] for means in maps], views, box, size)

    def _encode(self, view: View) -> EncodedView:
        images, dense, mask_features = self.network.predict_dense([{"image": view.image}])
        scorer = None
        if self.depth is not None and view.depth is not None:
            padded = (images.tensor.shape[2], images.tensor.shape[3])
            depth, stride = view.depth.to(self.network.device), self.network.mask_head.out_stride
            scorer = DepthScorer.from_depth(self.depth, depth, images.image_sizes[0], padded, stride)
        return EncodedView(view, dense, mask_features, scorer)

    def _mean_maps(self, encoded: EncodedView, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the mean probabilities (N, H, W) of the best candidates of each box, on the view's mask grid."""
        boxes = _to_view(boxes, size, encoded.view)
        locations = self.network.proposal_generator.locations(encoded.dense)
        candidates = class_agnostic_candidates(encoded.dense, locations, boxes, per_box=self.candidates)
        found, box_index = candidates.detections, candidates.box_index
        logits = next(self.network.predict_masks(encoded.dense, encoded.mask_features, [found])).logits
        probabilities = logits.float().sigmoid()
        scores = self._scores(found, boxes[box_index], probabilities, encoded.depth)
        means = []
        for n in range(len(boxes)):
            own = torch.nonzero(box_index == n)[:, 0]
            best = own[scores[own].topk(min(self.averaged, len(own))).indices]
            means.append(probabilities[best, 0].mean(0))
        return torch.stack(means)

    def _scores(self, found: Detections, boxes: Tensor, probabilities: Tensor, scorer: DepthScorer | None) -> Tensor:
        """Return the matching scores (K,) of candidates and their boxes (K, 4); masks are (K, 1, H, W)."""
        iou = paired_iou(boxes, found.boxes)
        if self.depth is None or scorer is None:
            return matching_scores(iou, torch.zeros_like(iou), found.scores, self.alpha, 0.0)
        return matching_scores(iou, scorer(probabilities), found.scores, self.alpha, self.depth.beta)

    def _postprocess(
        self, maps: Sequence[Tensor], views: Sequence[View], box: Tensor, size: tuple[int, int]
    ) -> BoxMask:
        """Average the maps (H, W) of all views at the original image's pixels, fit them to the box and crop them."""
        margin = (box[2:] - box[:2]) * _MARGIN
        x = _pixel_centers(box[0] - margin[0], box[2] + margin[0], size[1])
        y = _pixel_centers(box[1] - margin[1], box[3] + margin[1], size[0])
        extent = _extent(self._sample(maps, views, size, x, y) > 0.5, x, y)
        overlap = 0.0 if extent is None else float(paired_iou(extent[None], box[None]))
        x, y = _pixel_centers(box[0], box[2], size[1]), _pixel_centers(box[1], box[3], size[0])
        inside = self._sample(maps, views, size, x, y)
        if extent is not None and self.fit > 0 and overlap > _MIN_OVERLAP:
            source = extent + (box - extent) * (1 - self.fit)
            across, down = _rescale(x, box[0::2], source[0::2]), _rescale(y, box[1::2], source[1::2])
            inside = self._sample(maps, views, size, across, down)
        mask = inside > 0.5
        return BoxMask(mask.cpu(), int(x[0] - 0.5), int(y[0] - 0.5), quality(inside, mask, overlap))

    def _sample(
        self, maps: Sequence[Tensor], views: Sequence[View], size: tuple[int, int], x: Tensor, y: Tensor
    ) -> Tensor:
        """Return the mean (rows, columns) of the views' maps at coordinates x and y of the original image."""
        stride, parts = self.network.mask_head.out_stride, []
        for values, view in zip(maps, views, strict=True):
            across = size[1] - x if view.mirrored else x
            parts.append(sample_grid(values[None], stride, view.size, size, across, y)[0])
        return torch.stack(parts).mean(0)


def quality(probabilities: Tensor, mask: Tensor, overlap: float) -> float:
    """Estimate the quality of a mask without ground truth: its certainty times the IoU of its extent with the box.

    The certainty is the expected IoU with the ground truth if the probabilities are calibrated: the sum of the
    probabilities inside the mask, divided by the sum of all probabilities and of their complements inside the mask.

    Args:
        probabilities: (H, W) float in [0, 1], within the box.
        mask: (H, W) bool.
        overlap: IoU of the mask's extent with the box.

    Returns:
        Quality in [0, 1], rounded to five decimals.
    """
    inside = float(probabilities[mask].sum())
    union = float(probabilities.sum()) + float(mask.sum()) - inside
    return round(overlap * inside / union, 5) if union > 0 else 0.0


def _to_view(boxes: Tensor, size: tuple[int, int], view: View) -> Tensor:
    """Return boxes (N, 4) of the original image in the pixels of a view."""
    if view.mirrored:
        boxes = torch.stack((size[1] - boxes[:, 2], boxes[:, 1], size[1] - boxes[:, 0], boxes[:, 3]), dim=1)
    height, width = view.size
    return boxes * boxes.new_tensor((width / size[1], height / size[0])).repeat(2)


def _pixel_centers(low: Tensor, high: Tensor, side: int) -> Tensor:
    """Return the pixel centers (n,) of an image side between two coordinates; at least one."""
    first = min(max(int(torch.ceil(low - 0.5)), 0), side - 1)
    last = min(max(int(torch.ceil(high - 0.5)), first + 1), side)
    return torch.arange(first, last, device=low.device) + 0.5


def _extent(mask: Tensor, x: Tensor, y: Tensor) -> Tensor | None:
    """Return the bounding box (4,) xyxy of a mask (H, W) with pixel centers x (W,) and y (H,); None if it is empty."""
    rows, columns = torch.nonzero(mask.any(1))[:, 0], torch.nonzero(mask.any(0))[:, 0]
    if len(rows) == 0:
        return None
    return torch.stack((x[columns[0]] - 0.5, y[rows[0]] - 0.5, x[columns[-1]] + 0.5, y[rows[-1]] + 0.5))


def _rescale(coordinates: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Map coordinates linearly from the interval ``old`` (2,) to the interval ``new`` (2,)."""
    return (coordinates - old[0]) / (old[1] - old[0]).clamp(min=1e-6) * (new[1] - new[0]) + new[0]
