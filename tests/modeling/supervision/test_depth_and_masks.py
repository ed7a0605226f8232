"""Supervision by pseudo depth, ground truth masks and pseudo masks: targets, values, weights and normalization."""

import pytest
import torch
from torch import Tensor

from depthbox.modeling.supervision.base import global_mean
from depthbox.modeling.supervision.depth import DepthSupervision, depth_maps
from depthbox.modeling.supervision.masks import MaskSupervision
from depthbox.modeling.supervision.pseudo_masks import PseudoMaskSupervision
from depthbox.structures import Annotations, MaskPredictions, Queries

SIZES = [(24, 32), (20, 28)]
IMAGES = torch.zeros(2, 3, 24, 32)
BOXES = [torch.tensor([[1.0, 2, 15, 18], [20, 4, 31, 23]]), torch.tensor([[3.0, 3, 22, 17]])]


def annotate(**fields: list[Tensor]) -> Annotations:
    return Annotations([24, 20], BOXES, [torch.zeros(2), torch.zeros(1)], fields)


def queries(*targets: int) -> Queries:
    images = torch.tensor([0 if target < 2 else 1 for target in targets], dtype=torch.int64)
    counts = (int((images == 0).sum()), int((images == 1).sum()))
    target_index = torch.tensor(targets, dtype=torch.int64)
    return Queries(images, images, images, images, torch.zeros(len(targets), 2), target_index, counts)


def dice(scores: Tensor, target: Tensor) -> Tensor:
    return 1 - 2 * (scores * target).sum() / ((scores**2).sum() + (target**2).sum() + 1e-5)


@pytest.mark.parametrize(
    ("values", "weights", "expected"), [((1, 2, 3), (1, 1, 1), 2), ((3,), (0.25,), 3), ((), (), 0)]
)
def test_the_mean_divides_by_the_weights_but_at_least_by_one(
    values: tuple[float, ...], weights: tuple[float, ...], expected: float
) -> None:
    assert float(global_mean(torch.tensor(values).float(), torch.tensor(weights).float())) == pytest.approx(expected)
    assert float(global_mean(torch.tensor(6.0), torch.tensor(0.0))) == 6.0


def test_depth_maps_are_means_of_cells_with_the_border_repeated_into_the_padding() -> None:
    depth = [torch.rand(1, *size) for size in SIZES]
    maps = depth_maps(depth, (24, 32), 4)
    assert maps.shape == (2, 6, 8)
    for b, (height, width) in enumerate(SIZES):
        for row, column in ((0, 0), (3, 2), (5, 7)):
            cells = [
                float(depth[b][0, min(y, height - 1), min(x, width - 1)])
                for y in range(4 * row, 4 * row + 4)
                for x in range(4 * column, 4 * column + 4)
            ]
            assert float(maps[b, row, column]) == pytest.approx(sum(cells) / 16, abs=1e-6)


@pytest.mark.parametrize("loss_weight", [1.0, 3.0])
def test_instance_depth_loss_is_equation_2_as_a_mean_over_boxes_and_queries(loss_weight: float) -> None:
    kind = DepthSupervision(stride=4, weight=loss_weight)
    targets = kind.targets(IMAGES, SIZES, annotate(depth=[torch.rand(1, *size) for size in SIZES]))
    logits = torch.randn(4, 1, 6, 8, dtype=torch.float64, requires_grad=True)
    found, weight = queries(0, 1, 1, 2), torch.tensor([1.0, 0.5, 0.0, 1.0], dtype=torch.float64)
    predictions = MaskPredictions(torch.zeros_like(logits), logits)
    (name, loss), *others = kind.losses(predictions, found, targets, weight).items()
    terms = []
    for n, (b, m) in enumerate(zip(found.image_index.tolist(), found.target_index.tolist(), strict=True)):
        x0, y0, x1, y1 = torch.cat(BOXES)[m].tolist()
        cells = [(y, x) for y in range(6) for x in range(8) if x0 <= 4 * x + 2 <= x1 and y0 <= 4 * y + 2 <= y1]
        squares = [(logits[n, 0, y, x].sigmoid() - targets.depth[b, y, x].double()) ** 2 for y, x in cells]
        terms.append(weight[n] * torch.stack(squares).mean())
    expected = loss_weight * torch.stack(terms).sum() / 2.5
    assert name == "loss_depth" and others == []
    torch.testing.assert_close(loss, expected)
    pair = [torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (loss, expected)]
    torch.testing.assert_close(*pair)
    assert pair[0][2].abs().sum() == 0  # a weight of 0 excludes the query


