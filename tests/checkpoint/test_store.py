"""Checkpoints: atomic writing, and fallback if one is damaged."""

import os
import re
import signal
from pathlib import Path

import pytest
import torch

from depthbox.checkpoint.store import CheckpointStore
from depthbox.checkpoint.training_state import CheckpointError, teacher_state


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


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_checkpoint_that_cannot_be_read_is_not_renamed(tmp_path, monkeypatch, error):
    store = CheckpointStore(tmp_path)
    store.save("model_0000001", state(1))
    store.save("model_0000002", state(2))
    before = names(tmp_path)

    def fail(path):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("depthbox.checkpoint.training_state.read_content", fail)
        with pytest.raises(OSError, match=r"model_0000002\.pth cannot be read .*was not changed.*repeat"):
            store.load_latest()
    assert names(tmp_path) == before
    assert store.load_latest()["trainer"]["iteration"] == 2


@pytest.mark.parametrize(
    "changes",
    [
        None,
        {"trainer": [1]},
        {"trainer": 5},
        {"trainer": {"iteration": "7"}},
        {"trainer": {"iteration": -3}},
        {"trainer": {"iteration": 1, "hooks": [1]}},
        {"trainer": {"iteration": 1, "hooks": {"SelfDistillation": {"teacher": {"w": None}}}}},
        {"optimizer": None},
        {"iteration": 10**12},
        {"seed": -1},
        {"config": 3},
        {"model": [1]},
        {"model": {1: torch.zeros(2)}},
        {"model": {"w": "hello"}},
        {"model": {"w": torch.tensor([float("nan")])}},
        {"model": {"w": torch.eye(3).to_sparse()}},
    ],
    ids=str,
)
def test_checkpoint_of_another_structure_is_set_aside(tmp_path, changes, caplog):
    store = CheckpointStore(tmp_path)
    store.save("model_0000001", state(1))
    content = None if changes is None else {**state(2), "seed": 3, "config": "", **changes}
    torch.save(content, tmp_path / "model_0000002.pth")
    (tmp_path / "last_checkpoint").write_text("model_0000002.pth")
    assert store.load_latest()["trainer"]["iteration"] == 1
    assert re.search(r"model_0000002\.pth (is broken|has diverged)", caplog.text)
    assert not (tmp_path / "model_0000002.pth").exists() and len(names(tmp_path)) == 3


def test_pointer_of_any_bytes_is_ignored(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save("model_0000001", state(1))
    for content in (b"", b"\xff\xfe\0", b"../../x.pth", b"a" * 10_000):
        (tmp_path / "last_checkpoint").write_bytes(content)
        assert store.load_latest()["trainer"]["iteration"] == 1


def test_without_a_pointer_a_continued_run_resumes_from_its_newest_checkpoint(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save("model_final", state(3))
    os.utime(tmp_path / "model_final.pth", (1, 1))
    store.save("model_0000007", state(7))
    (tmp_path / "last_checkpoint").unlink()
    assert store.load_latest()["trainer"]["iteration"] == 7


def test_best_file_of_the_teacher_holds_the_teacher(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save_best({"model": {"w": torch.ones(2)}, "best": {"value": 3.0, "network": "teacher"}})
    assert torch.equal(teacher_state(tmp_path / "model_best.pth")["w"], torch.ones(2))
