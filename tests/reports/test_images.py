"""Best and worst images: choice, captions and drawings."""

import json

import numpy as np
import pytest
from coco_evaluation_toy import rle
from PIL import Image

from depthbox.evaluation.image_quality import load_evaluated_dataset
from depthbox.reports.images import draw_best_and_worst

SIZE = (40, 60)


def make_object(image, box, category=1, **more):
    x, y, w, h = box
    mask = np.zeros(SIZE, bool)
    mask[y : y + h, x : x + w] = True
    row = {"image_id": image, "category_id": category, "bbox": list(box), "segmentation": rle(mask)}
    return {**row, "iscrowd": 0, **more}


@pytest.fixture
def data(tmp_path):
    """Five images: perfect, half right, nothing found, without objects, with a crowd."""
    (tmp_path / "images").mkdir()
    images = [{"id": n, "file_name": f"{n}.png", "height": SIZE[0], "width": SIZE[1]} for n in range(1, 6)]
    for image in images:
        Image.new("RGB", SIZE[::-1], (60, 90, 120)).save(tmp_path / "images" / image["file_name"])
    objects = [
        make_object(1, (5, 5, 20, 20)),
        make_object(2, (5, 5, 20, 20)),
        make_object(2, (30, 5, 20, 20)),
        make_object(3, (5, 5, 20, 20)),
        make_object(5, (5, 5, 10, 10)),
        make_object(5, (20, 5, 38, 30), iscrowd=1),
    ]
    for number, row in enumerate(objects):
        row["id"] = number
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    predictions = [
        make_object(1, (5, 5, 20, 20), score=0.9),
        make_object(2, (5, 5, 20, 16), score=0.8),  # IoU 0.8
        make_object(3, (5, 5, 20, 20), category=2, score=0.7),  # wrong class
        make_object(4, (5, 5, 20, 20), score=0.9),
        make_object(5, (5, 5, 10, 10), score=0.9),
        make_object(5, (25, 8, 10, 10), score=0.8),  # inside the crowd
        make_object(1, (30, 5, 20, 20), score=0.06),  # wrong, with a low score
    ]
    return tmp_path, predictions


def load(folder):
    return load_evaluated_dataset("set", [["set", str(folder / "truth.json"), str(folder / "images"), ""]], folder)


def test_images_are_ranked_by_their_quality(data):
    folder, predictions = data
    images = draw_best_and_worst(predictions, load(folder), count=2)
    assert images.threshold == 0.75 and "masks" in images.note and "4 images with objects" in images.note
    assert [card.title for card in images.worst] == ["3.png", "2.png"]
    assert images.worst[0].detail == "quality 0.00, 0 of 1 objects found, other detections: 0"
    assert images.worst[1].detail == "quality 0.53, 1 of 2 objects found, other detections: 0"  # 0.8 / (1 + 1 / 2)
    assert {card.title for card in images.best} == {"1.png", "5.png"}
    assert all(card.detail.startswith("quality 1.00, 1 of 1") for card in images.best)
    assert images.best[0].image.size == SIZE[::-1] and np.asarray(images.best[0].image).std() > 10


def test_missing_images_are_drawn_on_gray(data):
    folder, predictions = data
    (folder / "images" / "3.png").unlink()
    worst = draw_best_and_worst(predictions, load(folder), count=1).worst
    assert worst[0].title == "3.png" and tuple(np.asarray(worst[0].image)[0, 0]) == (128, 128, 128)


def test_boxes_are_compared_if_the_ground_truth_has_no_masks(data):
    folder, predictions = data
    content = json.loads((folder / "truth.json").read_text())
    for annotation in content["annotations"]:
        del annotation["segmentation"]
    (folder / "truth.json").write_text(json.dumps(content))
    dataset = load(folder)
    assert not dataset.has_masks and "the found boxes" in draw_best_and_worst(predictions, dataset).note
    assert draw_best_and_worst([], dataset).worst[0].detail.startswith("quality 0.00")


def test_nothing_is_drawn_for_a_dataset_without_objects(data):
    folder, predictions = data
    content = json.loads((folder / "truth.json").read_text())
    (folder / "truth.json").write_text(json.dumps({**content, "annotations": []}))
    images = draw_best_and_worst(predictions, load(folder))
    assert images.best == images.worst == () and images.note == ""
