"""Evaluation hook, health warnings, start of processes, and learning rates that a resumed run keeps."""

import functools
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from detectron2.utils.events import EventStorage

from depthbox.checkpoint.evaluations import read_evaluation
from depthbox.checkpoint.store import CheckpointStore
from depthbox.config import ConfigError
from depthbox.engine import launch
from depthbox.engine.hooks import HEALTH_PATIENCE, Checkpointing, Evaluation, TrainingHealth
from depthbox.evaluation.run import find_metric


def trainer(folder: Any, results: list[dict[str, Any]], **keys: Any) -> SimpleNamespace:
    """Return a stand-in for the trainer that evaluates to each of the results in turn."""
    made = SimpleNamespace(
        resumed=False,
        store=CheckpointStore(folder),
        network=torch.nn.Linear(1, 1),
        max_iter=20,
        iter=0,
        start_iter=0,
        storage=EventStorage(0),
        evaluate=lambda: results.pop(0),
    )
    vars(made).update(keys)
    return made


def attach(hook: Any, to: SimpleNamespace) -> Any:
    hook.trainer = to
    return hook


@pytest.mark.parametrize(
    ("period", "expected"), [(5, [5, 10, 15, 20]), (7, [7, 14, 20]), (0, [20]), (20, [20]), (50, [20])]
)
def test_evaluation_comes_periodically_and_once_at_the_end(tmp_path, period, expected):
    done: list[int] = []
    made = trainer(tmp_path, [])
    made.evaluate = lambda: done.append(made.iter + 1) or {}
    hook = attach(Evaluation(period, "segm/AP"), made)
    hook.before_train()
    for made.iter in range(20):
        hook.after_step()
    made.iter = 19 + 1  # the loop of Detectron2 ends at max_iter
    done_before = len(done)
    hook.after_train()
    assert [*done[:done_before], 20] == expected and len(done) == len(expected)
    assert read_evaluation(made.store.folder)[0] == 20


def test_a_failed_run_is_not_evaluated(tmp_path):
    made = trainer(tmp_path, [], iter=7)
    attach(Evaluation(5, "segm/AP"), made).after_train()  # results are empty: an evaluation would fail
    assert read_evaluation(made.store.folder)[0] == 0


def test_the_weights_of_the_latest_best_value_are_kept(tmp_path):
    values = [10.0, 30.0, 20.0, 30.0]
    made = trainer(tmp_path, [{"segm": {"AP": value}} for value in values])
    hook = attach(Evaluation(5, "segm/AP"), made)
    for number, weight in enumerate((1.0, 2.0, 3.0, 4.0)):
        torch.nn.init.constant_(made.network.weight, weight)
        made.iter = number * 5 + 4
        if number < 3:
            hook.after_step()
        else:
            made.iter = made.max_iter
            hook.after_train()
    best = made.store.best()
    assert best["model"]["weight"].item() == 4.0  # of equal values the latest
    assert best["best"] == {"metric": "segm/AP", "value": 30.0, "iteration": 19, "network": "student"}
    assert made.storage.latest()["segm/AP"][0] == 30.0


def test_box_ap_selects_the_best_weights_without_ground_truth_masks(tmp_path):
    made = trainer(tmp_path, [{"bbox": {"AP": 12.0}}, {"bbox": {"AP": 40.0}, "segm": {"AP": float("nan")}}])
    hook = attach(Evaluation(5, "segm/AP"), made)
    for made.iter in (4, 9):
        hook.after_step()
    assert made.store.best()["best"]["metric"] == "bbox/AP" == find_metric({"bbox/AP": 1.0}, "segm/AP")
    assert find_metric({}, "segm/AP") is None and find_metric({"segm/AP": 1.0, "bbox/AP": 2.0}, "segm/AP") == "segm/AP"


