"""A small dataset of points, boxes and masks to label, and a network that gives each point the pixels near it."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from labeling_toy import SIZE, ellipse
from PIL import Image
from torch import Tensor

from depthbox.io.coco_masks import crop_to_rle
from depthbox.labeling.box_labeler import BoxMask
from depthbox.labeling.job import LabelJob, label_dataset
from depthbox.labeling.loading import load_annotations
from depthbox.labeling.point_labeler import PointLabeler
from depthbox.labeling.prompts import Prompts, plan_prompts, read_planned_prompts
from depthbox.labeling.summary import LabelSummary
from depthbox.modeling.points.masks import PointMasks

RADIUS = 4.0
CLASSES = {5: "disc", 6: "ghost"}  # the network finds no pixel of a ghost


class NearPixels:
    """Network that gives each pixel to the nearest point within ``RADIUS``; of points on one pixel, to the first."""

    def label_points(
        self,
        image: Tensor,
        points: Tensor,
        classes: Tensor,
        output_size: tuple[int, int],
        regions: Tensor | None = None,
    ) -> PointMasks:
        """Return owners (H, W), scores (N,) and areas (N,) of points (N, 2) with classes (N,)."""
        y, x = torch.meshgrid(*(torch.arange(side) + 0.5 for side in output_size), indexing="ij")
        centers = points.floor() + 0.5
        away = torch.hypot(x - centers[:, 0, None, None], y - centers[:, 1, None, None])
        away[classes == 1] = torch.inf
        if regions is not None:
            low, high = regions[:, :2, None, None], regions[:, 2:, None, None]
            outside = (x < low[:, 0]) | (x > high[:, 0]) | (y < low[:, 1]) | (y > high[:, 1])
            away[outside] = torch.inf
        owner = torch.where(away.amin(0) <= RADIUS, away.argmin(0) + 1, 0)
        areas = torch.bincount(owner.flatten(), minlength=len(points) + 1)[1:]
        scores = torch.where(areas > 0, 0.9 - 0.01 * torch.arange(len(points)), 0.5)
        return PointMasks(owner, scores, areas)


def label_points(image: dict[str, Any], pixels: np.ndarray, prompts: Prompts) -> list[BoxMask]:
    """Label points with ``NearPixels``."""
    return PointLabeler(NearPixels())(torch.zeros(3, 8, 8), prompts, (pixels.shape[0], pixels.shape[1]))


def point(number: int, image: int, x: float, y: float, category: int = 5, **more: Any) -> dict[str, Any]:
    """Return an annotation with a point."""
    entry = {"id": number, "image_id": image, "category_id": category, "point_coords": [[x, y]], "point_labels": [1]}
    return {**entry, **more}


def write_points(folder: Path, objects: list[dict[str, Any]], images: int = 3) -> Path:
    """Write images and points.json."""
    (folder / "images").mkdir(exist_ok=True)
    entries = []
    for number in range(1, images + 1):
        Image.fromarray(np.full((*SIZE, 3), 60 * number, np.uint8)).save(folder / "images" / f"{number}.png")
        entries.append({"id": number, "file_name": f"{number}.png", "height": SIZE[0], "width": SIZE[1]})
    categories = [{"id": number, "name": name} for number, name in CLASSES.items()]
    content = {"images": entries, "annotations": objects, "categories": categories}
    (folder / "points.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def points_folder(tmp_path: Path) -> Path:
    """Three images: points, a box, a mask and a crowd; only a crowd; points on one pixel and of a class not found."""
    mask = crop_to_rle(ellipse(SIZE, np.array([30.0, 10, 44, 22])), 0, 0, SIZE)
    objects = [
        point(12, 1, 8.5, 8.5, note="kept"),
        {"id": 11, "image_id": 1, "category_id": 5, "bbox": [10.0, 6, 10, 10]},
        {"id": 10, "image_id": 1, "category_id": 5, "bbox": [30.0, 10, 14, 12], "segmentation": mask, "area": 9},
        {"id": 9, "image_id": 1, "category_id": 5, "bbox": [0, 0, 60, 40], "iscrowd": 1, "segmentation": mask},
        {"id": 8, "image_id": 2, "category_id": 5, "bbox": [0, 0, 60, 40], "iscrowd": 1, "segmentation": mask},
        point(7, 1, 45.5, 16.5),
        point(6, 3, 20.5, 20.5),
        point(5, 3, 20.25, 20.75),
        point(4, 3, 59.5, 0.5, category=6),
    ]
    return write_points(tmp_path, objects)


def make_points_job(folder: Path, *, boxes: bool = False, **options: Any) -> LabelJob:
    """Return the job of the folder's dataset; ``boxes``: for a network that answers boxes too."""
    annotations = load_annotations(folder / "points.json", folder / "images")
    plan = plan_prompts(annotations, boxes=boxes)
    return LabelJob(annotations, **{"output": folder / "masks.json", "fingerprint": "one", "plan": plan, **options})


def run_points_job(folder: Path, **options: Any) -> LabelSummary:
    """Label the points of the folder's dataset."""
    job = make_points_job(folder, **options)
    return label_dataset(job, label_points, functools.partial(read_planned_prompts, plan=job.plan, classes=(0, 1)))
