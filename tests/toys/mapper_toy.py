"""A small image with depth and one object, for tests of the mapper."""

import numpy as np
from detectron2.data import transforms as T
from detectron2.structures import BoxMode
from PIL import Image

from depthbox.data import BoxDepthMapper, write_depth

HEIGHT, WIDTH = 48, 64
SQUARE = [10.0, 12.0, 20.0, 16.0]  # x, y, width, height


def rectangle(x, y, w, h):
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def annotation(box=SQUARE, label=2, **more):
    return {
        "bbox": list(box),
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": label,
        "iscrowd": 0,
        "id": 7,
        **more,
    }


def write_scene(folder):
    """Write an image whose channels equal its depth (an 8-bit gradient), and depth at half size."""
    rng = np.random.default_rng(0)
    low = Image.fromarray(rng.integers(0, 256, (6, 8), dtype=np.uint8))
    small = np.asarray(low.resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BILINEAR))
    gray = np.asarray(Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
    Image.fromarray(np.stack([gray] * 3, -1)).save(folder / "image.png")
    write_depth(folder / "depth.png", small.astype(np.float32) / 255)
    return {
        "file_name": str(folder / "image.png"),
        "depth_file_name": str(folder / "depth.png"),
        "image_id": 3,
        "height": HEIGHT,
        "width": WIDTH,
        "annotations": [annotation()],
    }


def mapper(*augmentations, mode="box", depth=False, is_train=True):
    return BoxDepthMapper(
        is_train, augmentations=augmentations, image_format="BGR", mask_supervision=mode, read_depth=depth
    )


RANDOM = (
    T.RandomCrop("relative_range", (0.5, 0.5)),
    T.ResizeShortestEdge((40, 90), 120, "range"),
    T.RandomFlip(),
)
