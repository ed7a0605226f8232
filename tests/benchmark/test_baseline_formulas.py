"""Formulas of the baselines: values by hand, and agreement with the fast operations on extreme inputs."""

import math

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch

from depthbox.benchmark.baselines.head import aligned_bilinear
from depthbox.benchmark.baselines.masks import dice, draw_boxes, pairwise_nll, projection, unfold_neighbors
from depthbox.benchmark.baselines.paste import paste_rles
from depthbox.benchmark.baselines.targets import assign_targets, fcos_losses, mass_centers, select_queries
from depthbox.losses import dice_loss, projection_loss
from depthbox.losses import pairwise_nll as fast_pairwise_nll
from depthbox.losses.focal import focal_loss
from depthbox.modeling.fcos import assign_targets as fast_assign_targets
from depthbox.modeling.fcos.locations import pyramid_locations
from depthbox.modeling.fcos.losses import box_loss, centerness
from depthbox.modeling.fcos.targets import Assignment
from depthbox.modeling.mask_head.rle import paste_rles as fast_paste_rles
from depthbox.ops.edges import neighbor_offsets


def test_boxes_are_drawn_with_both_corners() -> None:
    drawn = draw_boxes(torch.tensor([[1.0, 2.0, 3.9, 4.0], [-5.0, -5.0, 0.0, 0.5], [9.0, 9.0, 9.0, 9.0]]), (6, 8))
    expected = torch.zeros(3, 6, 8)
    expected[0, 2:5, 1:4] = 1
    expected[1, :1, :1] = 1
    assert torch.equal(drawn, expected), "the third box lies outside the image"
    assert draw_boxes(torch.zeros(0, 4), (6, 8)).shape == (0, 6, 8)


@pytest.mark.parametrize(("size", "dilation"), [(3, 1), (3, 2), (5, 1)])
def test_neighbors_are_in_the_order_of_the_packed_bits(size: int, dilation: int) -> None:
    image = torch.arange(1.0, 64).reshape(1, 1, 7, 9)
    found = unfold_neighbors(image, size, dilation)
    offsets = neighbor_offsets(size, dilation)
    assert found.shape == (1, 1, size * size - 1, 7, 9) and len(offsets) == size * size - 1
    for number, (dy, dx) in enumerate(offsets):
        for y, x in ((3, 4), (0, 0), (6, 8)):
            inside = 0 <= y + dy < 7 and 0 <= x + dx < 9
            assert found[0, 0, number, y, x] == (image[0, 0, y + dy, x + dx] if inside else 0), (dy, dx, y, x)


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_the_pairwise_loss_agrees_with_the_fast_one(scale: float) -> None:
    logits = scale * torch.randn(3, 1, 9, 8)
    found, fast = pairwise_nll(logits), fast_pairwise_nll(logits)
    torch.testing.assert_close(found, fast, atol=1e-4, rtol=1e-5)
    assert torch.isfinite(found).all() and found.min() >= -1e-5


def test_the_pairwise_loss_of_two_certain_pixels() -> None:
    logits = torch.full((1, 1, 5, 5), 20.0)
    logits[0, 0, 2, 2] = -20
    found = pairwise_nll(logits)[0, :, 2, 2]
    torch.testing.assert_close(found, torch.full((8,), 20 - math.log(2)), atol=1e-3, rtol=0)
    assert pairwise_nll(torch.zeros(1, 1, 5, 5))[0, 0, 2, 2] == pytest.approx(math.log(2))


def test_dice_and_projection_agree_with_the_fast_losses() -> None:
    scores, boxes = torch.rand(4, 1, 12, 10), torch.zeros(4, 1, 12, 10)
    for number in range(3):  # the last box is empty
        boxes[number, 0, number : number + 5, 2 : 4 + number] = 1
    torch.testing.assert_close(dice(scores, boxes), dice_loss(scores, boxes))
    torch.testing.assert_close(projection(scores, boxes), projection_loss(scores, boxes))
    assert projection(boxes, boxes)[:3].abs().max() < 1e-5 and projection(boxes, boxes)[3] == 2
    assert dice(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 1.0]])).item() == pytest.approx(0.2, abs=1e-4)


def test_the_center_of_mass_of_two_pixels_is_between_them() -> None:
    masks = torch.zeros(3, 8, 12)
    masks[0, 2, 3] = masks[0, 5, 10] = masks[1, 7, 11] = 1
    assert mass_centers(masks).tolist() == [[6.5, 3.5], [11.0, 7.0], [0.0, 0.0]]


@pytest.mark.parametrize("center_sample", [True, False])
def test_nested_and_equal_boxes_are_assigned_as_by_the_fast_operation(center_sample: bool) -> None:
    locations = pyramid_locations([(8, 8), (4, 4)], [8, 16], [32.0], "cpu")
    boxes = [
        torch.tensor([[0.0, 0, 64, 64], [16, 16, 48, 48], [16, 16, 48, 48], [18, 18, 30, 30]]),
        torch.tensor([[70.0, 70, 90, 90], [8, 8, 8, 24]]),
    ]
    classes = [torch.tensor([0, 1, 2, 3]), torch.tensor([4, 4])]
    found = assign_targets(locations, boxes, classes, 5, center_sample=center_sample)
    fast = fast_assign_targets(locations, boxes, classes, 5, center_sample=center_sample)
    assert torch.equal(found.labels, fast.labels) and torch.equal(found.target_index, fast.target_index)
    torch.testing.assert_close(found.deltas, fast.deltas)
    at = {tuple(xy): label for xy, label in zip(locations.xy[:64].tolist(), found.labels[0, :64].tolist(), strict=True)}
    assert (at[20.0, 20.0], at[36.0, 36.0], at[4.0, 4.0]) == (3, 1, 5), "the smallest box in the range of the level"
    assert 2 not in found.labels[0], "of two equal boxes the first is taken"
    assert (found.labels[1] == 5).all(), "a box outside the image and a box without area"


