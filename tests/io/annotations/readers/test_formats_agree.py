"""One dataset in every format gives the same canonical dataset."""

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from reader_toy import BOXES, HEIGHT, NAMES, WIDTH, save_image, voc_text, write_text, yolo_line

from depthbox.io.annotations.canonical import canonicalize, repaired_coco, write_coco
from depthbox.io.annotations.detect import find_format, read_raw

FILES = ("000.jpg", "001.jpg", "002.jpg")
EMPTY = "002.jpg"  # an image that shows no object
OBJECTS = {name: () if name == EMPTY else tuple(zip(NAMES, BOXES, strict=True)) for name in FILES}
NUMBERS = {"a": 0, "b": 1}


def write_images(folder):
    for name in FILES:
        save_image(folder / name)


def write_as_coco(folder):
    write_images(folder / "images")
    images = [{"id": n, "file_name": name, "height": HEIGHT, "width": WIDTH} for n, name in enumerate(FILES)]
    listed = [(number, *found) for number, name in enumerate(FILES) for found in OBJECTS[name]]
    annotations = [
        {"id": place, "image_id": number, "category_id": NUMBERS[label] + 5, "bbox": list(box), "iscrowd": 0}
        for place, (number, label, box) in enumerate(listed, 100)
    ]
    categories = [{"id": number + 5, "name": name} for name, number in NUMBERS.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_text(folder / "boxes.json", json.dumps(content))
    return folder


def write_as_yolo(folder):
    write_images(folder / "images")
    for name in FILES:
        lines = [yolo_line(NUMBERS[label], box) for label, box in OBJECTS[name]]
        write_text((folder / "labels" / name).with_suffix(".txt"), "\n".join(lines))
    write_text(folder / "data.yaml", "train: images\nval: images\nnames: [a, b]\n")
    return folder / "data.yaml"


def write_as_voc(folder):
    write_images(folder / "JPEGImages")
    for name in FILES:
        objects = []
        for label, (x, y, w, h) in OBJECTS[name]:
            corners = f"<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax>"
            objects.append(f"<object><name>{label}</name><bndbox>{corners}</bndbox></object>")
        write_text((folder / "Annotations" / name).with_suffix(".xml"), voc_text(name, objects))
    return folder


def write_as_cvat(folder):
    write_images(folder / "images")
    entries = []
    for number, name in enumerate(FILES):
        shapes = [
            f'<box label="{label}" xtl="{x}" ytl="{y}" xbr="{x + w}" ybr="{y + h}" occluded="0"/>'
            for label, (x, y, w, h) in OBJECTS[name]
        ]
        start = f'<image id="{number}" name="{name}" width="{WIDTH}" height="{HEIGHT}">'
        entries.append(start + "".join(shapes) + "</image>")
    labels = "".join(f"<label><name>{name}</name></label>" for name in NUMBERS)
    text = f"<annotations><meta><task><labels>{labels}</labels></task></meta>{''.join(entries)}</annotations>"
    return write_text(folder / "annotations.xml", text)


def write_as_labelme(folder):
    write_images(folder)
    for name in FILES:
        shapes = [
            {"label": label, "points": [[x, y], [x + w, y + h]], "shape_type": "rectangle", "group_id": None}
            for label, (x, y, w, h) in OBJECTS[name]
        ]
        content = {"shapes": shapes, "imagePath": name, "imageHeight": HEIGHT, "imageWidth": WIDTH}
        write_text((folder / name).with_suffix(".json"), json.dumps(content))
    return folder


def write_as_label_studio(folder):
    write_images(folder / "images")
    tasks = []
    for number, name in enumerate(FILES, 1):
        regions = []
        for label, (x, y, w, h) in OBJECTS[name]:
            value = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 100 * w / WIDTH, "height": 100 * h / HEIGHT}
            value |= {"rotation": 0, "rectanglelabels": [label]}
            regions.append({"type": "rectanglelabels", "value": value, "image_rotation": 0})
        url = f"/data/upload/1/{number:08x}-{name}"
        tasks.append({"id": number, "data": {"image": url}, "annotations": [{"result": regions}]})
    return write_text(folder / "project.json", json.dumps(tasks))


