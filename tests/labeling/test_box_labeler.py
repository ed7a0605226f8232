"""Masks of box prompts: the chosen locations, and the place in the original image."""

from types import SimpleNamespace

import pytest
import torch
from detectron2.modeling import build_model
from torch.nn import functional as F

from depthbox.distillation.candidates import class_agnostic_candidates
from depthbox.labeling.box_labeler import BoxLabeler, DepthRule, View, quality
from depthbox.modeling.fcos.targets import assign_targets
from depthbox.ops import aligned_upsample, sample_grid

SIZE = (64, 96)
BOXES = torch.tensor([[6.0, 6, 50, 50], [40, 10, 90, 60], [60, 2, 80, 20], [0, 0, 96, 64], [10.2, 10.2, 11.1, 11.4]])
RULE = DepthRule(beta=0.2, threshold=0.3, scale=100.0, size=3, dilation=1)


def view(scale: float = 1.0, mirrored: bool = False, depth: bool = False) -> View:
    image = F.interpolate(make_image()[None].float(), scale_factor=scale)[0].byte()
    near = torch.linspace(0, 1, image.shape[2]).expand(1, *image.shape[1:]) if depth else None
    return View(image.flip(2) if mirrored else image, mirrored, near)


def make_image() -> torch.Tensor:
    return torch.randint(0, 256, (3, *SIZE), generator=torch.Generator().manual_seed(0)).byte()


@pytest.fixture
def bright(cfg, teacher):
    """Return a network whose masks cover the whole image."""
    teacher.controller.weight.zero_()
    return teacher


def test_every_box_gets_a_mask_within_it_at_any_size_of_input(bright):
    for views in ([view()], [view(1.5)], [view(), view(1.0, mirrored=True), view(2.0)]):
        masks = list(BoxLabeler(bright, chunk=2)(views, BOXES, SIZE))
        assert len(masks) == len(BOXES)
        for (x0, y0, x1, y1), found in zip(BOXES.tolist(), masks, strict=True):
            rows, columns = found.mask.shape
            assert found.mask.dtype == torch.bool and found.mask.all()
            assert found.left >= x0 - 0.5 and found.top >= y0 - 0.5
            assert found.left + columns <= max(x1 + 0.5, found.left + 1)
            assert found.top + rows <= max(y1 + 0.5, found.top + 1)


def test_a_box_without_overlapping_prediction_gets_its_center_locations(cfg):
    """The predicted boxes are points, and the candidates include the locations to which FCOS assigns the box."""
    torch.manual_seed(0)
    network = build_model(cfg).eval().requires_grad_(False)
    network.proposal_generator.fcos_head.bbox_pred.weight.zero_()
    network.proposal_generator.fcos_head.bbox_pred.bias.zero_()
    _, dense, _ = network.predict_dense([{"image": view().image}])
    locations = network.proposal_generator.locations(dense)
    for box in BOXES[:4]:
        candidates = class_agnostic_candidates(dense, locations, box[None])
        found = candidates.detections
        assert candidates.box_index.tolist() == [0] * len(found)
        assigned = assign_targets(locations, [box[None]], [torch.tensor([0])], 1).labels[0] == 0
        expected = set(map(tuple, locations.xy[assigned].tolist()))
        assert expected and expected <= set(map(tuple, found.locations.tolist()))
    alone = list(BoxLabeler(network)([view()], BOXES[:1], SIZE))
    assert len(alone) == 1


def test_the_best_candidate_is_that_of_the_largest_iou(teacher):
    """With one candidate, alpha 1 and no fit the mask is that of the highest IoU, cropped to the box."""
    box = BOXES[1]
    _, dense, features = teacher.predict_dense([{"image": view().image}])
    locations = teacher.proposal_generator.locations(dense)
    found = class_agnostic_candidates(dense, locations, box[None]).detections
    low, high = torch.maximum(found.boxes[:, :2], box[:2]), torch.minimum(found.boxes[:, 2:], box[2:])
    common = (high - low).clamp(min=0).prod(1)
    areas = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(1)
    best = (common / (areas + (box[2:] - box[:2]).prod() - common)).argmax()
    logits = next(teacher.predict_masks(dense, features, [found])).logits[best]
    expected = aligned_upsample(logits.sigmoid(), 4)[0, 10:60, 40:90]
    (result,) = BoxLabeler(teacher, averaged=1, alpha=1.0, fit=0.0)([view()], box[None], SIZE)
    assert (result.left, result.top) == (40, 10)
    unsure = (expected - 0.5).abs() < 1e-4
    assert ((result.mask == (expected > 0.5)) | unsure).all()


