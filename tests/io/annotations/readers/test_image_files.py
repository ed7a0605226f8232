"""Listing of image folders, and the search by the names of annotations."""

import os

import pytest
from reader_toy import save_image

from depthbox.io.annotations.readers.image_files import (
    ImageFolder,
    canonical_split,
    clean_name,
    find_image_folder,
    list_images,
    measure_image,
)
from depthbox.io.annotations.records import AnnotationError


def scan(tmp_path, *names):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return ImageFolder.scan(tmp_path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.jpg", "a.jpg"),
        ("A.JPG", "a.jpg"),
        ("a.png", "a.jpg"),
        ("a", "a.jpg"),
        ("images/a.jpg", "a.jpg"),
        (r"D:\images\a.jpg", "a.jpg"),
        ("../a.jpg", "a.jpg"),
        ("x/1.png", "x/1.png"),
        ("data/y/1.png", "y/1.png"),
        ("1.png", None),
        ("z/1.png", None),
        ("IMG_1_jpg.rf.0a1b.jpg", "sub/IMG_1_jpg.rf.0a1b.jpg"),
        ("IMG_1_jpg.rf.0a1b", "sub/IMG_1_jpg.rf.0a1b.jpg"),
        ("", None),
        ("..", None),
        ("gone.jpg", None),
    ],
)
def test_names(tmp_path, name, found):
    assert scan(tmp_path, "a.jpg", "x/1.png", "y/1.png", "sub/IMG_1_jpg.rf.0a1b.jpg").find(name) == found


def test_exact_names_come_first(tmp_path):
    folder = scan(tmp_path, "1.jpg", "1.png", "sub/1.png", "2.jpg", "2.png")
    assert folder.find("1.png") == "1.png" and folder.find("1.jpg") == "1.jpg"
    assert folder.find("sub/1.png") == "sub/1.png" and folder.find("2") is None


def test_hidden_files_and_loops_are_skipped(tmp_path):
    scan(tmp_path, "a.jpg", ".b.jpg", ".cache/c.jpg", "__MACOSX/d.jpg", "sub/e.TIF", "f.txt")
    os.symlink(tmp_path, tmp_path / "sub/loop")
    assert [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)] == ["a.jpg", "sub/e.TIF"]


def test_linked_folders_are_followed(tmp_path):
    scan(tmp_path / "disk", "a.jpg")
    (tmp_path / "data").mkdir()
    os.symlink(tmp_path / "disk", tmp_path / "data/images")
    assert ImageFolder.scan(tmp_path / "data").files == ("images/a.jpg",)


def test_clean_names():
    assert clean_name(r" C:\a\..\b/./c.jpg ") == "a/b/c.jpg" and clean_name("/etc/passwd") == "etc/passwd"


def test_names_of_splits():
    assert [canonical_split(name) for name in ("Train", "valid", "validation", "test", "extra")] == [
        "train", "val", "val", "test", "extra",
    ]  # fmt: skip


def test_folder_of_the_images(tmp_path):
    scan(tmp_path, "labels/a.xml", "photos/a.jpg")
    assert find_image_folder(tmp_path) == tmp_path and find_image_folder(tmp_path / "labels") == tmp_path / "labels"
    scan(tmp_path, "Images/b.jpg")
    assert find_image_folder(tmp_path) == find_image_folder(tmp_path / "labels") == tmp_path / "Images"
    assert find_image_folder(tmp_path, tmp_path / "photos") == tmp_path / "photos"
    with pytest.raises(AnnotationError, match=r"the folder .* does not exist"):
        find_image_folder(tmp_path, tmp_path / "gone")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp"])
def test_sizes_are_those_of_the_upright_image(tmp_path, suffix):
    assert measure_image(save_image(tmp_path / f"a.{suffix}", (30, 20))) == (20, 30)
    if suffix != "bmp":
        assert measure_image(save_image(tmp_path / f"b.{suffix}", (30, 20), orientation=8)) == (30, 20)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_cut_off_images_are_refused_and_trailing_bytes_are_not(tmp_path, name):
    path = save_image(tmp_path / name, (96, 64))
    data = path.read_bytes()
    path.write_bytes(data + b"\0" * 10000)
    assert measure_image(path) == (64, 96)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(AnnotationError, match=f"{name} is truncated or damaged .*Copy or download the file again"):
        measure_image(path)


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1\x00\x04", b"BM" + b"\xff" * 60]
)
def test_other_files_are_refused(tmp_path, data):
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(AnnotationError, match=r"the image .*a\.jpg "):
        measure_image(path)
    with pytest.raises(AnnotationError, match=r"the image .*gone\.jpg "):
        measure_image(tmp_path / "gone.jpg")
