"""Annotations of a batch, moved from the samples of the data loader to the network's device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...structures import Annotations

Inputs = list[dict[str, Any]]


class AnnotationReader:
    """Reader of the annotations that the supervision uses; all others stay where they are.

    Args:
        fields: annotations that every image must have besides boxes and classes: fields of ``instances``, or keys of
            the sample.
        optional_fields: annotations that are read if every image of the batch has them.
    """

    def __init__(self, fields: Sequence[str] = (), optional_fields: Sequence[str] = ()) -> None:
        self.fields, self.optional_fields = tuple(fields), tuple(optional_fields)

    def __call__(self, inputs: Inputs, device: torch.device) -> Annotations:
        """Read the annotations of a batch, without waiting for the device.

        Args:
            inputs: samples of the data mapper, see ``DepthBox.forward``.
            device: device of the network.

        Raises:
            KeyError: an image lacks one of ``fields``.
        """
        instances = [x["instances"] for x in inputs]
        optional = [name for name in self.optional_fields if all(_find(x, name) is not None for x in inputs)]
        return Annotations(
            original_heights=[x["height"] for x in inputs],
            boxes=_upload([x.gt_boxes.tensor for x in instances], device),
            classes=_upload([x.gt_classes for x in instances], device),
            fields={name: _upload([_get(x, name) for x in inputs], device) for name in (*self.fields, *optional)},
        )


def _get(x: dict[str, Any], name: str) -> Tensor:
    values = _find(x, name)
    if values is None:
        raise KeyError(
            f"{x.get('file_name', 'an image')} comes without {name}, which the mask supervision trains with: use the "
            "data mapper BoxDepthMapper of the same config"
        )
    return values


def _find(x: dict[str, Any], name: str) -> Tensor | None:
    """Return a field of the instances or a key of the sample as a tensor; None if there is neither."""
    values = x["instances"].get(name) if x["instances"].has(name) else x.get(name)
    return getattr(values, "tensor", values)  # BitMasks and Boxes hold a tensor


def _upload(values: list[Tensor], device: torch.device) -> list[Tensor]:
    """Copy one tensor per image to the device; small ones, (N_b,) and (N_b, 4), in one copy."""
    if values[0].dim() > 2:
        return [x.to(device, non_blocking=True) for x in values]
    return list(torch.cat(values).to(device, non_blocking=True).split([len(x) for x in values]))
