"""Listing of folders."""

from pathlib import Path

from depthbox.io.folders import is_hidden, list_files


def test_files_of_all_folders_are_listed_sorted_but_those_of_hidden_folders(tmp_path: Path) -> None:
    for name in ("b.txt", "a/c.txt", "a/.d", ".git/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_files(tmp_path) == ["a/.d", "a/c.txt", "b.txt"]


def test_linked_folders_are_followed_and_a_circle_ends(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "x.png").touch()
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "near").symlink_to(tmp_path / "far")
    (tmp_path / "top" / "again").symlink_to(tmp_path / "top")
    assert list_files(tmp_path / "top") == ["near/x.png"]


def test_missing_folder_has_no_files(tmp_path: Path) -> None:
    assert list_files(tmp_path / "none") == []


def test_hidden_files_begin_with_a_dot() -> None:
    assert is_hidden("a/.b.png")
    assert not is_hidden(".a/b.png")
