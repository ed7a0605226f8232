"""Tiny datasets in the formats that the readers know."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from depthbox.io.annotations.records import RawAnnotations

WIDTH, HEIGHT = 96, 64
BOXES = ((10, 12, 30, 24), (0, 0, 8, 6), (60, 20, 36, 44))  # x, y, width, height
NAMES = ("a", "b", "a")
FILES = ["000.jpg", "001.jpg", "002.jpg"]

Box = Sequence[float]


def save_image(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), orientation: int | None = None) -> Path:
    """Write a noisy image (width, height); with an EXIF orientation, ``size`` is that of the stored pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation:
        exif[274] = orientation
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def yolo_line(number: object, box: Box, size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    x, y, w, h = box
    return f"{number} {(x + w / 2) / size[0]:.6f} {(y + h / 2) / size[1]:.6f} {w / size[0]:.6f} {h / size[1]:.6f}"


def outline_line(number: int, points: Sequence[tuple[float, float]]) -> str:
    return f"{number} " + " ".join(f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in points)


def write_yolo(
    folder: Path,
    images: str = "images/train",
    count: int = 3,
    names: Sequence[str] = (),
    line: Callable[[int, Box], str] = yolo_line,
    yaml: str | None = "path: .\ntrain: images/train\nnc: 2\nnames: [a, b]\n",
) -> Path:
    """Write images, their labels in ``labels`` instead of ``images``, and a data.yaml."""
    for name in names or [f"{number:03d}.jpg" for number in range(count)]:
        save_image(folder / images / name)
        label = folder / images.replace("images", "labels") / name
        rows = [line(number % 2, box) for number, box in enumerate(BOXES)]
        write_text(label.with_suffix(".txt"), "\n".join(rows) + "\n")
    if yaml is not None:
        write_text(folder / "data.yaml", yaml)
    return folder


def voc_object(name: str, box: Box, more: str = "") -> str:
    """Return an object whose corners count from 1 and include the last pixel."""
    x, y, w, h = box
    corners = f"<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax>"
    return (
        f"<object><name>{name}</name><pose>Left</pose><truncated>0</truncated><difficult>0</difficult>"
        f"{more}<bndbox>{corners}</bndbox></object>"
    )


def voc_text(filename: str, objects: Sequence[str] | None = None, size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    if objects is None:
        objects = [voc_object(name, box) for name, box in zip(NAMES, BOXES, strict=True)]
    return (
        f"<annotation><folder>x</folder><filename>{filename}</filename><size><width>{size[0]}</width>"
        f"<height>{size[1]}</height><depth>3</depth></size>{''.join(objects)}</annotation>"
    )


def write_voc(
    folder: Path,
    count: int = 3,
    images: str = "JPEGImages",
    annotations: str = "Annotations",
    suffix: str = ".jpg",
    edit: Callable[[str, int], str] = lambda text, number: text,
    first: int = 0,
) -> Path:
    for number in range(first, first + count):
        name = f"{number:03d}"
        save_image(folder / images / f"{name}{suffix}")
        write_text(folder / annotations / f"{name}.xml", edit(voc_text(name + suffix), number))
    return folder


def boxes_of(raw: RawAnnotations | None) -> list[tuple[str, str, list[float]]]:
    """Return (file_name, class, bbox) of each object."""
    assert raw is not None
    names = {category["id"]: category["name"] for category in raw.content["categories"]}
    files = {image["id"]: image["file_name"] for image in raw.content["images"]}
    return [(files[a["image_id"]], names[a["category_id"]], a["bbox"]) for a in raw.content["annotations"]]


def files_of(raw: RawAnnotations | None) -> list[str]:
    assert raw is not None
    return [image["file_name"] for image in raw.content["images"]]


def rules_of(raw: RawAnnotations | None) -> dict[str, int]:
    """Return rule -> count of the notes."""
    assert raw is not None
    return {note.rule: note.count for note in raw.notes}


def require_boxes(raw: RawAnnotations | None, files: Sequence[str], tolerance: float = 0.01) -> None:
    """Check that each file has exactly the toy's objects."""
    assert files_of(raw) == list(files)
    found = boxes_of(raw)
    assert [entry[:2] for entry in found] == [(file, name) for file in files for name in NAMES]
    assert np.allclose([entry[2] for entry in found], BOXES * len(files), atol=tolerance)


def write_edited_voc(folder: Path, change: Callable[[str], str]) -> Path:
    """Write a VOC dataset whose second file is changed."""
    return write_voc(folder, edit=lambda text, number: change(text) if number == 1 else text)


def write_yolo_splits(folder: Path) -> Path:
    """Write a YOLO dataset with training and validation images."""
    write_yolo(folder, yaml="path: .\ntrain: images/train\nval: images/val\nnames: {0: a, 1: b}\n")
    write_yolo(folder, "images/val", names=["v.jpg"], yaml=None)
    return folder


def with_yaml(folder: Path, text: str) -> Path:
    """Replace the data.yaml of a YOLO dataset."""
    write_text(folder / "data.yaml", text)
    return folder
