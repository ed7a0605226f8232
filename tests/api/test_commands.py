"""Training and checking from Python, as the commands do."""

import json
from pathlib import Path

import pytest

import depthbox
from depthbox.api import commands
from depthbox.data.synthetic import write_dataset


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_dataset(folder, 4, height=64, width=96)
    return folder


def annotations(folder: Path) -> Path:
    return next(folder.glob("*.json"))


def test_check_returns_the_findings(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = depthbox.check(annotations(scenes), images=scenes / "train")
    assert list(reports) == [""] and not reports[""].errors
    assert "images" in capsys.readouterr().out
    content = json.loads(annotations(scenes).read_text())
    for entry in content["annotations"]:
        entry["iscrowd"] = 1
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(content))
    assert depthbox.check(broken, images=str(scenes / "train"))[""].errors


def test_unknown_options_and_wrong_values_are_named(scenes: Path) -> None:
    with pytest.raises(TypeError, match="option image: did you mean images"):
        depthbox.check(annotations(scenes), image=scenes)
    with pytest.raises(ValueError, match="invalid int value: 'many'"):
        depthbox.train(data=annotations(scenes), iterations="many")
    with pytest.raises((ValueError, OSError), match=r"gone\.json"):
        depthbox.train(data=scenes / "gone.json", device="cpu")


def test_options_become_those_of_the_command() -> None:
    arguments = commands._parse(
        commands.train_command, {"data": "a.json", "val_share": 0.2, "no_check": True, "resume": False, "depth": None}
    )
    assert arguments.data == Path("a.json") and arguments.val_share == 0.2
    assert arguments.no_check and not arguments.resume and arguments.depth is None


@pytest.mark.slow
def test_training_returns_the_trained_network(scenes: Path, tmp_path: Path) -> None:
    net = depthbox.train(
        data=annotations(scenes),
        images=scenes / "train",
        output=tmp_path / "run",
        model="efficientnet_lite0",
        weights="none",
        device="cpu",
        iterations=4,
        size=64,
        batch_size=2,
        val_share=0,
        settings={"MODEL.FCOS.INFERENCE_TH": 0.0, "DATALOADER.NUM_WORKERS": 0},
    )
    assert Path(net.cfg.OUTPUT_DIR) == tmp_path / "run" and (tmp_path / "run/model_final.pth").is_file()
    assert net.cfg.SOLVER.MAX_ITER == 4 and net.classes.known
    assert net.predict(scenes / "train", threshold=0)[0].masks.shape[1:] == (64, 96)


def test_stage_without_a_network_for_new_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stage 'a' makes masks of points"):
        depthbox.train(tmp_path / "points.json", stage="a")
