"""Two programs never write one folder; a dead one leaves no lock."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from depthbox.io.folder_lock import LOCK, FolderInUseError, lock_folder

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys, time
from depthbox.io.folder_lock import lock_folder
with lock_folder(sys.argv[1], "training run"):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of the folder ``run``."""
    words = [sys.executable, "-S", "-c", HOLDER, str(tmp_path / "run"), "--config-file", "a b.yaml"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}) as process:
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def other_process(folder):
    """Try to lock a folder in a process that is not a child of the holder."""
    words = [sys.executable, "-S", "-c", HOLDER.replace("time.sleep(60)", ""), str(folder)]
    child = subprocess.run(["sh", "-c", '"$@"; exit $?', "sh", *words], env={"PYTHONPATH": str(ROOT)},
                           capture_output=True, text=True, check=False)  # fmt: skip
    return child.stdout, child.stderr


def test_a_second_process_is_refused_and_the_holder_named(tmp_path, holder):
    before = sorted((tmp_path / "run").iterdir())
    with pytest.raises(FolderInUseError) as refused, lock_folder(tmp_path / "run", "training run"):
        pass
    for part in (f"process {holder.pid} on ", "another training run", "'a b.yaml'", f"kill {holder.pid}"):
        assert part in str(refused.value)
    assert sorted((tmp_path / "run").iterdir()) == before


def test_a_killed_process_leaves_no_lock(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / LOCK).exists()
    with lock_folder(tmp_path / "run", "training run"):
        assert json.loads((tmp_path / "run" / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / "run" / LOCK).exists()


def test_the_folder_is_created_and_removed_if_it_stays_empty(tmp_path):
    with lock_folder(tmp_path / "a" / "b", "training run"):
        assert (tmp_path / "a" / "b" / LOCK).exists()
    assert list(tmp_path.iterdir()) == []
    with lock_folder(tmp_path / "a" / "b", "training run"):
        (tmp_path / "a" / "b" / "result").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["result"]


def test_a_process_and_its_children_share_the_lock(tmp_path):
    with lock_folder(tmp_path, "training run"):
        with lock_folder(tmp_path, "training run"):
            assert (tmp_path / LOCK).exists()
        assert (tmp_path / LOCK).exists()  # the outer block holds it
        words = [sys.executable, "-S", "-c", HOLDER.replace("time.sleep(60)", ""), str(tmp_path)]
        assert subprocess.run(words, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True).stdout == "locked\n"
        assert (tmp_path / LOCK).exists()
        assert "FolderInUseError" in other_process(tmp_path)[1]
    assert other_process(tmp_path)[0] == "locked\n"


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    with lock_folder(tmp_path, "training run"):
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
    try:
        with lock_folder(tmp_path, "training run"):
            assert (tmp_path / LOCK).exists()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_without_locks_a_warning_is_logged(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with lock_folder(tmp_path, "training run"):
        assert "cannot be locked (No locks available)" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file is a file, not a folder"), lock_folder(tmp_path / "file" / "run", "x"):
        pass
