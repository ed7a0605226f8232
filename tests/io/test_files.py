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
