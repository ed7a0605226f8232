"""Detections of dense predictions against a search through all locations and classes in float64."""

import math

import pytest
import torch
from torch import Tensor

from depthbox.modeling.fcos.inference import Detections, select_detections

STRIDES, SIZES, CLASSES = (8, 16), ((3, 4), (2, 2)), 3


def dense() -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Return logits, deltas and quality of one image whose predicted boxes do not overlap."""
    logits = [torch.randn(1, CLASSES, *size) for size in SIZES]
    deltas = [torch.full((1, 4, *size), 0.4) for size in SIZES]
    return logits, deltas, [torch.randn(1, 1, *size) for size in SIZES]


def search(logits: list[Tensor], quality: list[Tensor], threshold: float, with_quality: bool) -> dict[tuple, float]:
    """Return the score sqrt(p q) of each (level, row, column, class) whose p q, or p alone, is above the threshold."""
    found = {}
    for level, (height, width) in enumerate(SIZES):
        for row in range(height):
            for column in range(width):
                q = 1 / (1 + math.exp(-float(quality[level][0, 0, row, column])))
                for label in range(CLASSES):
                    p = 1 / (1 + math.exp(-float(logits[level][0, label, row, column])))
                    if (p * q if with_quality else p) > threshold:
                        found[level, row, column, label] = math.sqrt(p * q)
    return found


def by_place(found: Detections) -> dict[tuple, float]:
    places = zip(*(x.tolist() for x in (found.level, found.row, found.column, found.classes)), strict=True)
    return dict(zip(places, found.scores.tolist(), strict=True))


@pytest.mark.parametrize("with_quality", [True, False])
@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.4])
def test_detections_are_those_above_the_threshold(threshold: float, with_quality: bool) -> None:
    logits, deltas, quality = dense()
    (found,) = select_detections(
        logits,
        deltas,
        quality,
        STRIDES,
        score_threshold=threshold,
        nms_threshold=0.9,
        threshold_with_quality=with_quality,
    )
    expected = search(logits, quality, threshold, with_quality)
    assert by_place(found) == pytest.approx(expected, abs=1e-5)
    assert len(expected) > 0 and (threshold == 0.0) == (len(expected) == CLASSES * 16)
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_the_best_of_each_level_and_of_the_image_are_kept() -> None:
    logits, deltas, quality = dense()
    expected = search(logits, quality, 0.0, True)
    options = {"score_threshold": 0.0, "nms_threshold": 0.9}
    (found,) = select_detections(logits, deltas, quality, STRIDES, pre_nms_topk=5, **options)
    best = [sorted((s for place, s in expected.items() if place[0] == level), reverse=True)[:5] for level in (0, 1)]
    assert found.scores.tolist() == pytest.approx(sorted(best[0] + best[1], reverse=True), abs=1e-5)
    (few,) = select_detections(logits, deltas, quality, STRIDES, post_nms_topk=4, **options)
    assert few.scores.tolist() == pytest.approx(sorted(expected.values(), reverse=True)[:4], abs=1e-5)


def test_of_overlapping_boxes_of_a_class_the_best_remains() -> None:
    """Boxes of 64 pixels around all cells overlap; the two classes do not suppress each other."""
    logits, _, quality = dense()
    for level in logits:
        level[:, 2] = -20
    deltas = [torch.full((1, 4, *size), 32.0 / stride) for size, stride in zip(SIZES, STRIDES, strict=True)]
    (found,) = select_detections(logits, deltas, quality, STRIDES, score_threshold=0.0, nms_threshold=0.2)
    expected = search(logits, quality, 1e-6, True)
    for label in (0, 1):
        best = max(score for place, score in expected.items() if place[3] == label)
        assert found.scores[found.classes == label][0].item() == pytest.approx(best, abs=1e-5)
    boxes = found.boxes[found.classes == 0]
    assert len(boxes) < 16
    torch.testing.assert_close(boxes[:, 2:] - boxes[:, :2], torch.full((len(boxes), 2), 64.0))
