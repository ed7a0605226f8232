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
