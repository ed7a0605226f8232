"""Squares in place of masks: the median side of a class, and their place."""

from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
from labeling_toy import SIZE
from point_labeling_toy import make_points_job

from depthbox.io.coco_masks import crop_to_rle
from depthbox.labeling.fallback import fill_fallbacks, median_sides
from depthbox.labeling.partial_results import ObjectLabel


def filled(height: int, width: int, fallback: bool = False) -> ObjectLabel:
    rle = crop_to_rle(np.ones((height, width), dtype=bool), 0, 0, SIZE)
    return ObjectLabel(rle, 0.7, height * width, fallback)


def test_the_side_is_the_median_root_of_the_area_without_squares(points_folder: Path) -> None:
    """Labels 0, 5 and 6 are points of the class 1; the mask of the annotation at index 2 is the user's."""
    job = make_points_job(points_folder)
    given = int(mask_util.area(job.annotations.content["annotations"][2]["segmentation"]))
    labels = {0: filled(4, 4), 5: filled(20, 20), 6: filled(9, 1), 7: filled(30, 30, fallback=True)}
    sides = median_sides(job.annotations, labels, job.plan)
    assert sides == {1: float(np.median([4, 20, 3, given**0.5]))} and 3 < sides[1] < 20


def test_labels_with_masks_and_filled_squares_are_not_changed(points_folder: Path) -> None:
    job = make_points_job(points_folder)
    labels = {0: filled(4, 4), 5: filled(6, 6, fallback=True), 6: ObjectLabel(None), 7: ObjectLabel(None, 0.5, 0, True)}
    result = fill_fallbacks(job.annotations, labels, job.plan)
    assert {index: result[index] for index in (0, 5, 6)} == {index: labels[index] for index in (0, 5, 6)}
    assert result[7].fallback and result[7].area > 0 and result[7].score == 0.5
    assert fill_fallbacks(job.annotations, result, job.plan) == result
