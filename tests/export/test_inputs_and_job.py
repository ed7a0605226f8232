"""Inputs of exported networks, and the job that writes them: refusals, metadata, and no file after a mismatch."""

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from death import each_death
from detectron2.data import transforms as T
from export_toy import config, random_network, smooth_image
from PIL import Image

from depthbox.export import ExportGraph, ExportInput, fit_image, pad_image
from depthbox.export import job as module
from depthbox.export.check import ExportMismatchError, ExportReport, check_runner, match, require_equal
from depthbox.export.job import ExportSettings, export_network
from depthbox.export.write import ExportError
from depthbox.io.files import WriteError
from depthbox.io.media import find_sources


@pytest.mark.parametrize(
    ("size", "divisibility", "padded"), [((64, 96), 32, (64, 96)), ((65, 96), 32, (96, 96)), ((1, 1), 128, (128, 128))]
)
def test_images_are_padded_with_zeros_at_the_bottom_and_on_the_right(
    size: tuple[int, int], divisibility: int, padded: tuple[int, int]
) -> None:
    pixels = np.full((*size, 3), 7, dtype=np.uint8)
    result = pad_image("a", pixels, (10, 20), divisibility)
    assert result.image.shape == (*padded, 3) and (result.valid, result.size) == (size, (10, 20))
    assert (result.image[: size[0], : size[1]] == 7).all() and result.image.sum() == pixels.sum()


@pytest.mark.parametrize(
    ("shape", "valid"),
    [((100, 100), (64, 64)), ((50, 200), (24, 96)), ((200, 50), (64, 16)), ((64, 96), (64, 96)), ((1, 500), (1, 96))],
)
def test_a_fixed_size_is_filled_without_changing_the_aspect_ratio(
    shape: tuple[int, int], valid: tuple[int, int]
) -> None:
    result = fit_image("a", np.full((*shape, 3), 9, dtype=np.uint8), T.NoOpTransform(), fixed=(64, 96))
    assert result.image.shape == (64, 96, 3) and result.valid == valid and result.size == shape
    assert (result.image[: valid[0], : valid[1]] == 9).all() and not result.image[:, valid[1] :].any()


def test_images_of_any_size_are_resized_by_the_shorter_side() -> None:
    result = fit_image("a", smooth_image(50, 80), T.ResizeShortestEdge(100, 1000), 32)
    assert result.valid == (100, 160) and result.image.shape == (128, 160, 3) and result.size == (50, 80)


def outputs(boxes: list[list[float]], scores: list[float], classes: list[int]) -> dict[str, Any]:
    return {
        "boxes": np.array(boxes, dtype=np.float32).reshape(-1, 4),
        "scores": np.array(scores, dtype=np.float32),
        "classes": np.array(classes),
    }


def test_each_detection_is_matched_once_and_to_the_nearest() -> None:
    first = outputs([[0, 0, 9, 9], [0, 0, 9, 9.05], [5, 5, 9, 9]], [0.9, 0.9, 0.5], [1, 1, 1])
    second = outputs([[0, 0, 9, 9.05], [0, 0, 9, 9], [5, 5, 9, 9]], [0.9, 0.9, 0.5], [1, 1, 2])
    assert match(first["boxes"], first["classes"], first["scores"], second, 0.1) == [(0, 1), (1, 0)]
    nothing = outputs([], [], [])
    assert match(first["boxes"], first["classes"], first["scores"], nothing, 0.1) == []
    assert match(nothing["boxes"], nothing["classes"], nothing["scores"], second, 0.1) == []


def test_the_message_of_a_mismatch_is_short_and_has_the_figures() -> None:
    report = ExportReport(images=4, detections=9, unmatched=3, borderline=1, box=0.25, failures=("a", "b", "c", "d"))
    with pytest.raises(ExportMismatchError, match="no file is written") as caught:
        require_equal(report)
    message = str(caught.value)
    assert "9 detections in 4 images" in message and "3 without a counterpart (1 of them at the threshold)" in message
    assert "boxes 0.25 pixels" in message and message.endswith("a; b; c") and "\n" not in message
    require_equal(ExportReport())