@pytest.mark.parametrize("metric", ["segm/mAP50", "segm/AP"])
def test_voc_ap_selects_the_best_weights(tmp_path, metric):
    made = trainer(
        tmp_path, [{"segm": {"mAP25": 50.0, "mAP50": value, "AP50-cat": 1.0}} for value in (20.0, 40.0, 30.0)]
    )
    hook = attach(Evaluation(5, metric), made)
    for made.iter in (4, 9, 14):
        hook.after_step()
    assert made.store.best()["best"] == {"metric": "segm/mAP50", "value": 40.0, "iteration": 9, "network": "student"}


def test_a_value_of_another_metric_does_not_block_the_chosen_one(tmp_path):
    made = trainer(tmp_path, [{"bbox": {"AP": 90.0}}, {"bbox": {"AP": 90.0}, "segm": {"AP": 10.0}}])
    hook = attach(Evaluation(5, "segm/AP"), made)
    for made.iter in (4, 9):
        hook.after_step()
    assert made.store.best()["best"] == {"metric": "segm/AP", "value": 10.0, "iteration": 9, "network": "student"}


def test_a_damaged_best_file_does_not_stop_a_resumed_run(tmp_path):
    (tmp_path / "model_best.pth").write_bytes(b"damaged")
    made = trainer(tmp_path, [{"segm": {"AP": 1.0}}], resumed=True, start_iter=6)
    hook = attach(Evaluation(5, "segm/AP"), made)
    hook.before_train()
    made.iter = 9
    hook.after_step()
    assert made.store.best()["best"]["value"] == 1.0


@pytest.mark.parametrize("start", [0, 4, 9])
def test_checkpoints_of_a_resumed_run_come_at_the_same_iterations(start):
    saved: list[int] = []
    hook = attach(Checkpointing(5), SimpleNamespace(max_iter=12, save=lambda: saved.append(hook.trainer.iter + 1)))
    for hook.trainer.iter in range(start, 12):
        hook.after_step()
    assert saved == [done for done in (5, 10, 12) if done > start]


def test_a_nan_is_not_an_unhealthy_value(caplog):
    with EventStorage(0) as storage:
        hook = attach(TrainingHealth(), SimpleNamespace(storage=storage))
        for number in range(2 * HEALTH_PATIENCE):
            storage.iter = number
            storage.put_scalar("health/mask_fill", float("nan") if number % 2 else 0.6)
            hook.after_step()
    assert caplog.records == []


def test_both_rules_are_checked_independently(caplog):
    with EventStorage(0) as storage:
        hook = attach(TrainingHealth(), SimpleNamespace(storage=storage))
        for number in range(HEALTH_PATIENCE + 2):
            storage.iter = number
            storage.put_scalar("health/mask_fill", 1.0)
            storage.put_scalar("health/positives_per_image", 0.0)
            hook.after_step()
    assert len(caplog.records) == 2
    assert all(f"Since {HEALTH_PATIENCE} iterations" in record.getMessage() for record in caplog.records)


def fail() -> None:
    raise AssertionError("launch must refuse before")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"num_processes": -1}, "--num-gpus -1 must be at least 1"),
        ({"num_machines": 2, "machine_rank": 2}, "--machine-rank 2 below --num-machines 2"),
        ({"num_machines": 2, "machine_rank": -1}, "--machine-rank -1"),
        ({"num_machines": 0}, "--num-machines 0"),
        ({"num_machines": 2, "num_processes": 2}, r"--dist-url tcp://<address of machine 0>:<free port>"),
    ],
)
def test_launches_that_cannot_work_are_refused_with_the_option(monkeypatch, keys, message):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=message):
        launch(fail, device="cpu", **keys)


def test_one_process_runs_here_without_a_process_group(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    found: list[bool] = []
    launch(functools.partial(lambda to: to.append(torch.distributed.is_initialized()), found), device="cpu")
    assert found == [False]
    with pytest.raises(KeyError, match="from main"):
        launch(functools.partial({}.__getitem__, "from main"), device="cpu")
