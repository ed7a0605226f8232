"""Boxes in, masks out: what is written, what is kept, how a stopped job goes on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from depthbox.labeling.box_labeler import BoxMask
from depthbox.labeling.job import LabelJob, label_boxes
from depthbox.labeling.quality import evaluate_labels
from depthbox.labeling.review import review_labels

SIZE = (40, 60)


def disc(size: tuple[int, int], box: np.ndarray) -> np.ndarray:
    """An ellipse that fills a box, drawn pixel by pixel."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    x0, y0, x1, y1 = box
    return ((x - (x0 + x1) / 2) / (x1 - x0) * 2) ** 2 + ((y - (y0 + y1) / 2) / (y1 - y0) * 2) ** 2 < 1


def label(image: dict[str, Any], picture: np.ndarray, boxes: np.ndarray) -> list[BoxMask]:
    """Ellipses; the score is lower the larger the box."""
    masks = []
    for box in boxes:
        whole = disc(picture.shape[:2], box)
        left, top = int(box[0]), int(box[1])
        part = whole[top : int(np.ceil(box[3])), left : int(np.ceil(box[2]))]
        masks.append(BoxMask(torch.from_numpy(part.copy()), left, top, round(1 - part.size / 2400, 4)))
    return masks


@pytest.fixture
def job(tmp_path: Path) -> LabelJob:
    """Three images with four boxes and a crowd; the true mask of box 12 is its ellipse."""
    (tmp_path / "images").mkdir()
    images = []
    for number in (1, 2, 3):
        Image.fromarray(np.full((*SIZE, 3), 60 * number, dtype=np.uint8)).save(tmp_path / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": SIZE[0], "width": SIZE[1], "license": 4})
    crowd = mask_util.encode(np.asfortranarray(np.eye(*SIZE, dtype=np.uint8)))
    crowd = {"size": list(SIZE), "counts": crowd["counts"].decode()}
    truth = mask_util.encode(np.asfortranarray(disc(SIZE, np.array([2, 3, 22, 15])).astype(np.uint8)))
    truth = {"size": list(SIZE), "counts": truth["counts"].decode()}
    rows = [
        {"id": 12, "image_id": 1, "bbox": [2, 3, 20, 12], "segmentation": truth, "note": "kept"},
        {"id": 11, "image_id": 1, "bbox": [10.5, 5.5, 40, 30], "iscrowd": 0},
        {"id": 10, "image_id": 1, "bbox": [0, 0, 60, 40], "iscrowd": 1, "segmentation": crowd, "area": 40},
        {"id": 9, "image_id": 3, "bbox": [50, 30, 30, 30]},
        {"id": 8, "image_id": 2, "bbox": [5, 5, 5, 5]},
    ]
    content = {
        "info": {"year": 2024},
        "images": images,
        "annotations": [{"category_id": 7, "area": 1.0, **row} for row in rows],
        "categories": [{"id": 7, "name": "disc"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    return LabelJob(tmp_path / "boxes.json", tmp_path / "images", tmp_path / "masks.json", job="one")


def change(job: LabelJob, edit: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(job.json_file.read_text())
    edit(content)
    job.json_file.write_text(json.dumps(content))


def test_the_output_is_the_input_with_masks(job: LabelJob) -> None:
    summary = label_boxes(job, label)
    assert summary.problems == [] and len(summary.labels) == 4 and summary.boxes.crowds == 1
    given, written = (json.loads(path.read_text()) for path in (job.json_file, job.output))
    for key in ("info", "images", "categories"):
        assert written[key] == given[key]
    assert [row["id"] for row in written["annotations"]] == [12, 11, 10, 9, 8]
    assert written["annotations"][2] == given["annotations"][2], "a crowd stays as it is"
    coco = COCO(str(job.output))
    for old, new in zip(given["annotations"], written["annotations"], strict=True):
        assert {k: v for k, v in old.items() if k not in ("segmentation", "area")}.items() <= new.items()
        if new["iscrowd"]:
            continue
        box = np.array(old["bbox"]) + [0, 0, *old["bbox"][:2]]
        expected = disc(SIZE, np.clip(box, 0, (*SIZE[::-1], *SIZE[::-1])))
        np.testing.assert_array_equal(coco.annToMask(new), expected)
        assert isinstance(new["segmentation"]["counts"], str) and new["area"] == expected.sum() > 0
        assert new["segmentation"]["size"] == list(SIZE) and 0 <= new["score"] <= 1
    assert sorted(path.name for path in job.output.parent.iterdir()) == ["boxes.json", "images", "masks.json"]


def test_what_cvat_and_label_studio_ask_for(job: LabelJob) -> None:
    """Their importers read: images' sizes; bbox, area, iscrowd; polygons, or RLE; never an empty segmentation."""

    def empty_box(content: dict[str, Any]) -> None:
        content["annotations"][4]["bbox"] = [5, 5, 0, 5]

    change(job, empty_box)
    for mask_format in ("rle", "polygons"):
        output = job.output.with_name(f"{mask_format}.json")
        label_boxes(LabelJob(job.json_file, job.images, output, mask_format), label)
        content = json.loads(output.read_text())
        for image in content["images"]:
            assert isinstance(image["id"], int) and image["width"] > 0 and image["height"] > 0 and image["file_name"]
        known = {category["id"] for category in content["categories"]}
        for row in content["annotations"]:
            assert row["category_id"] in known and len(row["bbox"]) == 4 and row["iscrowd"] in (0, 1)
            assert isinstance(row["area"], (int, float))
            segmentation = row.get("segmentation", "none")
            assert segmentation, "left out rather than empty"
            if mask_format == "polygons" and not row["iscrowd"] and segmentation != "none":
                assert isinstance(segmentation[0], list) and all(len(p) >= 6 and len(p) % 2 == 0 for p in segmentation)
        assert "segmentation" not in content["annotations"][4] and content["annotations"][4]["score"] == 0


def test_a_stopped_job_goes_on(job: LabelJob) -> None:
    asked: list[int] = []

    def stopping(image: dict[str, Any], picture: np.ndarray, boxes: np.ndarray) -> list[BoxMask]:
        if asked:
            raise KeyboardInterrupt
        asked.append(image["id"])
        return label(image, picture, boxes)

    with pytest.raises(KeyboardInterrupt):
        label_boxes(job, stopping)
    assert not job.output.exists() and job.sidecar.is_file()
    with open(job.sidecar, "ab") as file:
        file.write(b'{"image_id": 2, "labels": [{"id"')  # the machine stopped in the middle of a line

    def going_on(image: dict[str, Any], picture: np.ndarray, boxes: np.ndarray) -> list[BoxMask]:
        asked.append(image["id"])
        return label(image, picture, boxes)

    summary = label_boxes(job, going_on)
    assert asked == [1, 2, 3] and summary.continued == 1 and not summary.started_over
    assert len(summary.labels) == 4 and not job.sidecar.exists()
    first = job.output.read_bytes()
    with pytest.raises(FileExistsError, match="--overwrite"):
        label_boxes(job, label)
    assert job.output.read_bytes() == first


def test_another_job_starts_over(job: LabelJob) -> None:
    def stopping(image: dict[str, Any], picture: np.ndarray, boxes: np.ndarray) -> list[BoxMask]:
        if image["id"] == 2:
            raise RuntimeError("out of memory")
        return label(image, picture, boxes)

    with pytest.raises(RuntimeError):
        label_boxes(job, stopping)
    summary = label_boxes(job.named("two"), label)
    assert summary.started_over and summary.continued == 0 and len(summary.labels) == 4


def test_bad_images_and_boxes_are_named_and_the_rest_is_labelled(job: LabelJob) -> None:
    def spoil(content: dict[str, Any]) -> None:
        content["images"][2]["width"] = 61
        content["annotations"][1]["bbox"] = [100, 5, 10, 10]
        content["annotations"] += [
            {"id": 20, "image_id": 1, "category_id": 7, "bbox": [5, 5, "a", 5]},
            {"id": 21, "image_id": 99, "category_id": 7, "bbox": [5, 5, 5, 5]},
            {"id": 22, "image_id": 1, "category_id": 7, "bbox": [5, 5, -4, 5]},
        ]

    change(job, spoil)
    (job.images / "2.png").write_bytes(b"no image")
    summary = label_boxes(job, label)
    assert set(summary.labels) == {12}
    lines = "\n".join(summary.problems)
    for part in (
        "annotation 20 of 1.png: the bbox",
        "annotation 21: the json has no image 99",
        "annotation 22 of 1.png: the bbox [5, 5, -4, 5] has no area",
        "annotation 11 of 1.png: the box lies outside",
        "2.png cannot be read",
        "3.png is 40 x 60 (height x width), the json says 40 x 61",
    ):
        assert part in lines
    assert len(json.loads(job.output.read_text())["annotations"]) == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no valid json"),
        ("[]", "the lists images, annotations, categories are missing"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "no id and file_name"),
        ('{"images": [], "annotations": [{}], "categories": []}', r"annotations\[0\] has no id"),
        ('{"images": [], "annotations": [{"id": 1}, {"id": 1}], "categories": []}', "id 1 is used twice"),
    ],
)
def test_a_json_that_is_none_is_refused(job: LabelJob, text: str, message: str) -> None:
    job.json_file.write_text(text)
    with pytest.raises(ValueError, match=message):
        label_boxes(job, label)
    assert not job.output.exists() and not job.sidecar.exists()


def test_paths_that_cannot_work(job: LabelJob, tmp_path: Path) -> None:
    cases = [
        (LabelJob(tmp_path / "no.json", job.images, job.output), "no file"),
        (LabelJob(job.json_file, tmp_path / "no", job.output), "no image folder"),
        (LabelJob(job.json_file, job.images, job.json_file), "would overwrite"),
        (LabelJob(job.json_file, job.images, tmp_path), "is a folder"),
        (LabelJob(job.json_file, job.images, job.output, "png"), "rle or polygons"),
    ]
    for wrong, message in cases:
        with pytest.raises((ValueError, OSError), match=message):
            label_boxes(wrong, label)


def test_the_truth_is_compared_with(job: LabelJob) -> None:
    summary = label_boxes(job, label)
    quality = evaluate_labels(summary.boxes, summary.labels)
    filled = disc(SIZE, np.array([2, 3, 22, 15])).sum() / (20 * 12)
    assert (quality.count, quality.masks, quality.poor) == (1, 1.0, 0.0)
    assert quality.filled == pytest.approx(filled) and quality.agreement is None
    assert f"of filled boxes {100 * filled:.2f}" in str(quality)
    assert evaluate_labels(summary.boxes, {}).masks == 0
    change(job, lambda content: content["annotations"][0].pop("segmentation"))
    summary = label_boxes(LabelJob(job.json_file, job.images, job.output, overwrite=True), label)
    with pytest.raises(ValueError, match="holds no masks"):
        evaluate_labels(summary.boxes, summary.labels)


def test_true_polygons_count_too(job: LabelJob) -> None:
    polygon = [[2, 3, 22, 3, 22, 15, 2, 15]]
    change(job, lambda content: content["annotations"][0].update(segmentation=polygon))
    summary = label_boxes(job, label)
    assert evaluate_labels(summary.boxes, summary.labels).filled == pytest.approx(1.0)


def test_the_review_shows_the_doubtful_first(job: LabelJob, tmp_path: Path) -> None:
    summary = label_boxes(job, label)
    (tmp_path / "review").mkdir()
    (tmp_path / "review" / "review_007.png").write_bytes(b"of an earlier call")
    pages = review_labels(summary, job.images, tmp_path / "review", 2)
    assert [path.name for path in (tmp_path / "review").iterdir()] == ["review_001.png"] == [p.name for p in pages]
    pixels = np.asarray(Image.open(pages[0]).convert("RGB")).astype(int)
    assert pixels.shape[1] < 3 * 260  # two tiles
    # The largest box has the lowest score: its image 1 (grey 60) comes before image 3 (grey 180).
    order = [np.argmax((pixels == value).all(2).any(0)) for value in (60, 180)]
    assert 0 < order[0] < order[1]
    assert ((pixels[..., 0] > 200) & (pixels[..., 1] < 120)).sum() > 100  # the masks' outlines
