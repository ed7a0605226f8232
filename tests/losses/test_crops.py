"""Pairwise losses in crops against the readable definition, and what all losses per instance have in common."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from depthbox.losses import (
    box_losses,
    dice_loss_from_logits,
    focal_loss,
    instance_depth_loss_from_logits,
    pairwise_nll,
    projection_loss_from_logits,
)
from depthbox.losses.crops import box_crops, pairwise_in_crop
from depthbox.ops import box_extents, box_masks, pack_edges, unpack_edges

HEIGHT, WIDTH = 9, 12
BOXES = torch.tensor([[4.0, 4, 30, 20], [0, 0, 47, 35], [20, 12, 25, 17], [90, 90, 95, 95], [0, 28, 8, 35]])
IMAGES = torch.tensor([0, 1, 1, 0, 0])


def extents() -> tuple[Tensor, Tensor]:
    return box_extents(BOXES, HEIGHT, WIDTH, 4)


def scene(size: int = 3) -> tuple[Tensor, Tensor]:
    """Return logits (5, 1, 9, 12) in float64 and two packed edge sets of two images (2, 2, 9, 12)."""
    similar = torch.rand(2, 2, size * size - 1, HEIGHT, WIDTH) > 0.5
    inside = pairwise_nll(torch.ones(1, 1, HEIGHT, WIDTH), size, 1) > 0  # no edge leads outside the map
    packed = torch.stack([pack_edges(each & inside) for each in similar])
    return torch.randn(5, 1, HEIGHT, WIDTH, dtype=torch.float64) * 3, packed


@pytest.mark.parametrize("size", [3, 5])
def test_a_crop_has_the_sums_counts_and_gradients_of_the_whole_map(size: int) -> None:
    logits, edges = scene(size)
    rows, columns = extents()
    boxes = box_masks(BOXES, HEIGHT, WIDTH, 4)
    crops = {crop.instance: crop for crop in box_crops(rows, columns, size // 2)}
    assert set(crops) == {0, 1, 2, 4}  # box 3 lies outside
    for n, crop in crops.items():
        whole = logits[n : n + 1].clone().requires_grad_()
        pairs = unpack_edges(edges[:, IMAGES[n]], size * size - 1) & boxes[n]
        expected = (pairwise_nll(whole, size, 1) * pairs).sum((1, 2, 3))
        _, y, x = crop.index
        found = pairwise_in_crop(logits[n, 0, y, x], edges[:, IMAGES[n], y, x], crop.box, size, 1)
        torch.testing.assert_close(found.sums, expected)
        assert torch.equal(found.counts, pairs.sum((1, 2, 3)).double())
        for e in range(2):
            (gradient,) = torch.autograd.grad(expected[e], whole, retain_graph=True)
            torch.testing.assert_close(found.gradients[e], gradient[0, 0, y, x])
            assert gradient.abs().sum() == pytest.approx(float(found.gradients[e].abs().sum()))  # nothing is outside


def test_crops_end_at_the_border_of_the_map() -> None:
    rows, columns = extents()
    for margin in (0, 1, 20):
        for crop in box_crops(rows, columns, margin):
            assert 0 <= crop.top < crop.bottom <= HEIGHT and 0 <= crop.left < crop.right <= WIDTH
            top, bottom, left, right = crop.box
            assert rows[crop.instance, crop.top + top : crop.top + bottom].all()
            assert int(rows[crop.instance].sum()) == bottom - top
            assert int(columns[crop.instance].sum()) == right - left
            assert margin < 20 or (crop.bottom - crop.top, crop.right - crop.left) == (HEIGHT, WIDTH)
    assert box_crops(rows[:0], columns[:0], 1) == []


def boxes_of(logits: Tensor, index: Tensor) -> Tensor:
    """Compute the box losses of instances ``index``, one row of numbers each."""
    (rows, columns), edges = extents(), scene_edges()
    projection, sums, counts = box_losses(logits, list(edges), IMAGES[index], rows[index], columns[index], 3, 1)
    return torch.cat((projection[None], sums, counts)).T


def scene_edges() -> Tensor:
    torch.manual_seed(1)
    return scene()[1]


def depth_of(logits: Tensor, index: Tensor) -> Tensor:
    (rows, columns), generator = extents(), torch.Generator().manual_seed(1)
    depth = torch.rand(2, HEIGHT, WIDTH, generator=generator)
    return instance_depth_loss_from_logits(logits, depth, IMAGES[index], rows[index], columns[index])[:, None]


def dice_of(logits: Tensor, index: Tensor) -> Tensor:
    return dice_loss_from_logits(logits, box_masks(BOXES, HEIGHT, WIDTH, 4), index)[:, None]


def projection_of(logits: Tensor, index: Tensor) -> Tensor:
    rows, columns = extents()
    return projection_loss_from_logits(logits, rows[index], columns[index])[:, None]


LOSSES = {"box": boxes_of, "depth": depth_of, "dice": dice_of, "projection": projection_of}
Loss = Callable[[Tensor, Tensor], Tensor]


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_each_instance_has_its_own_loss_in_any_order(loss: Loss) -> None:
    logits, order = torch.randn(5, 1, HEIGHT, WIDTH, dtype=torch.float64), torch.tensor([4, 2, 0, 3, 1, 1])
    together = loss(logits, torch.arange(5))
    torch.testing.assert_close(loss(logits[order], order), together[order])
    for n in range(5):
        torch.testing.assert_close(loss(logits[n : n + 1], torch.tensor([n])), together[n : n + 1])


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_single_precision_is_close_to_double(loss: Loss) -> None:
    logits = torch.randn(5, 1, HEIGHT, WIDTH, dtype=torch.float64) * 10
    gradients = []
    for values in (logits, logits.float()):
        values = values.detach().requires_grad_()
        result = loss(values, torch.arange(5))
        result.sum().backward()
        gradients.append((result.detach().double(), values.grad.double()))
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_extreme_logits_give_finite_losses_and_gradients(loss: Loss, value: float) -> None:
    logits = torch.full((5, 1, HEIGHT, WIDTH), value)
    logits[:, :, ::2, ::2] = -value
    logits.requires_grad_()
    result = loss(logits, torch.arange(5))
    result.sum().backward()
    assert torch.isfinite(result).all() and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses_are_not_negative_and_an_instance_without_cells_is_harmless(loss: Loss) -> None:
    logits = torch.randn(5, 1, HEIGHT, WIDTH, dtype=torch.float64, requires_grad=True)
    result = loss(logits, torch.arange(5))
    assert (result >= 0).all()
    result[3].sum().backward()  # box 3 covers no cell
    assert torch.isfinite(logits.grad).all() and logits.grad[[0, 1, 2, 4]].abs().sum() == 0


def focal_in_loops(logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> float:
    """Compute the focal loss of Lin et al., eq. 5, number by number."""
    total = 0.0
    for b in range(logits.shape[0]):
        for c in range(logits.shape[1]):
            for p in range(logits.shape[2]):
                score = 1 / (1 + torch.exp(-logits[b, c, p]).item())
                own = int(labels[b, p]) == c
                likelihood, weight = (score, alpha) if own else (1 - score, 1 - alpha)
                total -= weight * (1 - likelihood) ** gamma * torch.log(torch.tensor(likelihood).double()).item()
    return total


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.5, 0.0), (0.9, 3.5)])
def test_focal_loss_matches_loops_for_any_division_into_levels(alpha: float, gamma: float) -> None:
    logits, labels = torch.randn(2, 3, 10, dtype=torch.float64), torch.randint(0, 4, (2, 10))
    expected = focal_in_loops(logits, labels, alpha, gamma)
    for sizes in ([10], [6, 3, 1], [1] * 10):
        levels = list(logits.split(sizes, dim=2))
        assert float(focal_loss(levels, labels, alpha, gamma)) == pytest.approx(expected, rel=1e-6)
    order = torch.randperm(10)
    assert float(focal_loss([logits[..., order]], labels[:, order], alpha, gamma)) == pytest.approx(expected, rel=1e-6)
