"""Shell scripts: syntax, help, names of existing configs, and their commands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "scripts").glob("*.sh"))
COMMANDS = [path for path in SCRIPTS if path.name != "common.sh"]
TABLES = {"1": 14, "2": 5, "3": 11}


def call(script: Path, *words: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON": sys.executable, **variables}
    return subprocess.run(["bash", str(script), *words], env=environment, cwd=cwd, capture_output=True, text=True)


def by_name(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("script", paths, ids=lambda path: path.name)


@by_name(SCRIPTS)
def test_it_parses_and_names_existing_files(script: Path) -> None:
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True).returncode == 0
    named = set(re.findall(r"\b(?:configs|tools|scripts|docs)/[\w./-]+\.(?:yaml|py|sh|md)\b", script.read_text()))
    assert [name for name in named if not (ROOT / name).is_file()] == []
    assert named or script.name == "common.sh"


@by_name(COMMANDS)
def test_it_stops_at_errors_and_has_a_help_from_any_folder(script: Path, tmp_path: Path) -> None:
    assert "set -euo pipefail" in script.read_text() and os.access(script, os.X_OK)
    done = call(Path(os.path.relpath(script, tmp_path)), "--help", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith(f"Usage: scripts/{script.name}")
    assert "NUM_GPUS" in done.stdout and "set -euo" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120
    wrong = call(script, "--help", NUM_GPUS="all")
    assert wrong.returncode == 2 and "NUM_GPUS must be a number" in wrong.stderr


@pytest.mark.parametrize("table", TABLES)
def test_a_table_lists_its_configs(table: str) -> None:
    text = (ROOT / "scripts" / f"reproduce_table{table}.sh").read_text()
    rows = re.findall(r"^ {4}(configs/\S+\.yaml)$", text, flags=re.MULTILINE)
    assert len(rows) == len(set(rows)) == TABLES[table]
    assert {Path(row).parent.name for row in rows} == {{"1": "coco", "2": "cityscapes", "3": "ablations"}[table]}


def test_table_1_trains_and_then_evaluates_on_test_dev() -> None:
    script, config = ROOT / "scripts" / "reproduce_table1.sh", "configs/coco/depthbox_R_50_3x.yaml"
    done = call(script, "--list", config, "SOLVER.BASE_LR", "0.02", NUM_GPUS="4", DETECTRON2_DATASETS="data")
    assert done.returncode == 0, done.stderr
    train, test, pack = done.stdout.splitlines()
    assert train.endswith(f"tools/train_net.py --config-file {config} --num-gpus 4 --resume SOLVER.BASE_LR 0.02")
    assert "--eval-only" in test and "test-dev" in test and "output/coco/depthbox_R_50_3x/model_final.pth" in test
    assert "tools/coco_test_dev.py --info data/coco/annotations/image_info_test-dev2017.json" in pack
    assert len(call(script, "--list", TEST_DEV="0").stdout.splitlines()) == TABLES["1"]


def test_table_2_runs_on_the_cpu() -> None:
    done = call(ROOT / "scripts" / "reproduce_table2.sh", "--list", NUM_GPUS="0")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == TABLES["2"]
    assert all(line.endswith("--num-gpus 1 --resume MODEL.DEVICE cpu") for line in lines)


def test_table_3_uses_the_ablation_runner() -> None:
    done = call(ROOT / "scripts" / "reproduce_table3.sh", "--list", SEEDS="0 1")
    assert done.returncode == 0, done.stderr
    assert len(set(re.findall(r"\b([\w.]+/seed_[01])\b", done.stdout))) == 2 * TABLES["3"]
    assert "SOLVER.ACCUMULATION_STEPS 4" in done.stdout


@pytest.mark.parametrize("gpus", ["", "2"])
def test_the_synthetic_table_3_makes_its_data_and_initial_network_first(gpus: str) -> None:
    settings = {"NUM_GPUS": gpus} if gpus else {}
    done = call(ROOT / "scripts" / "reproduce_synthetic.sh", "--list", "SOLVER.MAX_ITER", "9", JOBS="3", **settings)
    assert done.returncode == 0, done.stderr
    data, start, rows = done.stdout.splitlines()
    assert "tools/make_synthetic.py" in data and rows.endswith("SOLVER.MAX_ITER 9")
    assert "ablation/init.yaml --resume" in start and "MAX_ITER" not in start
    names = [path.stem for path in (ROOT / "configs/synthetic/ablation").glob("*.yaml")]
    assert sorted(re.findall(r"ablation/(\w+)\.yaml", rows)) == sorted({*names} - {"Base", "init"})
    assert f"--devices {'cuda:0 cuda:1' if gpus else 'cpu cpu cpu'} " in rows and "--seeds 0 1 2 " in rows


def test_points_are_trained_and_compared_for_each_kind_and_seed() -> None:
    files = {"POINTS": "p_{}.json", "IMAGES": "images", "TRUTH": "truth.json", "DEPTH": "depth"}
    done = call(ROOT / "scripts" / "reproduce_points.sh", "--list", "A.SOLVER.MAX_ITER", "9", SEEDS="0 1", **files)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    for number, (kind, seed) in enumerate([("random", 0), ("random", 1), ("center", 0), ("center", 1)]):
        train, compare = lines[2 * number : 2 * number + 2]
        assert f"--data p_{kind}.json" in train and f"--split-seed {seed} " in train and "--depth depth" in train
        assert train.endswith("--resume A.SOLVER.MAX_ITER 9") and "--val-data" not in train
        assert f"points/{kind}_{seed}/labels.json" in compare and ("--baselines" in compare) == (seed == 1)
    missing = call(ROOT / "scripts" / "reproduce_points.sh", "--list", POINTS="p_{}.json")
    assert missing.returncode == 2 and "POINTS needs IMAGES and TRUTH" in missing.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lst"], "unknown option --lst"),
        (["configs/coco/none.yaml"], "config not found: configs/coco/none.yaml"),
        (["SOLVER.BASE_LR"], "has no value"),
    ],
)
def test_mistakes_are_reported(words: list[str], message: str) -> None:
    done = call(ROOT / "scripts" / "reproduce_table1.sh", *words)
    assert done.returncode == 2 and message in done.stderr


def test_missing_data_are_reported_before_a_command_runs(tmp_path: Path) -> None:
    missing = str(tmp_path)
    depth = call(ROOT / "scripts" / "prepare_coco_depth.sh", DETECTRON2_DATASETS=missing)
    assert depth.returncode == 2 and f"{missing}/coco/annotations/instances_train2017.json" in depth.stderr
    frames = call(ROOT / "scripts" / "prepare_cityscapes.sh", missing)
    assert frames.returncode == 2 and f"{missing}/leftImg8bit/train" in frames.stderr
    table = call(ROOT / "scripts" / "reproduce_table1.sh", DETECTRON2_DATASETS=missing)
    assert table.returncode == 2 and "TEST_DEV=0" in table.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("gpus", ["0", "8"])
def test_the_preparation_scripts_pass_their_options_on(tmp_path: Path, gpus: str) -> None:
    device = ["--device cpu", "--num-processes 8"][gpus == "8"]
    for folder in ("leftImg8bit/train", "leftImg8bit/val", "gtFine/train", "gtFine/val", "coco/annotations"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "coco" / "annotations" / "instances_train2017.json").touch()
    (tmp_path / "instances_val.json").touch()
    settings = {"PYTHON": "echo", "NUM_GPUS": gpus, "DETECTRON2_DATASETS": str(tmp_path)}
    depth = call(ROOT / "scripts" / "prepare_coco_depth.sh", "--dry-run", **settings).stdout.splitlines()
    assert depth[-1].endswith(f"--output {tmp_path}/coco/depth_train2017 --size 320 {device} --dry-run")
    frames = call(ROOT / "scripts" / "prepare_cityscapes.sh", str(tmp_path), "--half", **settings).stdout
    assert f"{tmp_path}/instances_val.json exists already" in frames
    assert len(re.findall(r"^\+ echo tools/convert_cityscapes\.py", frames, flags=re.MULTILINE)) == 2
    assert frames.count("--boxes-only") == 2  # once printed, once called
    assert frames.splitlines()[-1].endswith(f"--output {tmp_path}/depth --size 512 {device} --half")
