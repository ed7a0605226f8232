"""Weights and teachers in checkpoints, read from files of several kinds."""

import re

import pytest
import torch

from depthbox.checkpoint.store import CheckpointStore
from depthbox.checkpoint.training_state import teacher_state
from depthbox.checkpoint.weights import load_weights


def state(value=1.0):
    return {"model": {"w": torch.full((1000,), value)}, "optimizer": {}, "trainer": {"iteration": int(value)}}


def damage_tail(data):
    return data[: len(data) // 2]


def damage_middle(data):
    return data[: len(data) // 2] + b"\xff" * 8 + data[len(data) // 2 + 8 :]


def test_load_weights_reads_a_checkpoint_and_bare_weights(tmp_path):
    model, source = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    torch.save({"model": source.state_dict()}, tmp_path / "a.pth")
    load_weights(model, str(tmp_path / "a.pth"))
    assert torch.equal(model.weight, source.weight)
    load_weights(model, "")
    assert torch.equal(model.weight, source.weight)
    with pytest.raises(FileNotFoundError, match=r"MODEL\.WEIGHTS: the file nowhere\.pth does not exist"):
        load_weights(model, "nowhere.pth")


def with_teacher(tmp_path, teacher=None):
    """Write a checkpoint of a training run, with a teacher or without."""
    hooks = {} if teacher is None else {"SelfDistillation": {"teacher": teacher}}
    path = CheckpointStore(tmp_path).save("model_0000001", {**state(), "trainer": {"iteration": 1, "hooks": hooks}})
    return path


def test_teacher_is_read_from_a_checkpoint(tmp_path):
    expected = {"w": torch.arange(3.0)}
    found = teacher_state(with_teacher(tmp_path, expected))
    assert found.keys() == expected.keys() and torch.equal(found["w"], expected["w"])


def test_sound_files_without_a_teacher_give_none(tmp_path):
    assert teacher_state(with_teacher(tmp_path)) is None
    store = CheckpointStore(tmp_path)
    store.save_best({"model": state()["model"], "best": {"value": 3.0}})
    assert teacher_state(str(tmp_path / "model_best.pth")) is None
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "bare.pth")
    assert teacher_state(tmp_path / "bare.pth") is None


@pytest.mark.parametrize("damage", [damage_tail, damage_middle, lambda data: b""], ids=["cut", "bits", "empty"])
def test_broken_checkpoint_is_not_taken_for_one_without_a_teacher(tmp_path, damage):
    path = with_teacher(tmp_path, {"w": torch.arange(3000.0)})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"model_0000001\.pth"):
        teacher_state(path)


def test_foreign_file_is_not_taken_for_one_without_a_teacher(tmp_path):
    (tmp_path / "boxes.json").write_text('{"images": []}')
    torch.save({"epoch": 3}, tmp_path / "numbers.pth")
    for name in ("boxes.json", "numbers.pth"):
        with pytest.raises(ValueError, match=re.escape(name)):
            teacher_state(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        teacher_state(tmp_path / "nowhere.pth")
