"""Sources that cannot be read: the message names the format or the fault, and the remedy."""

import json
import os

import pytest
from reader_toy import (
    save_image,
    write_text,
    write_voc,
    write_yolo,
)

from depthbox.io.annotations.detect import find_format, read_raw
from depthbox.io.annotations.records import AnnotationError


def dump(path, content):
    return write_text(path, json.dumps(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}], "COCO results.*not the predictions"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4]}], "without images"),
        ({"type": "FeatureCollection", "features": []}, "GeoJSON"),
        ({"_via_settings": {}, "_via_img_metadata": {}}, "VGG Image Annotator.*COCO format"),
        ({"a.jpg123": {"filename": "a.jpg", "regions": []}}, "VGG Image Annotator"),
        ({"description": "", "size": {"height": 1, "width": 1}, "objects": []}, "Supervisely"),
        ({"classes": [], "projectType": "images"}, "Supervisely"),
        ({"imgHeight": 1, "imgWidth": 1, "objects": []}, "Cityscapes"),
        ([{"image": "a.jpg", "annotations": [{"label": "a", "coordinates": {}}]}], "CreateML"),
        ([{"name": "a.jpg", "labels": [{"category": "car", "box2d": {}}]}], "BDD100K"),
        ({"frames": []}, "BDD100K"),
        ([{"data_row": {}}], "Labelbox"),
        ({"info": {}, "categories": {}, "items": []}, "Datumaro"),
        ([{"id": 1, "data": {"image": "a.png"}}], "tasks without annotations"),
    ],
)
def test_other_json_formats_are_named_with_the_export_to_make(tmp_path, content, message):
    file = dump(tmp_path / "boxes.json", content)
    for source in (file, tmp_path):
        with pytest.raises(AnnotationError, match=message):
            find_format(source)


def test_other_files_are_named(tmp_path):
    cases = {
        "a.zip": "unpack it", "a.tar.gz": "unpack it", "a.tfrecord": "TFRecord.*export the annotations as COCO",
        "a.ndjson": "Labelbox", "a.parquet": "Hugging Face", "a.geojson": "GeoJSON",
        "a.mat": "MATLAB", "a.jpg": "an image",
        "a.txt": "not an annotation file", "a.doc": "not an annotation file", "a.xml": "neither Pascal VOC nor CVAT",
        "a.csv": "neither the columns of Open Images",
    }  # fmt: skip
    for name, message in cases.items():
        with pytest.raises(AnnotationError, match=message):
            find_format(write_text(tmp_path / name, "<html/>"))


def test_other_folders_are_named(tmp_path):
    dump(tmp_path / "supervisely/meta.json", {"x": 1})
    dump(tmp_path / "supervisely/ds0/ann/a.jpg.json", {"x": 1})
    write_text(tmp_path / "kitti/label_2/0.txt", "Car 0.00 0 -1.57 1 2 3 4 2.85 2.63 12.34 0.47 1.49 69.44 -1.56\n")
    write_text(tmp_path / "kitti2/labels/0.txt", "Car 0.00 0 -1.57 1 2 3 4 2.85 2.63 12.34 0.47 1.49 69.44 -1.56\n")
    write_text(tmp_path / "dota/labelTxt/0.txt", "imagesource:x\n")
    write_text(tmp_path / "dota2/labels/0.txt", "1.0 2.0 3.0 4.0 5.0 6.0 7.0 8.0 plane 0\n")
    write_text(tmp_path / "cityscapes/gtFine/x.png", "")
    write_text(tmp_path / "records/train.tfrecord", "")
    write_text(tmp_path / "archive/data.zip", "")
    messages = {
        "supervisely": "Supervisely", "kitti": "KITTI", "kitti2": "KITTI", "dota": "DOTA", "dota2": "DOTA",
        "cityscapes": "Cityscapes", "records": "TFRecord", "archive": "unpack it",
    }  # fmt: skip
    for name, message in messages.items():
        with pytest.raises(AnnotationError, match=message):
            find_format(tmp_path / name)


def test_yolo_labels_without_names(tmp_path):
    write_yolo(tmp_path, yaml=None)
    with pytest.raises(AnnotationError, match=r"no class names; add a data\.yaml"):
        find_format(tmp_path)


def test_a_part_of_a_yolo_dataset(tmp_path):
    write_yolo(tmp_path)
    for part in ("images", "labels/train"):
        with pytest.raises(AnnotationError, match=r"a part of the YOLO dataset .*data\.yaml; give this file"):
            find_format(tmp_path / part)


def test_nothing_to_find(tmp_path):
    save_image(tmp_path / "a.jpg")
    for source in (tmp_path, tmp_path / "gone", "a\0b", "x" * 5000):
        with pytest.raises(
            AnnotationError, match=r"COCO JSON file.*YOLO.*VOC.*CVAT.*Label Studio.*LabelMe.*Open Images"
        ):
            find_format(source)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_without_permission(tmp_path):
    write_voc(tmp_path)
    (tmp_path / "Annotations").chmod(0)
    try:
        with pytest.raises(AnnotationError, match="correct its permissions"):
            read_raw(tmp_path)
    finally:
        (tmp_path / "Annotations").chmod(0o755)


def test_failures_of_the_system_are_named(tmp_path, monkeypatch):
    write_voc(tmp_path)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(tmp_path / "Annotations"))

    monkeypatch.setattr("depthbox.io.annotations.detect.read_voc", refuse)
    with pytest.raises(AnnotationError, match="Annotations cannot be read: Permission denied; correct its permissions"):
        read_raw(tmp_path)
