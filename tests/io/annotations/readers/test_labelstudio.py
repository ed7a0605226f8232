"""Label Studio: JSON and JSON-MIN."""

import json

import numpy as np
import pytest
from reader_toy import HEIGHT, WIDTH, boxes_of, files_of, rules_of, save_image, write_text

from depthbox.io.annotations.readers.labelstudio import is_label_studio, read_label_studio
from depthbox.io.annotations.records import AnnotationError

BOX = (12, 16, 24, 32)  # x, y, width, height in pixels


def region(label="a", box=BOX, kind="rectanglelabels", **more):
    x, y, w, h = box
    value = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 100 * w / WIDTH, "height": 100 * h / HEIGHT}
    value |= {"rotation": more.pop("rotation", 0), kind: [label]}
    return {"id": "r1", "type": kind, "value": value, "original_width": WIDTH, "original_height": HEIGHT, **more}


def task(image="/data/upload/1/0a1b2c3d-000.png", regions=(), **more):
    annotations = [{"id": 1, "result": list(regions), "was_cancelled": False}]
    return {"id": 7, "data": {"image": image}, "annotations": annotations, "predictions": [], **more}


def write_export(folder, *tasks, files=("000.png",)):
    for name in files:
        save_image(folder / "images" / name)
    return write_text(folder / "export.json", json.dumps(tasks))


def test_content_is_that_of_coco(tmp_path):
    file = write_export(tmp_path, task(regions=[region("b"), region("a", (0, 0, 96, 64))]))
    for source, images in ((file, None), (tmp_path, None), (file, tmp_path / "images")):
        raw = read_label_studio(source, images)
        assert boxes_of(raw) == [("000.png", "b", list(BOX)), ("000.png", "a", [0, 0, 96, 64])]
        assert raw.kind == "labelstudio" and raw.image_root == tmp_path / "images" and not raw.notes
    assert raw.content["categories"] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]


@pytest.mark.parametrize(
    "url",
    [
        "/data/upload/1/0a1b2c3d-000.png",
        "/data/local-files/?d=fruits/images/000.png",
        "s3://bucket/fruits/000.png",
        "https://host/fruits/000.png?X-Signature=a%2Fb.png",
        "gs://bucket/a%20b/000.png",
        "/data/local-files/?d=C%3A%5Cfruits%5C000.png",
        "000.png",
        r"images\000.png",
    ],
)
def test_images_are_found_by_the_name_in_the_url(tmp_path, url):
    assert files_of(read_label_studio(write_export(tmp_path, task(url, [region()])))) == ["000.png"]


def test_names_with_a_prefix_on_disk_blanks_and_folders(tmp_path):
    names = ["0a1b2c3d-000.png", "a b.png", "x/1.png", "y/1.png"]
    urls = [
        "/data/upload/1/0a1b2c3d-000.png",
        "/data/upload/a%20b.png",
        "/data/local-files/?d=x/1.png",
        "s3://k/y/1.png",
    ]
    raw = read_label_studio(write_export(tmp_path, *(task(url, [region()]) for url in urls), files=names))
    assert [file for file, *_ in boxes_of(raw)] == names
    raw = read_label_studio(
        write_export(tmp_path, task("s3://k/1.png", [region()]), task(urls[0], [region()]), files=())
    )
    assert files_of(raw) == names[:1] and rules_of(raw) == {"annotation_without_image": 1}, "1.png is ambiguous"


def test_another_key_of_the_image(tmp_path):
    entry = {**task(regions=[region()]), "data": {"text": "a.b", "photo": "/data/upload/1/000.png"}}
    assert files_of(read_label_studio(write_export(tmp_path, entry))) == ["000.png"]


def test_polygons_and_ellipses(tmp_path):
    polygon = {"type": "polygonlabels", "value": {"points": [[0, 0], [50, 0], [50, 25]], "polygonlabels": ["a"]}}
    ellipse = {
        "type": "ellipselabels",
        "value": {"x": 50, "y": 50, "radiusX": 25, "radiusY": 25, "ellipselabels": ["a"]},
    }
    first, second = read_label_studio(write_export(tmp_path, task(regions=[polygon, ellipse]))).content["annotations"]
    assert first["segmentation"] == [[0, 0, 48, 0, 48, 16]] and first["area"] == 384
    assert second["bbox"] == [24, 16, 48, 32] and second["area"] == pytest.approx(np.pi * 24 * 16, rel=0.01)


def test_rotated_boxes_turn_about_their_corner(tmp_path):
    (entry,) = read_label_studio(
        write_export(tmp_path, task(regions=[region(box=(40, 10, 20, 10), rotation=90)]))
    ).content["annotations"]
    assert np.allclose(entry["segmentation"], [[40, 10, 40, 30, 30, 30, 30, 10]])
    assert entry["bbox"] == [30, 10, 10, 20] and entry["area"] == 200


