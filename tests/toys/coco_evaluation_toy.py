"""Random COCO ground truth and predictions for tests of the evaluation."""

import json
import uuid

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, Instances

from depthbox.evaluation import CocoEvaluator
from depthbox.evaluation.coco_results import encode_masks

HEIGHT, WIDTH = 60, 80
CATEGORIES = {5: "disc", 2: "ring", 9: "bar"}  # contiguous: 2 -> 0, 5 -> 1, 9 -> 2


def ellipse(box):
    x0, y0, x1, y1 = box
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2 <= 1


def rle(mask):
    return encode_masks(torch.from_numpy(mask)[None])[0]


def make_truth(path, seed=0, images=6, per_image=5, with_masks=True):
    """Write a JSON file with random ellipses and return image id -> (boxes, classes, masks)."""
    rng = np.random.default_rng(seed)
    ids = sorted(CATEGORIES)
    data = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in range(1, images + 1)],
        "categories": [{"id": i, "name": name} for i, name in CATEGORIES.items()],
        "annotations": [],
    }
    truth = {}
    for image in data["images"]:
        low = rng.uniform((0, 0), (WIDTH - 42, HEIGHT - 42), (per_image, 2)).round()
        boxes = np.hstack([low, low + rng.uniform(6, 42, (per_image, 2)).round()])
        classes = rng.integers(0, 3, per_image)
        masks = np.stack([ellipse(box) for box in boxes])
        truth[image["id"]] = boxes, classes, masks
        for box, label, mask in zip(boxes.tolist(), classes, masks, strict=True):
            row = {"id": len(data["annotations"]) + 1, "image_id": image["id"], "category_id": ids[label]}
            row |= {
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                "iscrowd": 0,
                "area": int(mask.sum()),
            }
            data["annotations"].append(row | ({"segmentation": rle(mask)} if with_masks else {}))
    path.write_text(json.dumps(data))
    return truth


def instances(boxes, classes, masks=None, scores=None):
    result = Instances((HEIGHT, WIDTH))
    result.pred_boxes = Boxes(torch.as_tensor(np.asarray(boxes), dtype=torch.float32).reshape(-1, 4))
    result.pred_classes = torch.as_tensor(np.asarray(classes), dtype=torch.int64)
    result.scores = torch.ones(len(classes)) if scores is None else torch.as_tensor(scores)
    if masks is not None:
        result.pred_masks = torch.as_tensor(np.asarray(masks))
    return result


def noisy(truth, seed=1):
    """Return shifted, partly relabeled detections with duplicates, misses and equal scores."""
    rng = np.random.default_rng(seed)
    found = {}
    for image_id, (boxes, classes, _) in truth.items():
        pick = rng.integers(0, len(boxes), 2 * len(boxes))
        moved = boxes[pick] + rng.normal(0, 1.5, (len(pick), 4))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 3)
        labels = np.where(rng.random(len(pick)) < 0.8, classes[pick], rng.integers(0, 3, len(pick)))
        scores = rng.random(len(pick)).round(1).astype(np.float32)
        found[image_id] = instances(moved, labels, np.stack([ellipse(box) for box in moved]), scores)
    return found


def run(name, found, **options):
    """Evaluate predictions, image id -> Instances."""
    evaluator = CocoEvaluator(name, **options)
    evaluator.reset()
    for image_id, detections in found.items():
        evaluator.process([{"image_id": image_id}], [{"instances": detections}])
    return evaluator.evaluate()


def assert_same(first, second):
    assert first.keys() == second.keys()
    for task, values in first.items():
        assert values.keys() == second[task].keys()
        for key, value in values.items():
            assert value == pytest.approx(second[task][key], abs=1e-9, nan_ok=True), (task, key)


def new_dataset(folder):
    """Return the name and JSON path of a dataset that is registered without ground truth so far."""
    name, path = f"test_{uuid.uuid4().hex}", folder / "truth.json"
    MetadataCatalog.get(name).set(json_file=str(path))
    return name, path


def edit_json(path, change):
    """Apply a function to the content of a JSON file and write the file."""
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