def write_as_open_images(folder):
    """Write a table of boxes, in which an image without objects cannot be listed."""
    write_images(folder / "images")
    lines = ["ImageID,LabelName,XMin,XMax,YMin,YMax"]
    for name in FILES:
        for label, (x, y, w, h) in OBJECTS[name]:
            sides = (x / WIDTH, (x + w) / WIDTH, y / HEIGHT, (y + h) / HEIGHT)
            lines.append(",".join([name[:3], label, *(f"{side:.7f}" for side in sides)]))
    return write_text(folder / "boxes.csv", "\n".join(lines) + "\n")


def write_as_voc_table(folder):
    """Write a table of boxes, in which an image without objects cannot be listed."""
    write_images(folder / "images")
    lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for name in FILES:
        for label, (x, y, w, h) in OBJECTS[name]:
            lines.append(f"{name},{WIDTH},{HEIGHT},{label},{x + 1},{y + 1},{x + w},{y + h}")
    return write_text(folder / "boxes.csv", "\n".join(lines) + "\n")


WRITERS = {
    "coco": write_as_coco,
    "yolo": write_as_yolo,
    "voc": write_as_voc,
    "cvat": write_as_cvat,
    "labelme": write_as_labelme,
    "labelstudio": write_as_label_studio,
    "openimages": write_as_open_images,
    "voc table": write_as_voc_table,
}
TABLES = ("openimages", "voc table")


def read(source):
    raw = read_raw(source, progress=False)
    return canonicalize(raw, check_files=True, check_sizes=True)


def rows_of(annotations):
    """Return (file, class, box) of each object, in the order of the canonical ids."""
    files = {image["id"]: Path(image["file_name"]).name for image in annotations.content["images"]}
    names = {category["id"]: category["name"] for category in annotations.content["categories"]}
    objects = annotations.content["annotations"]
    return [(files[a["image_id"]], names[a["category_id"]], a["bbox"]) for a in objects]


@pytest.fixture(params=WRITERS)
def written(request, tmp_path):
    return request.param, WRITERS[request.param](tmp_path / "data")


def test_objects_classes_and_images_are_those_of_coco(written):
    name, source = written
    assert find_format(source) == name.split()[0]
    annotations = read(source)
    expected = [(file, label, box) for file in FILES for label, box in OBJECTS[file]]
    rows = rows_of(annotations)
    assert [row[:2] for row in rows] == [row[:2] for row in expected]
    assert np.allclose([row[2] for row in rows], [row[2] for row in expected], atol=1e-2)
    assert annotations.content["categories"] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    images = [(Path(i["file_name"]).name, i["height"], i["width"]) for i in annotations.content["images"]]
    listed = FILES[:2] if name in TABLES else FILES
    assert images == [(file, HEIGHT, WIDTH) for file in listed], "an image without objects is an image"
    assert not annotations.notes and not annotations.missing
    assert all((annotations.image_root / i["file_name"]).is_file() for i in annotations.content["images"])


def test_areas_and_crowds_are_complete_in_every_format(written):
    for entry in read(written[1]).content["annotations"]:
        assert entry["area"] == pytest.approx(entry["bbox"][2] * entry["bbox"][3], rel=1e-3)
        assert entry["iscrowd"] == 0 and "segmentation" not in entry and "ignore" not in entry


def test_converted_annotations_are_read_as_the_original(written, tmp_path):
    annotations = read(written[1])
    file = write_coco(repaired_coco(annotations), tmp_path / "converted.json")
    again = canonicalize(read_raw(file, annotations.image_root), check_sizes=True)
    assert rows_of(again) == rows_of(annotations) and not again.notes
    assert again.content["images"] == annotations.content["images"]
    assert again.content["categories"] == annotations.content["categories"]


def test_the_order_of_files_on_disk_does_not_matter(written, monkeypatch):
    """Listings of folders are sorted, so that ids are the same on every file system."""
    before = read(written[1])
    scandir, listdir = os.scandir, os.listdir

    class Backward(contextlib.AbstractContextManager):
        """Entries of a folder in the opposite order, as an iterator and as a context."""

        def __init__(self, path):
            self._entries = iter(sorted(scandir(path), key=lambda entry: entry.name, reverse=True))

        def __iter__(self):
            return self

        def __next__(self):
            return next(self._entries)

        def __exit__(self, *error):
            return None

        def close(self):
            pass

    monkeypatch.setattr(os, "scandir", Backward)
    monkeypatch.setattr(os, "listdir", lambda path=".": sorted(listdir(path), reverse=True))
    after = read(written[1])
    assert after.content == before.content
    assert dict(after.ids.images) == dict(before.ids.images) and after.positions.keys() == before.positions.keys()