def test_classes_in_a_region_of_their_own(tmp_path):
    plain = region()
    plain["type"] = "rectangle"
    del plain["value"]["rectanglelabels"]
    labels = {"id": "r1", "type": "labels", "value": {"labels": ["b"]}}
    assert boxes_of(read_label_studio(write_export(tmp_path, task(regions=[plain, labels]))))[0][1] == "b"
    raw = read_label_studio(write_export(tmp_path, task(regions=[plain])))
    assert not boxes_of(raw) and rules_of(raw) == {"object_without_class": 1}


def test_key_points_in_percent_are_objects(tmp_path):
    point = {"type": "keypointlabels", "value": {"x": 25, "y": 50, "width": 0.5, "keypointlabels": ["k"]}}
    broken = {"type": "keypointlabels", "value": {"x": None, "y": 50, "keypointlabels": ["k"]}}
    raw = read_label_studio(write_export(tmp_path, task(regions=[point, region(), broken])))
    entry, box = raw.content["annotations"]
    assert (entry["point_coords"], entry["point_labels"], entry["area"]) == ([[WIDTH / 4, HEIGHT / 2]], [1], 0)
    assert "bbox" not in entry and box["bbox"] == list(BOX) and rules_of(raw) == {"object_unreadable": 1}
    assert [category["name"] for category in raw.content["categories"]] == ["a", "k"]


def test_what_cannot_be_used_is_noted(tmp_path):
    several = region()
    several["value"]["rectanglelabels"] = ["a", "b"]
    broken = region()
    broken["value"]["x"] = None
    brush = {"type": "brushlabels", "value": {"format": "rle", "rle": [1], "brushlabels": ["a"]}}
    choice = {"type": "choices", "value": {"choices": ["day"]}}
    tasks = [
        task(regions=[several, broken, brush, choice]),
        task("/data/upload/gone.png", [region()]),
        task("/x/001.png", [region(image_rotation=90)]),
        {**task("/x/001.png"), "annotations": []},
        {**task("/x/001.png"), "annotations": [{"result": [region()], "was_cancelled": True}]},
    ]
    raw = read_label_studio(write_export(tmp_path, *tasks, files=("000.png", "001.png")))
    assert boxes_of(raw) == [("000.png", "a", list(BOX))]
    assert rules_of(raw) == {
        "object_with_several_classes": 1,
        "object_unreadable": 1,
        "shape_unsupported": 1,
        "annotation_without_image": 1,
        "image_rotated_in_tool": 1,
        "task_not_annotated": 2,
    }


def test_an_empty_annotation_is_an_image_without_objects(tmp_path):
    raw = read_label_studio(write_export(tmp_path, task(), task("001.png", [region()]), files=("000.png", "001.png")))
    assert files_of(raw) == ["000.png", "001.png"] and len(boxes_of(raw)) == 1


def test_the_first_of_several_annotations_is_used(tmp_path):
    entry = task(regions=[region("a")])
    entry["annotations"].append({"result": [region("b")]})
    raw = read_label_studio(write_export(tmp_path, entry))
    assert [name for _, name, _ in boxes_of(raw)] == ["a"] and rules_of(raw) == {"task_annotated_twice": 1}
    old = {"id": 1, "data": {"image": "000.png"}, "completions": [{"result": [region("c")]}]}
    assert boxes_of(read_label_studio(write_export(tmp_path, old)))[0][1] == "c"


def test_json_min(tmp_path):
    entry = {**region()["value"], "original_width": WIDTH, "original_height": HEIGHT}
    polygon = {"points": [[0, 0], [50, 0], [50, 25]], "polygonlabels": ["b"]}
    minimal = {"image": "/data/upload/1/0a1b2c3d-000.png", "id": 1, "box": [entry], "shape": [polygon], "annotator": 1}
    empty = {"image": "/data/upload/1/001.png", "id": 2, "annotator": 1, "annotation_id": 2, "lead_time": 3.5}
    raw = read_label_studio(write_export(tmp_path, minimal, empty, files=("000.png", "001.png")))
    assert files_of(raw) == ["000.png", "001.png"]
    assert [entry[1:] for entry in boxes_of(raw)] == [("a", list(BOX)), ("b", [0, 0, 48, 16])]


def test_other_files_are_refused(tmp_path):
    assert not is_label_studio([]) and not is_label_studio({}) and not is_label_studio([{"image": "a.png", "x": 1}])
    assert not is_label_studio([1, 2])
    for text, message in (
        ("[]", "not a Label Studio export"),
        ("[{", "not valid JSON"),
        ("[" * 100000, "nested too deeply"),
    ):
        with pytest.raises(AnnotationError, match=message):
            read_label_studio(write_text(tmp_path / "export.json", text))
    write_text(tmp_path / "more.json", "[]")
    write_text(tmp_path / "export.json", "[]")
    with pytest.raises(AnnotationError, match="0 Label Studio exports"):
        read_label_studio(tmp_path)
