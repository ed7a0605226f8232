import os
import stat

import pytest

from depthbox.io.files import atomic_open


def test_writes_and_replaces_the_whole_file(tmp_path):
    path = tmp_path / "new" / "file.bin"
    for content in (b"first", b"second"):
        with atomic_open(path) as file:
            file.write(content)
        assert path.read_bytes() == content
    assert os.listdir(path.parent) == ["file.bin"]


def test_failure_keeps_the_old_file_and_leaves_no_rubbish(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_open(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_permissions_are_those_of_an_ordinary_file(tmp_path):
    ordinary, atomic = tmp_path / "ordinary", tmp_path / "atomic"
    ordinary.write_bytes(b"")
    with atomic_open(atomic) as file:
        file.write(b"")
    assert stat.S_IMODE(atomic.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_a_file_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    """A power failure after the rename would otherwise leave an empty file under the final name."""
    events, sync, replace = [], os.fsync, os.replace

    def record_sync(descriptor):
        events.append(("sync", os.fstat(descriptor).st_size))
        sync(descriptor)

    def record_replace(source, target):
        events.append(("rename", os.path.getsize(source)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_replace)
    with atomic_open(tmp_path / "file.bin") as file:
        file.write(b"12345")
    assert events[:2] == [("sync", 5), ("rename", 5)]
