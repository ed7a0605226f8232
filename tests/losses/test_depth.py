"""The instance depth loss (eq. 2) against loops."""

import torch
from torch import Tensor

from depthbox.losses import instance_depth_loss, instance_depth_loss_from_logits
from depthbox.ops import box_extents


def make_scene() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return scores of four instances in two images, depth and boxes: the third covers one cell, the last none."""
    boxes = torch.tensor([[0, 0, 999, 999], [8, 4, 30, 21], [5, 13, 8, 16], [12, 4, 12.5, 30]])
    scores = torch.rand(4, 1, 7, 9, dtype=torch.float64)
    depth = torch.rand(2, 7, 9, dtype=torch.float64)
    return scores, depth, torch.tensor([0, 1, 1, 0]), *box_extents(boxes, 7, 9, 4)


def test_values_match_loops() -> None:
    scores, depth, image_index, rows, columns = make_scene()
    expected = []
    for n in range(4):
        squares = [
            float(scores[n, 0, y, x] - depth[image_index[n], y, x]) ** 2
            for y in range(7)
            for x in range(9)
            if rows[n, y] and columns[n, x]
        ]
        expected.append(sum(squares) / len(squares) if squares else 0.0)
    assert expected[0] > 0 and expected[3] == 0 and int(rows[2].sum() * columns[2].sum()) == 1
    torch.testing.assert_close(
        instance_depth_loss(scores, depth, image_index, rows, columns), torch.tensor(expected, dtype=torch.float64)
    )


def test_gradient_passes_gradcheck() -> None:
    scores, *others = make_scene()
    assert torch.autograd.gradcheck(lambda x: instance_depth_loss(x, *others), scores.requires_grad_())


def test_the_loss_is_zero_at_the_pseudo_depth_and_independent_of_the_box_size() -> None:
    depth = torch.full((1, 8, 8), 0.25)
    everywhere, corner = torch.ones(1, 8, dtype=torch.bool), torch.arange(8)[None] < 2
    index = torch.tensor([0])
    assert instance_depth_loss(depth[None], depth, index, everywhere, everywhere) == 0
    far = depth[None] + 0.5
    large = instance_depth_loss(far, depth, index, everywhere, everywhere)
    small = instance_depth_loss(far, depth, index, corner, corner)
    assert float(large) == float(small) == 0.25


def test_no_instances_stay_on_the_graph() -> None:
    scores, depth, image_index, rows, columns = make_scene()
    empty = scores[:0].requires_grad_()
    values = instance_depth_loss(empty, depth, image_index[:0], rows[:0], columns[:0])
    assert values.shape == (0,)
    values.sum().backward()
    assert empty.grad is not None


def test_the_form_on_logits_matches_the_definition() -> None:
    _, *others = make_scene()
    logits = 3 * torch.randn(4, 1, 7, 9, dtype=torch.float64)
    weights = torch.rand(4, dtype=torch.float64)
    gradients, values = [], []
    for of_logits in (True, False):
        x = logits.clone().requires_grad_()
        loss = instance_depth_loss_from_logits(x, *others) if of_logits else instance_depth_loss(x.sigmoid(), *others)
        (loss * weights).sum().backward()
        assert x.grad is not None
        gradients.append(x.grad)
        values.append(loss.detach())
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_form_on_logits_accepts_no_instances() -> None:
    _, depth, image_index, rows, columns = make_scene()
    empty = torch.zeros(0, 1, 7, 9, requires_grad=True)
    values = instance_depth_loss_from_logits(empty, depth, image_index[:0], rows[:0], columns[:0])
    assert values.shape == (0,)
    values.sum().backward()
    assert empty.grad is not None
