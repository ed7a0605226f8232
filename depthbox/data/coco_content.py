"""COCO content of generated and converted datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Record = dict[str, Any]


def build_coco_content(
    info: Mapping[str, Any],
    images: Iterable[Mapping[str, Any]],
    objects: Iterable[Sequence[Mapping[str, Any]]],
    categories: Sequence[Mapping[str, Any]],
) -> Record:
    """Build COCO content; images and annotations are numbered from 1 in the given order.

    Args:
        info: value of ``info``.
        images: entries of the images without ``id``.
        objects: annotations of each image, without ``id`` and ``image_id``.
        categories: entries of the categories.
    """
    entries: list[Record] = []
    annotations: list[Record] = []
    for image_id, (image, of_image) in enumerate(zip(images, objects, strict=True), 1):
        entries.append({"id": image_id, **image})
        for annotation in of_image:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **annotation})
    return {"info": info, "images": entries, "annotations": annotations, "categories": categories}
