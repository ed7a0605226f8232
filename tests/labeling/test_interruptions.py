"""Labeling jobs that are killed at any point, run out of space, or are started twice."""

import functools
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from death import each_death, expect_refusal, fail_with_limit
from labeling_toy import label, make_job

from depthbox.io.folder_lock import lock_folder
from depthbox.labeling.box_labeler import BoxMask
from depthbox.labeling.job import describe_label_shortage, find_finished, label_dataset
from depthbox.labeling.prompts import Prompts


def run(folder: Path, **options: Any) -> None:
    """Run the job as the command does."""
    job = make_job(folder, **options)
    if find_finished(job) is None:
        label_dataset(job, label)


def list_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_job_killed_at_any_point_ends_as_if_it_was_not(folder: Path, tmp_path: Path, overwrite: bool) -> None:
    work = folder / "work"
    shutil.copytree(folder / "images", work / "images")
    shutil.copy2(folder / "boxes.json", work / "boxes.json")
    run(work, overwrite=overwrite)
    expected = list_files(work)
    assert sorted(name for name in expected if "/" not in name) == ["boxes.json", "masks.json"]

    def prepare() -> None:
        for name in list_files(work).keys() - {"boxes.json", "images/1.png", "images/2.png", "images/3.png"}:
            (work / name).unlink()

    deaths = []
    for death in each_death(functools.partial(run, work, overwrite=overwrite), prepare):
        deaths.append(death)
        run(work, overwrite=overwrite)
        assert list_files(work) == expected, death
    assert {death.split()[1] for death in deaths} == {"replace", "fsync", "unlink"} and len(deaths) >= 8


def test_a_full_disk_at_the_first_image_leaves_no_file(folder: Path) -> None:
    message = fail_with_limit(functools.partial(run, folder), 100)
    assert "WriteError: " in message and "masks.json.partial.jsonl cannot be written: File too large" in message
    assert "kept" not in message and sorted(os.listdir(folder)) == ["boxes.json", "images"]


def test_a_full_disk_at_the_end_keeps_the_older_output_and_the_labels(folder: Path) -> None:
    (folder / "masks.json").write_bytes(b"old")
    label_dataset(make_job(folder, output=folder / "whole.json"), label)
    size = (folder / "whole.json").stat().st_size - 50
    message = fail_with_limit(functools.partial(run, folder, overwrite=True), size)
    assert "masks.json cannot be written: File too large" in message
    assert "The finished images are kept in" in message and "the same command resumes" in message
    assert (folder / "masks.json").read_bytes() == b"old"
    assert sorted(os.listdir(folder)) == [
        "boxes.json",
        "images",
        "masks.json",
        "masks.json.partial.jsonl",
        "whole.json",
    ]

    def refuse(image: dict[str, Any], pixels: np.ndarray, prompts: Prompts) -> list[BoxMask]:
        raise AssertionError("all images are labeled")

    assert label_dataset(make_job(folder, overwrite=True), refuse).resumed == 3
    assert (folder / "masks.json").read_bytes() == (folder / "whole.json").read_bytes()


def test_a_second_process_is_refused(folder: Path) -> None:
    message = expect_refusal(
        functools.partial(lock_folder, folder, "labeling job", "masks.json"), functools.partial(run, folder)
    )
    assert "masks.json is in use by another labeling job: process" in message
    assert sorted(os.listdir(folder)) == ["boxes.json", "images"]


def test_the_space_is_estimated_before_the_job(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe_label_shortage(make_job(folder)) == ""
    monkeypatch.setattr("depthbox.io.write_errors._find_free", lambda _: 1000)
    assert "only 1.0 kB are free" in describe_label_shortage(make_job(folder))
