"""Health warnings and the best checkpoint."""

from types import SimpleNamespace

import pytest
import torch
from detectron2.utils.events import EventStorage

from depthbox.checkpoint.evaluations import read_evaluation, write_evaluation
from depthbox.checkpoint.store import CheckpointStore
from depthbox.engine.hooks import Checkpointing, Evaluation, TrainingHealth


def warnings_after(name, values, caplog, start=0, step=1):
    hook = TrainingHealth()
    with EventStorage(start) as storage:
        hook.trainer = SimpleNamespace(storage=storage)
        for number, value in enumerate(values):
            storage.iter = start + number * step
            storage.put_scalar(name, value)
            hook.after_step()
    return [record.getMessage() for record in caplog.records]


def test_masks_like_boxes_are_named_once(caplog):
    messages = warnings_after("health/mask_fill", [0.99] * 2000, caplog)
    assert len(messages) == 1
    assert "collapsed to filled boxes" in messages[0] and "99%" in messages[0]


@pytest.mark.parametrize(
    "values", [[0.99] * 499, [0.7] * 3000, ([0.99] * 400 + [0.5] * 60) * 5], ids=["short", "good", "recovers"]
)
def test_healthy_masks_are_quiet(caplog, values):
    assert warnings_after("health/mask_fill", values, caplog) == []


def test_noise_does_not_hide_a_collapse(caplog):
    noise = torch.rand(1500, generator=torch.Generator().manual_seed(0)) * 0.03
    assert len(warnings_after("health/mask_fill", (0.96 + noise).tolist(), caplog)) == 1


def test_no_positives_are_named(caplog):
    messages = warnings_after("health/positives_per_image", [0.0] * 600, caplog)
    assert len(messages) == 1 and "hardly any location is assigned to an object" in messages[0]


def test_values_that_come_seldom_count_by_iteration(caplog):
    assert len(warnings_after("health/mask_fill", [1.0] * 40, caplog, step=20)) == 1


def test_without_the_numbers_nothing_is_said(caplog):
    assert warnings_after("loss", [1.0] * 600, caplog) == []


def fake_trainer(folder, resumed, results):
    network = torch.nn.Linear(1, 1)
    trainer = SimpleNamespace(resumed=resumed, store=CheckpointStore(folder), network=network, max_iter=100, iter=0)
    trainer.storage, trainer.start_iter = EventStorage(0), 0
    trainer.evaluate = lambda: results.pop(0)
    return trainer


def run_evaluations(folder, values, resumed=False, metric="segm/AP"):
    hook = Evaluation(5, metric)
    hook.trainer = fake_trainer(folder, resumed, [{"segm": {"AP": v}, "bbox": {"AP": 50.0}} for v in values])
    hook.before_train()
    for number in range(len(values)):
        hook.trainer.iter = number * 5 + 4
        hook.after_step()
    return hook.trainer.store.best()


def test_best_is_kept_over_a_restart(tmp_path):
    assert run_evaluations(tmp_path, [10.0, 30.0, 20.0, float("nan")])["best"] == {
        "metric": "segm/AP",
        "value": 30.0,
        "iteration": 9,
        "network": "student",
    }
    assert run_evaluations(tmp_path, [25.0], resumed=True)["best"]["value"] == 30.0
    assert run_evaluations(tmp_path, [35.0], resumed=True)["best"]["value"] == 35.0
    assert run_evaluations(tmp_path, [5.0], resumed=False)["best"]["value"] == 5.0


def test_of_equal_values_the_latest_is_the_best(tmp_path):
    assert run_evaluations(tmp_path, [10.0, 30.0, 30.0, 20.0])["best"]["iteration"] == 14
    assert run_evaluations(tmp_path, [30.0], resumed=True)["best"]["iteration"] == 4  # the latest of the resumed run


@pytest.mark.parametrize(("start", "last", "expected"), [(10, 5, 1), (10, 10, 0), (11, 5, 0), (100, 5, 0)])
def test_evaluation_that_was_killed_is_repeated(tmp_path, start, last, expected):
    hook = Evaluation(5, "bbox/AP")
    hook.trainer = fake_trainer(tmp_path, True, [{"bbox": {"AP": 1.0}}])
    hook.trainer.start_iter = start
    write_evaluation(hook.trainer.store.folder, last, {})
    evaluations, evaluate = [], hook.trainer.evaluate
    hook.trainer.evaluate = lambda: evaluations.append(start) or evaluate()
    hook.before_train()
    assert len(evaluations) == expected
    assert read_evaluation(hook.trainer.store.folder)[0] == (start if expected else last)


@pytest.mark.parametrize(("period", "expected"), [(3, [2, 5, 7]), (0, [7]), (4, [3, 7])])
def test_checkpoints_come_periodically_and_at_the_end(period, expected):
    saved, hook = [], Checkpointing(period)
    hook.trainer = SimpleNamespace(max_iter=8, save=lambda: saved.append(hook.trainer.iter))
    for hook.trainer.iter in range(8):
        hook.after_step()
    assert saved == expected
