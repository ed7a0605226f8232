"""Class maps from ground-truth masks: values, overlaps, crowds, refused data, and use by the loader."""

import json

import numpy as np
import pytest
from coco_evaluation_toy import CATEGORIES, HEIGHT, WIDTH, edit_json, make_truth, rle
from PIL import Image

from depthbox.data import register_coco_style
from depthbox.data.class_maps.ground_truth import draw_class_map, write_class_maps
from depthbox.data.loader import load_records
from depthbox.evaluation.coco_ground_truth import read_annotations_alone


@pytest.fixture
def truth_file(tmp_path):
    path = tmp_path / "truth.json"
    make_truth(path)
    return path


def write(truth_file, folder):
    return write_class_maps(read_annotations_alone(truth_file).annotations, folder)


def block(x, y, side):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + side, x : x + side] = True
    return rle(mask)


def test_the_smallest_mask_is_on_top_and_crowds_are_unknown():
    objects = [
        {"segmentation": block(5, 5, 4), "category_id": 2, "iscrowd": 0},
        {"segmentation": block(0, 0, 20), "category_id": 1, "iscrowd": 0},
        {"segmentation": block(10, 10, 30), "category_id": 3, "iscrowd": 1},
    ]
    values = draw_class_map(objects, (HEIGHT, WIDTH))
    assert values.dtype == np.uint8 and values[6, 6] == 2 and values[0, 0] == values[15, 15] == 1
    assert values[30, 30] == 255 and values[50, 70] == 0
    assert not draw_class_map([], (HEIGHT, WIDTH)).any()


def test_every_image_gets_a_map_with_the_classes_in_their_order(truth_file, tmp_path):
    report = write(truth_file, tmp_path / "maps")
    assert (report.images, report.objects, report.crowds) == (6, 30, 0)
    values = {}
    for path in sorted((tmp_path / "maps").iterdir()):
        with Image.open(path) as image:
            assert image.mode == "L" and image.size == (WIDTH, HEIGHT)
            values[path.name] = np.asarray(image)
    assert set(values) == {f"{number}.png" for number in range(1, 7)}
    order = {number: place for place, number in enumerate(sorted(CATEGORIES), 1)}
    for image in range(1, 7):
        entries = [a for a in json.loads(truth_file.read_text())["annotations"] if a["image_id"] == image]
        assert set(np.unique(values[f"{image}.png"])) - {0} <= {order[a["category_id"]] for a in entries}
        smallest = min(entries, key=lambda a: a["area"])
        x, y, w, h = smallest["bbox"]
        assert values[f"{image}.png"][int(y + h / 2), int(x + w / 2)] == order[smallest["category_id"]]


def test_the_loader_finds_the_maps(truth_file, tmp_path):
    for number in range(1, 7):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / f"{number}.png")
    write(truth_file, tmp_path / "maps")
    name = f"maps_{tmp_path.name}"
    register_coco_style(name, truth_file, tmp_path, None, tmp_path / "maps")
    assert load_records([name], filter_empty=False)[1]["sem_seg_file_name"] == str(tmp_path / "maps" / "2.png")


def test_images_in_folders_keep_their_folders(truth_file, tmp_path):
    edit_json(truth_file, lambda data: data["images"][0].update(file_name="a/b/one.JPG"))
    write(truth_file, tmp_path / "maps")
    assert (tmp_path / "maps" / "a" / "b" / "one.png").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["annotations"][3].pop("segmentation"), "1 of 30 objects have no mask, such as annotation 4"),
        (lambda data: data["images"][0].update(file_name="2.jpg"), r"2\.jpg and 2\.png would have the same class map"),
        (
            lambda data: data["categories"].extend({"id": 100 + n, "name": f"more {n}"} for n in range(252)),
            "has 255 classes, and a class map has at most 254",
        ),
    ],
)
def test_unusable_annotations_are_refused_and_nothing_is_written(truth_file, tmp_path, change, message):
    edit_json(truth_file, change)
    with pytest.raises(ValueError, match=message):
        write(truth_file, tmp_path / "maps")
    assert not (tmp_path / "maps").exists()
