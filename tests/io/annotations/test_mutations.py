"""Small random changes of valid files: the readers refuse them with an AnnotationError, or read them."""

import json
import math
import random
import re
from pathlib import Path

import pytest
from reader_toy import save_image, write_text, write_voc, write_yolo

from depthbox.io.annotations.detect import read_raw
from depthbox.io.annotations.records import AnnotationError

TOKENS = (
    "nan", "inf", "-1", "1e999", "999999", "", "abc", "9" * 400, "null", "[]", "{}", "0", "-0.5", "1e308", "<b>", "&x;",
    "true", "../..", "\0", "\\", '"', "a/b", "100000000000",
)  # fmt: skip
VALUES = (
    None,
    True,
    -1,
    0,
    1e300,
    math.nan,
    "",
    "text",
    "0",
    [],
    {},
    [1, 2],
    [[1, 2]],
    {"x": 1},
    10**30,
    "\0",
    ["a", 1],
)
ROUNDS = 150


def mutate(data, rng):
    """Cut, flip, repeat or replace a part of a file."""
    way = rng.randrange(6)
    at = rng.randrange(len(data) + 1)
    if way == 0:
        return data[:at]
    if way == 1:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    if way == 2:
        end = rng.randrange(at, len(data) + 1)
        return data[:end] + data[at:]
    if way == 3:
        end = rng.randrange(at, len(data) + 1)
        return data[:at] + data[end:]
    pieces = re.split(rb"([\w.\-]+)", data)
    at = rng.randrange(len(pieces) // 2) * 2 + 1
    pieces[at] = rng.choice(TOKENS).encode()
    return b"".join(pieces)


def mutate_json(data, rng):
    """Replace a value at a random place of a JSON file."""
    root = [json.loads(data)]
    parent, key = root, 0
    while isinstance(parent[key], (list, dict)) and parent[key] and rng.random() < 0.85:
        parent = parent[key]
        key = rng.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
    parent[key] = rng.choice((*VALUES, [parent[key]], {"a": parent[key]}))
    return json.dumps(root[0]).encode()


def write_dataset(folder, kind):
    """Write a dataset with two images; returns the files to change."""
    for name in ("000.png", "001.png"):
        save_image(folder / "images" / name)
    if kind == "yolo":
        write_yolo(
            folder,
            names=["000.png", "001.png"],
            yaml="path: .\ntrain: images/train\nkpt_shape: null\nnames: {0: a, 1: b}\n",
        )
        return [folder / "data.yaml", folder / "labels/train/000.txt"]
    if kind == "yolo_list":
        write_yolo(folder, names=["000.png", "001.png"], yaml="train: train.txt\nval: [images/train]\nnames: [a, b]\n")
        write_text(folder / "train.txt", "images/train/000.png\nimages/train/001.png\n")
        return [folder / "data.yaml", folder / "train.txt"]
    if kind == "voc":
        write_voc(folder, 2, "images", suffix=".png")
        write_text(folder / "ImageSets/Main/train.txt", "000\n001\n")
        return [folder / "Annotations/000.xml", folder / "ImageSets/Main/train.txt"]
    if kind == "cvat":
        shapes = (
            '<box label="a" xtl="1" ytl="2" xbr="30" ybr="40" rotation="10"/>'
            '<polygon label="b" points="1,2;30,2;30,9"/><ellipse label="a" cx="9" cy="9" rx="3" ry="4"/>'
            '<points label="a" points="5,6;7,8"/>'
            '<mask label="a" rle="1,2,3" left="1" top="2" width="3" height="2"/>'
        )
        image = f'<image id="0" name="000.png" width="96" height="64" subset="train">{shapes}</image>'
        return [
            write_text(
                folder / "annotations.xml",
                f"<annotations><meta><label><name>a</name></label></meta>{image}</annotations>",
            )
        ]
    if kind == "labelme":
        shapes = [
            {"label": "a", "points": [[1, 2], [30, 40]], "shape_type": "rectangle", "group_id": None},
            {"label": "a", "points": [[1, 2], [30, 40], [1, 9]], "shape_type": "polygon", "group_id": 1},
            {"label": "b", "points": [[9, 9], [9, 12]], "shape_type": "circle", "difficult": True},
            {"label": "b", "points": [[9, 9]], "shape_type": "point"},
        ]
        content = {"shapes": shapes, "imagePath": "../images/000.png", "imageHeight": 64, "imageWidth": 96}
        return [write_text(folder / "images/000.json", json.dumps(content))]
    if kind == "labelstudio":
        value = {"x": 1, "y": 2, "width": 30, "height": 40, "rotation": 5, "rectanglelabels": ["a"]}
        polygon = {"points": [[1, 2], [30, 40], [1, 9]], "polygonlabels": ["b"]}
        result = [{"id": "x", "type": "rectanglelabels", "value": value}, {"type": "polygonlabels", "value": polygon}]
        result.append({"type": "keypointlabels", "value": {"x": 5, "y": 6, "keypointlabels": ["c"]}})
        task = {"id": 1, "data": {"image": "/data/upload/1/000.png?d=a"}, "annotations": [{"result": result}]}
        return [write_text(folder / "export.json", json.dumps([task]))]
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf\n"
    write_text(folder / "class-descriptions.csv", "/m/1,a\n/m/2,b\n")
    rows = "000,x,/m/1,1,0.1,0.5,0.2,0.5,0\n001,x,/m/2,1,0,0.5,0,0.5,1\n"
    if kind == "openimages":
        return [write_text(folder / "boxes.csv", header + rows), folder / "class-descriptions.csv"]
    if kind == "points":
        return [write_text(folder / "points.csv", "image;x;y;class\n000.png;10,5;20;a\n001.png;3;4;b\n001.png;;;\n")]
    return [
        write_text(folder / "boxes.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n000.png,96,64,a,1,2,30,40\n")
    ]


def require_sound(raw):
    """Check that content that was read is complete and finite."""
    images = {image["id"] for image in raw.content["images"]}
    categories = {category["id"] for category in raw.content["categories"]}
    assert images
    for entry in raw.content["annotations"]:
        assert entry["image_id"] in images and entry["category_id"] in categories
        assert math.isfinite(entry["area"])
        if "bbox" in entry:
            assert len(entry["bbox"]) == 4 and all(math.isfinite(value) for value in entry["bbox"])
            assert min(entry["bbox"][2:]) >= 0
        else:
            assert entry["point_coords"] and len(entry["point_coords"]) == len(entry["point_labels"])
            assert all(math.isfinite(value) for point in entry["point_coords"] for value in point)
    for image in raw.content["images"]:
        assert (raw.image_root / image["file_name"]).is_file() and ".." not in Path(image["file_name"]).parts
    json.dumps(raw.content, allow_nan=False)


@pytest.mark.parametrize("kind", ["yolo", "yolo_list", "voc", "cvat", "labelme", "labelstudio", "openimages", "table", "points"])
def test_mutated_files_are_read_or_refused(tmp_path, kind, monkeypatch):
    rng = random.Random(kind)
    files = write_dataset(tmp_path, kind)
    require_sound(read_raw(tmp_path, progress=False))
    originals = {path: path.read_bytes() for path in files}
    outcomes = {"read": 0, "refused": 0}
    for _ in range(ROUNDS):
        path = rng.choice(files)
        change = mutate_json if path.suffix == ".json" and rng.random() < 0.7 else mutate
        path.write_bytes(change(originals[path], rng))
        try:
            raw = read_raw(tmp_path, progress=False)
        except AnnotationError as error:
            outcomes["refused"] += 1
            assert str(error) and "\n" not in str(error) and len(str(error)) < 2000
        except ModuleNotFoundError as error:
            assert error.name == "depthbox.io.annotations.coco", "JSON files of unknown content belong to COCO"
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
            if raw is not None:
                require_sound(raw)
        path.write_bytes(originals[path])
    assert min(outcomes.values()) > ROUNDS // 20, outcomes