def test_mirrored_views_agree_when_the_network_is_symmetric(bright):
    """Coordinates in a mirrored view are mirrored: a mask that depends on the coordinates only is restored."""
    ramp = torch.linspace(0, 1, 24).expand(16, 24)
    x = torch.arange(5.5, 90)
    y = torch.arange(3.5, 60)
    plain = sample_grid(ramp[None], 4, SIZE, SIZE, x, y)
    # Cell o samples the pixel 4 o + 2: mirrored, the pixel 95 - (4 o + 2).
    mirrored = sample_grid(1 - ramp[None], 4, SIZE, SIZE, x, y)
    torch.testing.assert_close(plain, 1 - mirrored)
    boxes = BOXES[:1]
    (one,) = BoxLabeler(bright, fit=0.0)([view(mirrored=True)], boxes, SIZE)
    (two,) = BoxLabeler(bright, fit=0.0)([view()], boxes, SIZE)
    assert (one.left, one.top, one.mask.shape) == (two.left, two.top, two.mask.shape)


def test_sampling_is_the_upsampling_of_the_network():
    values = torch.rand(16, 24)
    expected = aligned_upsample(values[None, None], 4)[0, 0]
    sampled = sample_grid(values[None], 4, SIZE, SIZE, torch.arange(96) + 0.5, torch.arange(64) + 0.5)[0]
    torch.testing.assert_close(sampled, expected)


def test_chunks_change_nothing(teacher):
    views = [view(), view(1.5)]
    together, apart = (list(BoxLabeler(teacher, chunk=n)(views, BOXES, SIZE)) for n in (16, 1))
    for one, two in zip(together, apart, strict=True):
        assert one.score == pytest.approx(two.score, abs=1e-4)
        assert (one.mask != two.mask).float().mean() < 0.01


def test_depth_takes_part(teacher, monkeypatch):
    """With beta 1 the candidate of the highest depth score is chosen."""
    labeler = BoxLabeler(teacher, averaged=1, alpha=0.0, depth=DepthRule(1.0, 0.3, 100.0, 3, 1))
    seen: list[SimpleNamespace] = []
    original = labeler._scores

    def spy(found, boxes, probabilities, scorer):
        scores = original(found, boxes, probabilities, scorer)
        seen.append(SimpleNamespace(scores=scores, probabilities=probabilities, scorer=scorer))
        return scores

    monkeypatch.setattr(labeler, "_scores", spy)
    assert len(list(labeler([view(depth=True)], BOXES, SIZE))) == len(BOXES)
    (call,) = seen
    weights, valid = call.scorer.similarity, call.scorer.valid
    like = torch.where(weights > 0.3, weights, 0.0)
    for n in range(0, len(call.scores), 7):
        probability = call.probabilities[n] * valid
        slow = sum((probability[0] * like[k]).sum() for k in range(8)) / sum(
            (probability[0] * weights[k]).sum() for k in range(8)
        )
        assert float(call.scores[n]) == pytest.approx(float(slow), abs=1e-4)


def test_no_boxes_and_quality(teacher):
    assert list(BoxLabeler(teacher)([view()], torch.zeros(0, 4), SIZE)) == []
    probabilities = torch.tensor([[1.0, 0.75], [0.25, 0.0]])
    mask = probabilities > 0.5
    # Expected intersection 1.75; union 2 + 0.25.
    assert quality(probabilities, mask, 0.8) == pytest.approx(0.8 * 1.75 / 2.25, abs=1e-5)
    assert quality(torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.bool), 1.0) == 0
