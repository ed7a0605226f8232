"""The training loop: resuming bit for bit, accumulation, precision, and errors."""

import json

import pytest
import torch
from detectron2.engine.train_loop import HookBase
from engine_toy import ToyDetector, toy_config

from depthbox.data import register_from_config
from depthbox.engine import Trainer


class Stop(HookBase):
    """Hook that interrupts training after an iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def after_step(self):
        if self.trainer.iter == self.iteration:
            raise KeyboardInterrupt


def make(entry, folder, resume=False, stop=None, **keys):
    """Return a trainer of the toy network, ready to train."""
    cfg = toy_config(entry, folder, **keys)
    register_from_config(cfg)
    trainer = Trainer(cfg)
    trainer.register_hooks([Stop(stop)] if stop is not None else [])
    trainer.resume_or_load(resume)
    return trainer


def train(*arguments, **keys):
    """Train to the end, or to the interruption."""
    trainer = make(*arguments, **keys)
    if keys.get("stop") is None:
        trainer.train()
    else:
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
    return trainer


def state_of(trainer):
    momenta = enumerate(trainer.optimizer.state[p] for p in trainer.network.parameters())
    tensors = {f"momentum {i} {key}": value for i, momentum in momenta for key, value in momentum.items()}
    return {**trainer.network.state_dict(), **tensors}


def assert_equal(first, second):
    first, second = state_of(first), state_of(second)
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


VARIANTS = {
    "sgd": {},
    "adamw, cosine, accumulation": {
        "SOLVER__OPTIMIZER": "ADAMW",
        "SOLVER__LR_SCHEDULER_NAME": "WarmupCosineLR",
        "SOLVER__ACCUMULATION_STEPS": 2,
    },
    "half precision, clipping, groups": {
        "SOLVER__AMP__ENABLED": True,
        "SOLVER__CLIP_GRADIENTS__ENABLED": True,
        "SOLVER__CLIP_GRADIENTS__CLIP_TYPE": "full_model",
        "DATALOADER__ASPECT_RATIO_GROUPING": True,
    },
}


@pytest.mark.parametrize("keys", VARIANTS.values(), ids=VARIANTS)
def test_resumed_run_equals_uninterrupted_bit_for_bit(entry, tmp_path, keys):
    whole = train(entry, tmp_path / "whole", **keys)
    train(entry, tmp_path / "parts", stop=6, **keys)
    resumed = make(entry, tmp_path / "parts", resume=True, **keys)
    assert resumed.start_iter == 4  # of the checkpoint, not of the interruption
    resumed.train()
    assert_equal(whole, resumed)
    fresh = make(entry, tmp_path / "fresh", **keys)
    assert not torch.equal(fresh.network.head.weight, whole.network.head.weight)


def test_resumed_run_keeps_a_random_seed(entry, tmp_path):
    first = train(entry, tmp_path, stop=9, SEED=-1)
    resumed = make(entry, tmp_path, resume=True, SEED=-1)
    assert resumed.seed == first.seed
    assert make(entry, tmp_path / "other", SEED=-1).seed != first.seed


def test_evaluation_does_not_change_training(entry, tmp_path):
    plain = train(entry, tmp_path / "plain")
    evaluated = train(entry, tmp_path / "evaluated", DATASETS__TEST=(entry[0],), TEST__EVAL_PERIOD=3)
    assert_equal(plain, evaluated)
    assert "bbox" in evaluated.results
    assert (tmp_path / "evaluated" / "model_best.pth").exists()


def test_workers_do_not_change_training(entry, tmp_path):
    assert_equal(
        train(entry, tmp_path / "a", SOLVER__MAX_ITER=3),
        train(entry, tmp_path / "b", SOLVER__MAX_ITER=3, DATALOADER__NUM_WORKERS=1),
    )


def test_seed_matters(entry, tmp_path):
    first, second = (train(entry, tmp_path / str(s), SEED=s, SOLVER__MAX_ITER=2).network for s in (1, 2))
    assert not torch.equal(first.head.weight, second.head.weight)


def test_accumulation_equals_one_big_batch(entry, tmp_path):
    keys = {"TOY__DROPOUT": 0.0}
    once = train(entry, tmp_path / "once", **keys)
    split = train(entry, tmp_path / "split", SOLVER__ACCUMULATION_STEPS=4, **keys)
    for key, value in once.network.state_dict().items():
        torch.testing.assert_close(split.network.state_dict()[key], value, rtol=1e-5, atol=1e-6)
    assert not torch.equal(make(entry, tmp_path / "new", **keys).network.head.weight, once.network.head.weight)


def test_indivisible_batch_size_is_refused(entry, tmp_path):
    with pytest.raises(ValueError, match=r"IMS_PER_BATCH = 4 must be a multiple of 1 processes x .* = 3"):
        make(entry, tmp_path, SOLVER__ACCUMULATION_STEPS=3)


def test_non_finite_loss_stops_and_names_term_and_image(entry, tmp_path):
    keys = {"SOLVER__CHECKPOINT_PERIOD": 1, "SOLVER__IMS_PER_BATCH": 1, "TOY__POISON_ID": 5}
    trainer = make(entry, tmp_path, **keys)
    with pytest.raises(FloatingPointError) as info:
        trainer.train()
    message = str(info.value)
    assert f"at iteration {trainer.iter}: loss_box = nan on image 5 (" in message
    assert "5.png" in message and "loss_score" not in message and "SOLVER.BASE_LR" in message
    assert all(torch.isfinite(p).all() for p in trainer.network.parameters())
    names = {path.name for path in tmp_path.iterdir()}
    assert not any(name.endswith(".tmp") for name in names)
    if trainer.iter:
        last = f"model_{trainer.iter - 1:07d}.pth"
        assert last in message and (tmp_path / "last_checkpoint").read_text() == last


def test_only_the_micro_batch_with_the_bad_image_is_named(entry, tmp_path):
    keys = {"SOLVER__IMS_PER_BATCH": 7, "SOLVER__ACCUMULATION_STEPS": 7, "TOY__POISON_ID": 2}
    with pytest.raises(
        FloatingPointError, match=r"loss_box = nan on image 2 \([^,]*\)\. No checkpoint was written yet"
    ):
        make(entry, tmp_path, **keys).train()


def test_diverged_weights_are_not_saved(entry, tmp_path):
    trainer = train(entry, tmp_path, stop=5)
    torch.nn.init.constant_(trainer.network.head.bias, float("inf"))
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(FloatingPointError, match=r"head\.bias is not finite.*model_0000003\.pth"):
        trainer.save()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_labeler_gets_every_micro_batch(entry, tmp_path):
    trainer = make(entry, tmp_path, SOLVER__ACCUMULATION_STEPS=2, SOLVER__MAX_ITER=3)
    seen = []

    def labeler(batch):
        seen.append(len(batch))
        return [{**item, "image": torch.zeros_like(item["image"])} for item in batch]

    def forward(batch, real=trainer.network.forward):
        assert all(item["image"].sum() == 0 for item in batch)
        return real(batch)

    trainer.labeler = labeler
    trainer.network.forward = forward
    trainer.train()
    assert seen == [2] * 6


def test_statistics_of_the_network_are_logged_for_each_micro_batch(entry, tmp_path, monkeypatch):
    real, passes = ToyDetector.forward, []

    def forward(self, batch):
        passes.append(1)
        self.training_stats = {"health/fill": torch.tensor(float(len(passes))), "warmup/a": 0.5}
        return real(self, batch)

    monkeypatch.setattr(ToyDetector, "forward", forward)
    storage = train(entry, tmp_path, SOLVER__MAX_ITER=3, SOLVER__ACCUMULATION_STEPS=2).storage
    assert [value for value, _ in storage.history("health/fill").values()] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    line = json.loads((tmp_path / "metrics.json").read_text().splitlines()[-1])
    assert line["health/fill"] == 3.5 and line["warmup/a"] == 0.5  # medians


def test_learning_rate_and_losses_are_logged(entry, tmp_path):
    train(entry, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    assert lines[-1]["iteration"] == 11
    assert lines[-1]["lr"] == pytest.approx(0.0004)
    assert {"total_loss", "loss_box", "loss_score", "data_time", "time"} <= lines[-1].keys()


def test_interruption_names_the_remedy(entry, tmp_path):
    trainer = make(entry, tmp_path, stop=6)
    with pytest.raises(KeyboardInterrupt, match=r"iteration 7 of 12; checkpoint .*model_0000003\.pth of iteration 4"):
        trainer.train()


def test_new_run_in_an_old_folder_does_not_resume_it(entry, tmp_path, caplog):
    train(entry, tmp_path)
    with caplog.at_level("WARNING"):
        train(entry, tmp_path, stop=1)  # before its first checkpoint
    assert "held an earlier training run" in caplog.text
    assert (tmp_path / "earlier_1" / "model_final.pth").exists()
    assert make(entry, tmp_path, resume=True).start_iter == 0


def test_resuming_a_finished_run_only_evaluates(entry, tmp_path):
    whole = train(entry, tmp_path)
    again = train(entry, tmp_path, resume=True, DATASETS__TEST=(entry[0],))
    assert_equal(whole, again)
    assert "bbox" in again.results


def test_more_iterations_continue_a_finished_run(entry, tmp_path):
    longer = {"SOLVER__MAX_ITER": 16, "SOLVER__STEPS": (9, 14)}
    whole = train(entry, tmp_path / "whole", **longer)
    train(entry, tmp_path / "parts", SOLVER__STEPS=(9, 14))
    assert_equal(whole, train(entry, tmp_path / "parts", resume=True, **longer))


def test_changed_config_applies_and_is_logged(entry, tmp_path, caplog):
    train(entry, tmp_path, stop=6)
    with caplog.at_level("WARNING"):
        trainer = make(entry, tmp_path, resume=True, SOLVER__BASE_LR=0.001, SOLVER__WEIGHT_DECAY=0.5)
    assert "SOLVER.BASE_LR 0.004 -> 0.001" in caplog.text
    assert "OUTPUT_DIR" not in caplog.text
    assert trainer.optimizer.param_groups[0]["lr"] == 0.001
    assert max(group["weight_decay"] for group in trainer.optimizer.param_groups) == 0.5


def test_checkpoint_of_another_network_is_refused(entry, tmp_path, monkeypatch):
    train(entry, tmp_path, stop=6)
    real = ToyDetector.__init__

    def larger(self, cfg):
        real(self, cfg)
        self.head = torch.nn.Linear(8, 6)

    monkeypatch.setattr(ToyDetector, "__init__", larger)
    with pytest.raises(ValueError, match=r"model_0000003\.pth does not fit the network(.|\n)*head\.weight"):
        make(entry, tmp_path, resume=True)
