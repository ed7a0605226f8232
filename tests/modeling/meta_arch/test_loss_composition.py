"""Composition of the losses: weights and warm-ups of the config, mixed supervision, order of images and objects."""

from typing import Any

import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

DEPTH = {"MODEL__DEPTH__LAYER": True, "MODEL__DEPTH__CONSISTENCY": True, "INPUT__DEPTH__ENABLED": True}
MASK_LOSSES = {
    "box": ("loss_projection", "loss_color_pairwise"),
    "mask": ("loss_mask",),
    "mixed": ("loss_projection", "loss_color_pairwise", "loss_mask"),
}


def smooth(x: dict[str, Any]) -> dict[str, Any]:
    """Replace the noise of the colors and of the depth by slopes, so that neighbors are similar."""
    slope = torch.linspace(0, 0.3, x["image"].shape[2]).expand(1, *x["image"].shape[1:]).clone()
    return {**x, "image": (90 + 200 * slope + x["image"] / 32).byte(), "depth": slope}


def at_iteration(model, batch, iteration: int) -> dict[str, float]:
    with EventStorage(iteration), torch.no_grad():
        return {name: float(loss) for name, loss in model(batch).items()}


@pytest.mark.parametrize(
    ("key", "loss"),
    [
        ("MODEL__DEPTH__CONSISTENCY_WEIGHT", "loss_depth_consistency"),
        ("MODEL__DEPTH__LOSS_WEIGHT", "loss_depth"),
        ("MODEL__FCOS__LOSS_WEIGHT_CLS", "loss_fcos_cls"),
    ],
)
def test_a_weight_of_the_config_scales_its_loss_and_no_other(make_model, make_input, key, loss):
    batch = [smooth(make_input(3)), smooth(make_input(2, 1))]
    plain, scaled = make_model(**DEPTH)(batch), make_model(**DEPTH, **{key: 2.5})(batch)
    assert plain[loss] > 0
    for name, value in plain.items():
        torch.testing.assert_close(scaled[name], value * (2.5 if name == loss else 1), msg=name)


@pytest.mark.parametrize(
    ("key", "loss"),
    [
        ("MODEL__DEPTH__WARMUP_ITERS", "loss_depth_consistency"),
        ("MODEL__BOXINST__PAIRWISE__WARMUP_ITERS", "loss_color_pairwise"),
    ],
)
def test_each_pairwise_loss_has_its_own_warmup(make_model, make_input, key, loss):
    """The factor is (t + 1) / iterations up to 1; the other pairwise loss keeps its full weight."""
    off = {"MODEL__DEPTH__WARMUP_ITERS": 0, "MODEL__BOXINST__PAIRWISE__WARMUP_ITERS": 0}
    batch = [smooth(make_input(3))]
    model = make_model(**DEPTH, **{**off, key: 40})
    full = at_iteration(model, batch, 1000)
    assert full[loss] > 0
    for iteration, factor in ((0, 1 / 40), (9, 0.25), (39, 1.0), (40, 1.0)):
        losses = at_iteration(model, batch, iteration)
        for name, value in full.items():
            expected = value * (factor if name == loss else 1)
            assert losses[name] == pytest.approx(expected, rel=1e-4), (name, iteration)
    assert model.criterion.warmup_iters[loss] == 40


def test_a_warmup_of_the_depth_loss_is_in_the_statistics(make_model, make_input):
    model, batch = make_model(**DEPTH, MODEL__DEPTH__WARMUP_ITERS=8), [smooth(make_input(3))]
    losses = at_iteration(model, batch, 1)
    stats = {name: float(value) for name, value in model.training_stats.items()}
    assert stats["warmup/depth_consistency"] == 0.25
    assert stats["raw/depth_consistency"] * 0.25 == pytest.approx(losses["loss_depth_consistency"], rel=1e-5)


def test_kappa_of_the_config_decides_about_the_consistency_loss(make_model, make_input):
    """The slope of 0.3 over 24 cells differs by 0.025 between cells two apart: similar if kappa < ln(2) / 0.025."""
    batch, losses = [smooth(make_input(3))], {}
    for scale in (10.0, 20.0, 100.0):
        model = make_model(**DEPTH, MODEL__DEPTH__SCALE=scale)
        torch.nn.init.normal_(model.controller.bias, std=2.0)  # masks that differ from cell to cell
        losses[scale] = float(model(batch)["loss_depth_consistency"].detach())
    assert losses[10.0] == losses[20.0] > 0
    assert losses[100.0] != pytest.approx(losses[10.0], rel=1e-3)


@pytest.mark.parametrize("has_mask", [[True, False, True], [False, False, True], [True, True, True]])
def test_mixed_is_box_supervision_of_unmasked_and_mask_supervision_of_masked_objects(make_model, make_input, has_mask):
    """Each kind is a mean over its own objects, computed here from the criterion with the queries of these objects."""
    mixed, x = make_model(MODEL__MASK_SUPERVISION="mixed"), smooth(make_input(3, has_mask=has_mask))
    images, dense, features = mixed.predict_dense([x])
    annotations = mixed.annotations([x], mixed.device)
    _, queries = mixed.proposal_generator.losses(dense, annotations.boxes, annotations.classes, (64, 96))
    predictions = mixed.mask_head(features, mixed.controller(dense.box_tower, queries), queries)
    losses = mixed.criterion(
        predictions, queries, mixed.criterion.targets(images.tensor, images.image_sizes, annotations)
    )
    masked = torch.tensor(has_mask)[queries.target_index]
    for kind, part in zip(mixed.criterion.kinds, (~masked, masked), strict=True):
        targets = kind.supervision.targets(images.tensor, images.image_sizes, annotations)
        alone = select(queries, part)
        chosen = type(predictions)(predictions.logits[part])
        weight = chosen.logits.new_ones(len(chosen.logits))
        for name, loss in kind.supervision.losses(chosen, alone, targets, weight).items():
            torch.testing.assert_close(losses[name], loss, msg=name)
            assert (loss > 0) == bool(part.any())


