"""Kinds of supervision: names, required annotations, and the addition of a new kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from depthbox.data.annotations import MASK_FIELDS, required_fields
from depthbox.modeling.supervision import MaskCriterion, Supervision, WeightedSupervision, build_supervision, builder
from depthbox.modeling.supervision.base import global_mean
from depthbox.structures import Annotations, MaskPredictions, Queries

DEPTH = {"MODEL__DEPTH__LAYER": True, "MODEL__DEPTH__CONSISTENCY": True, "INPUT__DEPTH__ENABLED": True}


@pytest.mark.parametrize("kind", list(builder.KINDS))
@pytest.mark.parametrize("depth", [{}, DEPTH])
@pytest.mark.parametrize("distill", [False, True])
def test_the_mapper_provides_the_fields_of_every_kind(make_cfg, kind, depth, distill):
    cfg = make_cfg(MODEL__MASK_SUPERVISION=kind, MODEL__DISTILL__ENABLED=distill, **depth)
    criterion = MaskCriterion(cfg)
    assert set(criterion.fields) <= set(required_fields(cfg))
    assert set(criterion.fields) >= set(MASK_FIELDS[kind])
    assert criterion.optional_fields == (("pseudo_masks", "pseudo_weights") if distill else ())


def test_mapper_and_builder_have_the_same_kinds():
    assert list(builder.KINDS) == list(MASK_FIELDS)


@pytest.mark.parametrize("kind", list(builder.KINDS))
def test_loss_names_are_those_of_the_computed_losses_in_order(make_model, make_input, kind):
    model = make_model(MODEL__MASK_SUPERVISION=kind, MODEL__DISTILL__ENABLED=True, **DEPTH)
    names = [name for name in model([make_input(2)]) if not name.startswith("loss_fcos")]
    assert names == list(model.criterion.loss_names)
    assert names[-2:] == ["loss_depth", "loss_pseudo_mask"]
    assert set(model.criterion.warmup_iters) <= set(names)


def test_weights_of_zero_turn_losses_off(make_cfg):
    cfg = make_cfg(MODEL__DISTILL__ENABLED=True, **DEPTH)
    cfg.MODEL.DISTILL.LOSS_WEIGHT = cfg.MODEL.DEPTH.LOSS_WEIGHT = cfg.MODEL.DEPTH.CONSISTENCY_WEIGHT = 0.0
    assert MaskCriterion(cfg).loss_names == ("loss_projection", "loss_color_pairwise")


def test_wrong_configs_are_named(make_cfg):
    with pytest.raises(ValueError, match="must be box, mask, mixed, got 'boxes'"):
        build_supervision(make_cfg(MODEL__MASK_SUPERVISION="boxes"))
    with pytest.raises(ValueError, match=r"INPUT.DEPTH.ENABLED is False: set it True"):
        build_supervision(make_cfg(MODEL__DEPTH__CONSISTENCY=True))


@dataclass
class PointSupervision:
    """Throw-away kind of supervision: the mask must contain one point of each object."""

    stride: int
    loss_names: tuple[str, ...] = ("loss_point",)
    fields: tuple[str, ...] = ("gt_points",)
    optional_fields: tuple[str, ...] = ()
    warmup_iters: Mapping[str, int] = field(default_factory=dict)

    def targets(self, images: Tensor, image_sizes: list[tuple[int, int]], annotations: Annotations) -> Tensor:
        return torch.cat(annotations["gt_points"]).long() // self.stride

    def losses(
        self, predictions: MaskPredictions, queries: Queries, targets: Tensor, weight: Tensor
    ) -> dict[str, Tensor]:
        x, y = targets[queries.target_index].unbind(1)
        logits = predictions.logits[torch.arange(len(x)), 0, y, x]
        return {"loss_point": global_mean(F.softplus(-logits) * weight, weight)}


def test_a_new_kind_is_one_class_and_one_entry(make_model, make_input, monkeypatch):
    kind: Supervision[Tensor] = PointSupervision(4)
    monkeypatch.setitem(builder.KINDS, "point", lambda cfg: [WeightedSupervision(kind)])
    model = make_model(MODEL__MASK_SUPERVISION="point")
    x = make_input(3)
    boxes = x["instances"].gt_boxes.tensor
    x["instances"].gt_points = (boxes[:, :2] + boxes[:, 2:]) / 2
    losses = model([x])
    assert {name for name in losses if "fcos" not in name} == {"loss_point"} and losses["loss_point"] > 0
    losses["loss_point"].backward()
    assert model.controller.weight.grad.abs().sum() > 0


def test_losses_of_one_name_are_added_and_the_weight_is_per_object(make_model, make_input, monkeypatch):
    def build(*weights: float):
        kinds = [
            WeightedSupervision(PointSupervision(4), lambda a, w=w: torch.tensor([w, 0.0, 1.0][: len(a.boxes[0])]))
            for w in weights
        ]
        monkeypatch.setitem(builder.KINDS, "point", lambda cfg: kinds)
        x = make_input(3)
        x["instances"].gt_points = x["instances"].gt_boxes.tensor[:, :2] + 4
        return float(make_model(MODEL__MASK_SUPERVISION="point")([x])["loss_point"].detach())

    one, other = build(1.0), build(0.0)
    assert one != other
    assert build(1.0, 0.0) == pytest.approx(one + other)


def mask_loss(make_model, make_input, weights, kind="mask", **overrides):
    """Return the mask loss of an image whose three objects have the given weights."""
    model = make_model(MODEL__MASK_SUPERVISION=kind, **overrides)
    x = make_input(3, has_mask=[True, True, kind == "mask"])
    if weights is not None:
        x["instances"].gt_weight = torch.tensor(weights)
    losses = model([x])
    return {name: float(loss.detach()) for name, loss in losses.items()}


@pytest.mark.parametrize("kind", ["mask", "mixed"])
def test_equal_weights_change_no_loss_and_the_default_reads_none(make_model, make_input, kind):
    plain = mask_loss(make_model, make_input, None, kind)
    assert mask_loss(make_model, make_input, [0.1, 0.2, 0.3], kind) == plain, "weights are not read without the key"
    weighed = mask_loss(make_model, make_input, [1.0, 1.0, 1.0], kind, INPUT__OBJECT_WEIGHT="score")
    assert weighed == plain


def test_the_mask_loss_is_the_mean_weighted_by_the_scores(make_model, make_input):
    def of(weights):
        return mask_loss(make_model, make_input, weights, INPUT__OBJECT_WEIGHT="score")["loss_mask"]

    alone = [of([float(n == k) for n in range(3)]) for k in range(3)]
    assert len(set(alone)) == 3
    both = of([1.0, 1.0, 0.0])
    share = (both - alone[1]) / (alone[0] - alone[1])  # of the queries of object 0 among those of 0 and 1
    assert 0 < share < 1
    expected = (share * alone[0] + (1 - share) * 0.5 * alone[1]) / (share + (1 - share) * 0.5)
    assert of([1.0, 0.5, 0.0]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["mask", "mixed"])
def test_a_fallback_trains_box_and_class_only(make_model, make_input, kind):
    weights = [0.0, 0.0, 0.0 if kind == "mask" else 1.0]
    plain = mask_loss(make_model, make_input, None, kind)
    weighed = mask_loss(make_model, make_input, weights, kind, INPUT__OBJECT_WEIGHT="score")
    assert weighed["loss_mask"] == 0 < plain["loss_mask"]
    others = plain.keys() - {"loss_mask"}
    assert {name: weighed[name] for name in others} == {name: plain[name] for name in others}


def test_boxes_weigh_1_in_mixed_supervision(make_model, make_input):
    """The box losses of the object without a mask do not depend on the weights."""
    one = mask_loss(make_model, make_input, [0.2, 0.9, 0.3], "mixed", INPUT__OBJECT_WEIGHT="score")
    other = mask_loss(make_model, make_input, [0.9, 0.2, 0.0], "mixed", INPUT__OBJECT_WEIGHT="score")
    assert one["loss_projection"] == other["loss_projection"] > 0 and one["loss_mask"] != other["loss_mask"]


@pytest.mark.parametrize("kind", list(builder.KINDS))
def test_the_mapper_provides_the_weights_that_the_criterion_reads(make_cfg, kind):
    cfg = make_cfg(MODEL__MASK_SUPERVISION=kind, INPUT__OBJECT_WEIGHT="score")
    assert ("gt_weight" in MaskCriterion(cfg).fields) == ("gt_weight" in required_fields(cfg)) == (kind != "box")
