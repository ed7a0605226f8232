"""Prompts of a labeling job, and the functions that make and answer them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.coco_masks import clip_box
from ..io.images import RGBImage
from .box_labeler import BoxMask

Entry = dict[str, Any]


@dataclass(frozen=True)
class Prompts:
    """Prompts of N objects of one image. A labeler computes one mask for each.

    Attributes:
        boxes: (N, 4) float64 xyxy in pixels of the original image, clipped to it.
        annotations: the N canonical annotations that the prompts belong to; () if there are none.
    """

    boxes: NDArray[np.float64]
    annotations: Sequence[Entry] = ()


# Computes the masks of prompts from the canonical entry of the image, the image and the prompts.
Labeler = Callable[[Entry, RGBImage, Prompts], Sequence[BoxMask]]
# Makes prompts of the canonical annotations of an image of (height, width); objects without a usable one are left out.
PromptReader = Callable[[Sequence[Entry], tuple[int, int]], Prompts]


def read_box_prompts(annotations: Sequence[Entry], size: tuple[int, int]) -> Prompts:
    """Make prompts of the boxes of annotations. Boxes with less than half a pixel inside the image are left out."""
    clipped = [(clip_box(entry["bbox"], size), entry) for entry in annotations]
    inside = [(box, entry) for box, entry in clipped if box is not None]
    boxes = np.array([box for box, _ in inside], dtype=np.float64).reshape(-1, 4)
    return Prompts(boxes, [entry for _, entry in inside])
