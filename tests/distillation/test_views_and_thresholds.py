"""Choices of the teacher's labels: the depth of its own view, kappa, the threshold of masks, and weights."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from torch import Tensor

from depthbox.distillation import DepthRule, DepthScorer, TeacherLabeler, ema_update, match_instances
from depthbox.distillation import pseudo_labels as module
from depthbox.labeling.loading import build_depth_rule
from depthbox.modeling.meta_arch.depthbox import DepthBox
from depthbox.structures import MaskPredictions

BOXES = [[6.0, 6, 50, 50], [40, 10, 90, 60], [60, 2, 80, 20]]


def probability(teacher: DepthBox, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every mask of the teacher have one probability everywhere."""
    predict, logit = teacher.predict_masks, torch.tensor(value).logit()

    def constant(*inputs: Any) -> Iterator[MaskPredictions]:
        for masks in predict(*inputs):
            yield MaskPredictions(torch.full_like(masks.logits, float(logit)), masks.depth_logits)

    monkeypatch.setattr(teacher, "predict_masks", constant)


def seen_depth(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, tuple[int, int]]]:
    """Record the depth and the size that the scores are computed from."""
    seen: list[tuple[Tensor, tuple[int, int]]] = []
    original = DepthScorer.from_depth.__func__  # type: ignore[attr-defined]

    def remember(cls: Any, rule: DepthRule, depth: Tensor, size: tuple[int, int], *others: Any) -> DepthScorer:
        seen.append((depth, size))
        return original(cls, rule, depth, size, *others)

    monkeypatch.setattr(module.DepthScorer, "from_depth", classmethod(remember))
    return seen


@pytest.mark.parametrize(("value", "expected"), [(0.42, False), (0.49, False), (0.51, True), (0.6, True)])
def test_masks_are_binarized_at_one_half(cfg, teacher, sample, monkeypatch, value: float, expected: bool) -> None:
    """A mask of the probability 0.42 is empty, and an empty mask is not reliable."""
    cfg.MODEL.DISTILL.SCORE_THRESH = 0.0
    probability(teacher, value, monkeypatch)
    labeled = TeacherLabeler(cfg, teacher)([sample(BOXES[:1], [0])])[0]["instances"]
    assert labeled.pseudo_scores.item() > 0
    assert bool(labeled.pseudo_masks.any()) == expected
    assert labeled.pseudo_weights.tolist() == [float(expected)]


@pytest.mark.parametrize(("value", "expected"), [(0.42, 0.0), (0.8, 0.8), (0.95, 0.95)])
def test_the_certainty_is_the_mean_probability_inside_the_mask(
    cfg, teacher, sample, monkeypatch, value: float, expected: float
) -> None:
    cfg.merge_from_list(["MODEL.DISTILL.SCORE_THRESH", 0.0, "MODEL.DISTILL.CERTAINTY_WEIGHT", True])
    probability(teacher, value, monkeypatch)
    labeled = TeacherLabeler(cfg, teacher)([sample(BOXES[:1], [0])])[0]["instances"]
    assert labeled.pseudo_weights.item() == pytest.approx(expected, abs=1e-5)


def test_soft_labels_keep_the_probability_inside_the_box(cfg, teacher, sample, monkeypatch) -> None:
    cfg.MODEL.DISTILL.SCORE_THRESH = 0.0
    probability(teacher, 0.42, monkeypatch)
    labeled = TeacherLabeler(cfg, teacher, soft=True)([sample([[8.0, 8, 40, 24]], [0])])[0]["instances"]
    expected = torch.zeros(1, 16, 24)
    expected[0, 2:6, 2:10] = 0.42  # cells whose pixel 4 o + 2 lies in 8..40 x 8..24
    torch.testing.assert_close(labeled.pseudo_masks, expected, atol=1e-5, rtol=0)


def test_the_depth_is_that_of_the_teachers_view(cfg: CfgNode, teacher, sample, monkeypatch) -> None:
    seen = seen_depth(monkeypatch)
    own, shared = sample(BOXES, [0, 1, 1], scale=1.5), sample(BOXES, [0, 1, 1])
    TeacherLabeler(cfg, teacher)([own, shared])
    (first, size), (second, same) = seen
    assert torch.equal(first, own["teacher_depth"]) and size == (96, 144)
    assert torch.equal(second, shared["depth"]) and same == (64, 96)


