"""Open Images tables."""

import numpy as np
import pytest
from reader_toy import BOXES, HEIGHT, WIDTH, boxes_of, files_of, rules_of, save_image, write_text

from depthbox.io.annotations.readers.openimages import (
    is_open_images_table,
    open_images_splits,
    read_open_images,
)
from depthbox.io.annotations.records import AnnotationError

HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
)
NAMES = '/m/01,Zebra\n/m/02,"Ant, red"\n/m/03,Unused\n'


def row(image, code, box, group=0):
    x, y, w, h = box
    sides = f"{x / WIDTH},{(x + w) / WIDTH},{y / HEIGHT},{(y + h) / HEIGHT}"
    return f"{image},xclick,{code},1,{sides},0,0,{group},0,0\n"


def write_table(folder, *rows, name="boxes.csv", files=("0a1.jpg",), place="images", names=NAMES):
    for file in files:
        save_image(folder / place / file)
    if names is not None:
        write_text(folder / "class-descriptions-boxable.csv", names)
    return write_text(folder / name, HEADER + "".join(rows))


def test_content_is_that_of_coco(tmp_path):
    file = write_table(tmp_path, row("0a1", "/m/01", BOXES[0]), row("0a1", "/m/02", BOXES[1], group=1))
    assert is_open_images_table(file) and open_images_splits(tmp_path) == ()
    for source, images in ((file, None), (tmp_path, None), (file, tmp_path / "images")):
        raw = read_open_images(source, images)
        assert [entry[:2] for entry in boxes_of(raw)] == [("0a1.jpg", "Zebra"), ("0a1.jpg", "Ant, red")]
        assert np.allclose([entry[2] for entry in boxes_of(raw)], BOXES[:2], atol=1e-3)
        assert [entry["iscrowd"] for entry in raw.content["annotations"]] == [0, 1]
        assert raw.kind == "openimages" and not raw.notes
    assert raw.content["categories"] == [{"id": 1, "name": "Ant, red"}, {"id": 2, "name": "Zebra"}]


def test_codes_without_descriptions_are_names(tmp_path):
    raw = read_open_images(write_table(tmp_path, row("0a1", "/m/01", BOXES[0]), names=None))
    assert [category["name"] for category in raw.content["categories"]] == ["/m/01"]


def test_a_part_of_the_images(tmp_path):
    rows = [row(name, "/m/01", BOXES[0]) for name in ("0a1", "0a1", "0b2", "0b2", "0c3")]
    raw = read_open_images(write_table(tmp_path, *rows))
    assert files_of(raw) == ["0a1.jpg"] and len(boxes_of(raw)) == 2
    assert rules_of(raw) == {"annotation_without_image": 2}


@pytest.mark.parametrize("value", ["x", "", "nan", "48"])
def test_broken_rows_are_left_out(tmp_path, value):
    broken = row("0a1", "/m/01", BOXES[0]).split(",")
    broken[4] = value
    raw = read_open_images(write_table(tmp_path, row("0a1", "/m/01", BOXES[0]), ",".join(broken)))
    assert len(boxes_of(raw)) == 1 and rules_of(raw) == {"object_unreadable": 1}
    assert raw.notes[0].examples[0].startswith("boxes.csv line 3")


def test_a_table_for_each_split(tmp_path):
    names = {"train": "oidv6-train-annotations-bbox.csv", "val": "validation-annotations-bbox.csv"}
    for split, code in (("train", "/m/01"), ("val", "/m/02")):
        write_table(tmp_path, row(split, code, BOXES[0]), name=names[split], files=(f"{split}.jpg",), place=split)
    assert open_images_splits(tmp_path) == ("train", "val")
    train, val = read_open_images(tmp_path), read_open_images(tmp_path, split="val")
    assert files_of(train) == ["train.jpg"] and files_of(val) == ["val.jpg"]
    assert train.image_root == tmp_path / "train"
    assert train.content["categories"] == val.content["categories"]
    assert read_open_images(tmp_path, split="test") is None


def test_a_folder_for_each_split(tmp_path):
    for split in ("train", "validation"):
        part = tmp_path / split
        write_table(part, row("0a1", "/m/01", BOXES[0]), name="labels/detections.csv", place="data", names=None)
        write_text(part / "metadata/classes.csv", NAMES)
    assert open_images_splits(tmp_path) == ("train", "val")
    raw = read_open_images(tmp_path, split="val")
    assert boxes_of(raw)[0][:2] == ("0a1.jpg", "Zebra") and raw.image_root == tmp_path / "validation/data"


def test_broken_tables_are_named(tmp_path):
    with pytest.raises(AnnotationError, match="no single table"):
        read_open_images(tmp_path)
    with pytest.raises(AnnotationError, match=r"no column\(s\) imageid"):
        read_open_images(write_text(tmp_path / "a.csv", "x,y\n"))
    with pytest.raises(AnnotationError, match="no annotated images"):
        read_open_images(write_text(tmp_path / "b.csv", HEADER))
