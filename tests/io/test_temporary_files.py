import os
import subprocess
import sys
import time

from depthbox.io import temporary_files
from depthbox.io.files import atomic_open, remove_stale
from depthbox.io.temporary_files import claim_temporary

DIE = """
import os, sys
from depthbox.io.files import atomic_open
with atomic_open(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os._exit(0)
"""


def die_while_writing(path) -> str:
    subprocess.run([sys.executable, "-c", DIE, str(path)], check=True)
    (name,) = [name for name in os.listdir(path.parent) if name.endswith(".tmp")]
    return name


def test_the_file_of_a_dead_process_is_removed(tmp_path):
    path = tmp_path / "masks.json"
    path.write_bytes(b"old")
    name = die_while_writing(path)
    assert name.startswith(".masks.json.")
    assert remove_stale(tmp_path) == [tmp_path / name]
    assert os.listdir(tmp_path) == ["masks.json"] and path.read_bytes() == b"old"


def test_the_file_of_a_living_process_is_kept(tmp_path):
    with atomic_open(tmp_path / "a") as file:
        file.write(b"x")
        assert remove_stale(tmp_path) == []
        found = subprocess.run(
            [sys.executable, "-c", "import sys; from depthbox.io.files import remove_stale as r; print(r(sys.argv[1]))",
             str(tmp_path)], capture_output=True, text=True, check=True)  # fmt: skip
        assert found.stdout == "[]\n"
    assert os.listdir(tmp_path) == ["a"]


def test_subfolders_are_searched_only_if_asked(tmp_path):
    (tmp_path / "deep").mkdir()
    name = die_while_writing(tmp_path / "deep" / "a")
    assert remove_stale(tmp_path) == []
    assert remove_stale(tmp_path, recursive=True) == [tmp_path / "deep" / name]


def test_a_later_process_with_the_same_number_does_not_keep_the_file(tmp_path, monkeypatch):
    mine = claim_temporary(tmp_path / "a")
    mine.write_bytes(b"")
    monkeypatch.setattr(temporary_files, "_claimed", set())  # as a process that got this number again
    assert remove_stale(tmp_path) == [tmp_path / mine.name]
    parent = tmp_path / mine.name.replace(f".{os.getpid()}-", f".{os.getppid()}-")
    parent.write_bytes(b"")
    assert remove_stale(tmp_path) == []
    os.utime(parent, (0, 0))  # older than the process
    assert remove_stale(tmp_path) == [parent]


def test_files_of_other_machines_are_removed_after_a_day(tmp_path):
    for name in (".a.1-0000000000000000.tmp", ".a.png.1-0000000000000000.tmp.png", f".a.{'0' * 32}.tmp"):
        (tmp_path / name).write_bytes(b"")
    assert remove_stale(tmp_path) == []
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 90_000,) * 2)
    assert len(remove_stale(tmp_path)) == 3


def test_other_files_are_never_removed(tmp_path):
    for name in ("a.tmp", ".a.tmp", "a.1-0123456789abcdef.tmp", ".hidden", ".a.99999999.tmp"):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (0, 0))
    assert remove_stale(tmp_path) == [] and len(os.listdir(tmp_path)) == 5
    assert remove_stale(tmp_path / "missing") == []
