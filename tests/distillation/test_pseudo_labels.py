"""Pseudo masks of the teacher: their source, their place and their weights."""

import pytest
import torch

from depthbox.distillation import TeacherLabeler
from depthbox.ops import sample_grid

BOXES = [[6.0, 6, 50, 50], [40, 10, 90, 60], [60, 2, 80, 20]]


def test_labels_lie_in_their_boxes_on_the_students_grid(cfg, teacher, sample):
    cfg.MODEL.DISTILL.SCORE_THRESH = 0.0
    x = sample(BOXES, [0, 1, 1], scale=1.5)
    labeled = TeacherLabeler(cfg, teacher)([x])[0]["instances"]
    assert labeled.pseudo_masks.shape == (3, 16, 24) and labeled.pseudo_masks.dtype == torch.bool
    assert labeled.pseudo_weights.tolist() == [float(mask.any()) for mask in labeled.pseudo_masks]
    assert labeled.pseudo_weights.sum() > 0
    for (x0, y0, x1, y1), mask in zip(BOXES, labeled.pseudo_masks, strict=True):
        for row, column in torch.nonzero(mask).tolist():
            assert x0 <= column * 4 + 2 <= x1 and y0 <= row * 4 + 2 <= y1


def test_the_batch_is_not_changed(cfg, teacher, sample):
    x = sample(BOXES, [0, 1, 1])
    names = set(x["instances"].get_fields())
    TeacherLabeler(cfg, teacher)([x])
    assert set(x["instances"].get_fields()) == names


def test_labels_are_those_of_one_image_at_a_time(cfg, teacher, sample):
    cfg.MODEL.DISTILL.SCORE_THRESH = 0.0
    batch = [sample(BOXES, [0, 1, 1]), sample([], []), sample(BOXES[:1], [3])]
    labeler = TeacherLabeler(cfg, teacher)
    together = labeler(batch)
    for x, labeled in zip(batch, together, strict=True):
        alone = labeler([x])[0]["instances"]
        assert len(alone) == len(x["instances"])
        torch.testing.assert_close(labeled["instances"].pseudo_weights, alone.pseudo_weights)
        different = labeled["instances"].pseudo_masks != alone.pseudo_masks
        assert different.float().mean() < 0.01 if different.numel() else True


def test_the_label_is_the_mask_of_the_best_candidate(cfg, teacher, sample):
    """With one box and alpha 1 the label is the teacher's mask at the location of the highest IoU."""
    cfg.merge_from_list(["MODEL.DISTILL.ALPHA", 1.0, "MODEL.DISTILL.BETA", 0.0, "MODEL.DISTILL.SOFT_MASKS", True])
    x = sample([[8.0, 8, 56, 56]], [2])
    captured = {}
    predict = teacher.predict_masks

    def remember(dense, features, candidates):
        captured["candidates"] = candidates[0]
        for masks in predict(dense, features, candidates):
            captured["masks"] = masks.logits.sigmoid()
            yield masks

    teacher.predict_masks = remember
    labeled = TeacherLabeler(cfg, teacher)([x])[0]["instances"]
    found = captured["candidates"].boxes
    overlap = (torch.minimum(found[:, 2:], torch.tensor([56.0, 56])) - found[:, :2].clamp(min=8)).clamp(min=0).prod(1)
    iou = overlap / ((found[:, 2:] - found[:, :2]).prod(1) + 48 * 48 - overlap)
    mask = captured["masks"][iou.argmax(), 0]
    inside = torch.zeros(16, 24, dtype=torch.bool)
    inside[2:14, 2:14] = True  # cells whose pixel 4 o + 2 lies in 8..56
    torch.testing.assert_close(labeled.pseudo_masks[0], (mask[:16, :24] * inside), atol=1e-5, rtol=0)


@pytest.mark.parametrize("in_config", [False, True])
def test_soft_labels_are_probabilities(cfg, teacher, sample, in_config):
    cfg.merge_from_list(["MODEL.DISTILL.SCORE_THRESH", 0.0, "MODEL.DISTILL.SOFT_MASKS", in_config])
    x = sample(BOXES, [0, 1, 1])
    soft = TeacherLabeler(cfg, teacher, soft=not in_config)([x])[0]["instances"].pseudo_masks
    cfg.MODEL.DISTILL.SOFT_MASKS = False
    hard = TeacherLabeler(cfg, teacher)([x])[0]["instances"].pseudo_masks
    assert soft.dtype == torch.float32 and hard.dtype == torch.bool and torch.equal(soft > 0.5, hard)
    assert ((soft > 0) & (soft < 1)).any()


def test_threshold_and_classes_decide(cfg, teacher, sample):
    x = sample(BOXES, [0, 1, 1])
    cfg.MODEL.DISTILL.SCORE_THRESH = 1.0
    assert TeacherLabeler(cfg, teacher)([x])[0]["instances"].pseudo_weights.tolist() == [0, 0, 0]
    cfg.MODEL.DISTILL.SCORE_THRESH = 0.0
    cfg.MODEL.FCOS.INFERENCE_TH = 1.0  # no prediction of any class: boxes without any candidate
    labeled = TeacherLabeler(cfg, teacher)([x])[0]["instances"]
    assert labeled.pseudo_weights.tolist() == [0, 0, 0] and not labeled.pseudo_masks.any()


def test_certainty_lowers_the_weights(cfg, teacher, sample):
    cfg.merge_from_list(["MODEL.DISTILL.SCORE_THRESH", 0.0, "MODEL.DISTILL.CERTAINTY_WEIGHT", True])
    weights = TeacherLabeler(cfg, teacher)([sample(BOXES, [0, 1, 1])])[0]["instances"].pseudo_weights
    assert weights.sum() > 0
    assert all(weight == 0 or 0.5 < weight < 1 for weight in weights.tolist())


def test_depth_is_required_if_it_takes_part(cfg, teacher, sample):
    x = sample(BOXES, [0, 1, 1])
    del x["depth"]
    with pytest.raises(KeyError, match=r"made_up.jpg comes without depth"):
        TeacherLabeler(cfg, teacher)([x])
    cfg.MODEL.DISTILL.BETA = 0.0
    TeacherLabeler(cfg, teacher)([x])
    cfg.merge_from_list(["MODEL.DISTILL.BETA", 0.2, "INPUT.DEPTH.ENABLED", False])
    with pytest.raises(ValueError, match="BETA weighs depth"):
        TeacherLabeler(cfg, teacher)


@pytest.mark.parametrize(("source", "target"), [((64, 96), (64, 96)), ((96, 144), (64, 96)), ((50, 70), (97, 131))])
def test_labels_keep_their_place_between_views(source, target):
    """A ramp over the pixels of the source becomes the same ramp over those of the target."""
    rows, columns = (-(-side // 4) for side in source)
    y = (torch.arange(rows) * 4 + 2 + 0.5) / source[0]
    x = (torch.arange(columns) * 4 + 2 + 0.5) / source[1]
    ramps = torch.stack((y[:, None].expand(rows, columns), x[None].expand(rows, columns)))[:, None]
    result = sample_grid(ramps[:, 0], 4, source, target)
    assert result.shape == (2, *(-(-side // 4) for side in target))
    for axis, (side, values) in enumerate(zip(target, (result[0, :, 0], result[1, 0]), strict=True)):
        expected = (torch.arange(len(values)) * 4 + 2 + 0.5) / side
        low, high = ramps[axis].min(), ramps[axis].max()
        torch.testing.assert_close(values, expected.clamp(low, high), atol=1e-4, rtol=0)
