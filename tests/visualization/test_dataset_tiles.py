"""Tiles of a dataset sheet: ground truth, predictions, color edges and depth, and messages about broken files."""

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, BoxMode, Instances
from PIL import Image

from depthbox.config.defaults import add_depthbox_config
from depthbox.data.depth_io import DepthFileError, write_depth
from depthbox.visualization import DatasetSheet, colorize, instance_color

HEIGHT, WIDTH = 40, 80
GRAY = (100, 100, 100)
FIRST, SECOND = (8, 4, 20, 16), (40, 10, 30, 20)  # x, y, width, height


@pytest.fixture
def cfg() -> CfgNode:
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 40, 80
    return cfg


@pytest.fixture
def record(tmp_path: Path) -> dict[str, Any]:
    """Write a gray image and its depth, and return its dataset dict of two objects, one of them without a mask."""
    Image.new("RGB", (WIDTH, HEIGHT), GRAY).save(tmp_path / "a.png")
    write_depth(tmp_path / "depth.png", np.tile(np.linspace(0, 1, WIDTH), (HEIGHT, 1)))
    x, y, w, h = FIRST
    polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
    objects = [
        {"bbox": list(FIRST), "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0, "segmentation": [polygon]},
        {"bbox": list(SECOND), "bbox_mode": BoxMode.XYWH_ABS, "category_id": 1},
        {"bbox": [0, 0, 80, 40], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0, "iscrowd": 1},
    ]
    names = {"file_name": str(tmp_path / "a.png"), "depth_file_name": str(tmp_path / "depth.png")}
    return {"image_id": 7, "height": HEIGHT, "width": WIDTH, "annotations": objects, **names}


def new_dataset(depth: str = "") -> str:
    """Register metadata of a dataset of two classes; returns its name."""
    name = f"tiles_{uuid.uuid4().hex}"
    MetadataCatalog.get(name).set(thing_classes=["cat", "dog"], depth_root=depth)
    return name


def find(*boxes: tuple[int, int, int, int], scores: list[float], classes: list[int] | None = None) -> Instances:
    """Return instances with given boxes (x, y, width, height), whose masks are the filled boxes."""
    found = Instances((HEIGHT, WIDTH))
    found.pred_boxes = Boxes(torch.tensor([[x, y, x + w, y + h] for x, y, w, h in boxes], dtype=torch.float32))
    found.scores, found.pred_classes = torch.tensor(scores), torch.tensor(classes or [0] * len(boxes))
    found.pred_masks = torch.zeros(len(boxes), HEIGHT, WIDTH, dtype=torch.bool)
    for mask, (x, y, w, h) in zip(found.pred_masks, boxes, strict=True):
        mask[y : y + h, x : x + w] = True
    return found


def blend(number: int) -> np.ndarray:
    """Return the color of a mask of object ``number`` on gray."""
    return np.round(0.55 * np.array(GRAY) + 0.45 * np.array(instance_color(number)))


def test_the_ground_truth_has_the_boxes_without_crowds(cfg: CfgNode, record: dict[str, Any]) -> None:
    sheet = DatasetSheet(cfg, new_dataset(), inputs=False)
    (tile,) = sheet.tiles(record)
    assert tile.caption == "7: ground truth, 2 objects" and tile.image.shape == (320, 640, 3)
    for number, (x, y, w, h) in enumerate((FIRST, SECOND)):
        bottom, right = (y + h) * 8 - 1, (x + w) * 8 - 1
        assert (tile.image[bottom, x * 8 : right] == instance_color(number)).all()
        assert tuple(tile.image[(y + h // 2) * 8, (x + w // 2) * 8]) == GRAY, "objects are not filled"
    assert tuple(tile.image[310, 4]) == GRAY, "the crowd is not drawn"


def test_points_are_drawn_in_the_colors_of_their_objects(cfg: CfgNode, record: dict[str, Any]) -> None:
    record["annotations"] += [
        {"category_id": 1, "point_coords": [[60.5, 35.5], [75.5, 5.5]], "point_labels": [1, 0]},
        {"category_id": 0, "point_coords": [[3, 3]], "point_labels": [1], "iscrowd": 1},
    ]
    record["background_points"] = [[30, 36]]
    (tile,) = DatasetSheet(cfg, new_dataset(), inputs=False).tiles(record)
    assert tile.caption == "7: ground truth, 3 objects, 1 as points"
    mark = tile.image[280:288, 480:488].reshape(-1, 3)
    assert (mark == instance_color(2)).all(-1).any(), "the third object without crowds"
    assert not (tile.image[44, 604] == instance_color(2)).all(), "the circle is hollow"
    assert (tile.image[36:54, 596:614] == instance_color(2)).all(-1).any()
    assert tuple(tile.image[288, 240]) == (255, 255, 255) and tuple(tile.image[24, 24]) == GRAY


def test_objects_of_points_take_no_prediction(cfg: CfgNode, record: dict[str, Any]) -> None:
    record["annotations"].insert(0, {"category_id": 1, "point_coords": [[60.5, 35.5]], "point_labels": [1]})
    _, tile = DatasetSheet(cfg, new_dataset(), lambda _: find(SECOND, scores=[0.9]), inputs=False).tiles(record)
    x, y, w, h = SECOND
    center = tile.image[(y + h // 2) * 8, (x + w // 2) * 8].astype(int)
    assert np.abs(center - blend(2)).max() <= 1, "the color of the second box, the third object"


def test_predictions_have_the_colors_of_the_objects_that_they_find(cfg: CfgNode, record: dict[str, Any]) -> None:
    elsewhere = (4, 26, 10, 10)
    found = find(elsewhere, SECOND, FIRST, (60, 2, 6, 6), scores=[0.9, 0.8, 0.5, 0.3])
    _, tile = DatasetSheet(cfg, new_dataset(), lambda _: found, inputs=False).tiles(record)
    assert tile.caption == "predictions, 3 with score >= 0.4"
    for (x, y, w, h), number in ((FIRST, 0), (SECOND, 1), (elsewhere, 2)):
        center = tile.image[(y + h // 2) * 8, (x + w // 2) * 8].astype(int)
        assert np.abs(center - blend(number)).max() <= 1, number
    assert tuple(tile.image[5 * 8, 63 * 8]) == GRAY, "the score is below the threshold"


def test_an_object_gives_its_color_to_the_best_prediction_only(cfg: CfgNode, record: dict[str, Any]) -> None:
    shifted = (FIRST[0], FIRST[1], FIRST[2], FIRST[3] + 4)
    found = find(shifted, FIRST, scores=[0.6, 0.9])
    _, tile = DatasetSheet(cfg, new_dataset(), lambda _: found, inputs=False).tiles(record)
    below = tile.image[(FIRST[1] + FIRST[3] + 2) * 8, 18 * 8].astype(int)
    assert np.abs(below - blend(2)).max() <= 1, "the second detection of the object has a new color"


def test_predictions_without_masks_or_objects_leave_the_image_unchanged(cfg: CfgNode, record: dict[str, Any]) -> None:
    nothing = find(scores=[])
    nothing.pred_boxes = Boxes(torch.zeros(0, 4))
    for found in (nothing, find(FIRST, scores=[0.1])):
        _, tile = DatasetSheet(cfg, new_dataset(), lambda _, f=found: f, inputs=False).tiles(record)
        assert tile.caption == "predictions, 0 with score >= 0.4" and (tile.image == GRAY).all()


def test_inputs_are_edges_and_the_depth_of_datasets_that_have_it(cfg: CfgNode, record: dict[str, Any]) -> None:
    sheet = DatasetSheet(cfg, new_dataset(depth="depth"), columns=1)
    _, edges, depth = sheet.tiles(record)
    assert sheet.tiles_per_image == sheet.columns == 3
    assert depth.caption == "pseudo depth, bright = near" and depth.image.shape == edges.image.shape
    ends = colorize(np.array([[0.0, 1.0]]))[0].astype(int)
    assert np.abs(depth.image[100, 0].astype(int) - ends[0]).max() < 8
    assert np.abs(depth.image[100, -1].astype(int) - ends[1]).max() < 8
    center = edges.image[edges.image.shape[0] // 4, edges.image.shape[1] // 2]
    assert tuple(center) == tuple(ends[1]), "all neighbors of an even image are similar"
    assert edges.caption.startswith("share of similar neighbors, bright = all; mean 0.")
    assert len(DatasetSheet(cfg, new_dataset(), columns=1).tiles(record)) == 2, "a dataset without depth"


@pytest.mark.parametrize(("columns", "width"), [(1, 640), (4, 592), (8, 293)])
def test_tiles_are_narrower_on_sheets_of_many_columns(
    cfg: CfgNode, record: dict[str, Any], columns: int, width: int
) -> None:
    (tile,) = DatasetSheet(cfg, new_dataset(), columns=columns, inputs=False).tiles(record)
    assert tile.image.shape == (round(width / 2), width, 3)


def test_broken_files_are_named(cfg: CfgNode, record: dict[str, Any], tmp_path: Path) -> None:
    sheet = DatasetSheet(cfg, new_dataset(depth="depth"))
    (tmp_path / "depth.png").unlink()
    with pytest.raises(DepthFileError, match=r"depth\.png.*`depthbox depth`"):
        sheet.tiles(record)
    broken = {**record["annotations"][0], "id": 5, "segmentation": {"size": [1, 1], "counts": "x"}}
    with pytest.raises(ValueError, match=r"annotation 5 of .*a\.png has a broken segmentation: "):
        sheet.tiles({**record, "annotations": [broken]})
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(OSError, match=r"the image .*a\.png is not an image file .*; or correct the image folder"):
        sheet.tiles(record)
