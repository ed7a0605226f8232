import contextlib
import json
import os
import stat
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from depthbox.io.files import WriteError, atomic_open, atomic_path

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
WRITERS = {
    "write": lambda file: file.write(bytes(20_000)),
    "png": lambda file: Image.fromarray(NOISE).save(file, format="PNG"),
    "jpeg": lambda file: Image.fromarray(NOISE.repeat(4, 0)).save(file, format="JPEG", quality=98),
    "npy": lambda file: np.save(file, np.zeros(20_000)),
    "torch": lambda file: torch.save({"a": torch.rand(20_000)}, file),
    "zip": lambda file: zipfile.ZipFile(file, "w").writestr("a", bytes(20_000)),
}


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


@pytest.mark.parametrize("kind", WRITERS)
def test_each_library_writes_the_same_bytes_as_to_an_ordinary_file(tmp_path, kind):
    torch.manual_seed(0)
    with open(tmp_path / "name", "wb") as ordinary:
        WRITERS[kind](ordinary)
    torch.manual_seed(0)
    with atomic_open(tmp_path / "atomic" / "name") as file:
        WRITERS[kind](file)
    written, wanted = (tmp_path / "atomic" / "name").read_bytes(), (tmp_path / "name").read_bytes()
    assert len(written) > 4096
    assert len(written) == len(wanted) if kind in ("torch", "zip") else written == wanted  # those two hold the time


def run_with_limit(code: str, folder) -> list[str]:
    """Run code in a process whose files may hold 4096 bytes; return its lines."""
    call = (
        "import resource, sys; sys.path.insert(0, 'tests/io')\n"
        "from test_files import *\nfrom pathlib import Path\n"
        f"folder = Path({str(folder)!r})\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n{code}"
    )
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_file_above_the_size_limit_is_a_write_error_of_each_library(tmp_path):
    lines = run_with_limit(
        """
for kind, write in WRITERS.items():
    (folder / kind).write_bytes(b"old")
    try:
        with atomic_open(folder / kind) as file:
            write(file)
        print(kind, "written")
    except WriteError as error:
        print(kind, error)
""",
        tmp_path,
    )
    assert [line.split()[0] for line in lines] == list(WRITERS)
    for line, kind in zip(lines, WRITERS, strict=True):
        assert f"{tmp_path / kind} cannot be written: File too large" in line
        assert "files are limited to 4.1 kB" in line
    assert "needs at least 20.0 kB" in lines[0]
    assert sorted(os.listdir(tmp_path)) == sorted(WRITERS)
    assert {(tmp_path / kind).read_bytes() for kind in WRITERS} == {b"old"}


def test_a_full_device_is_a_write_error_even_if_the_library_ignores_it():
    pattern = r"/dev/full cannot be written: No space left on device \(it needs at least 1"
    with pytest.raises(WriteError, match=pattern), atomic_open("/dev/full") as file, contextlib.suppress(OSError):
        for _ in range(100):
            file.write(bytes(10_000))
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_a_device_is_written_and_not_replaced(tmp_path):
    with atomic_open("/dev/null") as file:
        file.write(b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_folder_is_refused_before_the_work(tmp_path):
    (tmp_path / "out").mkdir()
    worked = False
    pattern = "out cannot be written: Is a directory; choose another name"
    with pytest.raises(WriteError, match=pattern), atomic_open(tmp_path / "out"):
        worked = True
    assert not worked


@pytest.mark.parametrize("name", ["a/b", "a/b/c"])
def test_a_parent_that_is_a_file_is_named(tmp_path, name):
    (tmp_path / "a").write_bytes(b"")
    pattern = f"{tmp_path / 'a'} is a file, not a folder: choose another output"
    with pytest.raises(WriteError, match=pattern), atomic_open(tmp_path / name):
        pass


def test_names_are_as_long_as_the_file_system_allows(tmp_path):
    for name in ("n" * 250 + ".json", "é" * 127):
        with atomic_open(tmp_path / name) as file:
            file.write(b"x")
        assert (tmp_path / name).read_bytes() == b"x"
    pattern = "File name too long; choose a shorter name"
    with pytest.raises(WriteError, match=pattern), atomic_open(tmp_path / ("n" * 256)) as file:
        file.write(b"x")
    assert len(os.listdir(tmp_path)) == 2


def test_an_error_of_reading_inside_the_block_stays_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_open(tmp_path / "out"):
        (tmp_path / "missing").read_bytes()


def test_a_library_that_needs_a_path_gets_a_temporary_one_with_the_suffix(tmp_path):
    path = tmp_path / "new" / "a.json"
    with atomic_path(path) as temporary:
        assert (temporary.parent, temporary.suffix) == (path.parent, ".json")
        temporary.write_text(json.dumps([1]))
        assert not path.exists()
    assert json.loads(path.read_text()) == [1]
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert os.listdir(path.parent) == ["a.json"]


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
