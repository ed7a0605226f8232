"""Choice of the checkpoint to resume from: unreadable, damaged and foreign files."""

import os
import re

import pytest
import torch

from depthbox.checkpoint.store import CheckpointStore
from depthbox.checkpoint.training_state import teacher_state


def state(value=1.0):
    return {"model": {"w": torch.full((1000,), value)}, "optimizer": {}, "trainer": {"iteration": int(value)}}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


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
