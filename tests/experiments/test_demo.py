"""The demo: data, schedule, order of its steps, resumption and summary, without training."""

import json
from pathlib import Path
from typing import Any

import pytest
from detectron2.config import CfgNode

from depthbox.experiments import demo
from depthbox.experiments.demo import DemoSettings, format_summary_line, make_config, make_data, run_demo, summarize

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = DemoSettings(str(ROOT / "tests" / "tiny.yaml"), train_images=2, val_images=1, height=48, width=64)
RESULTS = {"bbox": {"AP": 51.23456}, "segm": {"AP": 40.0, "AP50": 60.0}, "boxfill": {"AP": float("nan")}}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace training and drawing; returns the list of their calls."""
    calls: list[str] = []

    def run(cfg: CfgNode, resume: bool, command: str, eval_only: bool = False) -> dict[str, Any]:
        calls.append(f"{command}{', resumed' if resume else ''}")
        return RESULTS

    monkeypatch.setattr(demo, "run", run)
    monkeypatch.setattr(demo, "draw_masks", lambda cfg, path: calls.append(f"draw {path.name}"))
    return calls


def test_both_splits_are_written(tmp_path: Path) -> None:
    train, val = make_data(SETTINGS, tmp_path)
    assert [train[0], val[0]] == ["demo_train", "demo_val"]
    for (_, json_file, images, depth), count in ((train, 2), (val, 1)):
        assert all(Path(path).is_absolute() for path in (json_file, images, depth))
        content = json.loads(Path(json_file).read_text())
        assert len(content["images"]) == len(list(Path(images).iterdir())) == len(list(Path(depth).iterdir())) == count
        assert (content["images"][0]["height"], content["images"][0]["width"]) == (48, 64)


def test_the_config_has_the_settings_of_the_demo(tmp_path: Path) -> None:
    data = [[f"demo_{split}", f"{split}.json", "images", ""] for split in ("train", "val")]
    settings = DemoSettings(SETTINGS.config_file, iterations=12, seed=3)
    cfg = make_config(settings, tmp_path, data)
    full = make_config(SETTINGS, tmp_path, data)
    assert cfg.SEED == 3 and str(tmp_path / "train") == cfg.OUTPUT_DIR and cfg.DATASETS.TRAIN == ("demo_train",)
    assert cfg.SOLVER.MAX_ITER == 12 and all(1 <= step <= 12 for step in cfg.SOLVER.STEPS)
    assert cfg.SOLVER.WARMUP_ITERS < full.SOLVER.WARMUP_ITERS and cfg.MODEL.BOXINST.PAIRWISE.WARMUP_ITERS >= 1
    assert full.SOLVER.MAX_ITER > 12 and cfg.is_frozen()


def test_a_demo_makes_data_trains_draws_and_writes_its_summary(steps: list[str], tmp_path: Path) -> None:
    summary = run_demo(SETTINGS, tmp_path)
    assert steps == ["demo", "draw masks.png"]
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert (tmp_path / "data" / "instances_train.json").is_file() and not summary["resumed"]


def test_a_run_without_results_is_evaluated(steps: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    original = demo.run
    monkeypatch.setattr(demo, "run", lambda cfg, **more: original(cfg, **more) if "eval_only" in more else {})
    assert run_demo(SETTINGS, tmp_path)["box_AP"] == 51.2346
    assert steps == ["demo, evaluation, resumed", "draw masks.png"]


def test_an_unfinished_demo_is_resumed_and_a_finished_one_starts_over(steps: list[str], tmp_path: Path) -> None:
    run_demo(SETTINGS, tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "last_checkpoint").write_text("model_0000001.pth")
    (tmp_path / "summary.json").unlink()
    assert run_demo(SETTINGS, tmp_path)["resumed"] and steps[2] == "demo, resumed"
    assert not run_demo(SETTINGS, tmp_path)["resumed"] and steps[4] == "demo"
    assert not (tmp_path / "train").exists()


def test_a_damaged_note_starts_the_demo_over(steps: list[str], tmp_path: Path) -> None:
    run_demo(SETTINGS, tmp_path)
    (tmp_path / "summary.json").unlink()
    (tmp_path / "demo.json").write_text("{")
    age = (tmp_path / "data" / "instances_val.json").stat().st_mtime_ns
    assert not run_demo(SETTINGS, tmp_path)["resumed"]
    assert (tmp_path / "data" / "instances_val.json").stat().st_mtime_ns > age


def test_the_summary_has_the_results_and_their_origin(tmp_path: Path) -> None:
    cfg = make_config(SETTINGS, tmp_path, [["a", "a.json", "a", ""], ["b", "b.json", "b", ""]])
    summary = summarize(RESULTS, SETTINGS, cfg, True, 12.6)
    assert (summary["box_AP"], summary["mask_AP"], summary["boxfill_AP"]) == (51.2346, 40.0, None)
    assert summary["seconds"] == 13 and summary["resumed"] and summary["settings"]["train_images"] == 2
    assert {"python", "torch", "detectron2", "generator"} == set(summary["versions"])
    assert summary["iterations"] == cfg.SOLVER.MAX_ITER and "MAX_ITER" in summary["config"]
    json.dumps(summary, allow_nan=False)
    assert summarize({}, SETTINGS, cfg, False, 0)["mask_AP"] is None
    assert format_summary_line(summary) == "DEMO box_AP=51.23 mask_AP=40.00 boxfill_AP=nan seconds=13"
