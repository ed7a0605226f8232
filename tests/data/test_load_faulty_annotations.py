"""Loading of faulty annotations: repaired, left out with a count, or refused."""

import json

import pytest
from dataset_toy import coco, load, new_name, write_files
from detectron2.data import MetadataCatalog

from depthbox.data.datasets import read_coco_style
from depthbox.io.annotations.records import AnnotationError


@pytest.fixture
def name():
    return new_name()


@pytest.fixture
def root(tmp_path):
    return write_files(tmp_path)


def without(key, of=None):
    def change(data):
        for entry in [data] if of is None else data[of]:
            entry.pop(key, None)

    return change


def put(of, key, value):
    def change(data):
        data[of][0][key] = value

    return change


def change_and_load(name, root, *changes):
    data = coco()
    for change in changes:
        change(data)
    (root / "truth.json").write_text(json.dumps(data))
    return load(name, root, depth=False)


LEFT_OUT = {
    "no box": (without("bbox", "annotations"), [], "3 annotations without box, outline or point"),
    "no category": (without("category_id", "annotations"), [], "3 annotations of categories that are not listed"),
    "unknown category": (put("annotations", "category_id", 55), [11], "1 annotations of categories"),
    "unknown image": (put("annotations", "image_id", 55), [11], "1 annotations of images that are not listed"),
    "three numbers": (put("annotations", "bbox", [1, 2, 3]), [11], "1 boxes that are not four numbers"),
    "NaN": (put("annotations", "bbox", [1, 2, float("nan"), 4]), [11], "1 boxes with NaN"),
    "no area": (put("annotations", "bbox", [1, 2, 0, 4]), [11], "1 boxes whose width or height is not positive"),
    "outside": (put("annotations", "bbox", [90, 2, 3, 4]), [11], "1 boxes that lie outside their image"),
    "text": (put("annotations", "bbox", ["1", "2", "3", "4"]), [10, 11], ""),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_annotations_that_cannot_be_used_are_left_out_and_counted(name, root, caplog, case):
    change, left, line = LEFT_OUT[case]
    first, second = change_and_load(name, root, change)
    assert [annotation["id"] for annotation in first["annotations"]] == left
    assert len(second["annotations"]) == (len(left) > 0)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [line in warning and warning.startswith(f"{name}: left out: ") for warning in warnings] == [True] * bool(
        line
    )


def test_ids_of_annotations_that_repeat_are_numbered(name, root):
    first, second = change_and_load(name, root, put("annotations", "id", 11))
    assert [a["id"] for a in first["annotations"] + second["annotations"]] == [1, 2, 3]


def test_crowds_may_be_marked_as_ignored(name, root):
    first, _ = change_and_load(name, root, put("annotations", "ignore", 1), without("iscrowd", "annotations"))
    assert [annotation["iscrowd"] for annotation in first["annotations"]] == [1, 0]


def use_text_ids(data):
    for key, ids in (("images", "ab"), ("categories", "xyz")):
        known = {entry["id"]: identity for entry, identity in zip(data[key], ids, strict=True)}
        for entry in data[key]:
            entry["id"] = known[entry["id"]]
        field = {"images": "image_id", "categories": "category_id"}[key]
        for entry in data["annotations"]:
            entry[field] = known[entry[field]]


def test_ids_that_are_text_are_numbered_in_the_order_of_the_file(name, root):
    first, second = change_and_load(name, root, use_text_ids)
    assert (first["image_id"], second["image_id"]) == (1, 2)
    assert [a["category_id"] for a in first["annotations"]] == [2, 1] and second["annotations"][0]["category_id"] == 0
    assert MetadataCatalog.get(name).thing_dataset_id_to_contiguous_id == {1: 0, 2: 1, 3: 2}
    assert MetadataCatalog.get(name).thing_classes == ["third", "first", "second"]
    annotations = read_coco_style(name, str(root / "truth.json"), str(root / "images"))
    assert dict(annotations.ids.images) == {1: "a", 2: "b"} and dict(annotations.ids.categories)[1] == "x"


def test_names_of_images_are_those_on_disk(name, root):
    first, second = change_and_load(name, root, put("images", "file_name", "A.B.JPG"))
    assert first["file_name"] == str(root / "images" / "a.b.jpg")
    assert second["file_name"] == str(root / "images" / "sub" / "c.jpg")


def test_missing_images_are_left_out_and_counted(name, root, caplog):
    (root / "images" / "a.b.jpg").unlink()
    (record,) = load(name, root)
    assert record["image_id"] == 2
    assert f"{name}: left out: 1 images whose file does not exist (such as 'a.b.jpg')" in caplog.text
    assert [image["id"] for image in read(name, root).content["images"]] == [2]


def test_a_dataset_without_any_image_is_refused(name, root):
    for file in ("a.b.jpg", "sub/c.jpg"):
        (root / "images" / file).unlink()
    with pytest.raises(FileNotFoundError, match=rf"'{name}': none of the 2 images exists in .*images .*correct the"):
        load(name, root)


def read(name, root):
    return read_coco_style(name, str(root / "truth.json"), str(root / "images"))


REFUSED = {
    "no images": (without("images"), r"missing list\(s\): images"),
    "empty images": (lambda data: data["images"].clear(), "has no image that can be used"),
    "no file names": (without("file_name", "images"), "has no image that can be used"),
    "no categories": (without("categories"), r"missing list\(s\): categories"),
    "one id, two images": (put("images", "id", 2), "the image id 2 is used for"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_cannot_be_used_are_named_with_the_cause(name, root, case):
    change, cause = REFUSED[case]
    with pytest.raises(AnnotationError, match=rf"truth\.json.*{cause}"):
        change_and_load(name, root, change)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"text"'])
def test_files_without_coco_content_are_named(name, root, text):
    (root / "truth.json").write_text(text)
    with pytest.raises(AnnotationError, match=r"truth\.json is (empty|not valid JSON|not a COCO JSON file)"):
        load(name, root)
