"""The doubtful masks of a labelling as pages, worst first."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray

from ..io.coco_json import Entry
from ..io.media import read_picture
from ..visualization.review_sheet import ReviewItem, write_review
from .job import LabelSummary


def review_labels(summary: LabelSummary, images: Path, folder: Path, count: int) -> list[Path]:
    """Draw the masks of the lowest scores.

    Args:
        summary: of the labelling.
        images: folder of the images.
        folder: for the pages.
        count: how many masks.

    Returns:
        The pages; [] where there is no mask.
    """
    names = {category.get("id"): category.get("name") for category in summary.boxes.content["categories"]}
    doubtful = sorted(
        (
            (summary.labels[annotation["id"]]["score"], image["file_name"], annotation)
            for image in summary.boxes.images
            for annotation in summary.boxes.by_image[image["id"]]
            if annotation["id"] in summary.labels
        ),
        key=lambda entry: entry[:2],
    )
    items = []
    for score, file_name, annotation in doubtful[:count]:
        x, y, width, height = annotation["bbox"]
        caption = f"{score:.2f} {names.get(annotation.get('category_id'), '?')} {annotation['id']} {file_name}"
        mask = functools.partial(_mask, summary.labels[annotation["id"]])
        items.append(ReviewItem(file_name, (x, y, x + width, y + height), mask, caption))
    return write_review(items, lambda name: read_picture(images / name), folder, "doubtful masks")


def _mask(label: Entry) -> NDArray[np.bool_]:
    return mask_util.decode(label["segmentation"]).astype(bool)