def test_the_students_depth_changes_no_label_if_the_teacher_has_its_own_view(cfg, teacher, sample) -> None:
    cfg.merge_from_list(["MODEL.DISTILL.ALPHA", 0.0, "MODEL.DISTILL.BETA", 1.0, "MODEL.DISTILL.SCORE_THRESH", 0.0])
    x = sample(BOXES, [0, 1, 1], scale=1.5)
    labeler = TeacherLabeler(cfg, teacher)
    plain = labeler([x])[0]["instances"].pseudo_scores
    other = labeler([{**x, "depth": torch.zeros_like(x["depth"])}])[0]["instances"].pseudo_scores
    taught = labeler([{**x, "teacher_depth": torch.zeros_like(x["teacher_depth"])}])[0]["instances"].pseudo_scores
    assert torch.equal(plain, other) and (plain > 0).any()
    torch.testing.assert_close(taught[taught > 0], torch.ones_like(taught[taught > 0]))  # constant depth: one surface
    assert not torch.equal(plain, taught)


@pytest.mark.parametrize("count", [3, 7])
def test_candidates_are_searched_around_the_boxes_in_the_teachers_pixels(
    cfg, teacher, sample, monkeypatch, count: int
) -> None:
    cfg.merge_from_list(["MODEL.DISTILL.CANDIDATES_PER_BOX", count, "MODEL.FCOS.INFERENCE_TH", 0.01])
    seen: list[tuple[Tensor, dict[str, Any]]] = []
    original = module.find_candidates

    def remember(dense: Any, locations: Any, boxes: list[Tensor], *others: Any, **options: Any) -> Any:
        seen.append((boxes[0], options))
        return original(dense, locations, boxes, *others, **options)

    monkeypatch.setattr(module, "find_candidates", remember)
    for scale in (None, 1.5):
        TeacherLabeler(cfg, teacher)([sample(BOXES, [0, 1, 1], scale=scale)])
    (same, options), (larger, _) = seen
    torch.testing.assert_close(same, torch.tensor(BOXES, dtype=torch.float32))
    torch.testing.assert_close(larger, 1.5 * torch.tensor(BOXES, dtype=torch.float32))
    assert options == {"per_box": count, "score_threshold": 0.01}


@pytest.mark.parametrize("key", ["SCALE", "THRESH"])
def test_kappa_and_tau_of_the_config_decide_about_the_scores(cfg, teacher, sample, key: str) -> None:
    cfg.merge_from_list(["MODEL.DISTILL.ALPHA", 0.0, "MODEL.DISTILL.BETA", 1.0])
    x, totals = sample(BOXES, [0, 1, 1]), []
    for value in (1.0, 50.0) if key == "SCALE" else (0.05, 0.95):
        cfg.merge_from_list(["MODEL.DEPTH.SCALE", 10.0, "MODEL.DEPTH.THRESH", 0.5])
        cfg.MODEL.DEPTH[key] = value
        totals.append(float(TeacherLabeler(cfg, teacher)([x])[0]["instances"].pseudo_scores.sum()))
    assert totals[0] > totals[1] > 0


def test_every_parameter_of_the_depth_rule_comes_from_the_config(cfg: CfgNode) -> None:
    cfg.merge_from_list(["MODEL.DISTILL.BETA", 0.3, "MODEL.DEPTH.THRESH", 0.6, "MODEL.DEPTH.SCALE", 7.0])
    cfg.merge_from_list(["MODEL.BOXINST.PAIRWISE.SIZE", 5, "MODEL.BOXINST.PAIRWISE.DILATION", 3])
    expected = DepthRule(beta=0.3, threshold=0.6, scale=7.0, size=5, dilation=3)
    assert DepthRule.from_config(cfg) == expected == build_depth_rule(cfg)


