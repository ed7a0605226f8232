"""Predictions that are killed, repeated, changed afterwards, or started twice."""

import functools
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from death import each_death, expect_refusal, fail_with_limit
from detectron2.config import get_cfg
from detectron2.structures import Boxes, Instances
from PIL import Image

from depthbox.errors import Stopped
from depthbox.inference.classes import ClassList
from depthbox.inference.finished import (
    describe_prediction_shortage,
    find_finished,
    occupy_output,
    prediction_fingerprint,
    write_record,
)
from depthbox.inference.pipeline import PredictionSettings, PredictionSummary, predict_sources
from depthbox.io.files import WriteError
from depthbox.io.folder_lock import lock_folder
from depthbox.io.media import MediaSource, find_sources
from depthbox.io.video import VideoFile

CLASSES = ClassList(("cat",), (1,))
SIZE = (48, 64)


def predict(images: list[np.ndarray]) -> list[Instances]:
    """Find one square in each image."""
    found = Instances(SIZE)
    found.pred_boxes, found.scores = Boxes(torch.tensor([[4.0, 4, 20, 20]])), torch.tensor([0.5])
    found.pred_classes, found.pred_masks = torch.zeros(1, dtype=torch.int64), torch.ones(1, *SIZE, dtype=torch.bool)
    return [found for _ in images]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "b.png"):
        Image.fromarray(rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)).save(tmp_path / "in" / name)
    return tmp_path / "in"


def run(images: Path, output: Path, job: str = "job") -> PredictionSummary:
    """Predict as the command does."""
    settings = PredictionSettings(output, threshold=0, cutouts=True)
    if finished := find_finished(output, job):
        return finished
    with occupy_output(output):
        summary = predict_sources(find_sources([str(images)]), predict, CLASSES, settings)
        write_record(output, job, summary)
    return summary


def list_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_prediction_killed_at_any_point_ends_as_if_it_was_not(images: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    (images / "a.jpg").unlink()
    run(images, output)
    expected = list_files(output)
    assert len(expected) == 4 and "prediction_info.json" in expected

    def prepare() -> None:
        for name in list_files(output):
            (output / name).unlink()

    deaths = []
    for death in each_death(functools.partial(run, images, output), prepare):
        deaths.append(death)
        run(images, output)
        assert list_files(output) == expected, death
    assert len(deaths) >= 10


def test_the_same_call_is_done_already_and_another_is_not(images: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    summary = run(images, output)
    found = find_finished(output, "job")
    assert found is not None and (found.images, found.objects) == (summary.images, summary.objects) == (2, 2)
    assert find_finished(output, "other") is None and find_finished(output, "") is None
    (output / "overlays" / "a.jpg").unlink()
    assert find_finished(output, "job") is None, "a file was removed"
    run(images, output)
    (output / "prediction_info.json").write_text("[" * 100_000)
    assert find_finished(output, "job") is None


def test_an_incomplete_prediction_has_no_record(images: Path, tmp_path: Path) -> None:
    (images / "c.png").write_bytes(b"no image")
    assert run(images, tmp_path / "out").failures
    assert not (tmp_path / "out" / "prediction_info.json").exists()


def test_a_stop_by_a_signal_keeps_the_results_and_its_status(images: Path, tmp_path: Path) -> None:
    def stop(pixels: list[np.ndarray]) -> list[Instances]:
        raise Stopped(15)

    settings = PredictionSettings(tmp_path / "out")
    summary = predict_sources(find_sources([str(images)]), stop, CLASSES, settings)
    assert (summary.stopped, summary.status) == (True, 143)
    assert os.listdir(tmp_path / "out") == ["predictions.json"]


def test_the_fingerprint_depends_on_all_inputs(images: Path, tmp_path: Path) -> None:
    weights = tmp_path / "w.pth"
    weights.write_bytes(b"1")
    sources, cfg = find_sources([str(images)]), get_cfg()
    plain = PredictionSettings(tmp_path / "out")

    def compute(settings: PredictionSettings = plain, classes: ClassList = CLASSES, size: int = 0) -> str:
        return prediction_fingerprint(cfg, str(weights), sources, classes, settings, size)

    first = compute()
    assert compute(PredictionSettings(tmp_path / "elsewhere")) == first
    others = [
        compute(PredictionSettings(tmp_path / "out", threshold=0.5)),
        compute(classes=ClassList(("dog",), (1,))),
        compute(size=64),
        prediction_fingerprint(cfg, str(weights), sources[:1], CLASSES, plain, 0),
    ]
    cfg.SEED = 5
    others.append(compute())
    weights.write_bytes(b"2")
    others.append(compute())
    assert len({first, *others}) == 7 and first
    assert prediction_fingerprint(cfg, str(weights), [MediaSource("camera", "0", "c")], CLASSES, plain, 0) == ""


def test_a_second_process_is_refused(images: Path, tmp_path: Path) -> None:
    lock = functools.partial(lock_folder, tmp_path / "out", "prediction")
    assert "out is in use by another prediction" in expect_refusal(
        lock, functools.partial(run, images, tmp_path / "out")
    )
    assert not (tmp_path / "out").exists()


def test_a_full_disk_names_the_file_and_leaves_whole_files_only(images: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    message = fail_with_limit(functools.partial(run, images, output), 3000)
    assert "WriteError" in message and f"{output}/" in message and "File too large" in message
    for name in list_files(output):
        with Image.open(output / name) as image:
            image.load()


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_video_that_does_not_fit_is_named_although_opencv_reports_nothing(tmp_path: Path, suffix: str) -> None:
    def write() -> None:
        rng = np.random.default_rng(0)
        with VideoFile(tmp_path / "out" / f"a{suffix}", SIZE, 10.0) as video:
            for _ in range(120):
                video.write(rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8))

    message = fail_with_limit(write, 50_000)
    assert f"WriteError: {tmp_path}/out/a{suffix} cannot be written: File too large" in message
    assert os.listdir(tmp_path / "out") == []
    write()
    capture = cv2.VideoCapture(str(tmp_path / "out" / f"a{suffix}"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 120
    capture.release()


def test_the_space_for_overlays_is_estimated(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = find_sources([str(images)])
    assert describe_prediction_shortage(sources, PredictionSettings(tmp_path / "out")) == ""
    monkeypatch.setattr("depthbox.io.write_errors._find_free", lambda _: 100)
    assert "only 100 bytes are free" in describe_prediction_shortage(sources, PredictionSettings(tmp_path / "out"))
    assert describe_prediction_shortage(sources, PredictionSettings(tmp_path / "out", overlays=False)) == ""


def test_the_images_of_a_stream_name_the_file_on_a_full_disk(tmp_path: Path) -> None:
    from depthbox.io.files import open_scratch

    def write() -> None:
        with open_scratch(tmp_path / "predictions.json") as file:
            file.write(bytes(50_000))

    assert fail_with_limit(write, 5000).startswith(f"{WriteError.__name__}: {tmp_path}/predictions.json cannot be")
