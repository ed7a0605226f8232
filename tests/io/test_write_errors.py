import errno
import os
import pickle
import shutil
import subprocess
import sys

import pytest

from depthbox.io.write_errors import (
    WriteError,
    describe_shortage,
    explain_write_errors,
    format_bytes,
    make_folder,
)


def explain(number: int, path: str, needed: int = 0) -> str:
    with pytest.raises(WriteError) as caught, explain_write_errors(path, needed):
        raise OSError(number, os.strerror(number))
    assert caught.value.errno == number
    return str(caught.value)


def test_a_full_disk_says_what_is_needed_and_free(tmp_path):
    text = explain(errno.ENOSPC, f"{tmp_path}/new/a.json", 5_200_000)
    free = format_bytes(shutil.disk_usage(tmp_path).free)[:3]
    assert text.startswith(
        f"{tmp_path}/new/a.json cannot be written: No space left on device (it needs at least 5.2 MB"
    )
    assert f"{free}" in text and text.endswith("free space there, or choose another output")
    assert "Disk quota exceeded (" in explain(errno.EDQUOT, str(tmp_path / "a"))


def test_a_disk_for_reading_asks_for_another_output():
    assert explain(errno.EROFS, "out/a").endswith(
        "Read-only file system; the disk may only be read: choose another output"
    )


def test_a_folder_of_another_user_is_named(tmp_path):
    """In a process without the rights of root."""
    (tmp_path / "out").mkdir(mode=0o755)
    code = """
import os, sys
from depthbox.io.files import atomic_open
if os.geteuid() == 0:
    os.seteuid(65534)
else:
    os.chmod(sys.argv[1], 0o555)
try:
    with atomic_open(sys.argv[1] + "/a/b.json") as file:
        file.write(b"x")
except OSError as error:
    print(type(error).__name__, error)
"""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder.name.startswith(("pytest", "popen", "test")):
            folder.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"WriteError {tmp_path / 'out' / 'a'} cannot be written: Permission denied")
    assert f"correct the permissions of {tmp_path / 'out'}, or choose another output" in done.stdout
    assert os.listdir(tmp_path / "out") == []


def test_the_error_passes_between_processes_with_its_number():
    error = pickle.loads(pickle.dumps(WriteError("text", "a.json", errno.ENOSPC)))
    assert (str(error), error.path, error.errno, type(error)) == ("text", "a.json", errno.ENOSPC, WriteError)


def test_an_explained_error_is_not_explained_twice():
    with pytest.raises(WriteError, match=r"^inner$"), explain_write_errors("outer"):
        raise WriteError("inner")


def test_a_closed_pipe_is_not_a_failed_file():
    with pytest.raises(BrokenPipeError), explain_write_errors("out"):
        raise BrokenPipeError


def test_folders_are_created_and_a_file_in_their_place_is_named(tmp_path):
    assert make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError, match=f"{tmp_path / 'file'} is a file, not a folder"):
        make_folder(tmp_path / "file")


def test_a_shortage_is_told_before_the_work(tmp_path):
    assert describe_shortage(tmp_path / "new", 1000) == ""
    text = describe_shortage(tmp_path / "new", 10**18)
    assert (
        text.startswith(f"about 1000000.0 TB will be written to {tmp_path / 'new'}, but only ") and "are free" in text
    )


def test_sizes_have_decimal_units():
    assert [format_bytes(n) for n in (12, 4100, 5_200_000, 3e9)] == ["12 bytes", "4.1 kB", "5.2 MB", "3.0 GB"]
