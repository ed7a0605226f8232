"""Capture and restoration of the state of a training run."""

import copy

import pytest
import torch
from detectron2.config import CfgNode
from torch import nn

from depthbox.engine.resume import TrainingParts, capture, compare_configs, restore


def parts(rate: float = 0.1, distill: bool = True, width: int = 2) -> TrainingParts:
    network = nn.Linear(3, width)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9)
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    cfg = CfgNode({"MODEL": {"DISTILL": {"ENABLED": distill}}, "RATE": rate, "OUTPUT_DIR": "here"})
    return TrainingParts(network, optimizer, torch.amp.GradScaler("cpu", enabled=False), cfg)


PROGRESS = {"iteration": 7, "hooks": {"SelfDistillation": {"teacher": {}}, "Other": {"a": 1}}}


def test_restored_parts_equal_the_captured_ones_and_keep_their_own_rate(caplog):
    source, target = parts(), parts(rate=0.5)
    state = copy.deepcopy(capture(source, PROGRESS, seed=5))
    assert state["seed"] == 5 and state["iteration"] == 7
    assert restore(target, state, None) == PROGRESS
    assert torch.equal(source.network.weight, target.network.weight)
    momenta = [part.optimizer.state[part.network.weight]["momentum_buffer"] for part in (source, target)]
    assert torch.equal(*momenta)
    assert target.optimizer.param_groups[0]["lr"] == 0.5
    assert "RATE 0.1 -> 0.5" in caplog.text and "OUTPUT_DIR" not in caplog.text


def test_teacher_is_dropped_without_distillation(tmp_path, caplog):
    state = capture(parts(), PROGRESS, seed=5)
    progress = restore(parts(distill=False), state, tmp_path / "model_0000007.pth")
    assert progress == {"iteration": 7, "hooks": {"Other": {"a": 1}}}
    assert "model_0000007.pth holds a teacher, but MODEL.DISTILL.ENABLED is False" in caplog.text


def test_network_that_does_not_fit_is_named(tmp_path):
    state = capture(parts(), PROGRESS, seed=5)
    with pytest.raises(ValueError, match=r"model_0000007\.pth does not fit the network(.|\n)*without --resume"):
        restore(parts(width=4), state, tmp_path / "model_0000007.pth")


def test_config_differences_names_nested_keys():
    assert compare_configs("A: {B: 1, C: 2}\nD: 3", "A: {B: 1, C: 4}") == ["A.C 2 -> 4", "D 3 -> (none)"]
    assert compare_configs("", "A: 1") == ["A (none) -> 1"]
