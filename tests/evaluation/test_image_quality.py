"""Quality of single images against a slow reference, and the paths of datasets."""

import json

import numpy as np
import pytest
from coco_evaluation_toy import rle

from depthbox.evaluation.image_quality import (
    MATCH,
    EvaluatedDataset,
    best_threshold,
    load_evaluated_dataset,
    read_candidates,
    read_predictions,
)

SIZE = (40, 60)


def make_object(box, category=1, **more):
    x, y, w, h = (int(value) for value in box)
    mask = np.zeros(SIZE, bool)
    mask[y : y + h, x : x + w] = True
    return {"image_id": 1, "category_id": category, "bbox": [x, y, w, h], "segmentation": rle(mask), **more}


def compute_box_iou(first, second):
    (x, y, w, h), (a, b, c, d) = first, second
    common = max(0, min(x + w, a + c) - max(x, a)) * max(0, min(y + h, b + d) - max(y, b))
    return common / (w * h + c * d - common)


def reference_quality(objects, detections, threshold):
    """Compute panoptic quality by its definition: greedy, best score first."""
    total, taken, false_detections = 0.0, set(), 0
    for detection in sorted(detections, key=lambda row: -row["score"]):
        if detection["score"] < threshold:
            continue
        options = [
            (compute_box_iou(detection["bbox"], given["bbox"]), number)
            for number, given in enumerate(objects)
            if given["category_id"] == detection["category_id"] and number not in taken
        ]
        options = [option for option in options if option[0] >= MATCH]
        if options:
            total += max(options)[0]
            taken.add(max(options)[1])
        else:
            false_detections += 1
    return total / (len(taken) + false_detections / 2 + (len(objects) - len(taken)) / 2)


def test_quality_equals_the_definition(tmp_path):
    boxes = np.random.default_rng(0).integers(0, 20, (2, 12, 2))
    scores = np.random.default_rng(1).random(12).tolist()
    objects = [make_object((*boxes[0, n], 18, 15), n % 2 + 1) for n in range(5)]
    detections = [make_object((*boxes[1, n], 18, 15), n % 2 + 1, score=scores[n]) for n in range(12)]
    image = {"height": SIZE[0], "width": SIZE[1]}
    for has_masks in (False, True):  # the masks are the filled boxes
        dataset = EvaluatedDataset({1: image}, {1: objects}, {1: "a", 2: "b"}, tmp_path, has_masks)
        (candidate,) = read_candidates(detections, dataset)
        assert candidate.masks is has_masks
        for threshold in (0.0, 0.3, 0.6):
            expected = reference_quality(objects, detections, threshold)
            assert candidate.match(threshold).quality == pytest.approx(expected)
        assert 0.05 <= best_threshold([candidate]) <= 0.9


def test_relative_paths_are_searched_upwards_from_the_run(tmp_path, monkeypatch):
    image = {"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}
    content = {"images": [image], "annotations": [make_object((1, 2, 3, 4))], "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    (tmp_path / "images").mkdir()
    run = tmp_path / "output" / "run"
    run.mkdir(parents=True)
    monkeypatch.chdir(run)
    dataset = load_evaluated_dataset("set", [["set", "truth.json", "images", ""]], run)
    assert dataset.folder == (tmp_path / "images").resolve() and dataset.classes == {1: "a"} and dataset.has_masks
    with pytest.raises(OSError, match=r"gone\.json"):
        load_evaluated_dataset("set", [["set", "gone.json", "images", ""]], run)


@pytest.mark.parametrize(
    "entry",
    [5, {}, {"image_id": [], "category_id": 1, "score": 1, "bbox": [0, 0, 1, 1]}]
    + [{"image_id": 1, "category_id": 1, "score": score, "bbox": box}
       for score, box in ((None, [0, 0, 1, 1]), (float("nan"), [0, 0, 1, 1]), (1, [0, 0, 1]), (1, [0, 0, 1, 1e300]))],
)  # fmt: skip
def test_predictions_of_other_content_are_named(tmp_path, entry):
    good = {"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [0, 0, 1, 1]}
    path = tmp_path / "results.json"
    path.write_text(json.dumps([good]))
    assert read_predictions(path) == [good]
    path.write_text(json.dumps([good, entry]))
    with pytest.raises(ValueError, match=r"results\.json: detection 1 lacks"):
        read_predictions(path)
    path.write_text("{}")
    with pytest.raises(ValueError, match="not a list of detections"):
        read_predictions(path)


def test_images_outside_the_folder_are_not_read(tmp_path):
    image = {"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}
    content = {
        "images": [image, {**image, "id": 2, "file_name": "../../etc/hostname"}],
        "annotations": [make_object((1, 2, 3, 4)), {**make_object((1, 2, 3, 4)), "image_id": 2}],
        "categories": [{"id": 1, "name": "a"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(content))
    dataset = load_evaluated_dataset("set", [["set", str(tmp_path / "truth.json"), str(tmp_path), ""]], tmp_path)
    assert list(dataset.images) == list(dataset.objects) == [1]
