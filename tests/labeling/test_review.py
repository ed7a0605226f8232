"""Comparison of labels with true masks, and contact sheets of doubtful masks."""

import json
from pathlib import Path

import numpy as np
import pytest
from labeling_toy import SIZE, change, ellipse, label, make_job
from PIL import Image

from depthbox.labeling.job import label_dataset
from depthbox.labeling.review import evaluate_labels, review_labels


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
