"""A small clean dataset, and the faults that are planted in it."""

import copy
import json
import math

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


def to_points(content, folder):
    """Replace boxes and outlines by the centers of the boxes."""
    for annotation in content["annotations"]:
        x, y, w, h = annotation.pop("bbox")
        del annotation["segmentation"]
        annotation.update(point_coords=[[x + w / 2, y + h / 2]], point_labels=[1])


def with_points(*points):
    """Return a fault in a file of points: the first objects have other points."""

    def plant(content, folder):
        to_points(content, folder)
        for annotation, point in zip(content["annotations"], points, strict=False):
            annotation["point_coords"] = [point]

    return plant


def swap_points(content, folder):
    to_points(content, folder)
    for annotation in content["annotations"]:
        annotation["point_coords"] = [point[::-1] for point in annotation["point_coords"]]


def as_percent(content, folder):
    """Write points as percent of images of 400 x 300 pixels."""
    to_points(content, folder)
    for record in content["images"]:
        record.update(height=300, width=400)
        path = folder / "images" / record["file_name"]
        with Image.open(path) as image:
            image.resize((400, 300)).save(path)
    for annotation in content["annotations"]:
        ((x, y),) = annotation["point_coords"]
        annotation["point_coords"] = [[100 * x / WIDTH, 100 * y / HEIGHT]]


def as_shares(content, folder):
    to_points(content, folder)
    for annotation in content["annotations"]:
        ((x, y),) = annotation["point_coords"]
        annotation["point_coords"] = [[x / WIDTH, y / HEIGHT]]


def to_dots(count):
    """Return a fault: the first boxes are one pixel wide and high."""

    def plant(content, folder):
        for annotation in content["annotations"]:
            del annotation["segmentation"]
        for annotation in content["annotations"][:count]:
            x, y, _, _ = annotation["bbox"]
            annotation["bbox"] = [x, y, 1, 1]

    return plant


def mix(content, folder):
    """Leave some objects of the first image a point alone."""
    for annotation in content["annotations"][:2]:
        x, y, w, h = annotation.pop("bbox")
        del annotation["segmentation"]
        annotation["point_coords"] = [[x + w / 2, y + h / 2]]


def change_points(**values):
    """Return a fault in a file of points: other values of the first object."""

    def plant(content, folder):
        to_points(content, folder)
        change("annotations", 0, **values)(content, folder)

    return plant


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


