"""Best and worst images: their quality against a slow reference, and how they are chosen."""

import json

import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image

from depthbox.evaluation.image_quality import MATCH, _candidate, best_threshold, load_truth
from depthbox.reports.images import best_and_worst

SIZE = (40, 60)


def rle(mask):
    code = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(SIZE), "counts": code["counts"].decode()}


def object_of(image, box, category=1, number=1, **more):
    x, y, w, h = box
    mask = np.zeros(SIZE, bool)
    mask[y : y + h, x : x + w] = True
    row = {"id": number, "image_id": image, "category_id": category, "bbox": list(box), "segmentation": rle(mask)}
    return {**row, "iscrowd": 0, **more}


@pytest.fixture
def data(tmp_path):
    """Five images: a perfect, a half, an empty-handed one, one without objects, one with a crowd."""
    (tmp_path / "images").mkdir()
    images = [{"id": n, "file_name": f"{n}.png", "height": SIZE[0], "width": SIZE[1]} for n in range(1, 6)]
    for image in images:
        Image.new("RGB", SIZE[::-1], (60, 90, 120)).save(tmp_path / "images" / image["file_name"])
    truth = [
        object_of(1, (5, 5, 20, 20)),
        object_of(2, (5, 5, 20, 20)),
        object_of(2, (30, 5, 20, 20), number=2),
        object_of(3, (5, 5, 20, 20)),
        object_of(5, (5, 5, 10, 10)),
        object_of(5, (20, 5, 38, 30), iscrowd=1),
    ]
    for number, row in enumerate(truth):
        row["id"] = number
    content = {"images": images, "annotations": truth, "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    predictions = [
        object_of(1, (5, 5, 20, 20), score=0.9),
        object_of(2, (5, 5, 20, 16), score=0.8),  # IoU 0.8
        object_of(3, (5, 5, 20, 20), category=2, score=0.7),  # of another class
        object_of(4, (5, 5, 20, 20), score=0.9),
        object_of(5, (5, 5, 10, 10), score=0.9),
        object_of(5, (25, 8, 10, 10), score=0.8),  # in the crowd
        object_of(1, (30, 5, 20, 20), score=0.06),  # doubtful and wrong
    ]
    return tmp_path, predictions


def test_quality_of_images(data):
    folder, predictions = data
    truth = load_truth("set", [["set", str(folder / "truth.json"), str(folder / "images"), ""]], folder)
    best, worst, note, threshold = best_and_worst(predictions, truth, count=2)
    assert threshold == 0.75 and "masks" in note and "4 images with objects" in note
    assert [card.title for card in worst] == ["3.png", "2.png"]
    assert worst[0].detail == "quality 0.00, 0 of 1 objects found, other detections: 0"
    assert worst[1].detail == "quality 0.53, 1 of 2 objects found, other detections: 0"  # 0.8 / (1 + 1 / 2)
    assert {card.title for card in best} == {"1.png", "5.png"}
    assert all(card.detail.startswith("quality 1.00, 1 of 1") for card in best)
    assert best[0].picture.size == SIZE[::-1] and np.asarray(best[0].picture).std() > 10


def test_quality_against_the_definition():
    rng = np.random.default_rng(0)
    boxes = rng.integers(0, 20, (2, 12, 2))
    truth = [object_of(1, (*boxes[0, n], 18, 15), category=n % 2 + 1) for n in range(5)]
    rows = [object_of(1, (*boxes[1, n], 18, 15), n % 2 + 1, score=float(rng.random())) for n in range(12)]

    class Set:
        images = {1: {"height": SIZE[0], "width": SIZE[1]}}  # noqa: RUF012
        objects = {1: truth}  # noqa: RUF012

    candidate = _candidate(1, rows, Set, masks=False)
    for threshold in (0.0, 0.3, 0.6):
        total, taken, false = 0.0, set(), 0
        for row in sorted(rows, key=lambda row: -row["score"]):
            if row["score"] < threshold:
                continue
            options = []
            for number, given in enumerate(truth):
                (x, y, w, h), (a, b, c, d) = row["bbox"], given["bbox"]
                common = max(0, min(x + w, a + c) - max(x, a)) * max(0, min(y + h, b + d) - max(y, b))
                iou = common / (w * h + c * d - common)
                if iou >= MATCH and given["category_id"] == row["category_id"] and number not in taken:
                    options.append((iou, number))
            if options:
                total += max(options)[0]
                taken.add(max(options)[1])
            else:
                false += 1
        expected = total / (len(taken) + false / 2 + (len(truth) - len(taken)) / 2)
        assert candidate.quality(threshold) == pytest.approx(expected)
    assert 0.05 <= best_threshold([candidate]) <= 0.9


def test_paths_are_found_upwards_and_lost_images_are_grey(data, monkeypatch):
    folder, predictions = data
    run = folder / "output" / "run"
    run.mkdir(parents=True)
    monkeypatch.chdir(run)
    truth = load_truth("set", [["set", "truth.json", "images", ""]], run)
    assert truth.folder == (folder / "images").resolve() and truth.classes == {1: "a", 2: "b"} and truth.masks
    (folder / "images" / "3.png").unlink()
    worst = best_and_worst(predictions, truth, count=1)[1]
    assert worst[0].title == "3.png" and tuple(np.asarray(worst[0].picture)[0, 0]) == (128, 128, 128)
    with pytest.raises(OSError, match=r"gone\.json"):
        load_truth("set", [["set", "gone.json", "images", ""]], run)


def test_without_true_masks_boxes_count(data):
    folder, predictions = data
    content = json.loads((folder / "truth.json").read_text())
    for annotation in content["annotations"]:
        del annotation["segmentation"]
    (folder / "truth.json").write_text(json.dumps(content))
    truth = load_truth("set", [["set", str(folder / "truth.json"), str(folder / "images"), ""]], folder)
    assert not truth.masks and "boxes that were found" in best_and_worst(predictions, truth)[2]
    assert best_and_worst([], truth)[1][0].detail.startswith("quality 0.00")
