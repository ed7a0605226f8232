"""A small folder in the layout of PASCAL VOC 2012, with palette PNGs and files of SBD."""

from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

SIZE = (30, 40)  # height, width
VAL, TRAIN, SBD = ("2007_000033", "2007_000042"), ("2007_000032", "2009_000001"), "2008_000002"


def write_map(path: Path, values: np.ndarray) -> None:
    """Write an 8-bit palette PNG, as those of VOC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8), "P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    image.save(path)


def draw_maps(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the maps of objects and classes: a person and a bottle that touch, a border of void, a dog."""
    objects, classes = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    for value, label, rows, columns in (
        (1, 15, slice(4, 12), slice(3, 10 + number)),
        (2, 5, slice(4, 12), slice(10 + number, 20)),
        (3, 12, slice(20, 28), slice(25, 35)),
    ):
        objects[rows, columns], classes[rows, columns] = value, label
    for values in (objects, classes):
        values[12, 3:20] = 255  # void below the first two
        values[20:28, 24] = 255
    return objects, classes


def write_voc(root: Path) -> Path:
    """Write the folder and return it; the image of SBD has no PNG of objects."""
    rng = np.random.default_rng(1)
    for number, name in enumerate((*VAL, *TRAIN, SBD)):
        (root / "JPEGImages").mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8)).save(root / "JPEGImages" / f"{name}.jpg")
        objects, classes = draw_maps(number)
        if name == TRAIN[1]:
            objects, classes = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
        if name != SBD:
            write_map(root / "SegmentationObject" / f"{name}.png", objects)
            write_map(root / "SegmentationClass" / f"{name}.png", classes)
        path = root / "SegmentationClassAug" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(classes).save(path)
    lists = {"train": TRAIN, "val": VAL, "trainval": (*TRAIN, *VAL), "train_aug": (*TRAIN, SBD)}
    folder = root / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True)
    for split, names in lists.items():
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return root


def write_sbd(folder: Path, values: np.ndarray, classes: list[int]) -> Path:
    """Write the file of SBD's image in the layout of its benchmark and return the folder."""
    (folder / "inst").mkdir(parents=True, exist_ok=True)
    content = {"Segmentation": values.astype(np.uint8), "Categories": np.array(classes, np.uint8)[:, None]}
    scipy.io.savemat(folder / "inst" / f"{SBD}.mat", {"GTinst": content})
    return folder
