"""Faults of points, planted in the clean dataset of ``check_toy``."""

from check_toy import HEIGHT, WIDTH, change
from PIL import Image


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
