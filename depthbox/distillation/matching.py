"""Depth-aware Hungarian matching: one of the teacher's masks for each annotated box (eq. 7 to 9)."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def depth_consistency_score(masks: Tensor, similarity: Tensor, threshold: float) -> Tensor:
    """Share of a mask's weight on pairs of neighbours of like depth, S_d_cons (eq. 8).

    With S_d of each pixel and neighbour: sum of 1[S_d > tau_d] P_mask S_d over the sum of P_mask S_d. Both sums over
    neighbours do not depend on the mask, so that a mask costs two inner products.

    Args:
        masks: (N, 1, H, W) probabilities in [0, 1].
        similarity: (8, H, W) S_d of the image (``ops.depth_similarity``).
        threshold: tau_d.

    Returns:
        (N,) in [0, 1]; 0 where a mask is empty.
    """
    like = torch.where(similarity > threshold, similarity, 0).sum(0).flatten()
    total = similarity.sum(0).flatten()
    sums = masks.flatten(1).to(total.dtype) @ torch.stack((like, total), dim=1)
    return torch.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1].clamp(min=torch.finfo(sums.dtype).tiny), 0)


def matching_scores(iou: Tensor, depth_score: Tensor, pred_score: Tensor, alpha: float, beta: float) -> Tensor:
    """S_match = alpha IoU + beta S_d_cons + (1 - alpha - beta) S_pred (eq. 9).

    Args:
        iou: (M, N) of annotated boxes and predictions.
        depth_score, pred_score: (N,) of the predictions, in [0, 1].
        alpha, beta: weights, not negative, at most 1 together.

    Returns:
        (M, N) in [0, 1].

    Raises:
        ValueError: the weights are out of range.
    """
    if alpha < 0 or beta < 0 or alpha + beta > 1 + 1e-6:
        raise ValueError(f"MODEL.DISTILL.ALPHA and BETA must be >= 0 and at most 1 together, got {alpha} and {beta}")
    return alpha * iou + beta * depth_score + max(1 - alpha - beta, 0.0) * pred_score


def match_instances(scores: Tensor, allowed: Tensor) -> Tensor:
    """Assign predictions to annotated boxes, each at most once, with the largest sum of scores (Hungarian).

    As many boxes as possible get a prediction that is allowed for them; the others get none.

    Args:
        scores: (M, N) in [0, 1]; what is not finite counts as not allowed.
        allowed: (M, N) bool.

    Returns:
        (M,) int64 on the device of ``scores``, index of each box's prediction, -1 = none.
    """
    allowed = allowed & scores.isfinite()
    forbidden = 2.0 * (min(scores.shape) + 1)  # above any sum of allowed costs, and finite
    cost = torch.where(allowed, -scores.double(), forbidden).cpu()
    rows, columns = (torch.as_tensor(index) for index in linear_sum_assignment(cost.numpy()))
    matched = torch.full((len(scores),), -1, dtype=torch.int64)
    matched[rows] = torch.where(cost[rows, columns] < forbidden, columns, -1)
    return matched.to(scores.device, non_blocking=True)
