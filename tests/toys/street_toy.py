"""Tiny Cityscapes frames with every kind of object, for tests of the conversion."""

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 32, 64
PERSON, CAR, CARAVAN, BICYCLE = 24, 26, 29, 33


def paths(root, split, city, number):
    frame = f"{city}_{number:06d}_000019"
    image = root / "leftImg8bit" / split / city / f"{frame}_leftImg8bit.png"
    truth = root / "gtFine" / split / city
    truth.mkdir(parents=True, exist_ok=True)
    image.parent.mkdir(parents=True, exist_ok=True)
    return image, *(truth / f"{frame}_gtFine_{kind}" for kind in ("instanceIds.png", "labelIds.png", "polygons.json"))


def write_frame(root, split, city, number, ids):
    image, instance_ids, label_ids, _ = paths(root, split, city, number)
    Image.new("RGB", ids.shape[::-1], (90, 90, 90)).save(image)
    Image.fromarray(ids.astype(np.uint16)).save(instance_ids)
    Image.fromarray(np.where(ids < 1000, ids, ids // 1000).astype(np.uint8)).save(label_ids)


def street():
    """Return two overlapping cars, a person of 6 pixels, groups of bicycles and trailers, and a caravan."""
    ids = np.full((HEIGHT, WIDTH), 7)
    ids[:3] = 23
    ids[5:17, 2:22] = CAR * 1000
    ids[9:20, 15:30] = CAR * 1000 + 1
    ids[10:13, 40:42] = PERSON * 1000
    ids[20:30, 5:8] = ids[20:30, 30:33] = BICYCLE
    ids[20:30, 50:60] = CARAVAN * 1000
    ids[15:18, 50:60] = 30
    return ids


def random_ids(seed):
    """Return random rectangles of all things, as objects and as groups, some of them in pieces."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 24, (HEIGHT, WIDTH))
    for label in rng.permutation(np.arange(24, 34)):
        for number in range(3):
            y, x = rng.integers(0, HEIGHT - 2), rng.integers(0, WIDTH - 2)
            value = label if number == 2 else label * 1000 + number
            ids[y : y + rng.integers(1, 14), x : x + rng.integers(1, 14)] = value
    return ids
