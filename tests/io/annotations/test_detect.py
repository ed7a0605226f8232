"""Detection of annotation formats, and the one function that reads all of them."""

import json
import sys

import pytest
from reader_toy import (
    BOXES,
    files_of,
    require_boxes,
    save_image,
    voc_object,
    voc_text,
    write_text,
    write_voc,
    write_yolo,
)

from depthbox.io.annotations.coco import read_coco
from depthbox.io.annotations.detect import choose_split, find_format, read_raw, splits_of
from depthbox.io.annotations.records import AnnotationError

COCO = {"images": [], "annotations": [], "categories": []}
LABELME = {"shapes": [], "imagePath": "000.png", "imageHeight": 1, "imageWidth": 1}
TASK = {"id": 1, "data": {"image": "000.png"}, "annotations": [{"result": []}]}
OPEN_IMAGES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf\n000,x,/m/1,1,0,0.5,0,0.5,0\n"
POINTS = "image,x,y,class\n000.png,10,20,a\n"
TABLE = "filename,width,height,class,xmin,ymin,xmax,ymax\n000.png,96,64,a,1,1,20,20\n"


def dump(path, content):
    return write_text(path, json.dumps(content))


@pytest.fixture
def coco_calls(monkeypatch):
    """Record how the reader of COCO is called."""
    calls = []

    def record(path, images, split):
        calls.append((path, images, split))
        return read_coco(path, images, split)

    monkeypatch.setattr("depthbox.io.annotations.detect.read_coco", record)
    return calls


def write_all(folder):
    """Write one dataset of each format; returns format -> sources."""
    write_yolo(folder / "yolo")
    write_voc(folder / "voc")
    save_image(folder / "cvat/images/000.png")
    box = '<box label="a" xtl="1" ytl="2" xbr="3" ybr="4"/>'
    write_text(
        folder / "cvat/job.xml",
        f'<?xml version="1.0"?><!-- x --><annotations><image name="000.png">{box}</image></annotations>',
    )
    for kind, content in (("labelme", LABELME), ("labelstudio", [TASK]), ("coco", COCO)):
        save_image(folder / kind / "000.png", (1, 1) if kind == "labelme" else (96, 64))
        dump(folder / kind / "000.json", content)
    for kind, text in (("openimages", OPEN_IMAGES), ("table", TABLE), ("points", POINTS)):
        save_image(folder / kind / "000.png")
        write_text(folder / kind / "boxes.csv", text)
    files = {
        "yolo": "data.yaml",
        "voc": "Annotations",
        "cvat": "job.xml",
        "openimages": "boxes.csv",
        "table": "boxes.csv",
        "points": "boxes.csv",
    }
    return {
        kind: (folder / kind, folder / kind / files.get(kind, "000.json"))
        for kind in (*files, "labelme", "labelstudio", "coco")
    }


def test_each_format_is_recognized_and_read(tmp_path, coco_calls):
    for kind, sources in write_all(tmp_path).items():
        for source in sources:
            expected = "voc" if kind == "table" else kind
            assert find_format(source) == find_format(str(source)) == expected, source
            raw = read_raw(source, progress=False)
            assert raw.kind == expected and (kind == "coco" or files_of(raw))
    assert coco_calls == [(tmp_path / "coco/000.json", None, "train")] * 2


def test_one_outer_folder_is_entered(tmp_path):
    write_voc(tmp_path / "VOCdevkit/VOC2007")
    write_text(tmp_path / "README.txt", "notes")
    assert find_format(tmp_path) == "voc"
    require_boxes(read_raw(tmp_path), ["000.jpg", "001.jpg", "002.jpg"])


def test_splits(tmp_path, coco_calls):
    write_yolo(tmp_path / "yolo", yaml="train: images/train\nvalid: images/val\ntest: images/test\nnames: [a, b]\n")
    write_yolo(tmp_path / "yolo", "images/val", names=["v.jpg"], yaml=None)
    assert splits_of(tmp_path / "yolo") == ("train", "val")
    require_boxes(read_raw(tmp_path / "yolo", split="valid"), ["v.jpg"])
    for part in ("train", "valid", "test"):
        write_voc(tmp_path / "voc" / part, 1, "", "")
        dump(tmp_path / "coco" / part / "_annotations.coco.json", COCO)
        dump(tmp_path / "labelme" / part / "000.json", LABELME)
    for kind in ("voc", "coco", "labelme"):
        assert find_format(tmp_path / kind) == kind and splits_of(tmp_path / kind) == ("train", "val", "test")
    assert read_raw(tmp_path / "coco", split="valid").kind == "coco"
    assert coco_calls == [(tmp_path / "coco/valid/_annotations.coco.json", None, "val")]
    for part in ("train", "val"):
        dump(tmp_path / f"mscoco/annotations/instances_{part}2017.json", COCO)
        dump(tmp_path / f"mscoco/annotations/captions_{part}2017.json", COCO)
    assert splits_of(tmp_path / "mscoco") == ("train", "val")
    assert read_raw(tmp_path / "mscoco", split="test") is None
    assert splits_of(dump(tmp_path / "boxes.json", COCO)) == ()


