"""Partial and finished results of labeling jobs: resuming, starting over and recognizing a finished job."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from labeling_toy import SIZE, label, make_job
from PIL import Image

from depthbox.labeling.box_labeler import BoxMask
from depthbox.labeling.job import find_finished, label_dataset
from depthbox.labeling.prompts import Prompts


def test_a_stopped_job_is_resumed(folder: Path) -> None:
    job = make_job(folder)
    asked: list[int] = []

    def stop(image: dict[str, Any], pixels: np.ndarray, prompts: Prompts) -> list[BoxMask]:
        if asked:
            raise KeyboardInterrupt
        asked.append(image["id"])
        return label(image, pixels, prompts)

    with pytest.raises(KeyboardInterrupt):
        label_dataset(job, stop)
    assert not job.output.exists() and job.partial_file.is_file()
    with open(job.partial_file, "ab") as file:
        file.write(b'{"labels": [{"index"')  # the machine stopped in the middle of a line

    def resume(image: dict[str, Any], pixels: np.ndarray, prompts: Prompts) -> list[BoxMask]:
        asked.append(image["id"])
        return label(image, pixels, prompts)

    summary = label_dataset(job, resume)
    assert asked == [1, 2, 3] and summary.resumed == 1 and not summary.started_over
    assert len(summary.labels) == 4 and not job.partial_file.exists()


def test_a_job_with_other_inputs_starts_over(folder: Path) -> None:
    def fail(image: dict[str, Any], pixels: np.ndarray, prompts: Prompts) -> list[BoxMask]:
        if image["id"] == 2:
            raise RuntimeError("out of memory")
        return label(image, pixels, prompts)

    with pytest.raises(RuntimeError):
        label_dataset(make_job(folder), fail)
    summary = label_dataset(make_job(folder, fingerprint="two"), label)
    assert summary.started_over and summary.resumed == 0 and len(summary.labels) == 4


@pytest.mark.parametrize("mask_format", ["rle", "polygons"])
def test_a_finished_job_is_recognized_only_with_the_same_inputs(folder: Path, mask_format: str) -> None:
    job = make_job(folder, mask_format=mask_format)
    assert find_finished(job) is None
    summary, written = label_dataset(job, label), job.output.read_bytes()
    found = find_finished(job)
    assert found is not None and found.was_finished and found.unlabeled == 0
    assert found.labels.keys() == summary.labels.keys()
    for index, expected in summary.labels.items():
        first, second = (mask_util.decode(one.segmentation) for one in (expected, found.labels[index]))
        assert (first & second).sum() / (first | second).sum() > (0.999 if mask_format == "rle" else 0.85)
        assert found.labels[index].score == expected.score
    others = [
        {"fingerprint": "two"},
        {"fingerprint": ""},
        {"mask_format": "rle" if mask_format != "rle" else "polygons"},
    ]
    for other in others:
        assert find_finished(dataclasses.replace(job, **other)) is None
        with pytest.raises(FileExistsError, match="--overwrite"):
            label_dataset(dataclasses.replace(job, **other), label)
    assert find_finished(dataclasses.replace(job, overwrite=True)) is None
    Image.fromarray(np.zeros((*SIZE, 3), dtype=np.uint8)).save(folder / "images" / "1.png")
    assert find_finished(job) is None, "an image has changed"
    assert job.output.read_bytes() == written


def test_a_finished_job_keeps_its_unlabeled_and_empty_objects(folder: Path) -> None:
    (folder / "images" / "2.png").write_bytes(b"no image")

    def empty(image: dict[str, Any], pixels: np.ndarray, prompts: Prompts) -> list[BoxMask]:
        return [BoxMask(torch.zeros((2, 2), dtype=torch.bool), 0, 0, 0.0) for _ in prompts.boxes]

    summary = label_dataset(make_job(folder), empty)
    found = find_finished(make_job(folder))
    assert found is not None and (summary.unlabeled, summary.empty) == (found.unlabeled, found.empty) == (1, 3)