def make_assignment() -> Assignment:
    """Return targets of one image: two positive locations of the classes 1 and 0, and one of the background."""
    deltas = torch.tensor([[[1.0, 2, 4, 2], [2, 2, 2, 2], [0, 0, 0, 0]]])
    return Assignment(torch.tensor([[1, 0, 2]]), torch.tensor([[0, 1, 0]]), deltas)


def test_detector_losses_agree_with_their_parts() -> None:
    found, logits = make_assignment(), torch.randn(1, 3, 2)
    deltas, quality = torch.rand(1, 3, 4) * 3 + 0.5, torch.randn(1, 3)
    losses = fcos_losses(logits, deltas, quality, found, 2)
    focal = focal_loss([logits.transpose(1, 2)], found.labels)
    assert losses["loss_fcos_cls"].item() == pytest.approx(focal.item() / 2, rel=1e-5)
    weights = centerness(found.deltas[0, :2])
    assert weights.tolist() == [0.5, 1.0]
    terms = box_loss(deltas[0, :2], found.deltas[0, :2])
    assert losses["loss_fcos_loc"].item() == pytest.approx(((terms * weights).sum() / 1.5).item(), rel=1e-5)
    entropy = -(weights * quality[0, :2].sigmoid().log() + (1 - weights) * (1 - quality[0, :2].sigmoid()).log())
    assert losses["loss_fcos_ctr"].item() == pytest.approx(entropy.sum().item() / 2, rel=1e-4)


def test_perfect_boxes_have_a_loss_of_0_and_images_without_objects_are_finite() -> None:
    found = make_assignment()
    losses = fcos_losses(torch.zeros(1, 3, 2), found.deltas, torch.zeros(1, 3), found, 2)
    assert losses["loss_fcos_loc"].abs() < 1e-6
    nothing = Assignment(torch.full((1, 3), 2), torch.zeros(1, 3, dtype=torch.int64), torch.zeros(1, 3, 4))
    losses = fcos_losses(torch.zeros(1, 3, 2), found.deltas, torch.zeros(1, 3), nothing, 2)
    assert losses["loss_fcos_loc"] == losses["loss_fcos_ctr"] == 0
    assert losses["loss_fcos_cls"].item() == pytest.approx(6 * 0.75 * 0.25 * math.log(2), rel=1e-5)


def test_the_best_locations_of_each_object_are_selected() -> None:
    labels, owners = torch.tensor([[0, 0, 0, 1, 2, 2]]), torch.tensor([[3, 3, 3, 5, 0, 0]])
    found = Assignment(labels, owners, torch.zeros(1, 6, 4))
    logits = torch.tensor([0.0, 2, 1, -3, 9, 9])[None, :, None].expand(1, 6, 2)
    (chosen,) = select_queries(found, logits, torch.zeros(1, 6), 2, per_image=4)
    assert chosen.tolist() == [1, 2, 3], "two for each object; the second object has one location"
    (single,) = select_queries(found, logits, torch.tensor([[0.0, -9, 0, 0, 0, 0]]), 2, per_image=1)
    assert single.tolist() == [2, 3], "the quality counts, and each object keeps one location"


@pytest.mark.parametrize("factor", [2, 4])
def test_upsampled_cells_keep_their_values_at_their_locations(factor: int) -> None:
    image = torch.randn(1, 2, 5, 6)
    large = aligned_bilinear(image, factor)
    start = factor // 2
    assert large.shape == (1, 2, 5 * factor, 6 * factor)
    torch.testing.assert_close(large[:, :, start::factor, start::factor], image, atol=1e-5, rtol=1e-5)
    between = (image[0, 0, 2, 2] + image[0, 0, 2, 3]) / 2
    assert large[0, 0, start + 2 * factor, 3 * factor].item() == pytest.approx(between.item(), abs=1e-5)


def test_pasted_masks_agree_with_the_fast_ones_up_to_single_pixels() -> None:
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(24.0), indexing="ij")
    logits = torch.stack([6 - ((x - 8 - n) ** 2 + (y - 7) ** 2) / 4 for n in range(5)])[:, None]
    dense, fast = paste_rles(logits, 4, (60, 90), (90, 135)), fast_paste_rles(logits, 4, (60, 90), (90, 135))
    for one, other in zip(dense, fast, strict=True):
        masks = [mask_util.decode(rle) for rle in (one, other)]
        assert masks[0].shape == (90, 135) and 1000 < masks[0].sum() < 4000
        assert np.count_nonzero(masks[0] != masks[1]) <= 5
    assert mask_util.area(paste_rles(torch.full((1, 1, 16, 24), -9.0), 4, (60, 90), (60, 90))[0]) == 0
