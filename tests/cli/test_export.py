"""``depthbox export``, and the example that runs its file without torch."""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from PIL import Image

from depthbox import add_depthbox_config
from depthbox.cli import export
from depthbox.config import ConfigError, load_config
from depthbox.export import ExportMismatchError, job

ROOT = Path(__file__).parents[2]
WORDS = [
    *("MODEL.TIMM.NAME", "test_resnet", "MODEL.FPN.OUT_CHANNELS", "32", "MODEL.CONDINST.MASK_BRANCH.CHANNELS", "16"),
    *("MODEL.FCOS.NUM_CLS_CONVS", "1", "MODEL.FCOS.NUM_BOX_CONVS", "1", "MODEL.CONDINST.MASK_BRANCH.NUM_CONVS", "1"),
    *("MODEL.FCOS.INFERENCE_TH", "0.0", "MODEL.FCOS.PRE_NMS_TOPK", "50", "TEST.DETECTIONS_PER_IMAGE", "10"),
    *("INPUT.MIN_SIZE_TEST", "64", "INPUT.MAX_SIZE_TEST", "128", "INPUT.FORMAT", "BGR"),
]
SHAPES = {"a.jpg": (48, 64), "b.png": (100, 70)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images in in/ and a run folder: a random network and its config."""
    folder = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    (folder / "in").mkdir()
    for name, shape in SHAPES.items():
        Image.fromarray(rng.integers(0, 255, (*shape, 3), dtype=np.uint8)).save(folder / "in" / name)
    cfg = load_config(add_depthbox_config, "tests/tiny.yaml", WORDS)
    torch.manual_seed(0)
    state = build_model(cfg).state_dict()
    state["proposal_generator.fcos_head.bbox_pred.bias"][:] = 1.5
    state["controller.bias"][232] = 2.0  # bias of the masks' last layer
    (folder / "run").mkdir()
    torch.save({"model": state}, folder / "run" / "model_final.pth")
    (folder / "run" / "config.yaml").write_text(cfg.dump())
    return folder


def call(folder: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    export.add_arguments(parser)
    return export.run(parser.parse_args(["--weights", str(folder / "run" / "model_final.pth"), *words]))


def no_torch(folder: Path) -> dict[str, str]:
    """Return an environment in which torch, torchvision and this package cannot be imported."""
    for name in ("torch", "torchvision", "detectron2", "depthbox"):
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} was imported')\n")
    return {"PYTHONPATH": str(folder), "PATH": ""}


def test_a_program_of_torch_is_checked_and_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "net.pt2"
    assert call(folder, "--output", str(output), "--check", str(folder / "in"), "--fixed-size", "64", "96") == 0
    printed = capsys.readouterr().out
    assert re.search(r"checked: [1-9]\d* detections in 2 images", printed) and printed.splitlines()[-1] == str(output)
    notes = {"fixed_size": "", "classes": "", "divisibility": ""}
    program = torch.export.load(output, extra_files=notes).module(check_guards=False)
    assert json.loads(notes["fixed_size"]) == [64, 96] and json.loads(notes["divisibility"]) == 32
    assert len(json.loads(notes["classes"])) == 8
    image = torch.zeros((64, 96, 3), dtype=torch.uint8)
    boxes, _, scores, masks = program(image, torch.tensor([64, 80]), torch.tensor([32, 40]))
    assert masks.shape == (len(boxes), 32, 40) and len(scores) == len(boxes) > 0


@pytest.mark.slow
def test_an_onnx_model_runs_without_torch(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    output = tmp_path / "net.onnx"
    assert call(folder, "--output", str(output), "--check", str(folder / "in")) == 0
    (tmp_path / "barred").mkdir()
    for name, (height, width) in SHAPES.items():
        picture = folder / "in" / name
        command = [sys.executable, str(ROOT / "examples/run_onnx.py"), str(output), str(picture)]
        done = subprocess.run(
            [*command, str(tmp_path / "found.png"), "0"],
            env=no_torch(tmp_path / "barred"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 10 and done.stdout.startswith("class ")
        with Image.open(tmp_path / "found.png") as drawn, Image.open(picture) as original:
            assert drawn.size == (width, height)
            assert (np.asarray(drawn) != np.asarray(original)).any()


def test_a_network_that_fails_the_check_is_not_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = job.make_runner

    def wrong(content: bytes, form: str) -> object:
        run = real(content, form)
        return lambda image: {**run(image), "masks": ~run(image)["masks"]}

    monkeypatch.setattr(job, "make_runner", wrong)
    (tmp_path / "net.pt2").write_bytes(b"older")
    with pytest.raises(ExportMismatchError, match=r"no file is written.*a\.jpg: \d+ masks differ"):
        call(
            folder,
            *("--output", str(tmp_path / "net.pt2"), "--fixed-size", "64", "64"),
            *("--check", str(folder / "in" / "a.jpg")),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]
    assert (tmp_path / "net.pt2").read_bytes() == b"older"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "net.bin"], r"must end in \.onnx or \.pt2"),
        (["--output", "net.onnx", "--format", "torch"], "contradicts --format torch"),
        (["--size", "10"], "32 pixels or more, not 10"),
        (["--size", "64", "--fixed-size", "64", "64"], "exclude each other"),
        (["--fixed-size", "64", "20"], "32 pixels or more"),
        (["--fixed-size", "64", "100"], "multiples of 32"),
        (["--opset", "9"], "must be between 18 and 24, not 9"),
        (["--check", "nowhere.jpg"], "nowhere.jpg"),
        (["--classes", "cat,dog"], "names 2 classes, the network has 8"),
    ],
)
def test_wrong_options_are_reported(folder: Path, words: list[str], message: str) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        call(folder, *words)


def test_wrong_files_and_keys_are_reported(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lost\.pth does not exist"):
        call(folder, "--weights", str(tmp_path / "lost.pth"))
    with pytest.raises(ConfigError, match=r"MODEL\.NONE"):
        call(folder, "--set", "MODEL.NONE", "1")
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"clip\.mp4 is not an image"):
        call(folder, "--check", str(tmp_path / "clip.mp4"))
