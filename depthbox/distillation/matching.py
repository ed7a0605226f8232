"""Depth-aware Hungarian matching of a teacher's masks to annotated boxes (eq. 7 to 9)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from detectron2.config import CfgNode
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..ops import cells_inside, depth_on_grid, depth_similarity
from ..ops.precision import full_precision, without_autocast


def depth_consistency_score(masks: Tensor, similarity: Tensor, threshold: float) -> Tensor:
    """Compute S_d_cons: the share of a mask's weight that lies on pairs of similar depth (eq. 8).

    With S_d of each pixel and neighbor: the sum of 1[S_d > tau_d] P_mask S_d divided by the sum of P_mask S_d. Both
    sums over the neighbors are independent of the mask, so that each mask costs two inner products. They are computed
    in float32 at least, also under autocast: the sum over a large mask overflows in float16.

    Args:
        masks: (N, 1, H, W) float, probabilities in [0, 1].
        similarity: (8, H, W) float, S_d of the image (``ops.depth_similarity``).
        threshold: tau_d.

    Returns:
        (N,) in [0, 1], float32 or float64; 0 for an empty mask.
    """
    similarity = full_precision(similarity)
    similar = torch.where(similarity > threshold, similarity, 0).sum(0).flatten()
    total = similarity.sum(0).flatten()
    with without_autocast(masks.device):
        sums = masks.flatten(1).to(total.dtype) @ torch.stack((similar, total), dim=1)
    return torch.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1].clamp(min=torch.finfo(sums.dtype).tiny), 0)


@dataclass(frozen=True)
class DepthRule:
    """Parameters of the depth term of the matching score (eq. 8 and 9).

    Attributes:
        beta: weight of S_d_cons in the matching score.
        threshold, scale: tau_d and kappa of S_d.
        size, dilation: kernel of neighbors.
    """

    beta: float
    threshold: float
    scale: float
    size: int
    dilation: int

    @classmethod
    def from_config(cls, cfg: CfgNode) -> DepthRule:
        """Read the parameters from ``MODEL.DISTILL``, ``MODEL.DEPTH`` and ``MODEL.BOXINST.PAIRWISE``."""
        depth, pairwise = cfg.MODEL.DEPTH, cfg.MODEL.BOXINST.PAIRWISE
        return cls(cfg.MODEL.DISTILL.BETA, depth.THRESH, depth.SCALE, pairwise.SIZE, pairwise.DILATION)


@dataclass(frozen=True)
class DepthScorer:
    """Depth consistency scores of the masks of one image (eq. 8).

    Attributes:
        similarity: (K, H, W) float, S_d of each cell of the mask grid and its K neighbors.
        valid: (1, H, W) bool, cells inside the image.
        threshold: tau_d.
    """

    similarity: Tensor
    valid: Tensor
    threshold: float

    @classmethod
    def from_depth(
        cls, rule: DepthRule, depth: Tensor, size: tuple[int, int], padded: tuple[int, int], stride: int
    ) -> DepthScorer:
        """Prepare the scores of one image.

        Args:
            rule: parameters; ``beta`` is not used.
            depth: (1, h, w) float32 in [0, 1], on the device of the masks.
            size: (h, w) of the image without padding, pixels.
            padded: (height, width) of the padded batch, pixels.
            stride: input pixels per cell of the mask grid.
        """
        grid = depth_on_grid(depth, padded, stride)
        valid = cells_inside((grid.shape[1], grid.shape[2]), *size, stride, grid.device)[None]
        similarity = depth_similarity(grid[None], valid, rule.size, rule.dilation, rule.scale)[0]
        return cls(similarity, valid, rule.threshold)

    def __call__(self, masks: Tensor) -> Tensor:
        """Compute the score (N,) in [0, 1] of masks (N, 1, H, W) float, probabilities in [0, 1]."""
        return depth_consistency_score(masks * self.valid, self.similarity, self.threshold)


def matching_scores(iou: Tensor, depth_score: Tensor, pred_score: Tensor, alpha: float, beta: float) -> Tensor:
    """Compute S_match = alpha IoU + beta S_d_cons + (1 - alpha - beta) S_pred (eq. 9).

    Args:
        iou: (M, N) float, IoU of annotated boxes and predictions; or (N,), one box per prediction.
        depth_score, pred_score: (N,) float in [0, 1], scores of the predictions.
        alpha, beta: weights, >= 0, at most 1 together.

    Returns:
        Shape of ``iou``, in [0, 1].

    Raises:
        ValueError: the weights are out of range.

    Example:
        >>> import torch
        >>> scores = matching_scores(torch.tensor([[1.0, 0.5]]), torch.tensor([0.5, 1.0]), torch.zeros(2), 0.5, 0.5)
        >>> scores.tolist()
        [[0.75, 0.75]]
    """
    if alpha < 0 or beta < 0 or alpha + beta > 1 + 1e-6:
        raise ValueError(f"MODEL.DISTILL.ALPHA and BETA must be >= 0 and at most 1 together, got {alpha} and {beta}")
    return alpha * iou + beta * depth_score + max(1 - alpha - beta, 0.0) * pred_score


def match_instances(scores: Tensor, allowed: Tensor) -> Tensor:
    """Match predictions to annotated boxes one to one, with the maximum sum of scores (Hungarian algorithm).

    As many boxes as possible are matched.

    Args:
        scores: (M, N) float in [0, 1]; a pair whose score is not finite is not allowed.
        allowed: (M, N) bool, pairs that may be matched.

    Returns:
        (M,) int64 on the device of ``scores``: index of each box's prediction; -1 = not matched.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.9, 0.8], [0.7, 0.1]])
        >>> match_instances(scores, torch.ones(2, 2, dtype=torch.bool)).tolist()
        [1, 0]
    """
    allowed = allowed & scores.isfinite()
    forbidden = 2.0 * (min(scores.shape) + 1)  # finite, and above any sum of allowed costs
    cost = torch.where(allowed, -scores.double(), forbidden).cpu()
    boxes, predictions = (torch.as_tensor(index) for index in linear_sum_assignment(cost.numpy()))
    matched = torch.full((len(scores),), -1, dtype=torch.int64)
    matched[boxes] = torch.where(cost[boxes, predictions] < forbidden, predictions, -1)
    return matched.to(scores.device, non_blocking=True)
