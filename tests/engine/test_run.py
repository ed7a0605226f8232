"""One run: validation before any change, an earlier run set aside as a whole, reuse of memory."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from engine_toy import toy_config

from depthbox.config import load_config
from depthbox.config.defaults import add_depthbox_config
from depthbox.data.synthetic.write import write_dataset as write_scenes
from depthbox.engine.run import run

PROGRAM = """
import resource, torch
from depthbox.engine.run import keep_freed_memory
def faults():
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        torch.ones(10, 2**20)  # 40 MiB: above the largest threshold that glibc chooses itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start
faults()
default = faults()
assert keep_freed_memory()
faults()
print(default, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_tensors_are_allocated_without_page_faults() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    default, kept = map(int, done.stdout.split())
    assert kept < default / 10


SHORT = {"SOLVER__MAX_ITER": 2, "SOLVER__CHECKPOINT_PERIOD": 1}


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def without_files(entry: list[str], tmp_path: Path, *missing: int) -> list[str]:
    """Return an entry of DATASETS.COCO_STYLE with a missing annotation file (1) or image folder (2)."""
    name = f"{entry[0]}-{tmp_path.name}-{missing}"
    return [name, *(str(tmp_path / "missing") if n in missing else path for n, path in enumerate(entry[1:], 1))]


@pytest.mark.parametrize(
    ("mistake", "error"),
    [
        ({"SOLVER__ACCUMULATION_STEPS": 3}, "must be a multiple of"),
        ({"SOLVER__OPTIMIZER": "LAMB"}, r"SOLVER\.OPTIMIZER is .LAMB., but it must be SGD, ADAM or ADAMW"),
        ({"MODEL__WEIGHTS": "nowhere.pth"}, "the file nowhere.pth does not exist"),
        ({"TEST__EVALUATOR": "lvis"}, r"TEST\.EVALUATOR is .lvis., but it must be coco, cityscapes or voc_masks"),
        ({"TEST__EVALUATE": "pupil"}, r"TEST\.EVALUATE is .pupil., but it must be student, teacher or both"),
        ({"DATASETS__TRAIN": ("unknown",)}, "unknown data"),
        ({"DATASETS__TEST": ("unknown",)}, "unknown data"),
        ("annotations", "missing"),
        ("images of the test set", "missing"),
    ],
)
def test_refused_run_changes_nothing(entry, tmp_path, mistake, error):
    folder = tmp_path / "run"
    run(toy_config(entry, folder, **SHORT))
    before = snapshot(folder)
    keys, data = dict(SHORT), entry
    if mistake == "annotations":
        data = without_files(entry, tmp_path, 1)
    elif mistake == "images of the test set":
        broken = without_files(entry, tmp_path, 2)
        keys.update(DATASETS__COCO_STYLE=[entry, broken], DATASETS__TEST=(broken[0],))
    else:
        keys.update(mistake)
    for output in (folder, tmp_path / "new"):
        with pytest.raises((ValueError, OSError), match=error):
            run(toy_config(data, output, **keys))
    assert snapshot(folder) == before
    assert not (tmp_path / "new").exists()


def test_refused_evaluation_changes_nothing(entry, tmp_path):
    keys = {"DATASETS__TEST": (entry[0],), "MODEL__WEIGHTS": "nowhere.pth"}
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        run(toy_config(entry, tmp_path / "run", **keys), eval_only=True)
    assert not (tmp_path / "run").exists()


def test_log_includes_messages_from_before_it_was_opened(entry, tmp_path):
    run(toy_config(entry, tmp_path, **SHORT), command="the command")
    log = (tmp_path / "log.txt").read_text()
    assert "INFO: Run: the command" in log and "DEBUG: Environment:" in log and "MODEL.WEIGHTS is empty" in log
    assert log.index("Run: the command") < log.index("Checkpoint saved")


def test_second_run_sets_the_first_one_aside_as_a_whole(entry, tmp_path, capsys):
    folder, keys = tmp_path / "run", {**SHORT, "DATASETS__TEST": (entry[0],)}
    run(toy_config(entry, folder, **keys), command="first")
    before = snapshot(folder)
    run(toy_config(entry, folder, SEED=4, **keys), command="second")
    assert "earlier_1" in capsys.readouterr().out
    after = snapshot(folder / "earlier_1")
    assert after.keys() == before.keys() >= {"config.yaml", "run.json", "metrics.json", "log.txt", "model_final.pth"}
    assert {name for name in before if before[name] != after[name]} == {"config.yaml"}
    assert yaml.safe_load((folder / "config.yaml").read_text())["SEED"] == 4
    assert yaml.safe_load((folder / "earlier_1" / "config.yaml").read_text())["SEED"] == 3
    assert "first" in (folder / "earlier_1" / "run.json").read_text()
    assert "second" in (folder / "run.json").read_text() and "Run: first" not in (folder / "log.txt").read_text()
    assert not torch.equal(*(
        torch.load(path / "model_final.pth", weights_only=True)["model"]["head.bias"]
        for path in (folder, folder / "earlier_1")
    ))  # fmt: skip


def test_resumed_run_stays_in_its_folder(entry, tmp_path):
    run(toy_config(entry, tmp_path, **SHORT), command="first")
    run(toy_config(entry, tmp_path, SOLVER__MAX_ITER=3), resume=True, command="second")
    assert not list(tmp_path.glob("earlier_*"))
    assert "first" in (tmp_path / "run.json").read_text()
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["SOLVER"]["MAX_ITER"] == 3
    log = (tmp_path / "log.txt").read_text()
    assert log.index("Run: first") < log.index("Run: second")


def test_resuming_completes_an_interrupted_move(entry, tmp_path):
    """A run that was to be replaced is not resumed if the process was killed while it was set aside."""
    run(toy_config(entry, tmp_path, **SHORT), command="first")
    (tmp_path / "earlier_1.incomplete").mkdir()
    os.rename(tmp_path / "last_checkpoint", tmp_path / "earlier_1.incomplete" / "last_checkpoint")
    run(toy_config(entry, tmp_path, **SHORT), resume=True, command="second")
    assert "first" in (tmp_path / "earlier_1" / "run.json").read_text()
    assert (tmp_path / "earlier_1" / "model_final.pth").is_file()
    log = (tmp_path / "log.txt").read_text()
    assert "Run: first" not in log and "training starts at iteration 0" in log


def test_run_may_start_from_weights_of_the_run_that_it_replaces(entry, tmp_path):
    run(toy_config(entry, tmp_path, **SHORT))
    weights = str(tmp_path / "model_final.pth")
    run(toy_config(entry, tmp_path, MODEL__WEIGHTS=weights, **SHORT))
    moved = str(tmp_path / "earlier_1" / "model_final.pth")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["MODEL"]["WEIGHTS"] == moved
    assert moved in torch.load(tmp_path / "model_final.pth", weights_only=True)["config"]


@pytest.mark.slow
def test_earlier_run_can_be_evaluated_after_its_annotations_were_replaced(tmp_path):
    """``depthbox eval --run`` of a run that was set aside uses the annotations of that run."""
    from depthbox.cli import main

    scenes, folder = tmp_path / "scenes", tmp_path / "run"
    source = write_scenes(scenes, 3, height=64, width=96, split="train")
    made = folder / "data" / "train.json"
    made.parent.mkdir(parents=True)
    made.write_bytes(Path(source).read_bytes())
    entry = [[f"made-{tmp_path}", str(made), str(scenes / "train"), ""]]
    words = [
        *("DATASETS.COCO_STYLE", repr(entry), "DATASETS.TRAIN", f"('{entry[0][0]}',)", "OUTPUT_DIR", str(folder)),
        *("DATASETS.TEST", f"('{entry[0][0]}',)", "MODEL.FPN.OUT_CHANNELS", "32", "REPORT.ENABLED", "False"),
        *("SOLVER.IMS_PER_BATCH", "2", "SOLVER.MAX_ITER", "1", "SOLVER.STEPS", "()", "INPUT.MIN_SIZE_TRAIN", "(64,)"),
    ]
    cfg = load_config(add_depthbox_config, "tests/tiny.yaml", words)
    first = run(cfg)
    run(cfg)
    made.write_text("replaced by a third run")
    report = tmp_path / "ap.json"
    program = [sys.executable, "-m", main.__name__, "eval", "--run", str(folder / "earlier_1")]
    done = subprocess.run([*program, "--report", str(report)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = yaml.safe_load(report.read_text())
    assert measured.keys() == first.keys()
    assert measured["bbox"]["AP"] == pytest.approx(first["bbox"]["AP"], nan_ok=True)
