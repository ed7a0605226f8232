"""Prediction of images and videos: written files, colors, and bounded memory."""

import gc
import json
import weakref
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image
from pycocotools.coco import COCO

from depthbox.inference.classes import ClassList, number_classes
from depthbox.inference.pipeline import PredictionSettings, predict_frames, predict_sources, to_objects
from depthbox.io.media import MediaFrame, MediaSource, find_sources
from depthbox.io.video import VideoFile
from depthbox.visualization import colorize, instance_color

SIZE = (40, 60)
CLASSES = ClassList(("cat", "big dog"), (3, 7))


def found(size: tuple[int, int], scores: list[float], depths: list[float] | None = None) -> Instances:
    """Return objects of alternating classes: squares of ten pixels, ten apart."""
    instances = Instances(size)
    count = len(scores)
    corners = torch.tensor([[5.0 + 20 * n, 8, 15 + 20 * n, 18] for n in range(count)]).view(-1, 4)
    instances.pred_boxes, instances.scores = Boxes(corners), torch.tensor(scores)
    instances.pred_classes = torch.arange(count) % 2
    masks = torch.zeros((count, *size), dtype=torch.bool)
    for n in range(count):
        masks[n, 8:18, 5 + 20 * n : 15 + 20 * n] = True
    masks[:, 8, :] = False
    instances.pred_masks = masks
    if depths is not None:
        instances.pred_depths = torch.tensor(depths)
    return instances


def predict(images: list[np.ndarray]) -> list[Instances]:
    return [found(image.shape[:2], [0.9, 0.6, 0.2], [0.25, 0.75, 0.5]) for image in images]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("one.jpg", "sub/two.png"):
        Image.fromarray(np.full((*SIZE, 3), 90, dtype=np.uint8)).save(tmp_path / "in" / name)
    with VideoFile(tmp_path / "in" / "clip.mp4", SIZE, 8.0) as video:
        for value in range(7):
            video.write(np.full((*SIZE, 3), 30 * value, dtype=np.uint8))
    return tmp_path / "in"