def test_the_network_agrees_with_itself_and_not_with_changed_masks() -> None:
    cfg = config()
    model = random_network(cfg)
    graph = ExportGraph(model, cfg.INPUT.FORMAT)
    image = pad_image("one.jpg", smooth_image(64, 96), (80, 120))

    def run(given: ExportInput) -> Mapping[str, Any]:
        with torch.no_grad():
            found = graph(*(torch.as_tensor(x) for x in (given.image, given.valid, given.size)))
        return dict(zip(graph.outputs, (x.numpy() for x in found), strict=True))

    same = check_runner(model, graph.flip, run, [image])
    assert same.failures == () and same.detections > 0
    other = check_runner(model, graph.flip, lambda given: {**run(given), "masks": ~run(given)["masks"]}, [image])
    assert any("one.jpg" in line and "masks differ" in line for line in other.failures)


def test_a_fixed_size_between_the_strides_is_refused(run_folder: Path, tmp_path: Path) -> None:
    settings = ExportSettings(tmp_path / "out.onnx", fixed=(100, 128))
    with pytest.raises(ExportError, match=r"--fixed-size \(100, 128\) must be multiples of 32"):
        export_network(config(), str(run_folder / "model_final.pth"), settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [False, True])
def test_a_file_is_written_only_if_the_check_passes(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: bool
) -> None:
    """The encoding is replaced, so that this test needs neither torch.export nor ONNX."""
    written: dict[str, Any] = {}

    def encode(graph: ExportGraph, settings: ExportSettings, metadata: dict[str, str]) -> bytes:
        written.update(graph=graph, metadata=metadata)
        return b"network"

    def make(content: bytes, form: str) -> Any:
        assert (content, form) == (b"network", "torch")

        def run(image: ExportInput) -> Mapping[str, Any]:
            with torch.no_grad():
                found = written["graph"](*(torch.as_tensor(x) for x in (image.image, image.valid, image.size)))
            results = dict(zip(written["graph"].outputs, (x.numpy() for x in found), strict=True))
            return {**results, "scores": results["scores"] + 0.5} if wrong else results

        return run

    monkeypatch.setattr(module, "_encode", encode)
    monkeypatch.setattr(module, "make_runner", make)
    Image.fromarray(smooth_image(100, 150)).save(tmp_path / "a.png")
    output = tmp_path / "new" / "net.pt2"
    settings = ExportSettings(output, "torch", size=64, fixed=(64, 96), classes=("cat", "dog"))
    weights, sources = str(run_folder / "model_final.pth"), find_sources([str(tmp_path / "a.png")])
    if wrong:
        with pytest.raises(ExportMismatchError, match=r"a.png: \d+ detections are found by only one"):
            export_network(config(), weights, settings, sources)
        assert not output.exists()
        return
    report = export_network(config(), weights, settings, sources)
    assert report is not None and report.images == 1 and output.read_bytes() == b"network"
    metadata = {name: json.loads(text) for name, text in written["metadata"].items()}
    assert metadata["classes"] == ["cat", "dog"] and metadata["fixed_size"] == [64, 96]
    assert (metadata["short_side"], metadata["long_side"], metadata["divisibility"]) == (64, 128, 32)


def test_without_images_nothing_is_compared(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_encode", lambda *_: b"network")
    output = tmp_path / "net.onnx"
    assert export_network(config(), str(run_folder / "model_final.pth"), ExportSettings(output)) is None
    assert output.read_bytes() == b"network"


def test_an_export_killed_at_any_point_leaves_the_older_file_or_the_new_one(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_encode", lambda *_: b"network")
    output = tmp_path / "out" / "net.onnx"
    run = functools.partial(export_network, config(), str(run_folder / "model_final.pth"), ExportSettings(output))
    output.parent.mkdir()
    deaths = []
    for death in each_death(run, lambda: output.write_bytes(b"old")):
        deaths.append(death)
        assert output.read_bytes() == b"old" or death.startswith("before unlink")
        run()
        assert output.read_bytes() == b"network" and os.listdir(output.parent) == ["net.onnx"], death
    assert len(deaths) >= 3


def test_an_output_that_cannot_be_written_is_refused_before_the_export(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    settings = ExportSettings(tmp_path / "file" / "net.onnx")
    with pytest.raises(WriteError, match="file is a file, not a folder"):
        export_network(config(), "missing.pth", settings)
