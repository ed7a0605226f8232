"""A small COCO dataset on disk, for tests of the loading of datasets."""

import json
import uuid

import numpy as np
from detectron2.data import DatasetCatalog
from PIL import Image

from depthbox.data import register_coco_style, write_depth


def coco():
    """Return two images (one in a subfolder), category ids with gaps, one crowd, no segmentation."""
    image = {"height": 20, "width": 30}
    objects = [(10, 1, 7, 0), (11, 1, 3, 0), (12, 2, 90, 1)]
    return {
        "images": [{**image, "id": 1, "file_name": "a.b.jpg"}, {**image, "id": 2, "file_name": "sub/c.jpg"}],
        "categories": [{"id": 90, "name": "third"}, {"id": 3, "name": "first"}, {"id": 7, "name": "second"}],
        "annotations": [
            {
                "id": i,
                "image_id": image_id,
                "category_id": category,
                "iscrowd": crowd,
                "bbox": [1.0, 2.0, 5.0, 6.0],
            }
            for i, image_id, category, crowd in objects
        ],
    }


def write_files(folder):
    """Write a complete dataset: JSON file, images, depth (one .png, one .npy)."""
    (folder / "images" / "sub").mkdir(parents=True)
    for file_name in ("a.b.jpg", "sub/c.jpg"):
        Image.new("RGB", (30, 20)).save(folder / "images" / file_name)
    write_depth(folder / "depth" / "a.b.png", np.zeros((20, 30), np.float32))
    write_depth(folder / "depth" / "sub" / "c.npy", np.zeros((10, 15), np.float32))
    (folder / "truth.json").write_text(json.dumps(coco()))
    return folder


def new_name():
    return f"test_{uuid.uuid4().hex}"


def load(name, root, depth=True):
    register_coco_style(name, root / "truth.json", root / "images", root / "depth" if depth else None)
    return DatasetCatalog.get(name)


def regular_coco(images=12, objects=60):
    """Return random COCO content with outlines and crowds; images and categories are not in the order of ids."""
    rng = np.random.default_rng(0)
    content = {
        "images": [{"id": int(n), "file_name": f"{n}.jpg", "height": 40, "width": 60, "license": 3}
                   for n in rng.permutation(5 * np.arange(1, images + 1))],
        "categories": [{"id": int(n), "name": f"class {n}", "supercategory": "x"}
                       for n in rng.permutation([1, 4, 9, 70])],
        "annotations": [],
    }  # fmt: skip
    for number in range(1, objects + 1):
        (x, y), (w, h) = rng.uniform(0, 20, 2).round(2).tolist(), rng.uniform(2, 20, 2).round(2).tolist()
        crowd = int(number % 9 == 0)
        runs = {"size": [40, 60], "counts": [100, 30, 2270]}
        content["annotations"].append({
            "id": 1000 - number, "image_id": int(rng.choice(content["images"])["id"]),
            "category_id": int(rng.choice([1, 4, 9, 70])), "iscrowd": crowd, "bbox": [x, y, w, h], "area": w * h / 2,
            "segmentation": runs if crowd else [[x, y, x + w, y, x + w, y + h]],
        })  # fmt: skip
    return content