def test_all_requested_files_are_written(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"no image")
    output = tmp_path / "out"
    settings = PredictionSettings(output, batch=2, threshold=0.5, cutouts=True)
    summary = predict_sources(find_sources([str(folder)]), predict, CLASSES, settings)
    assert (summary.images, summary.objects, summary.stopped) == (9, 18, False)
    assert len(summary.failures) == 1 and "broken.png" in summary.failures[0]

    coco = COCO(str(output / "predictions.json"))
    assert [image["file_name"] for image in coco.dataset["images"]][:2] == ["clip.mp4#000000", "clip.mp4#000001"]
    assert coco.dataset["images"][6]["frame_index"] == 6 and coco.dataset["images"][6]["video"] == "clip.mp4"
    assert coco.dataset["categories"] == [{"id": 3, "name": "cat"}, {"id": 7, "name": "big dog"}]
    rows = coco.loadAnns(coco.getAnnIds(imgIds=[9]))
    assert [row["category_id"] for row in rows] == [3, 7] and [row["depth"] for row in rows] == [0.25, 0.75]
    assert rows[0]["bbox"] == [5, 8, 10, 10] and rows[0]["area"] == 90 and rows[0]["score"] == pytest.approx(0.9)
    np.testing.assert_array_equal(coco.annToMask(rows[1]), found(SIZE, [1.0, 1.0]).pred_masks[1].numpy())
    assert COCO.loadRes(coco, coco.dataset["annotations"]).getAnnIds() == list(range(1, 19))

    assert np.asarray(Image.open(output / "overlays" / "sub" / "two.png")).shape == (*SIZE, 3)
    capture = cv2.VideoCapture(str(output / "overlays" / "clip.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 7 and capture.get(cv2.CAP_PROP_FPS) == pytest.approx(8)
    capture.release()
    cutout = np.asarray(Image.open(output / "cutouts" / "sub" / "two.png_002_big_dog.png"))
    assert cutout.shape == (9, 10, 4) and (cutout[..., 3] == 255).all() and (cutout[..., :3] == 90).all()
    assert len(list((output / "cutouts").rglob("*.png"))) == 18
    left = [path for path in output.rglob("*") if "tmp" in path.name]
    assert left == []


def test_no_other_files_are_written(folder: Path, tmp_path: Path) -> None:
    settings = PredictionSettings(tmp_path / "out", overlays=False, max_frames=2)
    summary = predict_sources(find_sources([str(folder / "clip.mp4")]), predict, CLASSES, settings)
    assert summary.images == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]


def test_without_a_readable_image_the_json_is_valid(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    settings = PredictionSettings(tmp_path / "out")
    predict_sources(find_sources([str(tmp_path / "x.png")]), predict, CLASSES, settings)
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert content["annotations"] == content["images"] == []


def test_a_long_video_does_not_fill_memory() -> None:
    """Count the frames in memory whenever one is read: never more than a batch."""
    alive: weakref.WeakSet[MediaFrame] = weakref.WeakSet()
    most = 0

    def frames():
        nonlocal most
        for index in range(50):
            frame = MediaFrame(MediaSource("video", "v", "v"), index, np.zeros((*SIZE, 3), dtype=np.uint8))
            alive.add(frame)
            gc.collect()
            most = max(most, len(alive))
            yield frame
            del frame

    order = []
    for frame, instances in predict_frames(frames(), predict, 4):
        order.append((frame.index, len(instances)))
        del frame, instances
    assert order == [(index, 3) for index in range(50)]
    assert most == 4


def test_ctrl_c_keeps_what_was_predicted(folder: Path, tmp_path: Path) -> None:
    calls = []

    def interrupted(images: list[np.ndarray]) -> list[Instances]:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return predict(images)

    settings = PredictionSettings(tmp_path / "out", threshold=0.5)
    summary = predict_sources(find_sources([str(folder / "clip.mp4")]), interrupted, CLASSES, settings)
    assert summary.stopped and summary.images == 3
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["images"]) == 3
    assert (tmp_path / "out" / "overlays" / "clip.mp4").is_file()


def test_an_error_leaves_no_half_written_file(folder: Path, tmp_path: Path) -> None:
    def failing(images: list[np.ndarray]) -> list[Instances]:
        if images[0].mean() > 50:
            raise RuntimeError("out of memory")
        return predict(images)

    settings = PredictionSettings(tmp_path / "out")
    with pytest.raises(RuntimeError, match="out of memory"):
        predict_sources(find_sources([str(folder / "clip.mp4")]), failing, CLASSES, settings)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_colors_are_by_class_location_or_depth() -> None:
    instances = found(SIZE, [0.9, 0.8, 0.7], [0.0, 0.5, 1.0])
    assert to_objects(instances, CLASSES).colors == [instance_color(0), instance_color(1), instance_color(0)]
    by_location = to_objects(instances, CLASSES, "instance").colors
    assert len(set(by_location)) == 3
    moved = found(SIZE, [0.9])
    moved.pred_boxes = Boxes(moved.pred_boxes.tensor + 1)
    step = np.subtract(to_objects(moved, CLASSES, "instance").colors[0], by_location[0])
    assert 0 < np.abs(step).max() < 60, "an object that moves by a pixel keeps nearly its color"
    depth = to_objects(instances, CLASSES, "depth")
    expected = colorize(np.array([[0.0, 0.5, 1.0]]))[0]
    np.testing.assert_array_equal(depth.colors, expected)
    assert depth.labels[1] == "big dog 0.80 depth 0.50"


def test_unknown_colors_and_missing_depth(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--color-by is one of"):
        predict_sources([], predict, CLASSES, PredictionSettings(tmp_path, color_by="size"))
    with pytest.raises(ValueError, match=r"MODEL\.DEPTH\.LAYER"):
        to_objects(found(SIZE, [0.9]), CLASSES, "depth")


def test_areas_without_masks(tmp_path: Path) -> None:
    instances = found(SIZE, [0.9])
    instances.remove("pred_masks")
    Image.fromarray(np.zeros((*SIZE, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    settings = PredictionSettings(tmp_path / "out")
    predict_sources(find_sources([str(tmp_path / "a.png")]), lambda _: [instances], number_classes(1), settings)
    (row,) = json.loads((tmp_path / "out" / "predictions.json").read_text())["annotations"]
    assert row["area"] == 100 and "segmentation" not in row and row["category_id"] == 1


def test_masks_are_compressed_run_lengths(folder: Path, tmp_path: Path) -> None:
    settings = PredictionSettings(tmp_path / "out", overlays=False)
    predict_sources(find_sources([str(folder / "one.jpg")]), predict, CLASSES, settings)
    row = json.loads((tmp_path / "out" / "predictions.json").read_text())["annotations"][0]
    assert isinstance(row["segmentation"]["counts"], str) and mask_util.area(row["segmentation"]) == row["area"]
