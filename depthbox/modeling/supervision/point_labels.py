"""Class maps and points of a batch, moved from the samples of the data loader to the network's device."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.structures import Instances
from torch import Tensor

from ..points.class_map import PointLabels
from .annotations import Inputs


def read_point_labels(inputs: Inputs, device: torch.device) -> list[PointLabels]:
    """Read the labels of a batch.

    Args:
        inputs: samples of ``data.PointMapper`` for training.
        device: device of the network.

    Raises:
        KeyError: an image comes without class map or points.
    """
    return [_read(x, device) for x in inputs]


def has_regions(instances: Instances) -> bool:
    """Return whether an object has a box or mask, so that the regions of the objects differ from the image."""
    return instances.has("gt_kinds") and instances.has("gt_regions") and bool((instances.gt_kinds > 0).any())


def _read(x: dict[str, Any], device: torch.device) -> PointLabels:
    instances = x.get("instances")
    if "class_map" not in x or instances is None or not instances.has("gt_points"):
        name = "class map" if "class_map" not in x else "points"
        raise KeyError(
            f"{x.get('file_name', 'an image')} comes without {name}, which P2Seg trains with: use the data mapper "
            "PointMapper of the same config"
        )

    def upload(values: Tensor) -> Tensor:
        return values.to(device, non_blocking=True)

    owner, seeds = x.get("mask_owner"), x.get("seed_map")
    return PointLabels(
        class_map=upload(x["class_map"]).long(),
        points=upload(instances.gt_points),
        classes=upload(instances.gt_classes),
        regions=upload(instances.gt_regions) if has_regions(instances) else None,
        mask_owner=None if owner is None else upload(owner).long(),
        seeds=None if seeds is None else upload(seeds).long(),
    )
