"""Comparisons of COCO evaluation on synthetic results."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...evaluation.coco_ground_truth import GroundTruth, read_annotations_alone
from ..baselines.paste import pycocotools_stats
from ..comparison import Comparison, Options
from ..measure import Pass

_HEIGHT, _WIDTH, _CLASSES = 480, 640, 80
_VARIANTS = 5  # the first is the ground-truth mask, the others are detections of it


@dataclass(frozen=True)
class Shape:
    """Mask with its box; rle and box as in COCO's files."""

    rle: dict[str, Any]
    box: list[float]
    area: float


def evaluation_boxes(options: Options) -> Iterator[Comparison]:
    """Compare box AP of 5,000 images with 100 detections each."""
    yield from _compare("evaluation_boxes", "bbox", options)


def evaluation_masks(options: Options) -> Iterator[Comparison]:
    """Compare mask AP of 5,000 images with 100 detections each."""
    yield from _compare("evaluation_masks", "segm", options)


def make_shapes(count: int, seed: int = 0) -> list[list[Shape]]:
    """Make ``count`` objects in a few overlapping variants each: polygons like ragged ellipses."""
    rng = np.random.default_rng(seed)
    side = np.exp(rng.uniform(np.log(12), np.log(300), count))
    shapes = []
    for size in side:
        half = np.minimum(size * np.array([1.0, rng.uniform(0.5, 1.5)]) / 2, (_WIDTH / 2 - 2, _HEIGHT / 2 - 2))
        center = rng.uniform(half + 1, np.array((_WIDTH, _HEIGHT)) - half - 1)
        radius = rng.uniform(0.75, 1, 24)
        variants = [_polygon(center, half, radius)]
        for _ in range(_VARIANTS - 1):
            moved, grown = center + rng.normal(0, 0.08, 2) * half, half * np.exp(rng.normal(0, 0.08, 2))
            variants.append(_polygon(moved, grown, radius * rng.uniform(0.9, 1.1, 24)))
        shapes.append([_shape(points) for points in variants])
    return shapes


def write_ground_truth(
    path: Path, shapes: list[list[Shape]], images: int, seed: int = 1
) -> list[list[tuple[int, int]]]:
    """Write a COCO JSON file with about 7 objects per image; returns (shape, class) of each image's objects."""
    rng = np.random.default_rng(seed)
    objects: list[list[tuple[int, int]]] = []
    annotations: list[dict[str, Any]] = []
    for image in range(images):
        chosen = rng.integers(0, len(shapes), rng.integers(3, 12))
        objects.append([(int(s), int(rng.integers(0, _CLASSES))) for s in chosen])
        for shape, label in objects[-1]:
            true = shapes[shape][0]
            entry = {"id": len(annotations) + 1, "image_id": image + 1, "category_id": label + 1, "iscrowd": 0}
            annotations.append(entry | {"bbox": true.box, "area": true.area, "segmentation": true.rle})
    content = {
        "info": {},
        "images": [{"id": i + 1, "file_name": f"{i}.jpg", "height": _HEIGHT, "width": _WIDTH} for i in range(images)],
        "categories": [{"id": i + 1, "name": f"class {i}"} for i in range(_CLASSES)],
        "annotations": annotations,
    }
    path.write_text(json.dumps(content))
    return objects


def make_results(
    shapes: list[list[Shape]], objects: list[list[tuple[int, int]]], per_image: int, seed: int = 2
) -> list[dict[str, Any]]:
    """Make ``per_image`` detections of each image: a few of each object, the rest wrong, with overlapping scores."""
    rng = np.random.default_rng(seed)
    results = []
    for image, truth in enumerate(objects, 1):
        labels = np.array([label for _, label in truth])
        own = rng.integers(0, len(truth), per_image)
        is_right = np.arange(per_image) < 3 * len(truth)
        shape = np.where(is_right, np.array([s for s, _ in truth])[own], rng.integers(0, len(shapes), per_image))
        label = np.where(is_right | (rng.random(per_image) < 0.7), labels[own], rng.integers(0, _CLASSES, per_image))
        score = rng.beta(2, 3, per_image) + 0.2 * is_right
        variant = rng.integers(1, _VARIANTS, per_image)
        for s, c, p, v in zip(shape.tolist(), label.tolist(), score.tolist(), variant.tolist(), strict=True):
            found = shapes[s][v]
            entry = {"image_id": image, "category_id": c + 1, "score": p}
            results.append(entry | {"bbox": found.box, "segmentation": found.rle})
    return results


def _compare(op: str, task: str, options: Options) -> Iterator[Comparison]:
    images, per_image = (20, 10) if options.quick else (5000, 100)
    shapes = make_shapes(20 if options.quick else 2000)
    field = "bbox" if task == "bbox" else "segmentation"
    keys = ("image_id", "category_id", "score", field)
    with tempfile.TemporaryDirectory() as folder:

        def make_passes(count: int) -> tuple[Pass, Pass]:
            path = Path(folder) / f"truth_{count}.json"
            results = make_results(shapes, write_ground_truth(path, shapes, count), per_image)
            entries = [{key: entry[key] for key in keys} for entry in results]
            return (
                Pass(lambda: _named(GroundTruth(read_annotations_alone(path)).average_precision(entries, task)[0])),
                Pass(lambda: _named(pycocotools_stats(str(path), entries, task))),
            )

        for warm_up in make_passes(2):  # late imports are not to be timed
            warm_up()
        about = {"input": f"{images} images, {per_image} detections each"}
        yield Comparison(op, *make_passes(images), tolerance=1e-9, warm=False, about=about)


def _named(stats: Sequence[float]) -> dict[str, float]:
    return {f"stat {i}": float(value) for i, value in enumerate(stats)}


def _polygon(center: np.ndarray, half: np.ndarray, radius: np.ndarray) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, len(radius), endpoint=False)
    points = center + half * radius[:, None] * np.stack((np.cos(angle), np.sin(angle)), 1)
    return points.clip(0, (_WIDTH, _HEIGHT))


def _shape(points: np.ndarray) -> Shape:
    import pycocotools.mask as mask_util

    rle = mask_util.frPyObjects([points.flatten().tolist()], _HEIGHT, _WIDTH)[0]
    coded = {"size": [_HEIGHT, _WIDTH], "counts": rle["counts"].decode("ascii")}
    return Shape(coded, [float(v) for v in mask_util.toBbox(rle)], float(mask_util.area(rle)))
