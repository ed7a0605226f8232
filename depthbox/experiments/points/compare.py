"""Comparison of masks from points, of baselines and of label files, with the ground truth."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray

from ...data.datasets import load_coco_style
from ...data.depth_io import read_depth, resize_depth
from ...data.points import read_points
from ...evaluation.coco_ground_truth import read_annotations_alone
from ...evaluation.pseudo_masks import PseudoMask, PseudoMaskQuality, measure_pseudo_masks, read_pseudo_masks
from ...io.annotations.canonical import repaired_ids
from ...io.annotations.records import AnnotationSet
from ...io.coco_masks import segmentation_to_rle
from ...io.images import read_image
from .baselines import BASELINES, PointScene, draw_squares

SQUARE = "square of 64 px"


@dataclass(frozen=True)
class PointFiles:
    """Files of a comparison.

    Attributes:
        json_file: annotations with points.
        images: image folder.
        truth: annotations with the masks of the same annotation ids.
        depth: depth folder; None = not used.
        labels: name -> JSON file of ``depthbox label``.
    """

    json_file: Path
    images: Path
    truth: Path
    depth: Path | None = None
    labels: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class ComparedMasks:
    """Quality of the masks of one method.

    Attributes:
        name: name of the method.
        quality: agreement with the ground truth.
        seconds: computing time per image; None for masks of a file.
    """

    name: str
    quality: PseudoMaskQuality
    seconds: float | None = None

    def to_figures(self) -> dict[str, Any]:
        """Return all values by name, for a JSON file."""
        return {"seconds_per_image": self.seconds, **self.quality.to_figures()}


def compare_masks(files: PointFiles, methods: Sequence[str]) -> list[ComparedMasks]:
    """Measure the masks of baselines and label files.

    Args:
        files: see ``PointFiles``.
        methods: keys of ``BASELINES``, and ``SQUARE``.

    Raises:
        ValueError, OSError: a file cannot be read, or the files do not fit each other.
    """
    truth = read_annotations_alone(files.truth).annotations
    found = [
        ComparedMasks(name, measure_pseudo_masks(read_pseudo_masks(path), truth)) for name, path in files.labels.items()
    ]
    if not methods:
        return found
    masks: dict[str, dict[Any, PseudoMask]] = {name: {} for name in methods}
    seconds = dict.fromkeys(methods, 0.0)
    count = 0
    for ids, scene in read_scenes(files, truth):
        count += 1
        for name in methods:
            start = time.perf_counter()
            drawn = compute_masks(name, scene)
            seconds[name] += time.perf_counter() - start
            masks[name].update({i: PseudoMask(_encode(mask)) for i, mask in zip(ids, drawn, strict=True) if mask.any()})
    compared = [ComparedMasks(n, measure_pseudo_masks(masks[n], truth), seconds[n] / max(count, 1)) for n in methods]
    return compared + found


def compute_masks(name: str, scene: PointScene) -> NDArray[np.bool_]:
    """Compute the masks (N, H, W) bool of a baseline."""
    if name == SQUARE:
        return draw_squares(scene)
    owners = BASELINES[name](scene)
    return np.stack([owners == index + 1 for index in range(len(scene.points))])


def read_scenes(files: PointFiles, truth: AnnotationSet) -> Iterator[tuple[list[Any], PointScene]]:
    """Read the images with points, each with the annotation ids of its objects."""
    from tqdm import tqdm

    depth = str(files.depth) if files.depth is not None else ""
    records = load_coco_style(f"points of {files.json_file}", str(files.json_file), str(files.images), depth)
    true_masks = _index_masks(truth)
    for record in tqdm([r for r in records if r["annotations"]], unit="image", desc="masks of points"):
        objects = [entry for entry in record["annotations"] if not entry.get("iscrowd", 0)]
        ids = [entry["id"] for entry in objects]
        image = read_image(record["file_name"])
        size = (image.shape[0], image.shape[1])
        values = None
        if files.depth is not None:
            values = resize_depth(read_depth(record["depth_file_name"], size), size)
        known = all(i in true_masks for i in ids)
        masks = np.stack([mask_util.decode(true_masks[i]).astype(bool) for i in ids]) if known else None
        bare = {**record, "annotations": [_point_alone(entry) for entry in objects]}
        yield ids, PointScene(image, read_points(bare), values, masks)


def format_comparison(compared: Sequence[ComparedMasks]) -> str:
    """Format the results as a table of at most 80 columns."""
    lines = [f"{'method':32}  mIoU  >0.5  >0.75     AP   AP50  none  s/image"]
    for entry in compared:
        quality = entry.quality
        shares = (100 * quality.mean_iou, 100 * quality.above_50, 100 * quality.above_75)
        line = f"{entry.name[:32]:32}{shares[0]:6.1f}{shares[1]:6.1f}{shares[2]:7.1f}"
        line += f"{quality.ap['AP']:7.1f}{quality.ap['AP50']:7.1f}{quality.missing:6d}"
        lines.append(line if entry.seconds is None else f"{line}{entry.seconds:9.2f}")
    return "\n".join(lines)


def choose_methods(names: Sequence[str] | None) -> list[str]:
    """Return the names of the baselines to run; all of them for None.

    Raises:
        ValueError: an unknown name.
    """
    known = [SQUARE, *BASELINES]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ValueError(f"unknown baseline '{unknown[0]}': give some of {', '.join(known)}")
    return list(names or known)


def _point_alone(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an annotation without its mask, and without its box if it has a point."""
    dropped = ("segmentation", *(("bbox", "bbox_mode") if entry.get("point_coords") else ()))
    return {key: value for key, value in entry.items() if key not in dropped}


def _index_masks(truth: AnnotationSet) -> dict[Any, dict[str, Any]]:
    ids = repaired_ids(truth).annotations
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth.content["images"]}
    return {
        ids[entry["id"]]: segmentation_to_rle(entry["segmentation"], sizes[entry["image_id"]])
        for entry in truth.content["annotations"]
        if "segmentation" in entry
    }


def _encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    return dict(mask_util.encode(np.asfortranarray(mask, np.uint8)))
