"""Checkpoints: atomic writing, and fallback if one is damaged."""

import os
import re
import signal
from pathlib import Path

import pytest
import torch

from depthbox.checkpoint.store import CheckpointStore
from depthbox.checkpoint.training_state import CheckpointError, teacher_state
from depthbox.checkpoint.weights import load_weights


def state(value=1.0):
    return {"model": {"w": torch.full((1000,), value)}, "optimizer": {}, "trainer": {"iteration": int(value)}}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_newest_are_kept(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    for iteration in (4, 9, 14, 19):
        store.save(f"model_{iteration:07d}", state(iteration))
    store.save_best({"model": state()["model"], "best": {"value": 3.0}})
    store.save("model_final", state(20))
    assert names(tmp_path) == [
        "last_checkpoint",
        "model_0000014.pth",
        "model_0000019.pth",
        "model_best.pth",
        "model_final.pth",
    ]
    assert store.best()["best"] == {"value": 3.0}
    assert CheckpointStore(tmp_path).load_latest()["trainer"]["iteration"] == 20


def test_zero_keeps_all(tmp_path):
    store = CheckpointStore(tmp_path, keep=0)
    for iteration in range(5):
        store.save(f"model_{iteration:07d}", state(iteration))
    assert len(names(tmp_path)) == 6


def damage_tail(data):
    return data[: len(data) // 2]


def damage_middle(data):
    return data[: len(data) // 2] + b"\xff" * 8 + data[len(data) // 2 + 8 :]


@pytest.mark.parametrize("damage", [damage_tail, damage_middle, lambda data: b""], ids=["cut", "bits", "empty"])
def test_damaged_newest_falls_back_to_the_one_before(tmp_path, caplog, damage):
    store = CheckpointStore(tmp_path)
    store.save("model_0000001", state(1))
    newest = store.save("model_0000002", state(2))
    newest.write_bytes(damage(newest.read_bytes()))
    with caplog.at_level("WARNING"):
        found = CheckpointStore(tmp_path).load_latest()
    assert found["trainer"]["iteration"] == 1
    assert "model_0000002.pth is broken" in caplog.text
    assert "model_0000002.pth.broken" in names(tmp_path)


def test_damaged_newest_does_not_replace_good_ones(tmp_path):
    store = CheckpointStore(tmp_path, keep=1)
    store.save("model_0000009", state(9)).write_bytes(b"x")
    store.save("model_0000004", state(4))
    assert "model_0000004.pth" in names(tmp_path)
    assert CheckpointStore(tmp_path, keep=1).load_latest()["trainer"]["iteration"] == 4


def test_missing_or_stale_pointer(tmp_path):
    store = CheckpointStore(tmp_path)
    assert store.load_latest() is None
    store.save("model_0000001", state(1))
    store.save("model_0000002", state(2))
    (tmp_path / "last_checkpoint").unlink()  # killed before the pointer was written
    assert store.load_latest()["trainer"]["iteration"] == 2
    (tmp_path / "last_checkpoint").write_text("model_0000001.pth")  # edited by a user
    assert store.load_latest()["trainer"]["iteration"] == 1


def test_all_damaged_is_an_error(tmp_path):
    CheckpointStore(tmp_path).save("model_0000001", state()).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"all checkpoints in .* are broken: model_0000001\.pth"):
        CheckpointStore(tmp_path).load_latest()


def test_failed_save_leaves_the_last_one(tmp_path, monkeypatch):
    store = CheckpointStore(tmp_path)
    store.save("model_0000001", state(1))

    def fail(data, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        store.save("model_0000002", state(2))
    assert names(tmp_path) == ["last_checkpoint", "model_0000001.pth"]


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_a_checkpoint(path, missing_ok=False, unlink=Path.unlink):
    """Replace Path.unlink: temporary files are removed, a checkpoint is not."""
    if not path.name.startswith("."):
        die()
    unlink(path, missing_ok)


def half_a_file(data, file):
    file.write(b"half")
    die()


def die_at_the_second(replaced=os.replace):
    """Return a replacement of os.replace that dies before the second rename, that of the pointer."""
    calls = []

    def replace(source, target):
        if calls:
            die()
        calls.append(replaced(source, target))

    return replace


@pytest.mark.parametrize(
    ("module", "name", "replacement", "expected"),
    [
        (torch, "save", half_a_file, 1),
        (os, "replace", die, 1),
        (os, "replace", die_at_the_second(), 1),  # the new file is complete, the pointer names the old one
        (Path, "unlink", die_at_a_checkpoint, 3),
    ],
    ids=["while writing", "before the rename", "before the pointer", "before deleting old ones"],
)
def test_kill_at_every_stage_leaves_a_complete_checkpoint(tmp_path, module, name, replacement, expected):
    store = CheckpointStore(tmp_path, keep=1)
    store.save("model_0000001", state(1))
    child = os.fork()
    if child == 0:
        setattr(module, name, replacement)
        store.save("model_0000003", state(3))
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    resumed = CheckpointStore(tmp_path, keep=1)
    assert resumed.load_latest()["trainer"]["iteration"] == expected
    assert not list(tmp_path.glob(".model_*"))
    resumed.save("model_0000005", state(5))
    assert "model_0000005.pth" in names(tmp_path)
    assert not list(tmp_path.glob("*.broken"))


def test_file_appears_only_when_complete(tmp_path, monkeypatch):
    real, seen = torch.save, []

    def watch(data, file):
        real(data, file)
        seen.append([name for name in names(tmp_path) if not name.startswith(".")])

    monkeypatch.setattr(torch, "save", watch)
    CheckpointStore(tmp_path).save("model_0000001", state(1))
    assert seen == [[]]


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
