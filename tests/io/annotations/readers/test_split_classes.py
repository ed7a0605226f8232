"""Class lists of the readers: every split of a divided dataset has the same one."""

import json

import pytest
from reader_toy import BOXES, HEIGHT, WIDTH, boxes_of, rules_of, save_image, voc_object, voc_text, write_text

from depthbox.io.annotations.detect import read_raw, splits_of

BOX = [[1, 2], [31, 22]]
PARTS = ("train", "valid", "test")
VOC_HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
OPEN_HEADER = "ImageID,LabelName,XMin,XMax,YMin,YMax\n"


def class_names(raw):
    return [category["name"] for category in raw.content["categories"]]


def classes_by_split(folder):
    """Return the class list of each split, and check that all three splits are found."""
    assert splits_of(folder) == ("train", "val", "test")
    return {split: class_names(read_raw(folder, split=split, progress=False)) for split in splits_of(folder)}


def labelme_shape(label, kind="rectangle", points=BOX):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None}


def write_labelme(folder, shapes):
    for part in PARTS:
        save_image(folder / part / f"{part}.png")
        content = {"shapes": [labelme_shape("car"), *shapes.get(part, ())], "imagePath": f"{part}.png"}
        content |= {"imageHeight": HEIGHT, "imageWidth": WIDTH}
        write_text(folder / part / f"{part}.json", json.dumps(content))
    return folder


def write_voc(folder, objects):
    for part in PARTS:
        save_image(folder / part / f"{part}.jpg")
        text = voc_text(f"{part}.jpg", [voc_object("car", BOXES[0]), *objects.get(part, ())])
        write_text(folder / part / f"{part}.xml", text)
    return folder


def write_tables(folder, header, first, rows, name):
    for part in PARTS:
        save_image(folder / part / f"{part}.jpg")
        lines = [first.format(part), *(row.format(part) for row in rows.get(part, ()))]
        write_text(folder / part / name, header + "".join(f"{line}\n" for line in lines))
    return folder


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "shape",
    [
        labelme_shape("ghost", "line"),
        labelme_shape("ghost", "point", [[3, 4]]),
        labelme_shape("ghost", "point", [[3, 4], [5, 6]]),
        labelme_shape("  "),
        labelme_shape("ghost", "polygon", [[1, 2], ["x", 4], [5, 6]]),
        labelme_shape("ghost", "circle", [[1, 2]]),
    ],
    ids=["line", "point", "two points", "blank label", "unreadable point", "circle of one point"],
)
def test_labelme_shapes_do_not_change_the_classes_of_one_split_alone(tmp_path, part, shape):
    found = classes_by_split(write_labelme(tmp_path, {part: [shape]}))
    assert found["train"] == found["val"] == found["test"]
    assert "car" in found["train"] and all(name.strip() for name in found["train"])


def test_labelme_numbers_as_labels_are_classes_of_all_splits(tmp_path):
    found = classes_by_split(write_labelme(tmp_path, {"valid": [labelme_shape(7)], "test": [labelme_shape("ant")]}))
    assert found == {split: ["7", "ant", "car"] for split in ("train", "val", "test")}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "broken",
    [
        "<object><name>ghost</name></object>",
        voc_object("ghost", BOXES[0]).replace("<xmin>", "<xmin>x"),
        voc_object("ghost", BOXES[0]).replace("bndbox", "point"),
    ],
    ids=["no box", "a text as number", "another shape"],
)
def test_voc_objects_that_are_left_out_do_not_change_the_classes_of_one_split_alone(tmp_path, part, broken):
    found = classes_by_split(write_voc(tmp_path, {part: [broken]}))
    assert found["train"] == found["val"] == found["test"] and "car" in found["train"]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "row",
    ["{}.jpg,96,64,ghost,1,2,x,4", "missing.jpg,96,64,ghost,1,2,3,4", "{}.jpg,96,64,ghost,,2,3,4"],
    ids=["a text as number", "image not there", "an empty number"],
)
def test_rows_of_voc_tables_that_are_left_out_do_not_change_the_classes_of_one_split_alone(tmp_path, part, row):
    first = "{}.jpg,96,64,car,1,2,30,40"
    found = classes_by_split(write_tables(tmp_path, VOC_HEADER, first, {part: [row]}, "_annotations.csv"))
    assert found["train"] == found["val"] == found["test"] and "car" in found["train"]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "row",
    ["{},/m/ghost,0.1,x,0.1,0.2", "elsewhere,/m/ghost,0.1,0.2,0.1,0.2", "{},/m/ghost,0.1,48,0.1,0.2"],
    ids=["a text as number", "image not there", "pixels"],
)
def test_rows_of_open_images_that_are_left_out_do_not_change_the_classes_of_one_split_alone(tmp_path, part, row):
    found = classes_by_split(
        write_tables(tmp_path, OPEN_HEADER, "{},/m/car,0.1,0.5,0.1,0.5", {part: [row]}, "boxes.csv")
    )
    assert found["train"] == found["val"] == found["test"] and "/m/car" in found["train"]


def test_a_class_of_one_split_keeps_its_number_in_the_others(tmp_path):
    """The category_id of an object does not depend on the split that is read."""
    folder = write_voc(tmp_path, {"valid": [voc_object("ant", BOXES[1])], "test": [voc_object("zebra", BOXES[2])]})
    ids = {}
    for split in ("train", "val", "test"):
        raw = read_raw(folder, split=split, progress=False)
        ids[split] = {entry["name"]: entry["id"] for entry in raw.content["categories"]}
        assert ("car", list(BOXES[0])) in [(name, box) for _, name, box in boxes_of(raw)]
    assert ids["train"] == ids["val"] == ids["test"] == {"ant": 1, "car": 2, "zebra": 3}


@pytest.mark.parametrize("name", ["labelme", "voc", "table", "open images"])
def test_an_undivided_dataset_has_no_class_of_left_out_objects_alone(tmp_path, name):
    """A class that only objects without coordinates have would be a class without a training example."""
    save_image(tmp_path / "0.jpg")
    if name == "labelme":
        shapes = [labelme_shape("car"), labelme_shape("ghost", "line")]
        sides = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
        write_text(tmp_path / "0.json", json.dumps({"shapes": shapes, "imagePath": "0.jpg", **sides}))
    elif name == "voc":
        objects = [voc_object("car", BOXES[0]), "<object><name>ghost</name></object>"]
        write_text(tmp_path / "0.xml", voc_text("0.jpg", objects))
    elif name == "table":
        write_text(tmp_path / "a.csv", VOC_HEADER + "0.jpg,96,64,car,1,2,30,40\n0.jpg,96,64,ghost,1,2,x,4\n")
    else:
        write_text(tmp_path / "a.csv", OPEN_HEADER + "0,car,0.1,0.5,0.1,0.5\n0,ghost,0.1,x,0.1,0.5\n")
    raw = read_raw(tmp_path, progress=False)
    assert class_names(raw) == ["car"] and len(raw.content["annotations"]) == 1
    assert sum(rules_of(raw).values()) == 1, "the object is counted"
