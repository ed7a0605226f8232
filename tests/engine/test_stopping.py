"""Training that is killed or stopped at any moment continues exactly: weights, metrics.json and TensorBoard."""

import json
import os
import signal
import time

import pytest
import torch
from detectron2.engine import HookBase
from engine_toy import toy_config

from depthbox.data import register_from_config
from depthbox.engine import Trainer
from depthbox.engine.run import run
from depthbox.engine.writers.tensorboard import read_scalars
from depthbox.errors import Stopped
from depthbox.io.temporary_files import claim_temporary

KEYS = {"SOLVER__MAX_ITER": 26, "SOLVER__STEPS": (18,), "SOLVER__CHECKPOINT_PERIOD": 4, "TEST__EVAL_PERIOD": 8}


def config(entry, folder, **keys):
    return toy_config(entry, folder, **{**KEYS, "DATASETS__TEST": (entry[0],), "REPORT__ENABLED": False, **keys})


def outcome(folder):
    """Weights, lines of metrics.json and all values of the event files, without times."""
    state = torch.load(folder / "model_final.pth", weights_only=True)
    best = torch.load(folder / "model_best.pth", weights_only=True)["best"]
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    metrics = [{k: v for k, v in line.items() if "time" not in k} for line in lines]
    scalars = {key: values for key, values in read_scalars(folder).items() if "time" not in key[0]}
    return state["model"], state["trainer"]["hooks"], best, metrics, scalars


def assert_same(folder, whole):
    model, hooks, best, metrics, scalars = outcome(folder)
    assert [key for key in whole[0] if not torch.equal(whole[0][key], model[key])] == []
    assert metrics == whole[3] and scalars.keys() == whole[4].keys()
    assert all(len(values) == 1 for values in scalars.values())
    assert repr(scalars) == repr({key: whole[4][key] for key in scalars})  # NaN equals NaN
    assert repr(hooks) == repr(whole[1]) and repr(best) == repr(whole[2])
    assert [path.name for path in folder.rglob("*.tmp")] == []


@pytest.fixture(scope="module")
def whole(entry, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run(config(entry, folder))
    result = outcome(folder)
    assert [line["iteration"] for line in result[3]] == [15, 19, 23, 25, 26]
    return result


class Signal(HookBase):
    """Hook that sends this process a signal after an iteration."""

    def __init__(self, number, iteration):
        self.number, self.iteration = number, iteration

    def after_step(self):
        if self.trainer.iter == self.iteration:
            os.kill(os.getpid(), self.number)


def start(monkeypatch, moment):
    """Let the training run of this process be killed at a moment."""
    name, iteration = moment

    def kill_at(owner, method, after):
        original = getattr(owner, method)

        def wrapped(self, *arguments, **keys):
            trainer = getattr(self, "trainer", self)
            due = getattr(trainer, "iter", -1) == iteration
            if due and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(self, *arguments, **keys)
            if due and after:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        monkeypatch.setattr(owner, method, wrapped)

    from depthbox.engine.hooks import Evaluation
    from depthbox.engine.writers import MetricsWriting

    owner, method, after = {
        "before the step": (Trainer, "run_step", False),
        "before the checkpoint": (Trainer, "save", False),
        "after the checkpoint": (Trainer, "save", True),
        "in the evaluation": (Trainer, "evaluate", True),
        "after the evaluation": (Evaluation, "_evaluate", True),
        "after the writing": (MetricsWriting, "_write", True),
    }[name]
    kill_at(owner, method, after)


MOMENTS = [
    *(("before the step", 2), ("before the step", 21), ("before the checkpoint", 3), ("after the checkpoint", 7)),
    *(("in the evaluation", 7), ("after the evaluation", 7), ("after the writing", 19), ("after the checkpoint", 19)),
    *(("after the checkpoint", 25), ("in the evaluation", 26), ("after the evaluation", 26), ("after the writing", 26)),
]


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[0]} {moment[1]}".replace(" ", "-"))
def test_killed_and_resumed_equals_uninterrupted(entry, tmp_path, whole, moment, monkeypatch):
    child = os.fork()
    if child == 0:
        try:
            start(monkeypatch, moment)
            run(config(entry, tmp_path))
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    unfinished = claim_temporary(tmp_path / "metrics.json")
    unfinished.with_name(unfinished.name.replace(f".{os.getpid()}-", f".{child}-")).touch()
    run(config(entry, tmp_path), resume=True)
    assert_same(tmp_path, whole)


@pytest.mark.parametrize(("number", "iteration"), [("SIGTERM", 5), ("SIGINT", 19), ("SIGHUP", 7), ("SIGTERM", 25)])
def test_stopped_by_a_signal_and_resumed_equals_uninterrupted(entry, tmp_path, whole, number, iteration):
    cfg = config(entry, tmp_path)
    register_from_config(cfg)
    trainer = Trainer(cfg)
    trainer.register_hooks([Signal(signal.Signals[number], iteration)])
    trainer.resume_or_load(False)
    with pytest.raises(Stopped, match=f"stopped by {number} after iteration {iteration + 1} of 26; checkpoint") as stop:
        trainer.train()
    assert str(trainer.store.last_good) in str(stop.value) and "--resume continues" in str(stop.value)
    assert torch.load(trainer.store.last_good, weights_only=True)["iteration"] == iteration
    run(config(entry, tmp_path), resume=True)
    assert_same(tmp_path, whole)


def test_a_signal_in_an_evaluation_stops_it_and_keeps_the_work(entry, tmp_path, whole, monkeypatch):
    cfg = config(entry, tmp_path, SOLVER__CHECKPOINT_PERIOD=0)
    finished = []

    def evaluate(self, *_):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        finished.append(True)

    with monkeypatch.context() as patch:
        patch.setattr("depthbox.engine.evaluation.evaluate_network", evaluate)
        with pytest.raises(Stopped, match=r"after iteration 8 of 26; checkpoint .*model_0000007"):
            run(cfg)
    assert finished == []
    run(config(entry, tmp_path), resume=True)
    assert_same(tmp_path, whole)


def test_a_finished_run_changes_nothing(entry, tmp_path, capsys):
    cfg = config(entry, tmp_path, REPORT__ENABLED=True)
    results = run(cfg)
    (tmp_path / "report.html").unlink()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = run(cfg, resume=True)
    assert "is finished: all 26 iterations are done" in capsys.readouterr().out
    assert again["bbox"].keys() == results["bbox"].keys() and again["bbox"]["AP"] == pytest.approx(
        results["bbox"]["AP"]
    )
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert (tmp_path / "report.html").is_file()  # it was missing
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} <= {
        tmp_path / "report.html"
    }


def test_a_second_run_in_the_folder_is_refused_before_it_changes_anything(entry, tmp_path):
    from depthbox.io.folder_lock import FolderInUseError, lock_folder

    run(config(entry, tmp_path))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with lock_folder(tmp_path, "training run"):
        child = os.fork()
        if child == 0:
            grandchild = os.fork()  # its parent does not hold the lock
            if grandchild == 0:
                try:
                    run(config(entry, tmp_path))
                except FolderInUseError:
                    os._exit(3)
                os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
