"""Mask losses by unfolding: eight neighbors of every pixel of every query, in log space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...structures import Annotations, MaskPredictions, Queries


def canvas_box_masks(boxes: Tensor, image_size: tuple[int, int], stride: int) -> Tensor:
    """Draw filled boxes (N, H / s, W / s) float: each on a canvas of the image's size, then subsampled.

    Args:
        boxes: (N, 4) xyxy, pixels; both corners are inside.
        image_size: (height, width) of the padded batch.
        stride: s.
    """
    start = stride // 2
    return draw_boxes(boxes, image_size)[:, start::stride, start::stride]


def draw_boxes(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Draw filled boxes (N, height, width) float at full size, one by one."""
    canvases = []
    for box in boxes:
        canvas = torch.zeros(image_size, device=boxes.device)
        canvas[max(int(box[1]), 0) : int(box[3] + 1), max(int(box[0]), 0) : int(box[2] + 1)] = 1.0
        canvases.append(canvas)
    return torch.stack(canvases) if canvases else boxes.new_zeros((0, *image_size))


def unfold_neighbors(x: Tensor, size: int = 3, dilation: int = 2) -> Tensor:
    """Gather the neighbors (N, C, size * size - 1, H, W) of each pixel of (N, C, H, W); 0 outside the map."""
    unfolded = F.unfold(x, kernel_size=size, padding=dilation * (size // 2), dilation=dilation)
    unfolded = unfolded.reshape(*x.shape[:2], size * size, *x.shape[2:])
    center = size * size // 2
    return torch.cat((unfolded[:, :, :center], unfolded[:, :, center + 1 :]), dim=2)


def pairwise_nll(logits: Tensor, size: int = 3, dilation: int = 2) -> Tensor:
    """Compute -log P(same label) (N, 8, H, W) of logits (N, 1, H, W), as log-sum-exp of "both in" and "both out"."""
    log_in, log_out = F.logsigmoid(logits), F.logsigmoid(-logits)
    both_in = log_in[:, :, None] + unfold_neighbors(log_in, size, dilation)
    both_out = log_out[:, :, None] + unfold_neighbors(log_out, size, dilation)
    largest = torch.maximum(both_in, both_out)
    same = torch.log(torch.exp(both_in - largest) + torch.exp(both_out - largest)) + largest
    return -same[:, 0]


def dice(x: Tensor, target: Tensor, eps: float = 1e-5) -> Tensor:
    """Compute 1 - 2 sum(x t) / (sum x^2 + sum t^2 + eps) (N,) of each instance; both inputs are (N, ...)."""
    x, target = x.flatten(1), target.flatten(1)
    return 1 - 2 * (x * target).sum(1) / ((x**2).sum(1) + (target**2).sum(1) + eps)


def projection(scores: Tensor, boxes: Tensor) -> Tensor:
    """Compute the dice loss between the projections of scores and boxes (N, 1, H, W) on both axes: (N,)."""
    across = dice(scores.max(dim=3).values, boxes.max(dim=3).values)
    return across + dice(scores.max(dim=2).values, boxes.max(dim=2).values)


@dataclass(frozen=True)
class BaselineTargets:
    """Targets of ``BaselineCriterion``.

    Attributes:
        boxes: (M, 4) float32 xyxy, input pixels.
        color_similarity, depth_similarity: (B, 8, H, W) in [0, 1].
        depth: (B, H, W) float32 in [0, 1].
        pseudo_masks, pseudo_weights: (M, H, W) in [0, 1] and (M,); None without a teacher.
    """

    boxes: Tensor
    color_similarity: Tensor
    depth_similarity: Tensor
    depth: Tensor
    pseudo_masks: Tensor | None = None
    pseudo_weights: Tensor | None = None


class BaselineCriterion(nn.Module):
    """Baseline of ``MaskCriterion`` for box supervision, in plain autograd.

    The similarities of the targets are gathered for each query and then compared with the thresholds.

    Args:
        image_size: (height, width) of the padded batch.
        stride, size, dilation: mask grid and kernel of neighbors.
        depth_weight, consistency_weight, pseudo_weight: weights of the losses; 0 = off.
        color_threshold: smallest color similarity of a similar pair.
        depth_threshold: the depth similarity of a similar pair is above this value.
        build_targets: function that ``targets`` calls; None = ``targets`` is not used.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        *,
        stride: int = 4,
        size: int = 3,
        dilation: int = 2,
        depth_weight: float = 1.0,
        consistency_weight: float = 1.0,
        pseudo_weight: float = 0.0,
        color_threshold: float = 0.3,
        depth_threshold: float = 0.5,
        build_targets: Callable[[Tensor, list[tuple[int, int]], Annotations], BaselineTargets] | None = None,
    ) -> None:
        super().__init__()
        self.image_size, self.stride, self.size, self.dilation = image_size, stride, size, dilation
        self.depth_weight, self.consistency_weight = depth_weight, consistency_weight
        self.pseudo_weight = pseudo_weight
        self.color_threshold, self.depth_threshold = color_threshold, depth_threshold
        self.build_targets = build_targets
        self.warmup_iters: Mapping[str, int] = {}

    def targets(self, images: Tensor, image_sizes: list[tuple[int, int]], annotations: Annotations) -> BaselineTargets:
        """Build the targets of padded images (B, 3, H, W), like ``MaskCriterion.targets``."""
        assert self.build_targets is not None
        return self.build_targets(images, image_sizes, annotations)

    def forward(self, predictions: MaskPredictions, queries: Queries, targets: BaselineTargets) -> dict[str, Tensor]:
        """Compute the scalar losses by name."""
        scores = predictions.logits.sigmoid()
        boxes = canvas_box_masks(targets.boxes, self.image_size, self.stride)[queries.target_index][:, None]
        losses = {"loss_projection": projection(scores, boxes).mean()}
        color = self._similarity(targets.color_similarity)[queries.image_index] >= self.color_threshold
        losses["loss_color_pairwise"] = self._pairwise(predictions.logits, color, boxes)
        if self.consistency_weight > 0:
            depth = self._similarity(targets.depth_similarity)[queries.image_index] > self.depth_threshold
            value = self._pairwise(predictions.logits, depth, boxes)
            losses["loss_depth_consistency"] = self.consistency_weight * value
        if self.depth_weight > 0:
            losses["loss_depth"] = self.depth_weight * self._depth(predictions, queries, targets, boxes)
        if self.pseudo_weight > 0 and targets.pseudo_masks is not None and targets.pseudo_weights is not None:
            labels = targets.pseudo_masks[queries.target_index][:, None]
            values = dice(scores, labels) * targets.pseudo_weights[queries.target_index]
            losses["loss_pseudo_mask"] = self.pseudo_weight * values.mean()
        return losses

    def _pairwise(self, logits: Tensor, similar: Tensor, boxes: Tensor) -> Tensor:
        weights = similar.float() * boxes
        return (pairwise_nll(logits, self.size, self.dilation) * weights).sum() / weights.sum().clamp(min=1.0)

    def _depth(self, predictions: MaskPredictions, queries: Queries, targets: BaselineTargets, boxes: Tensor) -> Tensor:
        assert predictions.depth_logits is not None
        truth = targets.depth[queries.image_index][:, None]
        squares = (predictions.depth_logits.sigmoid() - truth) ** 2 * boxes
        return (squares.sum((1, 2, 3)) / boxes.sum((1, 2, 3)).clamp(min=1.0)).mean()

    @staticmethod
    def _similarity(edges: Tensor) -> Tensor:
        if edges.dim() != 4:
            raise TypeError("the edges of the baseline are similarities (B, 8, H, W), not packed bits")
        return edges