def test_a_dataset_without_splits_is_read_as_a_whole(tmp_path):
    write_voc(tmp_path)
    assert splits_of(tmp_path) == ()
    require_boxes(read_raw(tmp_path, split="val"), ["000.jpg", "001.jpg", "002.jpg"])


def test_images_given_by_the_user(tmp_path):
    write_voc(tmp_path, images="elsewhere")
    require_boxes(read_raw(tmp_path / "Annotations", str(tmp_path / "elsewhere")), ["000.jpg", "001.jpg", "002.jpg"])
    with pytest.raises(AnnotationError, match=r"the folder .*gone does not exist; correct --images"):
        read_raw(tmp_path, tmp_path / "gone")


def test_labels_of_two_formats_beside_each_other(tmp_path):
    write_yolo(tmp_path)
    write_voc(tmp_path / "v")
    assert find_format(tmp_path) == "yolo" and find_format(tmp_path / "v") == "voc"


def test_large_files_are_recognized_by_their_ends(tmp_path, monkeypatch):
    for module in ("signatures", "readers.coco_files"):
        monkeypatch.setattr(sys.modules[f"depthbox.io.annotations.{module}"], "_PEEK", 200)
    monkeypatch.setattr(sys.modules["depthbox.io.annotations.signatures"], "_PARSED", 100)
    many = {
        "info": {},
        "images": [{"id": n} for n in range(99)],
        "annotations": [{"id": n} for n in range(99)],
        "categories": [],
    }
    assert find_format(dump(tmp_path / "a.json", many)) == "coco"
    assert find_format(dump(tmp_path / "b.json", {**LABELME, "imageData": "x" * 999})) == "labelme"
    assert find_format(dump(tmp_path / "c.json", [TASK] * 99)) == "labelstudio"
    with pytest.raises(AnnotationError, match="COCO results"):
        find_format(dump(tmp_path / "d.json", [{"image_id": 1, "score": 1.0}] * 99))


def test_a_broken_file_keeps_its_format(tmp_path, coco_calls):
    for text in ("{}", "", "[1, 2]", "{" * 9, "null"):
        assert find_format(write_text(tmp_path / "boxes.json", text)) == "coco", (
            "the reader of the format reports the fault"
        )
    with pytest.raises(AnnotationError, match=r"boxes\.json is not a COCO JSON file"):
        read_raw(tmp_path / "boxes.json")
    assert len(coco_calls) == 1
    for text, kind in (("<annotation>", "voc"), ("<annotations><image", "cvat")):
        file = write_text(tmp_path / "boxes.xml", text)
        assert find_format(file) == kind
        with pytest.raises(AnnotationError, match=r"boxes\.xml is not valid XML"):
            read_raw(file)


def test_objects_without_a_class_do_not_hide_others(tmp_path):
    write_voc(tmp_path, edit=lambda text, number: voc_text("", [voc_object("", BOXES[0]), voc_object("a", BOXES[0])]))
    raw = read_raw(tmp_path)
    assert len(raw.content["annotations"]) == 3 and raw.notes[0].count == 3


def test_the_first_preferred_split_that_exists_is_chosen(tmp_path):
    write_yolo(tmp_path, yaml="train: images/train\nval: images/val\nnames: [a, b]\n")
    write_yolo(tmp_path, "images/val", names=["v.jpg"], yaml=None)
    assert choose_split(tmp_path, ("test", "val", "train")) == "val"
    assert choose_split(tmp_path, ("test",)) == "test", "reading it says that it does not exist"
    whole = write_text(tmp_path / "boxes.json", '{"images": [], "annotations": [], "categories": []}')
    assert choose_split(whole, ("test", "val")) == "test", "without splits"
