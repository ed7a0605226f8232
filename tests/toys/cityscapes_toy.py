"""Small frames in the folders of Cityscapes, and predictions for them."""

import uuid

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, Instances
from PIL import Image

from depthbox.data import register_coco_style
from depthbox.data.cityscapes.convert import convert
from depthbox.data.cityscapes.frames import ground_truth_file
from depthbox.evaluation.cityscapes import CityscapesEvaluator

MODULE = "cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling"
HEIGHT, WIDTH = 64, 128
ROAD, VOID, PERSON, CAR = 7, 4, 24, 26
CLASSES = ["person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]
LABEL_IDS = [24, 25, 26, 27, 28, 31, 32, 33]


def box_mask(x0, y0, x1, y1):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def instances(masks, classes, scores=None):
    result = Instances((HEIGHT, WIDTH))
    result.pred_masks = torch.from_numpy(np.array(masks, dtype=bool).reshape(-1, HEIGHT, WIDTH))
    result.pred_boxes = Boxes(torch.zeros(len(classes), 4))
    result.pred_classes = torch.as_tensor(np.array(classes, dtype=np.int64))
    result.scores = torch.ones(len(classes)) if scores is None else torch.tensor(scores)
    return result


def write_frame(root, number, ids):
    frame = root / "leftImg8bit" / "val" / "bonn" / f"bonn_{number:06d}_000019_leftImg8bit.png"
    for path, pixels in (
        (frame, np.zeros((*ids.shape, 3), np.uint8)),
        (ground_truth_file(frame), ids.astype(np.uint16)),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def make_dataset(root, maps):
    """Write frames with maps of ids, convert and register them, and return the name of the dataset."""
    for number, ids in enumerate(maps):
        write_frame(root, number, ids)
    convert(root, "val", root / "truth.json")
    name = f"test_{uuid.uuid4().hex}"
    register_coco_style(name, root / "truth.json", root / "leftImg8bit")
    return name


def street(*objects):
    """Return a map of road with rectangles (id, x0, y0, x1, y1)."""
    ids = np.full((HEIGHT, WIDTH), ROAD)
    for value, x0, y0, x1, y1 in objects:
        ids[y0:y1, x0:x1] = value
    return ids


def run(name, found, **options):
    """Evaluate predictions, one Instances per image in the order of the dataset."""
    pytest.importorskip(MODULE)
    evaluator = CityscapesEvaluator(name, **options)
    evaluator.reset()
    for record, detections in zip(DatasetCatalog.get(name), found, strict=False):
        evaluator.process([{"file_name": record["file_name"]}], [{"instances": detections}])
    return evaluator.evaluate()


def perfect(ids):
    values = [v for v in np.unique(ids).tolist() if v // 1000 in LABEL_IDS]
    return instances([ids == v for v in values], [LABEL_IDS.index(v // 1000) for v in values])


def random_map(seed):
    """Return random rectangles of all classes: objects, groups, void, and objects that are too small."""
    rng = np.random.default_rng(seed)
    ids = rng.choice([ROAD, VOID], (HEIGHT, WIDTH), p=[0.9, 0.1])
    for number in range(14):
        label, (y, x) = rng.choice(LABEL_IDS), rng.integers(0, (HEIGHT - 12, WIDTH - 12))
        value = label if rng.random() < 0.2 else label * 1000 + number
        ids[y : y + rng.integers(6, 30), x : x + rng.integers(6, 40)] = value
    return ids


def noisy(ids, seed):
    """Return shifted, partly relabeled objects with duplicates, equal scores, and an empty mask."""
    rng = np.random.default_rng(seed)
    values = [v for v in np.unique(ids).tolist() if v // 1000 in LABEL_IDS or v in LABEL_IDS]
    masks, classes, scores = [], [], []
    for value in rng.choice(values, 2 * len(values)):
        label = value // 1000 or value
        masks.append(np.roll(ids == value, rng.integers(-3, 4, 2), (0, 1)))
        classes.append(rng.integers(8) if rng.random() < 0.2 else LABEL_IDS.index(label))
        scores.append(float(rng.random().__round__(1)))
    return instances([*masks, np.zeros((HEIGHT, WIDTH))], [*classes, 0], [*scores, 0.5])


def assert_same(first, second):
    assert first.keys() == second.keys() == {"segm"}
    assert first["segm"] == pytest.approx(second["segm"], abs=1e-9, nan_ok=True)
