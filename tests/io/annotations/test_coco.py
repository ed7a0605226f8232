"""COCO JSON files and folders of them."""

from pathlib import Path
from typing import Any

import pytest
from coco_toy import coco, write_images, write_json

from depthbox.io.annotations.coco import read_coco
from depthbox.io.annotations.readers.coco_files import find_coco_files
from depthbox.io.annotations.records import AnnotationError


def test_a_json_file_is_read_unchanged(tmp_path: Path) -> None:
    content = coco() | {"info": {"year": 2026}}
    result = read_coco(write_json(tmp_path / "boxes.json", content), tmp_path / "images")
    assert result.content == content
    assert (result.source, result.kind, result.image_root) == (tmp_path / "boxes.json", "coco", tmp_path / "images")
    assert result.notes == ()


@pytest.mark.parametrize(
    ("json_file", "folder"),
    [
        ("_annotations.coco.json", "."),
        ("boxes.json", "images"),
        ("annotations/instances_train2017.json", "train2017"),
        ("annotations/instances_val.json", "images/val"),
        ("annotations/boxes.json", "images"),
        ("annotations/boxes.json", "."),
    ],
)
def test_the_image_folder_is_found_by_the_names_of_its_images(json_file: str, folder: str, tmp_path: Path) -> None:
    write_images(tmp_path / folder, ["0.png", "1.png", "2.png"])
    write_images(tmp_path / "elsewhere", ["0.png"])
    path = write_json(tmp_path / json_file, coco())
    assert read_coco(path).image_root.resolve() == (tmp_path / folder).resolve()


def test_without_images_anywhere_the_folder_is_that_of_the_file(tmp_path: Path) -> None:
    path = write_json(tmp_path / "boxes.json", coco())
    assert read_coco(path).image_root == tmp_path
    (tmp_path / "images").mkdir()
    assert read_coco(path).image_root == tmp_path / "images"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["_annotations.coco.json", "other.json"], {"": "_annotations.coco.json"}),
        (["boxes.json"], {"": "boxes.json"}),
        (["boxes.json", ".hidden.json", "notes.txt"], {"": "boxes.json"}),
        (
            [f"{split}/_annotations.coco.json" for split in ("train", "valid", "test")],
            {
                split: f"{name}/_annotations.coco.json"
                for split, name in (("train", "train"), ("val", "valid"), ("test", "test"))
            },
        ),
        (["train/labels.json", "val/labels.json"], {"train": "train/labels.json", "val": "val/labels.json"}),
        (
            [
                "annotations/instances_train2017.json",
                "annotations/instances_val2017.json",
                "annotations/captions_val2017.json",
            ],
            {"train": "annotations/instances_train2017.json", "val": "annotations/instances_val2017.json"},
        ),
        (["annotations/instances_default.json"], {"": "annotations/instances_default.json"}),
        (["train.json", "val.json", "meta.json"], {"train": "train.json", "val": "val.json"}),
        ([], {}),
    ],
)
def test_the_files_of_a_folder_are_found(files: list[str], expected: dict[str, str], tmp_path: Path) -> None:
    for name in files:
        write_json(tmp_path / name, {} if name == "meta.json" else coco())
    assert find_coco_files(tmp_path) == {split: tmp_path / name for split, name in expected.items()}


def test_a_folder_is_read_by_its_split(tmp_path: Path) -> None:
    for count, split in enumerate(("train", "valid"), 1):
        write_json(tmp_path / split / "_annotations.coco.json", coco(count))
        write_images(tmp_path / split, ["0.png"])
    assert len(read_coco(tmp_path, split="train").content["images"]) == 1
    result = read_coco(tmp_path, split="val")
    assert len(result.content["images"]) == 2
    assert result.image_root == tmp_path / "valid"
    with pytest.raises(AnnotationError, match=r"no COCO JSON file of the split test \(train/_annotations"):
        read_coco(tmp_path, split="test")
    with pytest.raises(AnnotationError, match="several COCO JSON files"):
        read_coco(tmp_path)


def test_a_folder_with_one_file_is_read_without_a_split_or_as_training_data(tmp_path: Path) -> None:
    write_json(tmp_path / "_annotations.coco.json", coco())
    assert read_coco(tmp_path).content == read_coco(tmp_path, split="train").content == coco()
    with pytest.raises(AnnotationError, match="no COCO JSON file of the split val"):
        read_coco(tmp_path, split="val")


def test_folders_without_a_clear_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="holds no COCO JSON file"):
        read_coco(tmp_path)
    for year in (2014, 2017):
        write_json(tmp_path / "annotations" / f"instances_train{year}.json", coco())
    with pytest.raises(AnnotationError, match=r"several JSON files .*train2014.*train2017.*: name the JSON file"):
        read_coco(tmp_path, split="train")


FOREIGN: dict[str, tuple[Any, str]] = {
    "detections": ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}], "list of detections"),
    "Label Studio": ([{"id": 1, "data": {"image": "a.png"}, "annotations": []}], "Label Studio export"),
    "Label Studio task": ({"id": 1, "data": {"image": "a.png"}, "predictions": []}, "Label Studio task"),
    "CreateML": ([{"image": "a.png", "annotations": []}], "CreateML"),
    "LabelMe": ({"version": "5.0", "shapes": [], "imagePath": "a.png"}, "LabelMe"),
    "GeoJSON": ({"type": "FeatureCollection", "features": []}, "GeoJSON"),
    "VIA": ({"a.png123": {"filename": "a.png", "regions": []}}, "VGG Image Annotator"),
    "VIA project": ({"_via_img_metadata": {}}, "VGG Image Annotator"),
    "SA-1B": ({"image": {"image_id": 1}, "annotations": []}, "SA-1B"),
    "panoptic": (coco() | {"annotations": [{"image_id": 1, "segments_info": []}]}, "panoptic"),
    "captions": (coco() | {"annotations": [{"image_id": 1, "caption": "a cat"}]}, "captions"),
    "other object": ({"name": 1}, r"missing list\(s\): images, categories, annotations \(its keys: 'name'\)"),
    "without images": ({"annotations": [], "categories": []}, r"missing list\(s\): images"),
    "empty object": ({}, r"its keys: none"),
    "empty list": ([], "it holds a list"),
    "list of nothing": ([None, None], "it holds a list"),
    "number": (3, "it holds 3"),
    "text": ("COCO", "it holds 'COCO'"),
    "null": (None, "it holds None"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_content_is_named_with_the_remedy(name: str, tmp_path: Path) -> None:
    content, message = FOREIGN[name]
    with pytest.raises(AnnotationError, match=message) as caught:
        read_coco(write_json(tmp_path / "boxes.json", content))
    assert str(caught.value).startswith(str(tmp_path / "boxes.json"))
    assert "\n" not in str(caught.value)
