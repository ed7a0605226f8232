"""LabelMe: one JSON file per image."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from reader_toy import HEIGHT, WIDTH, boxes_of, files_of, rules_of, save_image, write_text

from depthbox.io.annotations.readers.labelme import labelme_splits, read_labelme
from depthbox.io.annotations.records import AnnotationError


def shape(points, label="a", kind="rectangle", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}, **more}


BOX = shape([[1, 2], [31, 22]])


def write_labelme(folder, stem="000", shapes=(BOX,), path=None, place="", images="", image=True, **more):
    if image:
        save_image(folder / images / f"{stem}.png")
    content = {"version": "5.0", "flags": {}, "shapes": list(shapes), "imagePath": path or f"{stem}.png"}
    content |= {"imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH, **more}
    return write_text(folder / place / f"{stem}.json", json.dumps(content))


def only(tmp_path, *shapes):
    (entry,) = read_labelme(write_labelme(tmp_path, shapes=shapes)).content["annotations"]
    return entry


def test_content_is_that_of_coco(tmp_path):
    file = write_labelme(tmp_path)
    for source, images in ((file, None), (tmp_path, None), (file, tmp_path), (tmp_path, tmp_path)):
        raw = read_labelme(source, images)
        assert boxes_of(raw) == [("000.png", "a", [1, 2, 30, 20])]
        assert raw.kind == "labelme" and raw.image_root == tmp_path and not raw.notes


def test_classes_are_sorted(tmp_path):
    write_labelme(tmp_path, "000", [shape([[1, 2], [3, 4]], "b"), shape([[1, 2], [3, 4]], "Z")])
    write_labelme(tmp_path, "001", [shape([[1, 2], [3, 4]], "a")])
    raw = read_labelme(tmp_path)
    assert [category["name"] for category in raw.content["categories"]] == ["Z", "a", "b"]
    assert files_of(raw) == ["000.png", "001.png"]


def test_rectangles_from_any_corners(tmp_path):
    assert only(tmp_path, shape([[31, 2], [1, 22]]))["bbox"] == [1, 2, 30, 20]
    assert only(tmp_path, shape([[1, 2], [31, 2], [31, 22], [1, 22]]))["bbox"] == [1, 2, 30, 20]


def test_polygons(tmp_path):
    for kind in ("polygon", None, ""):
        entry = only(tmp_path, shape([[0, 0], [20, 0], [20, 10]], kind=kind))
        assert entry["segmentation"] == [[0, 0, 20, 0, 20, 10]] and entry["area"] == 100


def test_circles(tmp_path):
    entry = only(tmp_path, shape([[40, 30], [43, 34]], kind="circle"))
    assert entry["bbox"] == [35, 25, 10, 10] and entry["area"] == pytest.approx(np.pi * 25, rel=0.01)


def test_masks(tmp_path):
    from pycocotools import mask as coco_mask

    part = np.array([[0, 1, 0], [1, 1, 1]], bool)
    file = io.BytesIO()
    Image.fromarray(part).save(file, format="PNG")
    text = base64.b64encode(file.getvalue()).decode()
    entry = only(tmp_path, shape([[5, 7], [7, 8]], kind="mask", mask=text))
    full = np.zeros((HEIGHT, WIDTH), bool)
    full[7:9, 5:8] = part
    assert (coco_mask.decode(coco_mask.frPyObjects(entry["segmentation"], HEIGHT, WIDTH)) == full).all()
    assert entry["bbox"] == [5, 7, 3, 2] and entry["area"] == 4
    for broken in (text[:40], "", None, "%%%", base64.b64encode(b"no png").decode()):
        raw = read_labelme(write_labelme(tmp_path, shapes=[BOX, shape([[5, 7], [7, 8]], kind="mask", mask=broken)]))
        assert len(boxes_of(raw)) == 1 and rules_of(raw) == {"object_unreadable": 1}


def test_polygons_of_one_group_are_one_object(tmp_path):
    left, right = [[0, 0], [10, 0], [10, 10]], [[20, 0], [30, 0], [30, 10]]
    parts = [
        shape(left, kind="polygon", group_id=1),
        shape(right, kind="polygon", group_id=1),
        shape(left, "b", "polygon", group_id=1),
        shape(left, kind="polygon"),
        shape(left, kind="polygon"),
        shape([[1, 2], [3, 4]], group_id=1),
    ]
    found = read_labelme(write_labelme(tmp_path, shapes=parts)).content["annotations"]
    assert len(found) == 5 and found[0]["bbox"] == [0, 0, 30, 10] and found[0]["area"] == 100
    assert len(found[0]["segmentation"]) == 2


def test_difficult_objects_are_ignored(tmp_path):
    assert only(tmp_path, {**BOX, "difficult": True})["ignore"] == 1
    assert "ignore" not in only(tmp_path, {**BOX, "difficult": False})


def test_points_are_objects(tmp_path):
    shapes = [shape([[1.5, 2]], kind="point"), BOX, {**shape([[9, 8]], kind="point"), "group_id": 1}]
    point, box, grouped = read_labelme(write_labelme(tmp_path, shapes=shapes)).content["annotations"]
    assert (point["point_coords"], point["point_labels"], point["area"]) == ([[1.5, 2]], [1], 0)
    assert "bbox" not in point and "bbox" in box and grouped["point_coords"] == [[9, 8]]


def test_what_cannot_be_used_is_noted(tmp_path):
    bad = [
        shape([[1, 2], [3, 4]], kind="point"),
        shape([], kind="point"),
        shape([[1, 2], [3, 4]], kind="linestrip"),
        shape([[1, 2], [3, 4]], kind="line"),
        shape([[1, 2], [3, 4]], label=""),
        shape([[1, 2], [3, 4]], label=None),
        shape([[1, 2]]),
        shape([[1, 2], [3, 4]], kind="polygon"),
        shape([[1, 2], [3, None]]),
        shape([[1, 2], [3, float("nan")]]),
        shape([[1, 2], [3, 1e300]]),
        shape("text"),
        shape(None),
        shape([1, 2, 3, 4]),
        "text",
        None,
    ]
    raw = read_labelme(write_labelme(tmp_path, shapes=[BOX, *bad]))
    assert len(boxes_of(raw)) == 1
    assert rules_of(raw) == {"shape_unsupported": 2, "object_without_class": 2, "object_unreadable": 12}


@pytest.mark.parametrize(
    "path",
    ["000.png", r"..\images\000.png", "../images/000.png", r"C:\fruits\000.png", "/data/x/000.jpg", "old.png", ""],
)
def test_the_image_of_a_file(tmp_path, path):
    write_labelme(tmp_path, path=path or " ", place="labels", images="images")
    for source, images in ((tmp_path, None), (tmp_path / "labels", None), (tmp_path / "labels", tmp_path / "images")):
        raw = read_labelme(source, images)
        assert files_of(raw) == ["000.png"] and raw.image_root == tmp_path / "images"


def test_images_of_one_name_in_subfolders_are_kept_apart(tmp_path):
    for part in ("x", "y"):
        write_labelme(tmp_path / part, shapes=[shape([[1, 2], [3, 4]], part)])
    assert [entry[:2] for entry in boxes_of(read_labelme(tmp_path))] == [("x/000.png", "x"), ("y/000.png", "y")]
    (tmp_path / "x/000.png").unlink()
    raw = read_labelme(tmp_path)
    assert [entry[:2] for entry in boxes_of(raw)] == [("y/000.png", "y")]
    assert rules_of(raw) == {"annotation_without_image": 1}


def test_image_data_is_not_needed_and_sizes_may_be_missing(tmp_path):
    raw = read_labelme(write_labelme(tmp_path, imageData="x" * 1000, imageHeight=None, imageWidth=None))
    assert raw.content["images"][0]["height"] == HEIGHT and not raw.notes


def test_resized_images(tmp_path):
    file = write_labelme(tmp_path)
    save_image(tmp_path / "000.png", (WIDTH // 2, HEIGHT // 2))
    raw = read_labelme(file)
    assert boxes_of(raw)[0][2] == [0.5, 1, 15, 10] and rules_of(raw) == {"resized_after_annotation": 1}


def test_files_that_do_not_fit_are_left_out(tmp_path):
    write_labelme(tmp_path)
    write_labelme(tmp_path, "001", image=False)
    save_image(tmp_path / "002.png")
    write_text(tmp_path / "broken.json", '{"shapes": [')
    write_text(tmp_path / "other.json", '{"images": []}')
    raw = read_labelme(tmp_path)
    assert files_of(raw) == ["000.png"]
    assert rules_of(raw) == {
        "annotation_without_image": 1,
        "annotation_file_unreadable": 1,
        "not_labelme": 1,
        "image_without_annotation": 1,
    }
    (tmp_path / "000.json").unlink()
    with pytest.raises(AnnotationError, match="no image that can be used"):
        read_labelme(tmp_path)


def test_a_folder_for_each_split(tmp_path):
    for part, label in (("train", "a"), ("val", "b")):
        write_labelme(tmp_path / part, part, [shape([[1, 2], [3, 4]], label)])
    assert labelme_splits(tmp_path) == ("train", "val") and labelme_splits(tmp_path / "train") == ()
    train, val = read_labelme(tmp_path), read_labelme(tmp_path, split="val")
    assert files_of(train) == ["train/train.png"] and files_of(val) == ["val/val.png"]
    assert train.content["categories"] == val.content["categories"] and len(train.content["categories"]) == 2
    assert read_labelme(tmp_path, split="test") is None


def test_one_file_and_a_folder_with_one_file(tmp_path):
    write_labelme(tmp_path, images="images", place="images")
    save_image(tmp_path / "images/001.png")
    file = write_labelme(tmp_path, images="images")
    assert not read_labelme(file, tmp_path / "images").notes
    assert rules_of(read_labelme(tmp_path / "images")) == {"image_without_annotation": 1}