IMAGE, DEPTH = "images/img1.png", "depth/img1.png"
NOISE = Image.fromarray(np.random.default_rng(9).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
FAULTS = [
    ("annotations_unreadable", change("images", 1, id=1)),
    ("annotations_unreadable", lambda content, folder: content["images"].clear()),
    ("annotations_unreadable", lambda content, folder: content["categories"].clear()),
    ("annotations_unreadable", add("categories", name="cow")),
    ("nothing_to_learn", lambda content, folder: content["annotations"].clear()),
    ("nothing_to_learn", change_all("annotations", category_id=9)),
    ("class_absent", add("categories", id=3, name="cow")),
    ("class_absent", to_crowds),
    ("class_rare", to_other_class),
    ("image_empty", forget_first_image),
    ("box_xyxy", as_corners),
    ("box_normalized", as_fractions),
    ("box_tiny", change("annotations", 0, bbox=[9, 9, 8, 0.2], segmentation=...)),
    ("box_duplicate", change("annotations", 2, bbox=[4, 6, 20, 12.1], segmentation=...)),
    ("box_thin", change("annotations", 0, bbox=[1, 9, 60, 2], segmentation=...)),
    ("box_huge", change("annotations", 0, bbox=[0, 0, WIDTH, HEIGHT], segmentation=...)),
    ("image_crowded", crowd_first_image),
    ("box_dot", to_dots(8)),
    ("points_swapped", swap_points),
    ("points_percent", as_percent),
    ("point_duplicate", with_points([10.2, 20.1], [30, 30], [10.9, 20.8])),
    ("point_near", with_points([10.95, 20.5], [30, 30], [11.05, 20.6])),
    ("point_off_box", change("annotations", 0, point_coords=[[10, 10], [26, 10]])),
    ("point_off_mask", change("annotations", 0, point_coords=[[5, 7]], segmentation=[[4, 18, 24, 6, 24, 18]])),
    ("image_mixed", mix),
    ("outline_off_box", change("annotations", 0, segmentation=rectangle([40, 30, 10, 10]))),
    ("outline_missing", change("annotations", 0, segmentation=...)),
    ("image_deep", write(IMAGE, gray16)),
    ("image_pages", write(IMAGE, two_frames)),
    ("image_flat", write(IMAGE, Image.new("RGB", (WIDTH, HEIGHT)).save)),
    ("image_repeated", copy_image),
    ("image_unlisted", write("images/more.JPG", NOISE.save)),
    ("depth_missing", write(DEPTH, lambda path: path.unlink())),
    ("depth_unreadable", write(DEPTH, lambda path: path.write_bytes(b"no depth"))),
    ("depth_range", write(DEPTH, metric_depth)),
    ("depth_8bit", write(DEPTH, NOISE.convert("L").save)),
    ("depth_not_finite", write(DEPTH, infinite_depth)),
    ("depth_size_differs", write(DEPTH, lambda path: write_depth(path, np.eye(HEIGHT)))),
    ("depth_shared", lambda content, folder: (add("images", id=7, file_name="sub/img0.jpg")(content, folder),
                                              NOISE.save(folder / "images/sub/img0.jpg"))),
    ("depth_sensor", sensor_depth),
    ("depth_reversed", reversed_depth),
    ("depth_constant", write(DEPTH, lambda path: write_depth(path, np.full((HEIGHT, WIDTH), 0.5)))),
    ("depth_unused", write("depth/more.npy", lambda path: np.save(path, np.eye(HEIGHT)))),
]  # fmt: skip
# Faults that the reader notes: rule, severity, fault.
NOTED = [
    ("image_malformed", "warning", change("images", 0, file_name=...)),
    ("image_unknown", "warning", change("annotations", 0, image_id=77)),
    ("id_type_differs", "info", change("annotations", 0, image_id="1")),
    ("category_unknown", "warning", change("annotations", 0, category_id=0)),
    ("category_without_name", "info", change("categories", 1, name=...)),
    ("category_name_twice", "info", add("categories", id=3)),
    ("annotation_id_twice", "info", change("annotations", 1, id=1)),
    ("ignored", "info", change("annotations", 0, ignore=1)),
    ("crowd", "info", change("annotations", 0, iscrowd=1)),
    ("crowd_invalid", "warning", change("annotations", 0, iscrowd=2)),
    ("all_crowds", "error", change_all("annotations", iscrowd=1)),
    ("file_listed_twice", "info", add("images", id=7)),
    ("image_size_repaired", "info", change("images", 0, height=...)),
    ("image_size_text", "info", change("images", 0, width="64")),
    ("box_malformed", "warning", change("annotations", 0, bbox=[1, 2, 3])),
    ("box_not_finite", "warning", change("annotations", 0, bbox=[1, 2, math.nan, 4])),
    ("box_from_outline", "info", change("annotations", 0, bbox=...)),
    ("box_no_area", "warning", change("annotations", 0, bbox=[20, 20, -5, 8])),
    ("box_outside", "warning", change("annotations", 0, bbox=[WIDTH, 0, 9, 9])),
    ("box_beyond_border", "warning", change("annotations", 0, bbox=[50, 2, 20, 9], segmentation=...)),
    ("box_missing", "error", change("annotations", 0, bbox=..., segmentation=...)),
    ("box_is_point", "info", to_dots(24)),
    ("point_outside", "warning", with_points([WIDTH + 4, 3])),
    ("point_not_finite", "warning", with_points([math.nan, 3])),
    ("point_malformed", "warning", with_points([1, 2, 3])),
    ("point_label_invalid", "warning", change_points(point_labels=[5])),
    ("point_labels_differ", "warning", change_points(point_labels=[1, 0])),
    ("point_not_positive", "warning", change_points(point_labels=[0])),
    ("points_normalized", "error", as_shares),
    ("background_point_outside", "warning", change("images", 0, background_points=[[-3, 5]])),
    ("background_point_bad", "warning", change("images", 0, background_points=[[1]])),
    ("outline_bad", "warning", change("annotations", 0, segmentation=[[1, 2, 3, 4]])),
    ("outline_other_size", "warning", change("annotations", 0, segmentation={"size": [2, 3], "counts": [2, 4]})),
    ("image_missing", "warning", remove_images(1)),
    ("image_missing", "error", remove_images(4)),
    ("image_unreadable", "warning", write(IMAGE, lambda path: path.write_bytes(b"no image"))),
    ("image_unreadable", "warning", write(IMAGE, lambda path: path.write_bytes(path.read_bytes()[:-3000]))),
    ("image_turned", "error", write(IMAGE, turned)),
    ("image_size_differs", "error", write(IMAGE, NOISE.resize((32, 24)).save)),
]
