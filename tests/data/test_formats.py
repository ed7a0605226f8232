"""YOLO and Pascal VOC folders as COCO contents."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from depthbox.data.formats import FormatError, find_format, read_boxes, voc_folder, write_json, yolo_folder

WIDTH, HEIGHT = 80, 60
BOX = (10, 12, 30, 24)  # x, y, width, height


def save_image(path, orientation=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation:
        exif[274] = orientation
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(path, exif=exif)


def yolo_line(label, box, width=WIDTH, height=HEIGHT):
    x, y, w, h = box
    return f"{label} {(x + w / 2) / width} {(y + h / 2) / height} {w / width} {h / height}\n"


@pytest.fixture
def yolo(tmp_path):
    """Two training images, one of them without objects, and one of validation."""
    for name in ("train/a.jpg", "train/empty.jpg", "val/b.jpg"):
        save_image(tmp_path / "images" / name)
    for name, text in (("train/a", yolo_line(1, BOX) + yolo_line(0, (0, 0, 8, 6))), ("val/b", yolo_line(1, BOX))):
        file = tmp_path / "labels" / f"{name}.txt"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    (tmp_path / "data.yaml").write_text("path: .\ntrain: images/train\nval: images/val\nnames: {0: dog, 1: cat}\n")
    return tmp_path


def save_voc(folder, stem, objects, images="JPEGImages", notes="Annotations"):
    save_image(folder / images / f"{stem}.jpg")
    (folder / notes).mkdir(exist_ok=True)
    rows = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w}</xmax>"
        f"<ymax>{y + h}</ymax></bndbox></object>"
        for name, (x, y, w, h) in objects
    )
    (folder / notes / f"{stem}.xml").write_text(f"<annotation><filename>{stem}.jpg</filename>{rows}</annotation>")


def boxes(content):
    names = {category["id"]: category["name"] for category in content["categories"]}
    files = {image["id"]: image["file_name"] for image in content["images"]}
    return [(files[a["image_id"]], names[a["category_id"]], a["bbox"]) for a in content["annotations"]]


def test_formats_are_told_by_what_lies_there(yolo, tmp_path):
    assert find_format(yolo) == find_format(yolo / "data.yaml") == "yolo"
    (tmp_path / "boxes.json").write_text("{}")
    assert find_format(tmp_path / "boxes.json") == "coco"
    save_voc(tmp_path / "voc", "a", [])
    save_voc(tmp_path / "flat", "a", [], ".", ".")
    assert find_format(tmp_path / "voc") == find_format(tmp_path / "flat") == "voc"
    for wrong in (yolo / "images", yolo / "labels" / "val" / "b.txt"):
        with pytest.raises(FormatError, match="neither a COCO json nor"):
            find_format(wrong)
    with pytest.raises(FormatError, match="there is no"):
        find_format(tmp_path / "gone")


def test_yolo_gives_pixels_names_and_empty_images(yolo):
    pytest.importorskip("supervision")
    train, val = read_boxes([yolo_folder(yolo, split) for split in ("train", "val")], progress=False)
    found = boxes(train)
    assert [(file, name) for file, name, _ in found] == [("a.jpg", "cat"), ("a.jpg", "dog")]
    assert np.allclose([box for *_, box in found], [BOX, (0, 0, 8, 6)], atol=0.01)
    assert [image["file_name"] for image in train["images"]] == ["a.jpg", "empty.jpg"]
    assert all((image["height"], image["width"]) == (HEIGHT, WIDTH) for image in train["images"])
    assert train["categories"] == val["categories"] == [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    assert not any("segmentation" in a for a in train["annotations"])
    assert {a["id"] for a in train["annotations"]} == {1, 2} and len(val["images"]) == 1


def test_yolo_outlines_become_boxes_and_turned_images_have_their_shown_size(yolo):
    pytest.importorskip("supervision")
    save_image(yolo / "images" / "val" / "b.jpg", orientation=6)
    corners = [(8, 8), (40, 8), (40, 32), (8, 20)]
    outline = " ".join(f"{x / HEIGHT} {y / WIDTH}" for x, y in corners)  # shown, the image is HEIGHT wide
    (yolo / "labels" / "val" / "b.txt").write_text(f"0 {outline}\n")
    (content,) = read_boxes([yolo_folder(yolo, "val")], progress=False)
    assert (content["images"][0]["width"], content["images"][0]["height"]) == (HEIGHT, WIDTH)
    assert np.allclose(boxes(content)[0][2], (8, 8, 32, 24), atol=0.01)


def test_yolo_folders_of_other_layouts(yolo, tmp_path):
    (yolo / "data.yaml").write_text("train: ../images/train\nvalid: images/val\nnames: [dog, cat]\n")
    assert yolo_folder(yolo, "train").annotations == yolo / "labels" / "train", "as Roboflow writes it"
    assert yolo_folder(yolo, "val").images == yolo / "images" / "val"
    (yolo / "data.yaml").write_text("names: [dog, cat]\n")
    assert yolo_folder(yolo, "val") is None
    flat = tmp_path / "flat"
    save_image(flat / "a.jpg")
    (flat / "a.txt").write_text(yolo_line(0, BOX))
    assert yolo_folder(yolo, "train", flat).annotations == flat


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: images/gone\nnames: [a]\n", "there is no"),
        ("train: [a, b]\nnames: [a]\n", "not one folder"),
        ("train: images/train\n", "no 'names'"),
        ("a: [", "no valid YAML"),
        ("train: images\nnames: [a]\n", "no labels"),
    ],
)
def test_broken_yaml_is_named(yolo, text, message):
    (yolo / "data.yaml").write_text(text)
    with pytest.raises(FormatError, match=message):
        yolo_folder(yolo, "train")


@pytest.mark.parametrize(("line", "message"), [("7 0.5 0.5 0.1 0.1", "7"), ("0 0.5 0.5", "a.txt")])
def test_broken_labels_are_named(yolo, line, message):
    pytest.importorskip("supervision")
    (yolo / "labels" / "train" / "a.txt").write_text(line + "\n")
    with pytest.raises(FormatError, match=message):
        read_boxes([yolo_folder(yolo, "train")], progress=False)


@pytest.mark.parametrize("layout", [("JPEGImages", "Annotations"), (".", ".")])
def test_voc_counts_from_one_and_sorts_its_classes(tmp_path, layout):
    pytest.importorskip("supervision")
    save_voc(tmp_path / "train", "a", [("zebra", BOX), ("ant", (0, 0, 8, 6))], *layout)
    save_image(tmp_path / "train" / layout[0] / "unlabelled.jpg")
    save_voc(tmp_path / "val", "b", [("bee", BOX)], *layout)
    train, val = read_boxes([voc_folder(tmp_path / name) for name in ("train", "val")], progress=False)
    assert boxes(train) == [("a.jpg", "zebra", list(BOX)), ("a.jpg", "ant", [0, 0, 8, 6])]
    assert boxes(val) == [("b.jpg", "bee", list(BOX))]
    assert [category["name"] for category in train["categories"]] == ["ant", "bee", "zebra"]
    assert train["categories"] == val["categories"]


def test_broken_voc_and_missing_images(tmp_path):
    pytest.importorskip("supervision")
    save_voc(tmp_path, "a", [])
    (tmp_path / "Annotations" / "a.xml").write_text("<annotation>")
    with pytest.raises(FormatError, match="cannot be read"):
        read_boxes([voc_folder(tmp_path)], progress=False)
    (tmp_path / "other").mkdir()
    with pytest.raises(FormatError, match="no annotated images"):
        read_boxes([voc_folder(tmp_path, tmp_path / "other")], progress=False)
    with pytest.raises(FormatError, match="there is no folder"):
        read_boxes([voc_folder(tmp_path, tmp_path / "gone")], progress=False)


def test_a_missing_library_is_named_with_its_extra(yolo, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match=r"depthbox\[formats\]"):
        read_boxes([yolo_folder(yolo, "train")])


def test_json_is_whole_or_absent(tmp_path):
    assert json.loads(write_json({"a": [1]}, tmp_path / "x" / "a.json").read_text()) == {"a": [1]}
    with pytest.raises(TypeError):
        write_json({"a": object()}, tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()