def test_the_depth_loss_needs_predicted_depth() -> None:
    kind = DepthSupervision(stride=4)
    targets = kind.targets(IMAGES, SIZES, annotate(depth=[torch.rand(1, *size) for size in SIZES]))
    with pytest.raises(ValueError, match=r"set MODEL.DEPTH.LAYER True"):
        kind.losses(MaskPredictions(torch.zeros(1, 1, 6, 8)), queries(0), targets, torch.ones(1))


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_masks_are_sampled_at_the_center_pixels_of_the_grid(stride: int) -> None:
    masks = [torch.rand(len(boxes), *size) > 0.5 for boxes, size in zip(BOXES, SIZES, strict=True)]
    sampled = MaskSupervision(stride=stride).targets(IMAGES, SIZES, annotate(gt_masks=masks))
    assert sampled.shape == (3, 24 // stride, 32 // stride) and sampled.dtype == torch.bool
    for m, mask in enumerate([*masks[0], *masks[1]]):
        for row in range(24 // stride):
            for column in range(32 // stride):
                y, x = stride * row + stride // 2, stride * column + stride // 2
                inside = y < mask.shape[0] and x < mask.shape[1]
                assert bool(sampled[m, row, column]) == (inside and bool(mask[y, x]))


def test_mask_loss_is_the_weighted_mean_of_dice_losses() -> None:
    kind, logits = MaskSupervision(stride=4), torch.randn(4, 1, 6, 8, dtype=torch.float64)
    masks, weight = torch.rand(3, 6, 8) > 0.5, torch.tensor([1.0, 0.0, 0.5, 1.0], dtype=torch.float64)
    found = queries(0, 0, 1, 2)
    (loss,) = kind.losses(MaskPredictions(logits), found, masks, weight).values()
    values = [dice(logits[n].sigmoid(), masks[m].double()) for n, m in enumerate(found.target_index.tolist())]
    torch.testing.assert_close(loss, (torch.stack(values) * weight).sum() / 2.5)


def test_pseudo_masks_are_padded_to_the_batch() -> None:
    masks, weights = [torch.rand(2, 6, 8), torch.rand(1, 5, 7)], [torch.rand(2), torch.rand(1)]
    fields = annotate(pseudo_masks=masks, pseudo_weights=weights)
    targets = PseudoMaskSupervision(stride=4).targets(IMAGES, SIZES, fields)
    assert torch.equal(targets.masks[:2], masks[0]) and torch.equal(targets.masks[2:, :5, :7], masks[1])
    assert targets.masks[2, 5].sum() == 0 and targets.masks[2, :, 7].sum() == 0
    assert torch.equal(targets.weights, torch.cat(weights))
    hard = [mask > 0.5 for mask in masks]
    binary = PseudoMaskSupervision(stride=4).targets(IMAGES, SIZES, annotate(pseudo_masks=hard, pseudo_weights=weights))
    assert binary.masks.dtype == torch.float32 and torch.equal(binary.masks, (targets.masks > 0.5).float())


@pytest.mark.parametrize("gamma", [1.0, 4.0])
def test_pseudo_mask_loss_is_equation_10_averaged_over_all_queries(gamma: float) -> None:
    """Masks that are not reliable count in the mean, so that one reliable mask does not count for a whole batch."""
    kind, found = PseudoMaskSupervision(stride=4, weight=gamma), queries(0, 1, 2, 2)
    masks = [torch.rand(2, 6, 8), torch.rand(1, 6, 8)]
    fields = annotate(pseudo_masks=masks, pseudo_weights=[torch.tensor([0.9, 0.0]), torch.tensor([1.0])])
    targets = kind.targets(IMAGES, SIZES, fields)
    logits = torch.randn(4, 1, 6, 8, dtype=torch.float64, requires_grad=True)
    (loss,) = kind.losses(MaskPredictions(logits), found, targets, logits.new_ones(4)).values()
    labels, reliability = torch.cat(masks).double(), (0.9, 0.0, 1.0)
    terms = [reliability[m] * dice(logits[n].sigmoid(), labels[m]) for n, m in enumerate((0, 1, 2, 2))]
    torch.testing.assert_close(loss, gamma * torch.stack(terms).sum() / 4, atol=1e-6, rtol=1e-6)
    loss.backward()
    assert logits.grad[1].abs().sum() == 0 and logits.grad[0].abs().sum() > 0


def test_pseudo_mask_loss_is_zero_with_a_graph_before_the_teacher_starts() -> None:
    kind, logits = PseudoMaskSupervision(stride=4), torch.randn(2, 1, 6, 8, requires_grad=True)
    assert kind.targets(IMAGES, SIZES, annotate()) is None
    (loss,) = kind.losses(MaskPredictions(logits), queries(0, 2), None, torch.ones(2)).values()
    loss.backward()
    assert loss == 0 and torch.equal(logits.grad, torch.zeros_like(logits))
