"""A small dataset of boxes to label, and a labeler that draws ellipses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from PIL import Image

from depthbox.labeling.box_labeler import BoxMask
from depthbox.labeling.job import LabelJob
from depthbox.labeling.loading import load_annotations
from depthbox.labeling.prompts import Prompts

SIZE = (40, 60)


def ellipse(size: tuple[int, int], box: np.ndarray) -> np.ndarray:
    """Return the mask of an ellipse that fills a box."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    x0, y0, x1, y1 = box
    return ((x - (x0 + x1) / 2) / (x1 - x0) * 2) ** 2 + ((y - (y0 + y1) / 2) / (y1 - y0) * 2) ** 2 < 1


def label(image: dict[str, Any], pixels: np.ndarray, prompts: Prompts) -> list[BoxMask]:
    """Label boxes with ellipses; larger boxes get lower scores."""
    masks = []
    for box in prompts.boxes:
        whole = ellipse(pixels.shape[:2], box)
        left, top = int(box[0]), int(box[1])
        part = whole[top : int(np.ceil(box[3])), left : int(np.ceil(box[2]))]
        masks.append(BoxMask(torch.from_numpy(part.copy()), left, top, round(1 - part.size / 2400, 4)))
    return masks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images with four boxes and a crowd; the true mask of box 12 is its ellipse."""
    (tmp_path / "images").mkdir()
    images = []
    for number in (1, 2, 3):
        Image.fromarray(np.full((*SIZE, 3), 60 * number, dtype=np.uint8)).save(tmp_path / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": SIZE[0], "width": SIZE[1], "license": 4})
    crowd = mask_util.encode(np.asfortranarray(np.eye(*SIZE, dtype=np.uint8)))
    crowd = {"size": list(SIZE), "counts": crowd["counts"].decode()}
    true_mask = mask_util.encode(np.asfortranarray(ellipse(SIZE, np.array([2, 3, 22, 15])).astype(np.uint8)))
    true_mask = {"size": list(SIZE), "counts": true_mask["counts"].decode()}
    objects = [
        {"id": 12, "image_id": 1, "bbox": [2, 3, 20, 12], "segmentation": true_mask, "note": "kept"},
        {"id": 11, "image_id": 1, "bbox": [10.5, 5.5, 40, 30], "iscrowd": 0},
        {"id": 10, "image_id": 1, "bbox": [0, 0, 60, 40], "iscrowd": 1, "segmentation": crowd, "area": 40},
        {"id": 9, "image_id": 3, "bbox": [50, 30, 30, 30]},
        {"id": 8, "image_id": 2, "bbox": [5, 5, 5, 5]},
    ]
    content = {
        "info": {"year": 2024},
        "images": images,
        "annotations": [{"category_id": 7, "area": 1.0, **entry} for entry in objects],
        "categories": [{"id": 7, "name": "disc"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    return tmp_path


def make_job(folder: Path, **options: Any) -> LabelJob:
    """Return the job of the folder's dataset."""
    annotations = load_annotations(folder / "boxes.json", folder / "images")
    return LabelJob(annotations, **{"output": folder / "masks.json", "fingerprint": "one", **options})


def change(folder: Path, edit: Callable[[dict[str, Any]], None], name: str = "boxes.json") -> None:
    """Edit the content of a JSON file."""
    content = json.loads((folder / name).read_text())
    edit(content)
    (folder / name).write_text(json.dumps(content))


def read(folder: Path, name: str = "masks.json") -> dict[str, Any]:
    """Return the content of a JSON file."""
    return json.loads((folder / name).read_text())