def select(queries, part):
    """Return the queries of one image that ``part`` marks."""
    names = ("image_index", "level", "row", "column", "locations", "target_index")
    return type(queries)(*(getattr(queries, name)[part] for name in names), counts=(int(part.sum()),))


@pytest.mark.parametrize("kind", list(MASK_LOSSES))
def test_losses_do_not_depend_on_the_order_of_images(make_model, make_input, kind):
    model = make_model(MODEL__MASK_SUPERVISION=kind, MODEL__CONDINST__QUERIES_PER_IMAGE=1000, **DEPTH)
    batch = [smooth(make_input(3)), smooth(make_input(2, 1)), smooth(make_input(0, 2))]
    forward, backward = model(batch), model(batch[::-1])
    assert list(forward) == list(backward)
    for name, loss in forward.items():
        torch.testing.assert_close(backward[name], loss, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("kind", list(MASK_LOSSES))
def test_losses_do_not_depend_on_the_order_of_objects(make_model, make_input, kind):
    model = make_model(MODEL__MASK_SUPERVISION=kind, MODEL__CONDINST__QUERIES_PER_IMAGE=1000, **DEPTH)
    x = smooth(make_input(4, has_mask=[True, False, True, False]))
    shuffled = {**x, "instances": x["instances"][torch.tensor([2, 0, 3, 1])]}
    plain, other = model([x]), model([shuffled])
    for name, loss in plain.items():
        torch.testing.assert_close(other[name], loss, atol=1e-5, rtol=1e-4, msg=name)


def test_padding_of_a_batch_changes_no_target_of_an_image(make_model, make_input):
    """A larger second image pads the first one; its boxes, similar pairs and depth stay as they are alone."""
    model = make_model(**DEPTH)
    small, large = smooth(make_input(3)), smooth(make_input(2, 1, height=96, width=160))
    alone, together = [], []
    for batch, results in (([small], alone), ([small, large], together)):
        images, _, _ = model.predict_dense(batch)
        annotations = model.annotations(batch, model.device)
        results += [t.targets for t in model.criterion.targets(images.tensor, images.image_sizes, annotations)]
    (boxes, depth), (padded, padded_depth) = alone, together
    assert torch.equal(padded.rows[:3, :16], boxes.rows) and torch.equal(padded.columns[:3, :24], boxes.columns)
    for name, edges in boxes.edges.items():
        assert torch.equal(padded.edges[name][0, :16, :24], edges[0]), name
    torch.testing.assert_close(padded_depth.depth[0, :16, :24], depth.depth[0])


def test_an_image_without_objects_dilutes_no_mask_loss(make_model, make_input):
    """Means are over queries and pairs, not over images."""
    model = make_model(MODEL__FCOS__NORM="", **DEPTH).eval()
    model.training = True  # fixed statistics of normalization, so that images do not influence each other
    x, empty = smooth(make_input(3)), smooth(make_input(0, 5))
    alone, diluted = model([x]), model([x, empty])
    for name in ("loss_projection", "loss_color_pairwise", "loss_depth_consistency", "loss_depth", "loss_fcos_loc"):
        torch.testing.assert_close(diluted[name], alone[name], atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("kind", list(MASK_LOSSES))
def test_every_trained_parameter_gets_a_finite_gradient_under_bfloat16(make_model, make_input, kind):
    model = make_model(MODEL__MASK_SUPERVISION=kind, MODEL__DISTILL__ENABLED=True, **DEPTH)
    for counts in ((3, 0), (0, 0)):
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses = model([make_input(count, seed) for seed, count in enumerate(counts)])
        sum(losses.values()).backward()
        assert {name for name, loss in losses.items() if not torch.isfinite(loss)} == set()
        bad = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or p.grad.isnan().any())]
        assert bad == []


def test_objects_outside_the_image_or_without_area_are_harmless(make_model):
    model, instances = make_model(**DEPTH, MODEL__MASK_SUPERVISION="mixed"), Instances((64, 96))
    instances.gt_boxes = Boxes(torch.tensor([[10.0, 10, 10, 10], [90, 60, 96, 64], [0, 0, 96, 64], [30, 5, 31, 60]]))
    instances.gt_classes = torch.tensor([0, 1, 2, 3])
    instances.gt_masks = BitMasks(torch.zeros(4, 64, 96, dtype=torch.bool))
    instances.gt_has_mask = torch.tensor([True, False, True, False])
    x = {"image": torch.zeros(3, 64, 96), "depth": torch.ones(1, 64, 96), "height": 64, "width": 96}
    losses = model([{**x, "instances": instances}])
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)
