"""File names of annotation files and the files of the image folder."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthbox.io.annotations.file_names import FileIndex, is_absolute, is_sound, normalize_name
from depthbox.io.folders import list_files


def index(root: Path, *files: str) -> FileIndex:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return FileIndex(root)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.png", "./a.png"),
        ("a.png", "x/../a.png"),
        ("day/a.png", "day\\a.png"),
        ("day/a.png", ".\\day\\a.png"),
        ("a.JPG", "a.jpg"),
        ("Day/a.jpg", "day/A.JPG"),
        ("a b.png", "a%20b.png"),
        ("a.png", "\ufeffa.png"),
        ("a.png", " a.png "),
        (unicodedata.normalize("NFC", "größe.png"), unicodedata.normalize("NFD", "größe.png")),
        (unicodedata.normalize("NFD", "größe.png"), unicodedata.normalize("NFC", "GRÖßE.png")),
    ],
)
def test_other_spellings_are_found(file: str, name: str, tmp_path: Path) -> None:
    match = index(tmp_path, file).match(name)
    assert match is not None
    assert (match.file, match.agreement) == (file, "respelled")


@pytest.mark.parametrize(
    "file", ["a.png", "100%.png", "a#b.png", "x [1].png", "a%20b.png", "图像.png", "back\\slash.png"]
)
def test_exact_names_come_first(file: str, tmp_path: Path) -> None:
    match = index(tmp_path, file, "other/a.png", "a b.png", "A.PNG").match(file)
    assert match is not None
    assert (match.file, match.agreement) == (file, "exact")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.png", "images/a.png"),
        ("a.png", "images\\1/a.png"),
        ("images/a.png", "images\\1/a.png"),
        ("day1/a.png", "a.png"),
        ("x/day1/a.png", "day1/a.png"),
        ("a.png", "../train/images/a.png"),
        ("a.png", "C:\\Users\\me\\a.png"),
        ("a.png", "/data/images/a.png"),
        ("a b.png", "http://host/images/a%20b.png"),
    ],
)
def test_other_folders_are_found_if_only_one_file_fits(file: str, name: str, tmp_path: Path) -> None:
    match = index(tmp_path, file, "depth/a.txt", "other/b.png").match(name)
    assert match is not None
    assert (match.file, match.agreement) == (file, "moved")


@pytest.mark.parametrize(
    "name",
    [
        "val/a.png",
        "a.png",
        "c.png",
        "a.jpg",
        "",
        " ",
        ".",
        "..",
        "/",
        "train",
        "a\0.png",
        "a\n.png",
        "train/a.png/",
        "\ud800",
    ],
)
def test_names_that_fit_nothing_or_several_files_are_not_found(name: str, tmp_path: Path) -> None:
    files = index(tmp_path, "train/a.png", "test/a.png", "b.png")
    assert files.find(name) == ("train/a.png" if name.startswith("train/") else None)


def test_letter_case_decides_between_files_that_differ_in_it(tmp_path: Path) -> None:
    files = index(tmp_path, "a.JPG", "a.jpg")
    assert files.find("a.JPG") == "a.JPG"
    assert files.find("a.jpg") == "a.jpg"
    assert files.find("A.JPG") is None


def test_an_absolute_path_inside_the_folder_is_found(tmp_path: Path) -> None:
    assert index(tmp_path, "day/a.png", "a.png").find(str(tmp_path / "day" / "a.png")) == "day/a.png"


def test_files_outside_the_folder_are_never_found(tmp_path: Path) -> None:
    (tmp_path / "secret.png").touch()
    files = index(tmp_path / "images", "a.png")
    for name in ("../secret.png", str(tmp_path / "secret.png"), "x/../../secret.png", "..\\secret.png"):
        assert files.find(name) is None


def test_the_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(
        "depthbox.io.annotations.file_names.list_files", lambda root: calls.append(root) or list_files(root)
    )
    files = index(tmp_path, "a.png")
    assert [files.find(name) for name in ("a.png", "A.png", "b.png")] == ["a.png", "a.png", None]
    assert calls == [tmp_path]


@given(
    st.text(max_size=12)
    | st.lists(st.sampled_from(["..", ".", "/", "\\", "a.png", "day", "%2e%2e", "C:"])).map("/".join)
)
def test_every_found_file_exists_below_the_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.getbasetemp() / "any_name" / "root"
    if not root.exists():
        index(root, "a.png", "day/a.png", "day/b.png")
        (root.parent / "a.png").touch()
    found = FileIndex(root).find(name)
    assert found is None or found in ("a.png", "day/a.png", "day/b.png")


@given(st.text(max_size=20))
def test_normalized_names_stay_inside_the_folder(name: str) -> None:
    normal = normalize_name(name, "/data/images")
    if normal is not None:
        assert Path("/data/images").joinpath(normal).resolve().is_relative_to("/data/images")
        assert normalize_name(normal, "/data/images") == normal


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a\\b.png", "a/b.png"),
        ("./a.png", "a.png"),
        ("/data/images/b/a.png", "b/a.png"),
        ("/data/images2/a.png", None),
        ("../a.png", None),
        ("b/../../a.png", None),
        ("C:\\a.png", None),
        ("\\\\server\\a.png", None),
        ("http://a/b.png", None),
        (".", None),
    ],
)
def test_names_are_normalized_without_files(name: str, expected: str | None) -> None:
    assert normalize_name(name, "/data/images") == expected


def test_names_with_control_characters_are_not_sound() -> None:
    assert is_sound("a b.png")
    assert is_sound("\udcff.png")  # bytes of a file name that are not UTF-8
    assert not any(is_sound(name) for name in ("", " ", "a\n", "\x7f", "\x85", "\ud800"))


def test_absolute_paths_of_all_systems_are_known() -> None:
    assert all(is_absolute(name) for name in ("/a", "\\a", "C:/a", "d:\\a", "file:///a", "s3://a"))
    assert not any(is_absolute(name) for name in ("a", "./a", "a:b.png", "../a"))
