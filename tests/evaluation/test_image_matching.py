"""Detections of single images: matching at a threshold, crowds, the best threshold, and the choice of images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_evaluation_toy import rle

from depthbox.evaluation import image_quality
from depthbox.evaluation.image_quality import (
    EvaluatedDataset,
    ImageDetections,
    ImageMatch,
    best_threshold,
    read_candidates,
)

SIZE = (50, 60)


def make_row(box: tuple[int, int, int, int], image: int = 1, category: int = 1, **more: Any) -> dict[str, Any]:
    """Return an object or detection whose mask is its box."""
    x, y, w, h = box
    mask = np.zeros(SIZE, bool)
    mask[y : y + h, x : x + w] = True
    return {"image_id": image, "category_id": category, "bbox": list(box), "segmentation": rle(mask), **more}


def make_dataset(*objects: dict[str, Any], images: int = 1, has_masks: bool = True) -> EvaluatedDataset:
    records = {n: {"id": n, "height": SIZE[0], "width": SIZE[1]} for n in range(1, images + 1)}
    by_image = {n: [o for o in objects if o["image_id"] == n] for n in records}
    return EvaluatedDataset(records, by_image, {1: "a", 2: "b"}, Path(), has_masks)


def make_candidate(
    scores: list[float], overlaps: list[list[float]], ignored: list[bool] | None = None
) -> ImageDetections:
    """Return detections with given scores and IoUs with each object."""
    detections = [{"score": score} for score in scores]
    table = np.array(overlaps, dtype=float).reshape(len(scores), -1)
    flags = np.array(ignored or [False] * len(scores), dtype=bool)
    return ImageDetections(1, detections, table, [{}] * table.shape[1], flags, masks=True)


def test_the_best_detection_chooses_first() -> None:
    match = make_candidate([0.9, 0.8], [[0.6, 0.7], [0.5, 0.9]]).match(0.0)
    assert match.matched == {0: 1, 1: 0} and match.iou_sum == pytest.approx(1.2) and match.false_detections == 0
    assert match.quality == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("threshold", "matched", "wrong"), [(0.0, {0: 0}, 2), (0.5, {0: 0}, 1), (0.9, {0: 0}, 0), (0.91, {}, 0)]
)
def test_detections_below_the_threshold_are_not_counted(threshold: float, matched: dict[int, int], wrong: int) -> None:
    match = make_candidate([0.9, 0.5, 0.2], [[0.8], [0.9], [0.1]]).match(threshold)
    assert match.matched == matched and match.false_detections == wrong and match.objects == 1


def test_an_iou_of_one_half_is_enough() -> None:
    assert make_candidate([0.9], [[0.5]]).match(0.0).matched == {0: 0}
    assert make_candidate([0.9], [[0.499]]).match(0.0).false_detections == 1


def test_detections_in_a_crowd_are_not_false_but_may_find_an_object() -> None:
    match = make_candidate([0.9, 0.8], [[0.0], [0.7]], [True, True]).match(0.0)
    assert match.matched == {1: 0} and match.false_detections == 0


@pytest.mark.parametrize(
    ("found", "wrong", "objects", "quality"),
    [(0, 0, 0, 0.0), (0, 3, 2, 0.0), (2, 0, 2, 0.8), (2, 2, 2, 1.6 / 3), (2, 0, 4, 1.6 / 3)],
)
def test_quality_divides_by_the_mean_of_objects_and_detections(
    found: int, wrong: int, objects: int, quality: float
) -> None:
    match = ImageMatch(dict.fromkeys(range(found)), 0.8 * found, wrong, objects)
    assert match.quality == pytest.approx(quality)


def test_the_best_threshold_has_the_highest_f1_score() -> None:
    # Right detections have scores of at least 0.62, wrong ones of at most 0.58.
    candidates = [make_candidate([0.9, 0.58], [[0.9], [0.0]]), make_candidate([0.62, 0.3], [[0.9], [0.0]])]
    assert best_threshold(candidates) == 0.6
    assert best_threshold([make_candidate([0.9], [[0.9]])]) == 0.05, "the lowest of equally good thresholds"
    assert best_threshold([make_candidate([0.04], [[0.9]])]) == 0.05
    assert best_threshold([]) == 0.05


def test_objects_of_another_class_are_not_found() -> None:
    box = (5, 5, 20, 20)
    (candidate,) = read_candidates([make_row(box, category=2, score=0.9)], make_dataset(make_row(box)))
    assert candidate.overlaps.tolist() == [[0.0]] and candidate.match(0.0).false_detections == 1


def test_detections_are_sorted_and_the_worst_of_too_many_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_quality, "MAX_DETECTIONS", 3)
    found = [make_row((5, 5, 20, 20), score=score) for score in (0.1, 0.9, 0.5, 0.7)]
    (candidate,) = read_candidates(found, make_dataset(make_row((5, 5, 20, 20))))
    assert [detection["score"] for detection in candidate.detections] == [0.9, 0.7, 0.5]
    assert candidate.overlaps.shape == (3, 1) and candidate.ignored.tolist() == [False] * 3


def test_crowds_are_not_objects() -> None:
    crowd = make_row((0, 0, 60, 40), iscrowd=1)
    dataset = make_dataset(make_row((5, 5, 10, 10)), crowd, {**crowd, "image_id": 2}, images=3)
    inside, beyond = make_row((30, 5, 20, 20), score=0.9), make_row((30, 32, 20, 18), score=0.8)
    (candidate,) = read_candidates([inside, beyond], dataset)
    assert candidate.image == 1 and len(candidate.objects) == 1, "the images 2 and 3 have no object"
    assert candidate.ignored.tolist() == [True, False], "8 of 18 rows lie in the crowd"


def test_masks_are_compared_only_if_both_sides_have_them() -> None:
    box, half = (10, 10, 20, 20), make_row((10, 10, 20, 10))["segmentation"]
    truth, found = make_row(box), {**make_row(box, score=0.9), "segmentation": half}
    (masks,) = read_candidates([found], make_dataset(truth))
    assert masks.masks and masks.overlaps[0, 0] == pytest.approx(0.5)
    bare = {key: value for key, value in found.items() if key != "segmentation"}
    for detections, has_masks in (([found], False), ([bare], True)):
        (boxes,) = read_candidates(detections, make_dataset(truth, has_masks=has_masks))
        assert not boxes.masks and boxes.overlaps[0, 0] == pytest.approx(1.0)


def test_polygons_are_compared_as_masks() -> None:
    truth = {**make_row((10, 10, 20, 20)), "segmentation": [[10, 10, 30, 10, 30, 30, 10, 30]]}
    (candidate,) = read_candidates([make_row((10, 10, 20, 20), score=0.9)], make_dataset(truth))
    assert candidate.overlaps[0, 0] == pytest.approx(1.0)


def test_images_without_detections_are_kept_and_many_images_are_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(*(make_row((5, 5, 10, 10), image=n) for n in range(1, 11)), images=10)
    assert [candidate.image for candidate in read_candidates([], dataset)] == list(range(1, 11))
    assert read_candidates([], dataset)[0].overlaps.shape == (0, 1)
    monkeypatch.setattr(image_quality, "MAX_IMAGES", 4)
    assert [candidate.image for candidate in read_candidates([], dataset)] == [1, 4, 7, 10]
