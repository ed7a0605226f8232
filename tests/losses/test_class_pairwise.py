"""Pairwise loss of K + 1 classes against a loop over pairs, and against the loss of two classes."""

import math

import pytest
import torch
from torch import Tensor

from depthbox.losses import class_pairwise_loss, class_pairwise_sums, pairwise_loss
from depthbox.ops import neighbor_offsets, pack_edges


def make_edges(batch: int, height: int, width: int, size: int = 3, dilation: int = 1) -> Tensor:
    """Return directed edges (B, K, H, W) bool at random; none leads outside the map."""
    offsets = neighbor_offsets(size, dilation)
    similar = torch.rand(batch, len(offsets), height, width) > 0.5
    for k, (dy, dx) in enumerate(offsets):
        for y in range(height):
            for x in range(width):
                if not (0 <= y + dy < height and 0 <= x + dx < width):
                    similar[:, k, y, x] = False
    return similar


def reference(probabilities: Tensor, similar: Tensor, size: int, dilation: int) -> list[float]:
    totals = []
    for b in range(len(probabilities)):
        total = 0.0
        for k, y, x in similar[b].nonzero().tolist():
            dy, dx = neighbor_offsets(size, dilation)[k]
            here, there = probabilities[b, :, y, x], probabilities[b, :, y + dy, x + dx]
            total -= math.log(sum(float(p) * float(q) for p, q in zip(here, there, strict=True)))
        totals.append(total)
    return totals


@pytest.mark.parametrize(("size", "dilation"), [(3, 1), (3, 2), (5, 1)])
def test_values_match_the_formula(size: int, dilation: int) -> None:
    probabilities = torch.randn(2, 4, 5, 6, dtype=torch.float64).softmax(1)
    similar = make_edges(2, 5, 6, size, dilation)
    sums = class_pairwise_sums(probabilities.log(), pack_edges(similar), size, dilation)
    assert sums.total.tolist() == pytest.approx(reference(probabilities, similar, size, dilation))
    assert sums.count.tolist() == similar.sum((1, 2, 3)).tolist()
    mean = class_pairwise_loss(probabilities.log(), pack_edges(similar), size, dilation)
    torch.testing.assert_close(mean, sums.total.sum() / sums.count.sum())


def test_two_classes_are_the_pairwise_loss_of_one_logit() -> None:
    logits = 3 * torch.randn(1, 1, 5, 6, dtype=torch.float64)
    edges = pack_edges(make_edges(1, 5, 6))
    log_probabilities = torch.cat((torch.zeros_like(logits), logits), dim=1).log_softmax(1)
    rows, columns = torch.ones(1, 5, dtype=torch.bool), torch.ones(1, 6, dtype=torch.bool)
    expected, count = pairwise_loss(logits, edges, torch.tensor([0]), rows, columns, 3, 1)
    sums = class_pairwise_sums(log_probabilities, edges, 3, 1)
    torch.testing.assert_close(sums.total, expected)
    torch.testing.assert_close(sums.count, count)


def test_gradient_passes_gradcheck() -> None:
    logits = torch.randn(1, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    edges = pack_edges(make_edges(1, 3, 4))
    assert torch.autograd.gradcheck(lambda z: class_pairwise_loss(z.log_softmax(1), edges, 3, 1), logits)


def test_absent_classes_leave_values_and_gradients_finite() -> None:
    logits = torch.randn(1, 4, 3, 4, requires_grad=True)
    absent = torch.tensor([False, True, False, True]).reshape(1, 4, 1, 1)
    loss = class_pairwise_loss(
        logits.masked_fill(absent, float("-inf")).log_softmax(1), pack_edges(make_edges(1, 3, 4)), 3, 1
    )
    loss.backward()
    expected = class_pairwise_loss(logits[:, ::2].log_softmax(1), pack_edges(make_edges(1, 3, 4)), 3, 1)
    assert bool(loss.isfinite() & expected.isfinite())
    assert logits.grad is not None and bool(logits.grad.isfinite().all())
    assert not logits.grad[:, 1::2].any()


def test_no_similar_pair_gives_zero_with_zero_gradients() -> None:
    logits = torch.randn(1, 3, 3, 4, requires_grad=True)
    loss = class_pairwise_loss(logits.log_softmax(1), torch.zeros(1, 3, 4, dtype=torch.uint8), 3, 1)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None and not logits.grad.any()


def test_edges_of_another_size_are_rejected() -> None:
    with pytest.raises(ValueError, match="edges \\(B, H, W\\)"):
        class_pairwise_sums(torch.zeros(1, 3, 3, 4), torch.zeros(1, 4, 4, dtype=torch.uint8))
