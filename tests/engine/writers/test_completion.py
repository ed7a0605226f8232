"""Free space, finished runs, and where a stopped run continues."""

import signal
from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode

from depthbox.checkpoint.evaluations import write_evaluation
from depthbox.checkpoint.store import CheckpointStore
from depthbox.engine.writers.completion import describe_stop, estimate_checkpoints, find_results, warn_of_full_disk
from depthbox.errors import Stopped


def config(folder="", **solver):
    solver = {"OPTIMIZER": "SGD", "CHECKPOINT_PERIOD": 10, "KEEP_CHECKPOINTS": 3, "MAX_ITER": 100, **solver}
    return CfgNode(
        {
            "SOLVER": solver,
            "MODEL": {"DISTILL": {"ENABLED": False}},
            "DATASETS": {"TEST": ("a",)},
            "OUTPUT_DIR": str(folder),
        }
    )


@pytest.mark.parametrize(
    ("solver", "copies"),
    [({}, 11), ({"OPTIMIZER": "ADAMW"}, 16), ({"KEEP_CHECKPOINTS": 0}, 25), ({"CHECKPOINT_PERIOD": 0}, 5)],
)
def test_space_of_checkpoints(solver, copies):
    """Kept, final and unfinished checkpoints with weights and momenta, and the best weights."""
    network = torch.nn.Linear(100, 50)
    assert estimate_checkpoints(config(**solver), network) == copies * 5050 * 4


def test_a_full_disk_is_warned_of(tmp_path, monkeypatch, caplog):
    warn_of_full_disk(config(tmp_path), torch.nn.Linear(2, 2))
    assert caplog.text == ""
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("usage", (), {"free": 1000}))
    warn_of_full_disk(config(tmp_path), torch.nn.Linear(100, 50))
    assert "about 222.2 kB will be written to" in caplog.text and "SOLVER.KEEP_CHECKPOINTS" in caplog.text


def test_a_run_is_finished_when_all_is_written(tmp_path):
    store, metrics = CheckpointStore(tmp_path), tmp_path / "metrics.json"
    assert find_results(store, 20, subject="") == (False, {})
    metrics.write_text('{"iteration": 19}\n')
    assert find_results(store, 20, subject="")[0]
    assert not find_results(store, 20, subject="all")[0]
    write_evaluation(tmp_path, 20, {"bbox": {"AP": 1.5, "APs": float("nan")}}, "all")
    assert not find_results(store, 20, subject="all")[0]  # killed before the results came to metrics.json
    metrics.write_text('{"iteration": 19}\n{"iteration": 20}\n')
    complete, results = find_results(store, 20, subject="all")
    assert complete and results["bbox"]["AP"] == 1.5 and results["bbox"]["APs"] != results["bbox"]["APs"]
    metrics.write_text('{"iteration": 19}\n{"iteration": 20')
    assert not find_results(store, 20, subject="all")[0]


def test_a_stopped_run_says_where_it_continues():
    stop = describe_stop(Stopped(signal.SIGTERM), 57, 100, Path("out/model_0000056.pth"), 57)
    assert str(stop) == (
        "stopped by SIGTERM after iteration 57 of 100; checkpoint out/model_0000056.pth; the same command with "
        "--resume continues"
    )
    assert stop.status == 143
    older = describe_stop(KeyboardInterrupt(), 57, 100, Path("out/model_0000049.pth"), 50)
    assert "checkpoint out/model_0000049.pth of iteration 50;" in str(older) and older.status == 130
    assert "before the first checkpoint" in str(describe_stop(Stopped(signal.SIGHUP), 0, 100, None, 0))
