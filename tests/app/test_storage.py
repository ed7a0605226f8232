"""Uploads and downloads: owners, limits, names, and files that are not what was stored."""

import io
import os
from pathlib import Path

import pytest

from depthbox.app.limits import Limits
from depthbox.app.storage import REFERENCE, DownloadStore, UploadError, UploadStore, clean_name

UNKNOWN = f"depthbox_app_{'0' * 32}"


def test_an_upload_is_stored_under_a_random_name(tmp_path: Path) -> None:
    store = UploadStore(tmp_path)
    first, second = (store.add(io.BytesIO(b"image"), "../../a b.png", "anna") for _ in range(2))
    assert first.reference != second.reference and REFERENCE.fullmatch(first.reference)
    assert first.path != second.path and first.path.parent == tmp_path and first.path.read_bytes() == b"image"
    assert first.name == "a b.png" and first.size == 5 and first.path.stat().st_mode & 0o077 == 0
    assert first.path.name not in first.reference and store.open(first.reference) is first
    store.remove(first.reference)
    assert not first.path.exists() and second.path.exists()
    with pytest.raises(UploadError, match="upload it again"):
        store.open(first.reference)


def test_an_upload_belongs_to_a_browser_and_then_to_one_tab(tmp_path: Path) -> None:
    store = UploadStore(tmp_path)
    reference = store.add(io.BytesIO(b"x"), "a", "anna").reference
    for owner, session in (("ben", "1"), ("", "1")):
        with pytest.raises(UploadError, match="not uploaded by this page"):
            store.claim(reference, owner, session)
    store.claim(reference, "anna", "1")
    store.claim(reference, "anna", "1")
    with pytest.raises(UploadError, match="not uploaded by this page"):
        store.claim(reference, "anna", "2")
    with pytest.raises(UploadError, match="not uploaded by this page"):
        store.claim(UNKNOWN, "anna", "1")


@pytest.mark.parametrize("kind", ["symbolic link", "folder", "pipe", "nothing"])
def test_only_regular_files_of_the_folder_are_opened(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    store = UploadStore(folder)
    upload = store.add(io.BytesIO(b"x"), "a", "")
    (tmp_path / "secret").write_text("SECRET")
    upload.path.unlink()
    make = {
        "symbolic link": lambda: upload.path.symlink_to(tmp_path / "secret"),
        "folder": upload.path.mkdir,
        "pipe": lambda: os.mkfifo(upload.path),
        "nothing": lambda: None,
    }
    make[kind]()
    with pytest.raises(UploadError, match="not stored any more"):
        store.open(upload.reference)


def test_the_space_of_all_uploads_is_limited_and_old_ones_are_removed(tmp_path: Path) -> None:
    store = UploadStore(tmp_path, Limits(disk_bytes=10, idle_seconds=100))
    first = store.add(io.BytesIO(b"12345"), "a", "")
    store.add(io.BytesIO(b"12345"), "b", "")
    with pytest.raises(UploadError, match="no space for more images"):
        store.add(io.BytesIO(b"1"), "c", "")
    assert len(list(tmp_path.iterdir())) == 2
    first.used -= 101
    store.add(io.BytesIO(b"1"), "c", "")
    assert not first.path.exists() and len(list(tmp_path.iterdir())) == 2


def test_an_idle_upload_is_removed_when_another_one_is_used(tmp_path: Path) -> None:
    store = UploadStore(tmp_path, Limits(idle_seconds=100))
    first, second = (store.add(io.BytesIO(b"x"), "a", "") for _ in range(2))
    first.used -= 101
    second.used -= 99
    store.open(second.reference)
    assert not first.path.exists() and second.path.exists()
    with pytest.raises(UploadError, match="not stored any more"):
        store.open(first.reference)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise OSError(28, "No space left on device")

    store = UploadStore(tmp_path, Limits(disk_bytes=5))
    for _ in range(3):  # nor does it count as used space
        with pytest.raises(OSError, match="No space left"):
            store.add(Broken(b"12345"), "a", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "image"), ("..", ".."), ("/etc/passwd", "passwd"), ("C:\\x\\y.png", "y.png"), ("a\0b.png", "ab.png"),
        ("a\x1b[2Jb.png", "x1b[2Jb.png"), ("x" * 500 + ".png", "x" * 196 + ".png"), ("a\u202egnp.exe", "u202egnp.exe"),
    ],
)  # fmt: skip
def test_names_have_no_folders_and_control_characters(name: str, expected: str) -> None:
    assert clean_name(name) == expected


def test_downloads_belong_to_a_browser_and_replace_each_other() -> None:
    store = DownloadStore(limit=10)
    first = store.put("one", "a.json", b"12345", "anna")
    assert store.find(first.token, "anna") == first
    assert store.find(first.token, "ben") is None and store.find(first.token, "") is None
    second = store.put("one", "a.json", b"1234", "anna")
    assert store.find(first.token, "anna") is None and store.find(second.token, "anna") == second
    third = store.put("two", "b.json", b"1234567", "ben")  # beyond the limit: the oldest goes
    assert store.find(second.token, "anna") is None and store.find(third.token, "ben") == third
    large = store.put("two", "b.json", b"x" * 100, "ben")
    assert store.find(large.token, "ben") == large
