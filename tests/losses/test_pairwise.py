"""Pairwise loss: the readable form against probabilities in loops, the fused form against the readable form."""

import math

import pytest
import torch
from torch import Tensor

from depthbox.losses import pairwise_loss, pairwise_losses, pairwise_nll
from depthbox.ops import box_extents, color_similarity, neighbor_offsets, pack_edges, unpack_edges

KERNELS = [(3, 1), (3, 2), (5, 1), (5, 2)]


def reference(logits: Tensor, size: int, dilation: int) -> Tensor:
    """Compute -log(p q + (1 - p)(1 - q)) of every pixel and neighbor; 0 for neighbors outside the map."""
    count, _, height, width = logits.shape
    scores = logits.double().sigmoid()
    offsets = neighbor_offsets(size, dilation)
    result = torch.zeros(count, len(offsets), height, width, dtype=torch.float64)
    for n in range(count):
        for k, (dy, dx) in enumerate(offsets):
            for y in range(height):
                for x in range(width):
                    if 0 <= y + dy < height and 0 <= x + dx < width:
                        p, q = float(scores[n, 0, y, x]), float(scores[n, 0, y + dy, x + dx])
                        result[n, k, y, x] = -math.log(p * q + (1 - p) * (1 - q))
    return result


def make_scene(
    size: int, dilation: int, height: int = 9, width: int = 11
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return logits of four instances in two images, edges per image, and boxes (the last covers no cell)."""
    lab, valid = torch.randn(2, 3, height, width), torch.rand(2, height, width) > 0.15
    edges = pack_edges(color_similarity(lab, valid, size, dilation) >= 0.3)
    boxes = torch.tensor([[0, 0, 999, 999], [8, 4, 30, 21], [5, 13, 21, 36], [12, 4, 12.5, 30]])
    logits = 2 * torch.randn(4, 1, height, width, dtype=torch.float64)
    return logits, edges, torch.tensor([0, 0, 1, 1]), *box_extents(boxes, height, width, 4)


def masked_sum(
    logits: Tensor,
    edges: Tensor,
    image_index: Tensor,
    rows: Tensor,
    columns: Tensor,
    size: int,
    dilation: int,
) -> tuple[Tensor, Tensor]:
    """Sum all directed pairs, masked by the edges and by the box that contains the center pixel."""
    counted = unpack_edges(edges, size * size - 1)[image_index]
    counted = counted & (rows[:, :, None] & columns[:, None, :])[:, None]
    return (pairwise_nll(logits, size, dilation) * counted).sum((1, 2, 3)), counted.sum((1, 2, 3))


@pytest.mark.parametrize(("size", "dilation"), KERNELS)
@pytest.mark.parametrize(("height", "width"), [(5, 6), (1, 4), (2, 2), (1, 1)])
def test_nll_is_the_probability_of_unequal_labels(size: int, dilation: int, height: int, width: int) -> None:
    logits = 3 * torch.randn(2, 1, height, width, dtype=torch.float64)
    torch.testing.assert_close(pairwise_nll(logits, size, dilation), reference(logits, size, dilation))


def test_gradient_of_nll_passes_gradcheck() -> None:
    logits = 2 * torch.randn(1, 1, 4, 5, dtype=torch.float64)
    logits[0, 0, 0, 0] = 0
    assert torch.autograd.gradcheck(lambda x: pairwise_nll(x, 3, 2), logits.requires_grad_())


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    # At a = -b, foreground and background are equally likely as the common label: ln 2 less.
    [(100, -100, 100 - math.log(2)), (100, 100, 0), (-100, -100, 0), (90, -40, 40), (0, 100, math.log(2))],
)
def test_nll_of_large_logits_does_not_cancel(a: float, b: float, expected: float) -> None:
    logits = torch.tensor([[[[a, b]]]], dtype=torch.float32)
    assert float(pairwise_nll(logits, 3, 1)[0, 4, 0, 0]) == pytest.approx(expected, rel=1e-6, abs=1e-30)


@pytest.mark.parametrize(("size", "dilation"), KERNELS)
@pytest.mark.parametrize(("height", "width"), [(9, 11), (1, 6), (2, 2)])
def test_the_fused_form_matches_the_masked_sum(size: int, dilation: int, height: int, width: int) -> None:
    logits, *others = make_scene(size, dilation, height, width)
    logits.requires_grad_()
    sums, counts = pairwise_loss(logits, *others, size, dilation)
    expected, pairs = masked_sum(logits, *others, size, dilation)
    torch.testing.assert_close(sums, expected)
    assert counts.tolist() == pairs.tolist()
    assert not counts.requires_grad
    upstream = torch.randn(4, dtype=torch.float64)  # another weight per instance
    (gradient,) = torch.autograd.grad(sums, logits, upstream)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits, upstream)[0])


def test_the_test_scene_has_enough_pairs() -> None:
    sums, counts = pairwise_loss(*make_scene(3, 2))
    assert (counts[:3] > 5).all() and (sums[:3] > 1).all()
    assert counts[3] == 0 and sums[3] == 0


@pytest.mark.parametrize("size", [3, 5])
def test_gradient_of_the_fused_form_passes_gradcheck(size: int) -> None:
    logits, *others = make_scene(size, 1, 4, 5)
    assert torch.autograd.gradcheck(lambda x: pairwise_loss(x, *others, size, 1)[0], logits.requires_grad_())


def test_large_logits_stay_exact() -> None:
    logits, *others = make_scene(3, 2)
    logits = torch.empty_like(logits).uniform_(-100, 100)
    exact = masked_sum(logits, *others, 3, 2)[0]
    single = logits.float().requires_grad_()
    sums, _ = pairwise_loss(single, *others)
    torch.testing.assert_close(sums.double(), exact, rtol=1e-5, atol=1e-5)
    sums.sum().backward()
    assert single.grad is not None and single.grad.isfinite().all() and single.grad.abs().max() > 0.5


def test_flipping_changes_nothing() -> None:
    logits, edges, image_index, rows, columns = make_scene(3, 2)
    offsets = neighbor_offsets(3, 2)
    mirrored = [offsets.index((dy, -dx)) for dy, dx in offsets]
    flipped_edges = pack_edges(unpack_edges(edges).flip(3)[:, mirrored])
    sums, counts = pairwise_loss(logits, edges, image_index, rows, columns)
    flipped = pairwise_loss(logits.flip(3), flipped_edges, image_index, rows, columns.flip(1))
    torch.testing.assert_close(flipped[0], sums)
    torch.testing.assert_close(flipped[1], counts)


def test_inverting_all_labels_changes_nothing() -> None:
    logits, *others = make_scene(3, 2)
    torch.testing.assert_close(pairwise_loss(-logits, *others)[0], pairwise_loss(logits, *others)[0])


def test_the_order_of_instances_changes_nothing() -> None:
    logits, edges, *others = make_scene(3, 2)
    order = torch.tensor([2, 0, 3, 1])
    shuffled, _ = pairwise_loss(logits[order], edges, *(x[order] for x in others))
    torch.testing.assert_close(shuffled, pairwise_loss(logits, edges, *others)[0][order])


def test_no_instances_stay_on_the_graph() -> None:
    logits, edges, *others = make_scene(3, 2)
    empty = logits[:0].clone().requires_grad_()
    sums, counts = pairwise_loss(empty, edges, *(x[:0] for x in others))
    assert sums.shape == counts.shape == (0,)
    sums.sum().backward()
    assert empty.grad is not None
    assert pairwise_nll(empty).shape == (0, 8, 9, 11)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_close(dtype: torch.dtype) -> None:
    logits, *others = make_scene(3, 2)
    exact, counts = pairwise_loss(logits, *others)
    sums, _ = pairwise_loss(logits.to(dtype), *others)
    assert ((sums - exact).abs() <= 0.03 * counts).all()
    assert (pairwise_nll(logits.to(dtype)) - pairwise_nll(logits)).abs().max() < 0.1


def test_large_logits_in_half_precision_give_finite_losses_and_gradients() -> None:
    logits, *others = make_scene(3, 2)
    large = (logits.clamp(-1, 1) * 6e4).half().requires_grad_()
    sums, _ = pairwise_loss(large, *others)
    exact, _ = pairwise_loss(large.detach().float(), *others)
    assert torch.equal(sums, exact) and sums.max() > 65504  # more than half precision holds
    (sums.sum() + pairwise_nll(large).float().sum()).backward()
    assert torch.isfinite(pairwise_nll(large)).all() and torch.isfinite(large.grad).all()


def test_two_edge_sets_in_one_pass_equal_two_passes() -> None:
    logits, color, image_index, rows, columns = make_scene(3, 2)
    depth = pack_edges(torch.rand(2, 8, 9, 11) > 0.4)
    factors = torch.tensor([0.3, 2.0], dtype=torch.float64)
    both, single = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    sums, counts = pairwise_losses(both, [color, depth], image_index, rows, columns)
    (sums.sum(1) * factors).sum().backward()
    for e, edges in enumerate((color, depth)):
        alone, number = pairwise_loss(single, edges, image_index, rows, columns)
        torch.testing.assert_close(sums[e], alone)
        torch.testing.assert_close(counts[e], number)
        (alone.sum() * factors[e]).backward()
    torch.testing.assert_close(both.grad, single.grad)


def test_gradient_of_two_edge_sets_passes_gradcheck() -> None:
    logits, color, *others = make_scene(3, 1, 5, 6)
    depth = pack_edges(torch.rand(2, 8, 5, 6) > 0.4)
    inputs = logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: pairwise_losses(x, [color, depth], *others, 3, 1)[0], inputs)
