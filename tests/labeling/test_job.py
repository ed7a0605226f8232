"""Labeling jobs: the written file, preserved content of the input, and inputs that cannot be labeled."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labeling_toy import SIZE, change, ellipse, label, make_job, read
from PIL import Image
from pycocotools.coco import COCO

from depthbox.io.annotations.records import AnnotationError
from depthbox.labeling.box_labeler import BoxMask
from depthbox.labeling.job import LabelJob, check_job, label_dataset
from depthbox.labeling.loading import load_annotations
from depthbox.labeling.prompts import Prompts, read_box_prompts


def test_the_output_is_the_input_with_masks(folder: Path) -> None:
    summary = label_dataset(make_job(folder), label)
    assert summary.problems == [] and len(summary.labels) == 4 and summary.crowds == 1 and summary.unlabeled == 0
    given, written = read(folder, "boxes.json"), read(folder)
    for key in ("info", "images", "categories"):
        assert written[key] == given[key]
    assert [entry["id"] for entry in written["annotations"]] == [12, 11, 10, 9, 8]
    assert written["annotations"][2] == given["annotations"][2], "a crowd is unchanged"
    coco = COCO(str(folder / "masks.json"))
    for old, new in zip(given["annotations"], written["annotations"], strict=True):
        assert {k: v for k, v in old.items() if k not in ("segmentation", "area")}.items() <= new.items()
        if new["iscrowd"]:
            continue
        box = np.array(old["bbox"]) + [0, 0, *old["bbox"][:2]]
        expected = ellipse(SIZE, np.clip(box, 0, (*SIZE[::-1], *SIZE[::-1])))
        np.testing.assert_array_equal(coco.annToMask(new), expected)
        assert isinstance(new["segmentation"]["counts"], str) and new["area"] == expected.sum() > 0
        assert new["segmentation"]["size"] == list(SIZE) and 0 <= new["score"] <= 1
    assert sorted(path.name for path in folder.iterdir()) == ["boxes.json", "images", "masks.json"]


def test_the_output_has_what_cvat_and_label_studio_require(folder: Path) -> None:
    """Their importers need: image sizes; bbox, area, iscrowd; polygons or RLE; never an empty segmentation."""

    def empty_box(content: dict[str, Any]) -> None:
        content["annotations"][4]["bbox"] = [5, 5, 0, 5]

    change(folder, empty_box)
    for mask_format in ("rle", "polygons"):
        label_dataset(make_job(folder, output=folder / f"{mask_format}.json", mask_format=mask_format), label)
        content = read(folder, f"{mask_format}.json")
        for image in content["images"]:
            assert isinstance(image["id"], int) and image["width"] > 0 and image["height"] > 0 and image["file_name"]
        known = {category["id"] for category in content["categories"]}
        for entry in content["annotations"]:
            assert entry["category_id"] in known and len(entry["bbox"]) == 4 and entry["iscrowd"] in (0, 1)
            assert isinstance(entry["area"], (int, float))
            segmentation = entry.get("segmentation", "none")
            assert segmentation, "an empty segmentation must be absent"
            if mask_format == "polygons" and not entry["iscrowd"] and segmentation != "none":
                assert isinstance(segmentation[0], list) and all(len(p) >= 6 and len(p) % 2 == 0 for p in segmentation)
        assert "segmentation" not in content["annotations"][4] and content["annotations"][4]["score"] == 0


def test_ids_of_any_kind_and_own_keys_are_kept(folder: Path) -> None:
    def rename(content: dict[str, Any]) -> None:
        for image in content["images"]:
            image["id"] = f"image {image['id']}"
        for entry in content["annotations"]:
            entry["image_id"], entry["id"] = f"image {entry['image_id']}", f"{entry['id']}-x"
        content["annotations"][1]["bbox"] = ["10.5", "5.5", "40", "30"]
        content["annotations"][3]["id"] = 2.5
        content["mine"] = [1, {"a": None}]

    change(folder, rename)
    summary = label_dataset(make_job(folder), label)
    given, written = read(folder, "boxes.json"), read(folder)
    assert summary.unlabeled == 0 and written["mine"] == given["mine"] and written["images"] == given["images"]
    for key in ("id", "image_id", "category_id"):
        assert [entry[key] for entry in written["annotations"]] == [entry[key] for entry in given["annotations"]]
    assert written["annotations"][1]["bbox"] == [10.5, 5.5, 40, 30], "a repaired box"
    assert written["annotations"][0]["note"] == "kept"


def test_a_dataset_of_another_format_is_labeled(folder: Path) -> None:
    (folder / "labels").mkdir()
    (folder / "labels" / "2.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (folder / "data.yaml").write_text(f"path: {folder}\ntrain: images\nnames: [disc]\n")
    annotations = load_annotations(folder / "data.yaml")
    summary = label_dataset(LabelJob(annotations, folder / "masks.json"), label)
    (entry,) = read(folder)["annotations"]
    assert summary.unlabeled == 0 and entry["bbox"] == pytest.approx([22.5, 10, 15, 20])
    mask = COCO(str(folder / "masks.json")).annToMask(entry)
    np.testing.assert_array_equal(mask, ellipse(SIZE, np.array([22.5, 10, 37.5, 30])))


def test_a_divided_dataset_needs_a_split(folder: Path) -> None:
    for split in ("train", "val"):
        (folder / split / "images").mkdir(parents=True)
        (folder / split / "labels").mkdir()
        Image.fromarray(np.zeros((*SIZE, 3), dtype=np.uint8)).save(folder / split / "images" / "a.png")
        (folder / split / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n" * (1 + (split == "val")))
    (folder / "data.yaml").write_text(f"path: {folder}\ntrain: train/images\nval: val/images\nnames: [disc]\n")
    with pytest.raises(AnnotationError, match=r"train, val.*--split"):
        load_annotations(folder / "data.yaml")
    assert len(load_annotations(folder / "data.yaml", split="val").content["annotations"]) == 2
    with pytest.raises(AnnotationError, match="no split test"):
        load_annotations(folder / "data.yaml", split="test")


def test_bad_images_and_boxes_are_named_and_the_others_are_labeled(folder: Path) -> None:
    def spoil(content: dict[str, Any]) -> None:
        content["images"][2]["width"] = 61
        content["annotations"][1]["bbox"] = [59.8, 5, 10, 10]
        content["annotations"] += [
            {"id": 20, "image_id": 1, "category_id": 7, "bbox": [5, 5, "a", 5]},
            {"id": 21, "image_id": 99, "category_id": 7, "bbox": [5, 5, 5, 5]},
            {"id": 22, "image_id": 1, "category_id": 7, "bbox": [5, 5, -4, 5]},
        ]

    change(folder, spoil)
    (folder / "images" / "2.png").write_bytes(b"no image")
    summary = label_dataset(make_job(folder), label)
    assert list(summary.labels) == [0] and summary.unlabeled == 6
    lines = "\n".join(summary.problems)
    for part in (
        "annotation 11 of 1.png: less than half a pixel of the box is inside",
        "2.png is not an image file",
        "3.png is 40 x 60 (height x width), but",
        "says 40 x 61",
    ):
        assert part in lines
    notes = {note.rule: note.examples[0] for note in summary.annotations.notes if note.kind == "left out"}
    for rule, number in (("box_malformed", 20), ("image_unknown", 21), ("box_no_area", 22)):
        assert f"annotation {number}" in notes[rule]
    entries = read(folder)["annotations"]
    assert len(entries) == 8
    assert all("segmentation" not in entry and entry["score"] == 0 for entry in entries[3:])


def test_images_of_16_bits_are_labeled(folder: Path) -> None:
    deep = np.linspace(0, 3000, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint16)
    Image.fromarray(deep).save(folder / "images" / "2.png")
    ranges = []

    def look(image: dict[str, Any], pixels: np.ndarray, prompts: Prompts) -> list[BoxMask]:
        ranges.append((int(pixels.min()), int(pixels.max())))
        return label(image, pixels, prompts)

    assert label_dataset(make_job(folder), look).unlabeled == 0
    assert (0, 255) in ranges


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a COCO JSON file"),
        ('{"annotations": []}', "missing list"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "no image that can be used"),
    ],
)
def test_a_file_that_is_not_coco_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / "boxes.json").write_text(text)
    with pytest.raises(AnnotationError, match=message):
        make_job(folder)


def test_outputs_that_cannot_be_written_are_refused(folder: Path) -> None:
    job = make_job(folder)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"output": folder / "boxes.json"}, "would overwrite"),
        ({"output": folder}, "is a folder"),
        ({"mask_format": "png"}, "rle or polygons"),
    ]
    for wrong, message in cases:
        with pytest.raises(ValueError, match=message):
            check_job(dataclasses.replace(job, **wrong))


def test_prompts_are_the_boxes_inside_the_image() -> None:
    entries = [{"bbox": box} for box in ([-5, 2, 20, 10], [70, 2, 5, 5], [50, 30, 30, 30])]
    prompts = read_box_prompts(entries, SIZE)
    assert prompts.boxes.tolist() == [[0, 2, 15, 12], [50, 30, 60, 40]]
    assert prompts.annotations == [entries[0], entries[2]]


def test_other_prompts_than_boxes_are_possible(folder: Path) -> None:
    """A labeler and its own reader of prompts: only objects with a note are prompted."""

    def read_noted(annotations: list[dict[str, Any]], size: tuple[int, int]) -> Prompts:
        return read_box_prompts([entry for entry in annotations if "note" in entry], size)

    summary = label_dataset(make_job(folder), label, read_noted)
    assert list(summary.labels) == [0] and summary.unlabeled == 3
