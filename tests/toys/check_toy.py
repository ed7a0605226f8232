"""A small clean dataset, and the faults that are planted in it."""

import copy
import json

import numpy as np
from PIL import Image

from depthbox.data import write_depth

HEIGHT, WIDTH = 48, 64
BOXES = [[4, 6, 20, 12], [30, 8, 16, 30], [40.5, 2, 20.5, 9], [8, 28, 12, 14]]


def coco():
    """Return six images with four objects each, of two classes; every object has an outline."""
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


def make_depth(seed):
    """Return inverse depth of a plane that is nearer at the bottom, with noise, stretched to 0 to 1."""
    depth = np.linspace(0, 1, HEIGHT // 2)[:, None] + np.random.default_rng(seed).random((HEIGHT // 2, WIDTH // 2)) / 4
    return (depth - depth.min()) / (depth.max() - depth.min())


def write_clean(folder):
    """Write a clean dataset: boxes.json, images, depth."""
    generator = np.random.default_rng(0)
    content = coco()
    for number, record in enumerate(content["images"]):
        path = folder / "images" / record["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(path)
        write_depth(folder / "depth" / record["file_name"], make_depth(number))
    (folder / "boxes.json").write_text(json.dumps(content))


def change(list_name, place, **values):
    """Return a fault: other values in one entry; ``...`` removes the key."""

    def plant(content, folder):
        for key, value in values.items():
            if value is ...:
                del content[list_name][place][key]
            else:
                content[list_name][place][key] = value

    return plant


def add(list_name, **values):
    """Return a fault: the first entry once more, with other values."""
    return lambda content, folder: content[list_name].append({**copy.deepcopy(content[list_name][0]), **values})


def change_all(list_name, **values):
    """Return a fault: other values in every entry."""

    def plant(content, folder):
        for entry in content[list_name]:
            entry.update(values)

    return plant


def as_corners(content, folder):
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["bbox"] = [x, y, x + w, y + h]
        del annotation["segmentation"]


def as_fractions(content, folder):
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["bbox"] = [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT]
        del annotation["segmentation"]


def to_crowds(content, folder):
    for annotation in content["annotations"][1::2]:
        annotation["iscrowd"] = 1


def to_other_class(content, folder):
    for annotation in content["annotations"][1::2][:5]:
        annotation["category_id"] = 1


def forget_first_image(content, folder):
    content["annotations"] = content["annotations"][4:]


def crowd_first_image(content, folder):
    boxes = [[x, y, 4, 4] for x in range(0, 60, 4) for y in range(0, 44, 4)]
    content["annotations"] += [
        {"id": 100 + i, "image_id": 1, "category_id": 1, "bbox": box, "segmentation": rectangle(box)}
        for i, box in enumerate(boxes)
    ]


def rectangle(box):
    x, y, w, h = box
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def write(name, save):
    """Return a fault: a file of the dataset written anew."""
    return lambda content, folder: save(folder / name)


def remove_images(count):
    def plant(content, folder):
        for record in content["images"][:count]:
            (folder / "images" / record["file_name"]).unlink()

    return plant


def copy_image(content, folder):
    with Image.open(folder / "images" / "img1.png") as image:
        image.save(folder / "images" / "img3.png", compress_level=1)  # other bytes, same pixels


def turned(path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)).save(path, exif=exif)


def gray16(path):
    Image.fromarray(np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH)).save(path)


def two_frames(path):
    frames = [Image.fromarray(np.eye(HEIGHT, WIDTH, k=k, dtype=np.uint8) * 255) for k in (0, 5)]
    frames[0].save(path, format="TIFF", save_all=True, append_images=frames[1:])


def infinite_depth(path):
    path.unlink()
    np.save(path.with_suffix(".npy"), np.full((HEIGHT, WIDTH), np.nan, np.float32))


def metric_depth(path):
    path.unlink()
    np.save(path.with_suffix(".npy"), np.full((HEIGHT, WIDTH), 7.5, np.float32))


def sensor_depth(content, folder):
    """Write maps in millimeters: far = large, 0 = unknown."""
    for record in content["images"]:
        values = np.repeat(np.linspace(4000, 600, HEIGHT)[:, None], WIDTH, 1)
        values[:, :5] = 0
        Image.fromarray(values.astype(np.uint16)).save(folder / "depth" / record["file_name"])


def reversed_depth(content, folder):
    for number, record in enumerate(content["images"]):
        write_depth(folder / "depth" / record["file_name"], 1 - make_depth(number))
