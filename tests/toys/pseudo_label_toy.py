"""A labels.json as stage B reads it: pseudo masks with score, fallback and point, of two classes."""

import json
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
from PIL import Image

SIZE = (64, 80)  # height, width


def write_labels(folder: Path, count: int = 4, classes: int = 2) -> list[str]:
    """Write images and labels.json, and return the entry of DATASETS.COCO_STYLE."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number in range(1, count + 1):
        pixels = rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
        for label in range(classes):
            x, y = (int(v) for v in rng.integers(0, 40, 2))
            mask = np.zeros(SIZE, np.uint8)
            mask[y : y + 18, x : x + 24] = 1
            mask[y : y + 6, x : x + 6] = 0
            pixels[mask == 1] = 40 + 80 * label
            rle = mask_util.encode(np.asfortranarray(mask))
            annotation = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": 1 + label,
                "segmentation": {"size": list(SIZE), "counts": rle["counts"].decode()},
                "bbox": [x, y, 24, 18],
                "area": int(mask.sum()),
                "iscrowd": 0,
                "score": 0.7,
                "point_coords": [[x + 12.5, y + 9.5]],
                "point_labels": [1],
            }
            annotations.append(annotation | ({"fallback": True} if label else {}))
        Image.fromarray(pixels).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": SIZE[0], "width": SIZE[1]})
    categories = [{"id": number + 1, "name": f"class {number}"} for number in range(classes)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(content))
    return [f"labels-{folder}", str(folder / "labels.json"), str(folder), ""]
