"""P2Seg as a network: losses and gradients in training, masks of the given points otherwise."""

from typing import Any

import pytest
import torch
from points_toy import SQUARES, points_network, points_sample

from depthbox.ops.precision import without_autocast

LOSSES = ["loss_seg", "loss_offset", "loss_affinity"]
LEARNED = ["loss_seeds", "loss_class_color"]
POINTS = {"MODEL__P2SEG__SEMANTIC__SOURCE": "points"}


def answer(network: torch.nn.Module, *samples: dict[str, Any]) -> list[Any]:
    network.eval()
    with torch.no_grad():
        return [output["instances"] for output in network(list(samples))]


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ({}, LOSSES),
        ({"MODEL__P2SEG__S2I": False}, LOSSES),
        ({"MODEL__P2SEG__I2S": False}, LOSSES),
        ({"MODEL__P2SEG__STAGES": 2}, LOSSES),
        ({"MODEL__P2SEG__INITIAL_PAIRS": "classes"}, LOSSES),
        ({"MODEL__P2SEG__CENTER_WEIGHT": 2.0}, [*LOSSES, "loss_center"]),
        ({"MODEL__P2SEG__DIRECT_WEIGHT": 1.0}, [*LOSSES, "loss_seg_direct"]),
        (POINTS, [*LOSSES, *LEARNED]),
    ],
)
@pytest.mark.parametrize("counts", [(3, 1), (0, 2), (0, 0)])
def test_loss_names_are_constant_and_every_parameter_gets_a_gradient(
    overrides: dict[str, Any], names: list[str], counts: tuple[int, int]
) -> None:
    network = points_network(**overrides)
    losses = network([points_sample(counts[0]), points_sample(counts[1], size=(40, 61), seed=1)])
    assert list(losses) == names
    assert all(bool(loss.isfinite()) and loss.dim() == 0 for loss in losses.values())
    sum(losses.values()).backward()
    missing = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.requires_grad)
    if any(counts):
        assert losses["loss_offset"] > 0 and network.heads.offset_head[2].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("overrides", [{}, {"MODEL__P2SEG__STAGES": 2}, POINTS])
def test_unknown_class_map_gives_finite_losses(overrides: dict[str, Any]) -> None:
    network, sample = points_network(**overrides), points_sample()
    sample["class_map"] = torch.full_like(sample["class_map"], 255)
    losses = network([sample])
    sum(losses.values()).backward()
    assert all(bool(loss.isfinite()) for loss in losses.values())
    assert losses["loss_seg"] == 0 or overrides.get("MODEL__P2SEG__STAGES") == 2
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.requires_grad)


def test_padding_of_a_batch_changes_no_loss() -> None:
    network = points_network().eval()  # frozen batch norm; the losses of one image of its own size
    network.training = True
    small, large = points_sample(2, size=(32, 64)), points_sample(3, size=(64, 64), seed=1)
    alone = network([small])
    # the padding is inside the receptive field, so that only the grid is compared: the same image twice in one batch
    twice = network([small, small])
    assert {k: round(float(v), 5) for k, v in alone.items()} == {k: round(float(v), 5) for k, v in twice.items()}
    assert all(bool(v.isfinite()) for v in network([small, large]).values())


def test_losses_are_computed_in_float32_under_autocast() -> None:
    network = points_network()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = network([points_sample()])
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    exact = network([points_sample()])
    for name in losses:
        torch.testing.assert_close(losses[name], exact[name], rtol=0.1, atol=0.02)


def test_each_point_gets_a_mask_in_order() -> None:
    network, sample = points_network(), points_sample()
    found = answer(network, sample)[0]
    assert found.pred_masks.shape == (3, 48, 64) and found.pred_masks.dtype == torch.bool
    assert found.pred_classes.tolist() == [c for _, c in SQUARES]
    assert found.pred_masks.any(2).any(1).all() and ((found.scores > 0) & (found.scores <= 1)).all()
    assert found.pred_masks[~found.fallback].sum(0).max() <= 1  # masks do not overlap
    for mask, box in zip(found.pred_masks, found.pred_boxes.tensor.tolist(), strict=True):
        rows, columns = mask.nonzero(as_tuple=True)
        assert box == [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def test_formats_agree_and_boxes_replace_empty_masks() -> None:
    import pycocotools.mask as mask_util

    network, sample = points_network(), points_sample(known_masks=2)
    torch.nn.init.constant_(network.heads.class_head[2].bias, 0)
    network.heads.class_head[2].bias.data[0] = 50.0  # everything is background
    masks = answer(network, sample)[0]
    assert masks.fallback.tolist() == [True, True, True] and masks.scores.tolist() == [0.5, 0.5, 0.5]
    assert masks.pred_boxes.tensor[:2].tolist() == [list(map(float, box)) for box, _ in SQUARES[:2]]
    x, y = sample["instances"].gt_points[2].tolist()
    assert masks.pred_masks[2, int(y), int(x)] and masks.pred_masks[2].sum() > 900  # a square of 64 pixels, cut
    network.mask_format = "rle"
    encoded = answer(network, sample)[0].pred_masks_rle
    for mask, rle in zip(masks.pred_masks, encoded, strict=True):
        assert isinstance(rle["counts"], str)
        assert torch.equal(torch.from_numpy(mask_util.decode(rle)).bool(), mask)


def test_size_of_the_answer_is_that_of_the_original_image() -> None:
    network, sample = points_network(), points_sample()
    sample |= {"height": 96, "width": 128}
    found = answer(network, sample)[0]
    assert found.image_size == (96, 128) and found.pred_masks.shape == (3, 96, 128)
    same = network.label_points(
        sample["image"], 2 * sample["instances"].gt_points, sample["instances"].gt_classes, (96, 128)
    )
    for index in range(3):
        if not found.fallback[index]:
            assert torch.equal(same.owner == index + 1, found.pred_masks[index])
    with without_autocast(network.device):
        assert torch.equal(same.scores, found.scores)


def test_image_without_points_is_an_error_that_names_it() -> None:
    network = points_network().eval()
    sample = points_sample()
    del sample["instances"]
    with pytest.raises(KeyError, match=r"scene_0\.png comes without points"):
        network([sample])
    with pytest.raises(KeyError, match=r"scene_0\.png comes without class map"):
        network.train()([{key: value for key, value in points_sample().items() if key != "class_map"}])


def test_image_with_no_object_has_an_empty_answer() -> None:
    found = answer(points_network(), points_sample(0))[0]
    assert len(found) == 0 and found.pred_masks.shape == (0, 48, 64)


def test_unused_level_is_refused() -> None:
    with pytest.raises(ValueError, match=r"MODEL.P2SEG.IN_FEATURES is \['p2', 'p3', 'p4', 'p5'\], but .* has p2, .*p6"):
        points_network(MODEL__FPN__TOP_LEVELS=True)
    with pytest.raises(ValueError, match="must have stride 4"):
        points_network(MODEL__TIMM__FINEST_STRIDE=8, MODEL__P2SEG__IN_FEATURES=["p3", "p4", "p5"])
