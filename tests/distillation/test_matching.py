"""Depth-aware Hungarian matching against loops and brute force."""

import itertools

import pytest
import torch
from torch import Tensor

from depthbox.distillation import DepthRule, DepthScorer, depth_consistency_score, match_instances, matching_scores
from depthbox.ops import depth_on_grid, depth_similarity, neighbor_offsets


def score_in_loops(mask: Tensor, depth: Tensor, scale: float, threshold: float) -> float:
    """Compute eq. 8 pair by pair."""
    like = total = 0.0
    height, width = depth.shape
    for y in range(height):
        for x in range(width):
            for dy, dx in neighbor_offsets(3, 2):
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    s = float(torch.exp(-scale * (depth[y, x] - depth[y + dy, x + dx]).abs()))
                    total += float(mask[y, x]) * s
                    like += float(mask[y, x]) * s * (s > threshold)
    return like / total if total > 0 else 0.0


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_depth_consistency_score_is_equation_8(threshold: float) -> None:
    depth = torch.rand(6, 7, dtype=torch.float64)
    masks = torch.rand(3, 1, 6, 7, dtype=torch.float64)
    masks[2] = 0
    similarity = depth_similarity(depth[None, None], torch.ones(1, 6, 7), 3, 2, 5.0)[0]
    expected = [score_in_loops(mask[0], depth, 5.0, threshold) for mask in masks]
    assert 0 < expected[0] < 1 and expected[2] == 0
    result = depth_consistency_score(masks, similarity, threshold)
    torch.testing.assert_close(result, torch.tensor(expected, dtype=torch.float64))


def test_a_mask_on_one_surface_scores_higher_than_one_across_an_edge() -> None:
    depth = torch.zeros(1, 1, 12, 12)
    depth[..., 6:] = 1
    similarity = depth_similarity(depth, torch.ones(1, 12, 12), 3, 2, 3.0)[0]
    masks = torch.zeros(2, 1, 12, 12)
    masks[0, 0, 2:10, 0:4], masks[1, 0, 2:10, 4:8] = 1, 1
    one_surface, across = depth_consistency_score(masks, similarity, 0.5).tolist()
    assert one_surface == 1 and across < 0.99
    constant = depth_similarity(torch.full_like(depth, 0.5), torch.ones(1, 12, 12), 3, 2, 3.0)[0]
    assert depth_consistency_score(masks, constant, 0.5).tolist() == [1, 1]


def test_the_scorer_leaves_out_the_padding() -> None:
    rule = DepthRule(beta=0.2, threshold=0.5, scale=5.0, size=3, dilation=1)
    depth, masks = torch.rand(1, 20, 24), torch.rand(2, 1, 8, 8)
    scores = DepthScorer.from_depth(rule, depth, (20, 24), (32, 32), 4)(masks)
    similarity = depth_similarity(depth_on_grid(depth, (20, 24), 4)[None], torch.ones(1, 5, 6), 3, 1, 5.0)[0]
    torch.testing.assert_close(scores, depth_consistency_score(masks[..., :5, :6], similarity, 0.5))
    assert ((scores > 0) & (scores < 1)).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_object_that_fills_the_image_has_its_score_under_autocast(dtype: torch.dtype) -> None:
    """The sums over 200 x 334 cells exceed the largest float16."""
    similarity = depth_similarity(torch.rand(1, 1, 200, 334), torch.ones(1, 200, 334), 3, 2, 3.0)[0]
    masks = torch.ones(1, 1, 200, 334)
    expected = depth_consistency_score(masks, similarity, 0.5)
    assert 0.3 < expected.item() < 0.99
    with torch.autocast("cpu", dtype):
        assert torch.equal(depth_consistency_score(masks, similarity, 0.5), expected)
        torch.testing.assert_close(
            depth_consistency_score(masks.to(dtype), similarity.to(dtype), 0.5), expected, rtol=0.02, atol=0.02
        )


def test_matching_scores_is_equation_9() -> None:
    iou, depth, prediction = torch.rand(2, 3), torch.rand(3), torch.rand(3)
    result = matching_scores(iou, depth, prediction, 0.6, 0.3)
    for m, n in itertools.product(range(2), range(3)):
        assert float(result[m, n]) == pytest.approx(
            0.6 * float(iou[m, n]) + 0.3 * float(depth[n]) + 0.1 * float(prediction[n]), abs=1e-6
        )
    without = matching_scores(iou, depth, prediction, 0.8, 0.2)
    torch.testing.assert_close(without, matching_scores(iou, depth, torch.zeros(3), 0.8, 0.2))
    with pytest.raises(ValueError, match="at most 1 together"):
        matching_scores(iou, depth, prediction, 0.9, 0.2)


def best_by_brute_force(scores: Tensor, allowed: Tensor) -> tuple[int, float]:
    """Return the maximum number of matched boxes, and the maximum sum of scores for this number."""
    best = (0, 0.0)
    choices = [[-1, *torch.nonzero(row).flatten().tolist()] for row in allowed]
    for choice in itertools.product(*choices):
        used = [n for n in choice if n >= 0]
        if len(used) == len(set(used)):
            total = sum(float(scores[m, n]) for m, n in enumerate(choice) if n >= 0)
            best = max(best, (len(used), total))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_matching_is_the_best_of_all(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes, predictions = (int(torch.randint(1, 5, (1,), generator=generator)) for _ in range(2))
    scores = torch.rand((boxes, predictions), generator=generator)
    allowed = torch.rand((boxes, predictions), generator=generator) > 0.4
    matched = match_instances(scores, allowed)
    used = matched[matched >= 0].tolist()
    assert len(used) == len(set(used))
    assert all(bool(allowed[m, n]) for m, n in enumerate(matched.tolist()) if n >= 0)
    total = sum(float(scores[m, n]) for m, n in enumerate(matched.tolist()) if n >= 0)
    count, largest = best_by_brute_force(scores, allowed)
    assert len(used) == count and total == pytest.approx(largest)


def test_nothing_to_match() -> None:
    assert match_instances(torch.zeros(3, 0), torch.zeros(3, 0, dtype=torch.bool)).tolist() == [-1, -1, -1]
    assert match_instances(torch.zeros(0, 4), torch.zeros(0, 4, dtype=torch.bool)).shape == (0,)
    assert match_instances(torch.ones(2, 2), torch.zeros(2, 2, dtype=torch.bool)).tolist() == [-1, -1]
    broken = torch.tensor([[float("nan"), 0.1], [float("inf"), 0.9]])
    assert match_instances(broken, torch.ones(2, 2, dtype=torch.bool)).tolist() == [-1, 1]
