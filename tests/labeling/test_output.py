"""Files of labeled annotations: their content, and recognition of a finished job."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import pytest
from labeling_toy import SIZE, change, label, make_job, read

from depthbox.io.coco_masks import crop_to_rle
from depthbox.labeling.job import find_finished, label_dataset
from depthbox.labeling.loading import load_annotations
from depthbox.labeling.output import STAMP, digest_images, read_labels, write_labels
from depthbox.labeling.partial_results import ObjectLabel
from depthbox.labeling.prompts import read_box_prompts

STAMP_OF_JOB = {"job": "one", "images": "two", "format": "rle"}


def disc() -> ObjectLabel:
    mask = np.ones((6, 9), dtype=bool)
    mask[0, 0] = False
    return ObjectLabel(crop_to_rle(mask, 4, 7, SIZE), 0.625, 53)


def test_labels_are_read_as_they_were_written(folder: Path) -> None:
    annotations = load_annotations(folder / "boxes.json", folder / "images")
    empty = ObjectLabel(crop_to_rle(np.zeros((0, 0), dtype=bool), 0, 0, SIZE))
    labels = {0: disc(), 1: empty}
    write_labels(folder / "out.json", annotations, labels, "rle", STAMP_OF_JOB)
    assert read_labels(folder / "out.json", annotations, STAMP_OF_JOB) == labels
    entries = read(folder, "out.json")["annotations"]
    assert (entries[0]["score"], entries[0]["area"]) == (0.625, 53)
    decoded = mask_util.decode(entries[0]["segmentation"])
    assert decoded.sum() == 53 and decoded[7:13, 4:13].sum() == 53 and decoded[7, 4] == 0
    for entry in (entries[1], entries[3]):  # an empty mask, and an object without a label
        assert "segmentation" not in entry and entry["score"] == 0 and entry["iscrowd"] == 0
    assert entries[2]["iscrowd"] == 1 and "segmentation" in entries[2]  # crowds are unchanged
    assert read(folder, "out.json")[STAMP] == {**STAMP_OF_JOB, "unlabeled": [3, 4]}


def test_a_file_without_a_stamp_is_never_a_finished_job(folder: Path) -> None:
    annotations = load_annotations(folder / "boxes.json", folder / "images")
    write_labels(folder / "out.json", annotations, {0: disc()}, "rle", {})
    assert STAMP not in read(folder, "out.json")
    assert read_labels(folder / "out.json", annotations, STAMP_OF_JOB) is None


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"annotations": []}', '{"depthbox_label": 3}', "\x00\x01"])
def test_other_files_are_not_taken_for_a_finished_job(folder: Path, text: str) -> None:
    annotations = load_annotations(folder / "boxes.json", folder / "images")
    (folder / "out.json").write_text(text)
    assert read_labels(folder / "out.json", annotations, STAMP_OF_JOB) is None
    assert read_labels(folder / "missing.json", annotations, STAMP_OF_JOB) is None


@pytest.mark.parametrize("key", list(STAMP_OF_JOB))
def test_each_part_of_the_stamp_is_compared(folder: Path, key: str) -> None:
    annotations = load_annotations(folder / "boxes.json", folder / "images")
    write_labels(folder / "out.json", annotations, {0: disc()}, "rle", STAMP_OF_JOB)
    assert read_labels(folder / "out.json", annotations, {**STAMP_OF_JOB, key: "changed"}) is None


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content["annotations"].pop(0),
        lambda content: content["annotations"].append(dict(content["annotations"][0])),
        lambda content: content.pop("annotations"),
        lambda content: content[STAMP].pop("unlabeled"),
    ],
    ids=["removed", "added", "no list", "no unlabeled"],
)
def test_an_edited_output_is_not_taken_for_the_result(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Objects are found by their index: a removed or added one would shift the masks of all others."""
    job = make_job(folder)
    label_dataset(job, label)
    assert find_finished(job) is not None
    content = read(folder)
    edit(content)
    job.output.write_text(json.dumps(content))
    assert find_finished(job) is None


def test_changed_images_are_noticed(folder: Path) -> None:
    annotations = load_annotations(folder / "boxes.json", folder / "images")
    before = digest_images(annotations)
    assert digest_images(annotations) == before
    image = folder / "images" / "1.png"
    image.write_bytes(image.read_bytes() + b"\0")
    changed = digest_images(annotations)
    image.unlink()
    assert len({before, changed, digest_images(annotations)}) == 3


@pytest.mark.parametrize("mask_format", ["rle", "polygons"])
def test_a_score_and_an_area_come_with_every_mask(folder: Path, mask_format: str) -> None:
    job = make_job(folder, mask_format=mask_format)
    summary = label_dataset(job, label)
    entries = read(folder)["annotations"]
    masked = [entry for entry in entries if "segmentation" in entry and not entry["iscrowd"]]
    assert len(masked) == len(summary.labels) - summary.empty == 4
    for entry in masked:
        assert 0 < entry["score"] <= 1 and entry["area"] > 0
        assert isinstance(entry["segmentation"], dict if mask_format == "rle" else list)


def test_boxes_are_repaired_only_where_they_were_wrong(folder: Path) -> None:
    change(folder, lambda content: content["annotations"][1].update(bbox=["10.5", "5.5", "40", "30"]))
    annotations = load_annotations(folder / "boxes.json", folder / "images")
    write_labels(folder / "out.json", annotations, {}, "rle", {})
    boxes = [entry["bbox"] for entry in read(folder, "out.json")["annotations"]]
    assert boxes[0] == [2, 3, 20, 12] and all(isinstance(value, (int, float)) for value in boxes[1])


def test_prompts_keep_the_order_and_leave_out_boxes_outside() -> None:
    entries = [{"bbox": [70, 5, 5, 5]}, {"bbox": [-5, -5, 20, 20]}, {"bbox": [50, 30, 30, 30]}]
    prompts = read_box_prompts(entries, SIZE)
    assert prompts.annotations == entries[1:]
    np.testing.assert_array_equal(prompts.boxes, [[0, 0, 15, 15], [50, 30, 60, 40]])
    assert read_box_prompts([], SIZE).boxes.shape == (0, 4)
