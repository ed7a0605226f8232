"""Prompts: the treatment of each kind of object, and prompts of boxes and points of an image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labeling_toy import SIZE
from point_labeling_toy import make_points_job, point, write_points

from depthbox.data.points import BOX, MASK, POINT
from depthbox.labeling.loading import load_annotations
from depthbox.labeling.prompts import PromptPlan, check_plan, plan_prompts, read_planned_prompts


def plan_of(folder: Path, boxes: bool) -> tuple[list[Any], list[Any]]:
    """Return the user's ids of the objects labeled from points, and of those that stay."""
    annotations = load_annotations(folder / "points.json", folder / "images")
    plan, ids = plan_prompts(annotations, boxes=boxes), annotations.ids.annotations
    return sorted(ids[n] for n in plan.points), sorted(ids[n] for n in plan.kept)


def test_a_network_of_points_leaves_masks_and_boxes(points_folder: Path) -> None:
    assert plan_of(points_folder, boxes=False) == ([4, 5, 6, 7, 12], [10, 11])


def test_a_network_of_boxes_leaves_masks_beside_points(points_folder: Path) -> None:
    assert plan_of(points_folder, boxes=True) == ([4, 5, 6, 7, 12], [10])


def test_a_network_of_boxes_replaces_masks_without_points(folder: Path) -> None:
    boxes = load_annotations(folder / "boxes.json", folder / "images")
    assert plan_prompts(boxes, boxes=True) == PromptPlan()


def test_a_network_of_points_refuses_a_file_without_points(tmp_path: Path) -> None:
    write_points(tmp_path, [{"id": 1, "image_id": 1, "category_id": 5, "bbox": [1, 1, 9, 9]}], images=1)
    job = make_points_job(tmp_path)
    with pytest.raises(ValueError, match=r"points\.json has no object with a point only, and a P2Seg labels points"):
        check_plan(job.annotations, job.plan, boxes=False, own_truth=False)
    check_plan(job.annotations, PromptPlan(), boxes=True, own_truth=True)


def test_points_are_not_compared_with_their_own_file(points_folder: Path) -> None:
    job = make_points_job(points_folder)
    with pytest.raises(ValueError, match=r"points\.json have no masks to compare with.*--evaluate TRUTH\.json"):
        check_plan(job.annotations, job.plan, boxes=False, own_truth=True)


def test_prompts_come_before_the_context_and_have_classes_of_the_network() -> None:
    entries = [
        {"id": 1, "category_id": 2, "bbox": [-5.0, 2, 20, 10], "iscrowd": 0},
        {"category_id": 1, "iscrowd": 0, **point(2, 1, 7.5, 9.0, 1)},
        {"id": 3, "category_id": 1, "bbox": [1.0, 1, 4, 4], "segmentation": [[1, 1, 5, 1, 5, 5]], "iscrowd": 0},
    ]
    plan = PromptPlan(frozenset({2}), frozenset({3}))
    prompts = read_planned_prompts(entries, SIZE, plan=plan, classes=(4, 7))
    assert [entry["id"] for entry in prompts.annotations] == [1, 2] and [e["id"] for e in prompts.context] == [3]
    np.testing.assert_array_equal(prompts.boxes, [[0, 2, 15, 12], [0, 0, 60, 40]])
    points = prompts.points
    assert points is not None and points.classes.tolist() == [7, 4, 4] and points.kinds.tolist() == [BOX, POINT, MASK]
    np.testing.assert_array_equal(points.coords, [[5, 7], [7.5, 9], [3, 3]])
    np.testing.assert_array_equal(points.regions, [[0, 2, 15, 12], [0, 0, 60, 40], [1, 1, 5, 5]])


@pytest.mark.parametrize("place", [(-0.5, 3.0), (60.0, 3.0), (3.0, 40.0), (float("nan"), 3.0)])
def test_a_point_outside_the_image_is_left_out(place: tuple[float, float]) -> None:
    plan = PromptPlan(frozenset({1, 2}))
    entries = [{**point(1, 1, *place, 1), "iscrowd": 0}, {**point(2, 1, 59.9, 39.9, 1), "iscrowd": 0}]
    prompts = read_planned_prompts(entries, SIZE, plan=plan, classes=(0,))
    assert [entry["id"] for entry in prompts.annotations] == [2]


def test_a_box_whose_center_is_outside_competes_from_the_border() -> None:
    entry = {"id": 1, "category_id": 1, "bbox": [50.0, 30, 40, 40], "iscrowd": 0}
    prompts = read_planned_prompts([entry], SIZE, plan=PromptPlan(kept=frozenset({1})), classes=(0,))
    assert prompts.points is not None and prompts.points.coords.tolist() == [[59.5, 39.5]] and len(prompts.boxes) == 0
