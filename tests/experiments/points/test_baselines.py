"""Baselines of masks from points, and their comparison with the ground truth."""

import json
from pathlib import Path

import numpy as np
import pytest
from class_map_toy import SIZE, draw_discs, make_points
from PIL import Image
from pycocotools import mask as coco_mask

from depthbox.experiments.points.baselines import BASELINES, PointScene, draw_squares, keep_components
from depthbox.experiments.points.compare import (
    SQUARE,
    PointFiles,
    choose_methods,
    compare_masks,
    compute_masks,
    format_comparison,
)

CENTERS = [(20, 22), (52, 20), (80, 24), (30, 58), (70, 60)]


def masks_of(centers: list[tuple[int, int]]) -> np.ndarray:
    return np.stack([draw_discs([center], 8) for center in centers])


@pytest.fixture
def scene() -> PointScene:
    masks = masks_of(CENTERS)
    image = np.where(masks.any(axis=0)[:, :, None], 210, 30).repeat(3, axis=2).astype(np.uint8)
    return PointScene(image, make_points([(x + 0.5, y + 2.5) for x, y in CENTERS], [0] * 5), None, masks)


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_finds_separate_bright_discs(scene: PointScene, name: str) -> None:
    found = compute_masks(name, scene)
    assert scene.true_masks is not None
    ious = [(a & b).sum() / (a | b).sum() for a, b in zip(found, scene.true_masks, strict=True)]
    assert min(ious) > 0.7
    if name == "true class map, nearest point":
        assert min(ious) == 1


def test_watershed_follows_the_edges_of_depth() -> None:
    masks = masks_of([(30, 40)])
    depth = np.where(masks[0], 0.8, 0.2).astype(np.float32)
    flat = PointScene(np.full((*SIZE, 3), 99, dtype=np.uint8), make_points([(30.5, 40.5)], [0]), depth)
    found = compute_masks("watershed", flat)[0]
    assert (found & masks[0]).sum() / (found | masks[0]).sum() > 0.7


def test_squares_reach_32_pixels_and_end_at_the_border() -> None:
    scene = PointScene(np.zeros((*SIZE, 3), dtype=np.uint8), make_points([(50.0, 40.0), (2.0, 3.0)], [0, 0]))
    first, second = draw_squares(scene)
    assert first.sum() == 64 * 64 and second.sum() == 34 * 35


def test_component_of_the_point_is_kept_without_holes() -> None:
    owners = np.zeros(SIZE, dtype=np.int64)
    owners[10:20, 10:20] = 1
    owners[14, 14] = 0
    owners[50:70, 50:70] = 1
    kept = keep_components(owners, make_points([(12.5, 12.5)], [0]))
    assert kept[14, 14] == 1 and (kept == 1).sum() == 100


def test_true_map_without_masks_is_refused(scene: PointScene) -> None:
    with pytest.raises(ValueError, match="needs ground-truth masks"):
        BASELINES["true class map, nearest point"](PointScene(scene.image, scene.points))


def write_files(folder: Path, scene: PointScene) -> PointFiles:
    (folder / "images").mkdir()
    Image.fromarray(scene.image).save(folder / "images" / "a.png")
    image = {"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}
    points, truth = [], []
    assert scene.true_masks is not None
    for number, (xy, mask) in enumerate(zip(scene.points.coords.tolist(), scene.true_masks, strict=True), 7):
        code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        entry = {"id": number, "image_id": 1, "category_id": 3, "iscrowd": 0}
        points.append({**entry, "point_coords": [xy], "point_labels": [1]})
        segmentation = {"size": list(SIZE), "counts": code["counts"].decode()}
        box = [float(v) for v in coco_mask.toBbox(code)]
        truth.append({**entry, "segmentation": segmentation, "bbox": box, "area": int(mask.sum())})
    categories = [{"id": 3, "name": "cell"}]
    for name, entries in (("points.json", points), ("truth.json", truth)):
        content = {"images": [image], "annotations": entries, "categories": categories}
        (folder / name).write_text(json.dumps(content))
    return PointFiles(folder / "points.json", folder / "images", folder / "truth.json")


def test_comparison_measures_baselines_and_label_files(tmp_path: Path, scene: PointScene) -> None:
    files = write_files(tmp_path, scene)
    files = PointFiles(files.json_file, files.images, files.truth, labels={"mine": files.truth})
    compared = compare_masks(files, [SQUARE, "true class map, nearest point"])
    assert [entry.name for entry in compared] == [SQUARE, "true class map, nearest point", "mine"]
    square, true, mine = (entry.quality for entry in compared)
    assert square.mean_iou < 0.2 and true.mean_iou == mine.mean_iou == 1 and true.ap["AP"] == pytest.approx(100)
    assert compared[0].seconds is not None and compared[2].seconds is None
    assert compared[2].to_figures()["AP50"] == pytest.approx(100)
    lines = format_comparison(compared).splitlines()
    assert len(lines) == 4 and max(map(len, lines)) <= 80 and lines[2].split()[-6] == "100.0"


def test_unknown_baseline_is_refused_with_the_names() -> None:
    with pytest.raises(ValueError, match="unknown baseline 'magic': give some of square"):
        choose_methods(["magic"])
    assert choose_methods(None) == [SQUARE, *BASELINES] and choose_methods(["watershed"]) == ["watershed"]
