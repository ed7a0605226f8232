"""A small clean data set, and the faults that are planted in it."""

import copy
import json
import math

import numpy as np
from PIL import Image

from depthbox.data import write_depth

HEIGHT, WIDTH = 48, 64
BOXES = [[4, 6, 20, 12], [30, 8, 16, 30], [40.5, 2, 20.5, 9], [8, 28, 12, 14]]


def coco():
    """Six images with two objects of two classes each; every object with its outline."""
    names = [f"{'' if i % 2 else 'sub/'}img{i}.png" for i in range(6)]
    images = [{"id": i + 1, "file_name": n, "height": HEIGHT, "width": WIDTH} for i, n in enumerate(names)]
    annotations = []
    for i in range(24):
        x, y, w, h = box = BOXES[i % 4]
        outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        links = {"id": i + 1, "image_id": i // 4 + 1, "category_id": i % 2 + 1}
        annotations.append({**links, "bbox": list(box), "iscrowd": 0, "segmentation": outline})
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


def write_clean(folder):
    """A clean data set: boxes.json, images, depth."""
    generator = np.random.default_rng(0)
    content = coco()
    for record in content["images"]:
        path = folder / "images" / record["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(path)
        write_depth(folder / "depth" / record["file_name"], generator.random((HEIGHT // 2, WIDTH // 2)))
    (folder / "boxes.json").write_text(json.dumps(content))


def change(list_name, place, **values):
    """A fault: other values in one entry; ``...`` removes the key."""

    def plant(content, folder):
        for key, value in values.items():
            if value is ...:
                del content[list_name][place][key]
            else:
                content[list_name][place][key] = value

    return plant


def add(list_name, **values):
    """A fault: the first entry once more, with other values."""
    return lambda content, folder: content[list_name].append({**copy.deepcopy(content[list_name][0]), **values})


def as_corners(content, folder):
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["bbox"] = [x, y, x + w, y + h]


def as_shares(content, folder):
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["bbox"] = [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT]


def to_crowds(content, folder):
    for annotation in content["annotations"][1::2]:
        annotation["iscrowd"] = 1


def to_other_class(content, folder):
    for annotation in content["annotations"][1::2][:5]:
        annotation["category_id"] = 1


def forget_first_image(content, folder):
    content["annotations"] = content["annotations"][4:]


def write(name, save):
    """A fault: a file of the data set made anew."""
    return lambda content, folder: save(folder / name)


def turned(path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(path, exif=exif)


def grey16(path):
    Image.fromarray(np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH)).save(path)


def infinite_depth(path):
    path.unlink()
    np.save(path.with_suffix(".npy"), np.full((HEIGHT, WIDTH), np.nan, np.float32))


IMAGE, DEPTH = "images/img1.png", "depth/img1.png"
PICTURE = Image.fromarray(np.full((HEIGHT, WIDTH, 3), 99, np.uint8))
FAULTS = [
    ("json_entry_malformed", change("images", 0, file_name=...)),
    ("json_entry_malformed", change("categories", 1, name=...)),
    ("json_entry_malformed", change("annotations", 3, image_id=[1])),
    ("no_images", lambda content, folder: content["images"].clear()),
    ("no_categories", lambda content, folder: content["categories"].clear()),
    ("no_annotations", lambda content, folder: content["annotations"].clear()),
    ("image_id_twice", change("images", 1, id=1)),
    ("annotation_id_twice", change("annotations", 1, id=1)),
    ("category_id_twice", add("categories", name="cow")),
    ("category_name_twice", add("categories", id=3)),
    ("image_unknown", change("annotations", 0, image_id=77)),
    ("image_unknown", change("annotations", 0, image_id="1")),
    ("category_unknown", change("annotations", 0, category_id=0)),
    ("annotation_ignored", change("annotations", 0, ignore=1)),
    ("image_size_invalid", change("images", 0, height=...)),
    ("image_size_invalid", change("images", 0, width="64")),
    ("file_listed_twice", add("images", id=7)),
    ("annotation_id_zero", change("annotations", 0, id=0)),
    ("id_not_integer", change("annotations", 0, id="a")),
    ("crowd_invalid", change("annotations", 0, iscrowd=2)),
    ("crowd", change("annotations", 0, iscrowd=1)),
    ("class_absent", add("categories", id=3, name="cow")),
    ("class_absent", to_crowds),
    ("class_rare", to_other_class),
    ("category_ids_gaps", add("categories", id=9, name="cow")),
    ("image_empty", forget_first_image),
    ("box_malformed", change("annotations", 0, bbox=[1, 2, 3])),
    ("box_malformed", change("annotations", 0, bbox=...)),
    ("box_malformed", change("annotations", 0, bbox=[1, 2, "3", 4])),
    ("box_not_finite", change("annotations", 0, bbox=[1, 2, math.nan, 4])),
    ("box_not_finite", change("annotations", 0, bbox=[1, 2, 10**400, 4])),
    ("box_xyxy", as_corners),
    ("box_normalised", as_shares),
    ("box_negative", change("annotations", 0, bbox=[20, 20, -5, 8])),
    ("box_zero", change("annotations", 0, bbox=[20, 20, 0, 8])),
    ("box_outside", change("annotations", 0, bbox=[WIDTH, 0, 9, 9])),
    ("box_partly_outside", change("annotations", 0, bbox=[50, 2, 20, 9])),
    ("box_tiny", change("annotations", 0, bbox=[9, 9, 8, 0.2])),
    ("box_duplicate", change("annotations", 2, bbox=[4, 6, 20, 12.1])),
    ("segmentation_malformed", change("annotations", 0, segmentation=[1, 2, 3, 4, 5, 6])),
    ("segmentation_malformed", change("annotations", 0, segmentation={"size": [48, 64]})),
    ("segmentation_short", change("annotations", 0, segmentation=[[1, 2, 3, 4]])),
    ("segmentation_size", change("annotations", 0, segmentation={"size": [2, 3], "counts": [2, 4]})),
    ("segmentation_partial", change("annotations", 0, segmentation=...)),
    ("image_missing", write(IMAGE, lambda path: path.rename(path.with_name("IMG1.jpg")))),
    ("image_unreadable", write(IMAGE, lambda path: path.write_bytes(path.read_bytes()[:-3000]))),
    ("image_unreadable", write(IMAGE, lambda path: path.write_bytes(b"no image"))),
    ("image_turned", write(IMAGE, turned)),
    ("image_size_differs", write(IMAGE, PICTURE.resize((32, 24)).save)),
    ("image_deep", write(IMAGE, grey16)),
    ("image_unlisted", write("images/more.JPG", PICTURE.save)),
    ("depth_missing", write(DEPTH, lambda path: path.unlink())),
    ("depth_unreadable", write(DEPTH, lambda path: path.write_bytes(b"no depth"))),
    ("depth_8bit", write(DEPTH, PICTURE.convert("L").save)),
    ("depth_not_finite", write(DEPTH, infinite_depth)),
    ("depth_size_differs", write(DEPTH, lambda path: write_depth(path, np.eye(HEIGHT)))),
    ("depth_shared", add("images", id=7, file_name="sub/img0.jpg")),
    ("depth_constant", write(DEPTH, lambda path: write_depth(path, np.full((HEIGHT, WIDTH), 0.5)))),
    ("depth_unused", write("depth/more.npy", lambda path: np.save(path, np.eye(HEIGHT)))),
]
