"""Masks of points: cut out of a map of owners, and detections that are assigned to points."""

from typing import Any

import numpy as np
import pytest
import torch
from labeling_toy import SIZE
from point_labeling_toy import NearPixels, point

from depthbox.data.points import ImagePoints
from depthbox.labeling.point_labeler import DetectionLabeler, PointLabeler, cut_out, draw_masks, match_points
from depthbox.labeling.prompts import PromptPlan, read_planned_prompts, take_points
from depthbox.modeling.fcos.inference import Detections


def place(*coords: tuple[float, float], classes: tuple[int, ...] = ()) -> ImagePoints:
    count = len(coords)
    return ImagePoints(
        np.array(coords, dtype=np.float64).reshape(-1, 2),
        np.array(classes or (0,) * count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
        np.tile((0.0, 0.0, 96.0, 64.0), (count, 1)),
        np.zeros((0, 2)),
    )


def detect(scores: list[float], classes: list[int]) -> Detections:
    count = len(scores)
    index = torch.zeros(count, dtype=torch.int64)
    boxes, kinds = torch.zeros(count, 4), torch.tensor(classes)
    return Detections(boxes, torch.tensor(scores), kinds, index, index, index, torch.zeros(count, 2))


def test_masks_are_cut_out_within_their_extent() -> None:
    owner = np.zeros((6, 9), dtype=np.int64)
    owner[1:3, 4:7], owner[2, 5], owner[5, 8], owner[0, 0] = 1, 3, 3, 4
    masks = cut_out(owner, np.array([0.7512345, 0.6, 0.5, 0.4]), 3)
    assert [(m.left, m.top, tuple(m.mask.shape), m.score) for m in masks] == [
        (4, 1, (2, 3), 0.75123),
        (0, 0, (0, 0), 0.5),
        (5, 2, (4, 4), 0.5),
    ]
    assert masks[0].mask.sum() == 5 and not masks[0].mask[1, 1] and masks[2].mask.nonzero().tolist() == [[0, 0], [3, 3]]


def test_given_masks_of_any_form_are_drawn() -> None:
    square = [[10, 10, 20, 10, 20, 20, 10, 20]]
    drawn = draw_masks([{"segmentation": square}, {"bbox": [0, 0, 5, 5]}, {"segmentation": [[0, 0, 4, 0, 4, 4]]}], SIZE)
    assert drawn[10:20, 10:20].all() and drawn[:4, :4].any() and not drawn[25:].any()
    assert draw_masks([], SIZE).shape == SIZE and not draw_masks([], SIZE).any()


def test_the_network_gets_all_objects_with_their_regions() -> None:
    seen: dict[str, Any] = {}

    class Spy(NearPixels):
        def label_points(self, image: torch.Tensor, *given: Any, **more: Any) -> Any:
            seen["points"], seen["classes"], seen["size"], seen["regions"] = given
            return super().label_points(image, *given, **more)

    entries = [
        {**point(1, 1, 12.5, 12.5, 1), "iscrowd": 0},
        {"id": 2, "category_id": 2, "bbox": [14.0, 10, 4, 4], "iscrowd": 0},
    ]
    plan = PromptPlan(frozenset({1}), frozenset({2}))
    prompts = read_planned_prompts(entries, SIZE, plan=plan, classes=(0, 3))
    (mask,) = PointLabeler(Spy())(torch.zeros(3, 8, 8), prompts, SIZE)
    assert seen["points"].tolist() == [[12.5, 12.5], [16, 12]] and seen["points"].dtype == torch.float32
    assert seen["classes"].tolist() == [0, 3] and seen["size"] == SIZE
    assert seen["regions"].tolist() == [[0, 0, 60, 40], [14, 10, 18, 14]]
    assert mask.mask.any() and mask.left == 8


def test_a_point_gets_the_detection_of_the_largest_product_that_holds_it() -> None:
    probabilities = torch.tensor([[0.9, 0.6, 0.4], [0.2, 0.3, 0.1]])
    found = detect([0.5, 0.9, 1.0], [0, 0, 0])
    # 0.45 and 0.54; the third mask does not hold the point, and no mask holds the second point.
    assert match_points(probabilities, found, place((5, 5), (9, 9))).tolist() == [1, -1]


def test_a_detection_is_assigned_once_with_the_largest_sum() -> None:
    probabilities = torch.tensor([[0.9, 0.8], [0.9, 0.0]])
    assert match_points(probabilities, detect([0.9, 0.8], [0, 0]), place((5, 5), (9, 9))).tolist() == [1, 0]


def test_detections_of_the_class_of_the_point_come_first() -> None:
    probabilities = torch.tensor([[0.9, 0.6]])
    found = detect([0.9, 0.1], [1, 2])
    for own, expected in ((2, 1), (1, 0), (7, 0), (-1, 0)):
        assert match_points(probabilities, found, place((5, 5), classes=(own,))).tolist() == [expected]


def test_of_two_points_of_a_class_on_one_pixel_the_first_is_assigned() -> None:
    probabilities, found = torch.full((3, 3), 0.9), detect([0.9, 0.8, 0.7], [0, 0, 1])
    points = place((5.1, 5.9), (5.8, 5.2), (5.5, 5.5), classes=(0, 0, 1))
    assert match_points(probabilities, found, points).tolist()[1:] == [-1, 2]
    assert match_points(probabilities, found, points)[0] in (0, 1)


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_masks_of_detections_contain_their_points_and_are_used_once(teacher: Any, scale: float) -> None:
    image = torch.randint(0, 256, (3, int(64 * scale), int(96 * scale))).byte()
    points = place((10.5, 10.5), (10.5, 10.5), (70.2, 40.9), (95.9, 63.9), (0.0, 0.0))
    masks = DetectionLabeler(teacher, chunk=2)(image, points, (64, 96))
    assert len(masks) == 5 and masks[1].mask.numel() == 0 and masks[1].score == 0
    answered = [n for n, found in enumerate(masks) if found.mask.any()]
    assert len(answered) >= 3
    for n in answered:
        found, (x, y) = masks[n], points.pixels()[n]
        assert found.mask[y - found.top, x - found.left] and 0 < found.score <= 1
        assert found.mask.any(0)[[0, -1]].all() and found.mask.any(1)[[0, -1]].all(), "the extent"


def test_without_points_or_detections_there_are_no_masks(teacher: Any) -> None:
    image = torch.zeros(3, 64, 96, dtype=torch.uint8)
    assert DetectionLabeler(teacher)(image, place(), (64, 96)) == []
    teacher.proposal_generator.inference["score_threshold"] = 2.0
    masks = DetectionLabeler(teacher)(image, take_points(place((5, 5), (6, 6)), slice(2)), (64, 96))
    assert [(m.mask.numel(), m.score) for m in masks] == [(0, 0.0)] * 2
