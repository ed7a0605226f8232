"""Projection loss against maxima of lists, row by row and column by column."""

import pytest
import torch
from torch import Tensor

from depthbox.losses import projection_loss, projection_loss_from_logits


def make_boxes() -> tuple[Tensor, Tensor]:
    """Return rows (3, 5) and columns (3, 6) of a box, a box of one cell, and a box that covers no cell."""
    rows, columns = torch.zeros(3, 5, dtype=torch.bool), torch.zeros(3, 6, dtype=torch.bool)
    rows[0, 1:4] = columns[0, 2:6] = True
    rows[1, 4] = columns[1, 0] = True
    return rows, columns


def fill_boxes(rows: Tensor, columns: Tensor) -> Tensor:
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def dice(scores: list[float], targets: list[float]) -> float:
    product = sum(x * t for x, t in zip(scores, targets, strict=True))
    return 1 - 2 * product / (sum(x * x for x in scores) + sum(t * t for t in targets) + 1e-5)


def reference(scores: list[list[float]], mask: list[list[float]]) -> float:
    by_row = dice([max(row) for row in scores], [max(row) for row in mask])
    scores_t, mask_t = list(zip(*scores, strict=True)), list(zip(*mask, strict=True))
    return by_row + dice([max(column) for column in scores_t], [max(column) for column in mask_t])


def test_both_forms_match_loops() -> None:
    logits = 3 * torch.randn(3, 1, 5, 6, dtype=torch.float64)
    rows, columns = make_boxes()
    masks = fill_boxes(rows, columns)
    pairs = zip(logits.sigmoid(), masks.double(), strict=True)
    expected = torch.tensor([reference(s[0].tolist(), m[0].tolist()) for s, m in pairs], dtype=torch.float64)
    torch.testing.assert_close(projection_loss(logits.sigmoid(), masks), expected)
    torch.testing.assert_close(projection_loss_from_logits(logits, rows, columns), expected)


def test_gradients_of_both_forms_are_equal_and_pass_gradcheck() -> None:
    logits = torch.randn(3, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    rows, columns = make_boxes()
    assert torch.autograd.gradcheck(lambda x: projection_loss_from_logits(x, rows, columns), logits)
    (fast,) = torch.autograd.grad(projection_loss_from_logits(logits, rows, columns).sum(), logits)
    (plain,) = torch.autograd.grad(projection_loss(logits.sigmoid(), fill_boxes(rows, columns)).sum(), logits)
    torch.testing.assert_close(fast, plain)


def test_a_filled_box_has_no_loss_and_an_empty_mask_the_largest() -> None:
    rows, columns = make_boxes()
    inside = torch.where(fill_boxes(rows, columns), 100.0, -100.0)[:2]
    assert projection_loss_from_logits(inside, rows[:2], columns[:2]).max() < 1e-4
    nothing = torch.full((3, 1, 5, 6), -100.0)
    torch.testing.assert_close(projection_loss_from_logits(nothing, rows, columns), torch.full((3,), 2.0))


def test_flipping_changes_nothing() -> None:
    logits = torch.randn(3, 1, 5, 6)
    rows, columns = make_boxes()
    flipped = projection_loss_from_logits(logits.flip(2, 3), rows.flip(1), columns.flip(1))
    torch.testing.assert_close(flipped, projection_loss_from_logits(logits, rows, columns))


def test_extreme_logits_are_finite() -> None:
    logits = torch.empty(3, 1, 5, 6).uniform_(-100, 100).requires_grad_()
    loss = projection_loss_from_logits(logits, *make_boxes())
    loss.sum().backward()
    assert loss.isfinite().all() and logits.grad is not None and logits.grad.isfinite().all()


def test_no_instances_stay_on_the_graph() -> None:
    logits = torch.zeros(0, 1, 5, 6, requires_grad=True)
    rows, columns = make_boxes()
    fast = projection_loss_from_logits(logits, rows[:0], columns[:0])
    plain = projection_loss(logits.sigmoid(), fill_boxes(rows, columns)[:0])
    assert fast.shape == plain.shape == (0,)
    assert fast.requires_grad and plain.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    logits = torch.randn(3, 1, 5, 6)
    result = projection_loss_from_logits(logits.to(dtype), *make_boxes())
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, projection_loss_from_logits(logits, *make_boxes()), rtol=0, atol=0.02)


def test_different_shapes_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"scores \(2, 1, 4, 4\) and box masks \(1, 1, 4, 4\) must have one shape"):
        projection_loss(torch.zeros(2, 1, 4, 4), torch.zeros(1, 1, 4, 4))
