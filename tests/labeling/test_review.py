"""Comparison of labels with true masks, and contact sheets of doubtful masks."""

import json
from pathlib import Path

import numpy as np
import pytest
from labeling_toy import SIZE, change, ellipse, label, make_job
from PIL import Image
from point_labeling_toy import run_points_job

from depthbox.evaluation.coco_ground_truth import read_annotations_alone
from depthbox.labeling.job import label_dataset
from depthbox.labeling.review import evaluate_labels, measure_labels, review_labels


def test_labels_are_compared_with_true_masks(folder: Path) -> None:
    job = make_job(folder)
    summary = label_dataset(job, label)
    quality = evaluate_labels(job.annotations, summary.labels)
    filled = ellipse(SIZE, np.array([2, 3, 22, 15])).sum() / (20 * 12)
    assert (quality.count, quality.masks, quality.poor) == (1, 1.0, 0.0)
    assert quality.filled == pytest.approx(filled) and quality.agreement is None
    assert f"of filled boxes {100 * filled:.2f}" in str(quality)
    assert evaluate_labels(job.annotations, {}).masks == 0
    change(folder, lambda content: content["annotations"][0].pop("segmentation"))
    with pytest.raises(ValueError, match="contains no masks"):
        evaluate_labels(make_job(folder).annotations, summary.labels)


def test_true_polygons_are_compared_too(folder: Path) -> None:
    polygon = [[2, 3, 22, 3, 22, 15, 2, 15]]
    change(folder, lambda content: content["annotations"][0].update(segmentation=polygon))
    job = make_job(folder)
    assert evaluate_labels(job.annotations, label_dataset(job, label).labels).filled == pytest.approx(1.0)


def test_the_review_draws_the_lowest_scores_first(folder: Path) -> None:
    job = make_job(folder)
    summary = label_dataset(job, label)
    pages_folder = folder / "review"
    pages_folder.mkdir()
    (pages_folder / "review_007.png").write_bytes(b"of an earlier call")
    pages = review_labels(job.annotations, summary.labels, pages_folder, 2)
    assert [path.name for path in pages_folder.iterdir()] == ["review_001.png"] == [p.name for p in pages]
    pixels = np.asarray(Image.open(pages[0]).convert("RGB")).astype(int)
    assert pixels.shape[1] < 3 * 260  # two tiles
    # The largest box has the lowest score: its image 1 (gray 60) comes before image 3 (gray 180).
    order = [np.argmax((pixels == value).all(2).any(0)) for value in (60, 180)]
    assert 0 < order[0] < order[1]
    assert ((pixels[..., 0] > 200) & (pixels[..., 1] < 120)).sum() > 100  # contours of the masks


def test_the_input_is_not_changed(folder: Path) -> None:
    job = make_job(folder)
    before = json.dumps(job.annotations.original)
    summary = label_dataset(job, label)
    review_labels(job.annotations, summary.labels, folder / "review", 1)
    assert json.dumps(job.annotations.original) == before


def test_masks_of_points_are_compared_with_another_file_by_id(points_folder: Path) -> None:
    """The truth has the labels themselves, but half of a mask for one point and none for another."""
    summary = run_points_job(points_folder)
    (points_folder / "truth.json").write_bytes((points_folder / "masks.json").read_bytes())

    def edit(content: dict) -> None:
        by_id = {entry["id"]: entry for entry in content["annotations"]}
        x, y, width, height = by_id[6]["bbox"]
        by_id[6]["segmentation"] = [[x, y, x + width, y, x + width, y + 2 * height, x, y + 2 * height]]
        del by_id[12]["segmentation"]

    change(points_folder, edit, "truth.json")
    truth = read_annotations_alone(points_folder / "truth.json").annotations
    quality = measure_labels(summary.annotations, summary.labels, truth, summary.plan)
    area = next(label.area for label in summary.labels.values() if label.score == pytest.approx(0.9) and label.area)
    assert (quality.count, quality.missing, quality.unmatched) == (4, 0, 1), "kept objects are not compared"
    expected = (3 + area / (2 * 9 * 9)) / 4
    assert quality.mean_iou == pytest.approx(expected, abs=1e-9)
    assert quality.above_50 == quality.above_75 == 0.75 and quality.fallbacks == 0.5
    assert "50.0 % of the masks are fallbacks" in str(quality) and quality.ap["AP50"] > 0


def test_the_review_of_points_starts_with_squares_and_draws_crosses(points_folder: Path) -> None:
    summary = run_points_job(points_folder)
    (page,) = review_labels(summary.annotations, summary.labels, points_folder / "review", 4, summary.plan)
    pixels = np.asarray(Image.open(page).convert("RGB")).astype(int)
    assert pixels.shape[1] == 6 + 4 * 246
    tiles = [pixels[:, 6 + 246 * n : 6 + 246 * (n + 1)] for n in range(4)]
    gray = [[value for value in (60, 120, 180) if (tile == value).all(2).sum() > 500] for tile in tiles]
    assert gray[:2] == [[180], [180]], "the squares of image 3 come first"
    assert gray[2:] == [[60], [60]] or gray[2:] == [[60], [180]]
    assert all(((tile == (255, 230, 0)).all(2)).sum() > 30 for tile in tiles)
