"""An optimizer step: the learning rate of its iteration, the clipped gradient, and its random numbers."""

import pytest
import torch
from detectron2.engine.train_loop import HookBase
from engine_toy import toy_config

from depthbox.data import register_from_config
from depthbox.engine import Trainer

PLAIN = {"SOLVER__MOMENTUM": 0.0, "SOLVER__WEIGHT_DECAY": 0.0, "SOLVER__WEIGHT_DECAY_NORM": 0.0, "SOLVER__BASE_LR": 0.5}


def step(entry, folder, **keys) -> float:
    """Train for one iteration; return the norm of the change of all parameters."""
    cfg = toy_config(entry, folder, SOLVER__MAX_ITER=1, SOLVER__STEPS=(), **{**PLAIN, **keys})
    register_from_config(cfg)
    trainer = Trainer(cfg)
    trainer.resume_or_load(False)
    before = [p.detach().clone() for p in trainer.network.parameters()]
    trainer.train()
    changes = [(p.detach() - old).flatten() for p, old in zip(trainer.network.parameters(), before, strict=True)]
    return float(torch.linalg.vector_norm(torch.cat(changes)))


def test_a_clipped_step_has_the_length_of_rate_times_limit(entry, tmp_path) -> None:
    """Without momentum and decay a step is rate * gradient, and the gradient is longer than the limit."""
    keys = {"SOLVER__WARMUP_ITERS": 0, "SOLVER__CLIP_GRADIENTS__CLIP_VALUE": 0.01}
    keys["SOLVER__CLIP_GRADIENTS__CLIP_TYPE"] = "full_model"
    free = step(entry, tmp_path / "free", **keys)
    clipped = step(entry, tmp_path / "clipped", SOLVER__CLIP_GRADIENTS__ENABLED=True, **keys)
    assert free > 0.5 * 0.01 * 1.5
    assert clipped == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_the_first_step_of_a_warmup_has_the_reduced_rate(entry, tmp_path) -> None:
    full = step(entry, tmp_path / "full", SOLVER__WARMUP_ITERS=0)
    reduced = step(entry, tmp_path / "reduced", SOLVER__WARMUP_ITERS=1, SOLVER__WARMUP_FACTOR=0.25)
    assert reduced == pytest.approx(0.25 * full, rel=1e-3)


class Seeds(HookBase):
    """Hook that records the seed of each step."""

    def __init__(self) -> None:
        self.found: list[int] = []

    def before_step(self) -> None:
        self.found.append(torch.initial_seed())


def test_every_step_has_its_own_random_numbers(entry, tmp_path) -> None:
    """They are functions of seed and iteration: equal in a second run, different from step to step."""
    found = []
    for number in (0, 1):
        cfg = toy_config(entry, tmp_path / str(number), SOLVER__MAX_ITER=4, SOLVER__STEPS=())
        register_from_config(cfg)
        trainer, seeds = Trainer(cfg), Seeds()
        trainer.register_hooks([seeds])
        trainer.resume_or_load(False)
        trainer.train()
        found.append(seeds.found)
    assert found[0] == found[1] and len(set(found[0])) == 4


def test_every_step_gets_the_batch_of_its_iteration(entry, tmp_path) -> None:
    """The teacher's view depends on the iteration of a sample."""
    found = []
    for resume, last in ((False, 2), (True, 4)):
        cfg = toy_config(entry, tmp_path / "run", SOLVER__MAX_ITER=last, SOLVER__STEPS=())
        register_from_config(cfg)
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume)
        trainer.labeler = lambda batch, trainer=trainer: found.append((trainer.iter, batch[0]["iteration"])) or batch
        trainer.train()
    assert found == [(number, number) for number in range(4)]