@pytest.mark.parametrize("scale", [2.0, 30.0])
def test_the_scorer_is_equation_8_in_loops(scale: float) -> None:
    rule = DepthRule(beta=0.2, threshold=0.5, scale=scale, size=3, dilation=1)
    depth, masks = torch.rand(1, 20, 24, dtype=torch.float64), torch.rand(2, 1, 6, 7, dtype=torch.float64)
    scores = DepthScorer.from_depth(rule, depth, (20, 24), (24, 28), 4)(masks)
    cells = depth[0].float().double().view(5, 4, 6, 4).mean((1, 3))
    for mask, score in zip(masks[:, 0], scores.tolist(), strict=True):
        near = total = 0.0
        for y in range(5):
            for x in range(6):
                for i in range(max(y - 1, 0), min(y + 2, 5)):
                    for j in range(max(x - 1, 0), min(x + 2, 6)):
                        if (i, j) != (y, x):
                            similarity = float(torch.exp(-scale * (cells[y, x] - cells[i, j]).abs()))
                            total += float(mask[y, x]) * similarity
                            near += float(mask[y, x]) * similarity * (similarity > 0.5)
        assert score == pytest.approx(near / total, abs=1e-5)


def test_the_scorer_accepts_no_mask_and_empty_masks() -> None:
    rule = DepthRule(beta=0.2, threshold=0.5, scale=2.0, size=3, dilation=1)
    scorer = DepthScorer.from_depth(rule, torch.rand(1, 16, 16), (16, 16), (16, 16), 4)
    assert scorer(torch.zeros(0, 1, 4, 4)).shape == (0,)
    assert scorer(torch.zeros(2, 1, 4, 4)).tolist() == [0, 0]
    half = scorer(torch.ones(1, 1, 4, 4, dtype=torch.float16))
    torch.testing.assert_close(half.float(), scorer(torch.ones(1, 1, 4, 4)), atol=1e-3, rtol=0)


def test_labels_do_not_depend_on_the_order_of_boxes(cfg, teacher, sample) -> None:
    cfg.MODEL.DISTILL.SCORE_THRESH = 0.0
    x, order = sample(BOXES, [0, 1, 1]), torch.tensor([2, 0, 1])
    labeler = TeacherLabeler(cfg, teacher)
    plain, moved = labeler([x])[0]["instances"], labeler([{**x, "instances": x["instances"][order]}])[0]["instances"]
    assert torch.equal(moved.pseudo_masks, plain.pseudo_masks[order])
    torch.testing.assert_close(moved.pseudo_scores, plain.pseudo_scores[order])


def test_no_image_has_boxes(cfg, teacher, sample) -> None:
    labeled = TeacherLabeler(cfg, teacher)([sample([], []), sample([], [], scale=1.5)])
    for x in labeled:
        assert x["instances"].pseudo_masks.shape == (0, 16, 24) and x["instances"].pseudo_weights.shape == (0,)


def test_no_prediction_is_assigned_twice() -> None:
    """Two equal boxes of one class get two different predictions."""
    scores = torch.tensor([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1]])
    matched = match_instances(scores, torch.ones(2, 3, dtype=torch.bool)).tolist()
    assert sorted(matched) == [0, 1]


def test_the_moving_average_over_many_steps_is_the_geometric_sum() -> None:
    teacher, student = torch.nn.Linear(1, 1, bias=False).double(), torch.nn.Linear(1, 1, bias=False).double()
    expected, values = teacher.weight.item(), torch.rand(20, dtype=torch.float64).tolist()
    for value in values:
        torch.nn.init.constant_(student.weight, value)
        ema_update(teacher, student, 0.9)
        expected = 0.9 * expected + 0.1 * value
    assert teacher.weight.item() == pytest.approx(expected, rel=1e-12)


def test_networks_that_differ_are_named() -> None:
    with pytest.raises(ValueError, match=r"differ: \['bias'\]"):
        ema_update(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2, bias=False), 0.9)
    with pytest.raises(ValueError, match="the shapes of their tensors"):
        ema_update(torch.nn.Linear(2, 2), torch.nn.Linear(3, 2), 0.9)
    with pytest.raises(ValueError, match=r"EMA_MOMENTUM must lie in \[0, 1\], got 1.5"):
        ema_update(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), 1.5)
