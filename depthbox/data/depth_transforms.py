"""The geometric part of an augmentation, applied to a depth map.

Each transform that Detectron2 and fvcore offer has one rule below: it moves depth exactly as it moves the
    image,
or, where it changes colours only, leaves depth alone. A transform without a rule raises, since guessing would
misalign depth and image without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any, TypeVar

import numpy as np
from detectron2.data import transforms as T
from fvcore.transforms.transform import (
    GridSampleTransform,
    PadTransform,
    ScaleTransform,
    Transform,
    TransformList,
)
from numpy.typing import NDArray
from PIL import Image

from .depth_io import resize_depth

Depth = NDArray[np.float32]
_T = TypeVar("_T", bound=Transform)


def transform_depth(transforms: Transform, depth: Depth) -> Depth:
    """Apply what happened to the image to its depth map.

    Args:
        transforms: the transform, or ``TransformList``, that the image went through.
        depth: (H, W) float32 in [0, 1] at the size of the image before the transforms.

    Returns:
        (H', W') float32 in [0, 1] at the size of the image after them. Pixels from outside the image are 0
        (far).

    Raises:
        TypeError: a transform has no rule; ``register_depth_transform`` adds one.
    """
    return _apply(transforms, depth)


def register_depth_transform(cls: type[_T], fn: Callable[[_T, Depth], Depth]) -> None:
    """Say what a transform of your own (and its subclasses) does to depth.

    Args:
        cls: a subclass of fvcore's ``Transform``.
        fn: takes the transform and the (H, W) float32 depth map, returns the new map. A transform that
            changes colours only returns the map as it is.

    Raises:
        TypeError: ``cls`` is not a subclass of ``Transform``.
    """
    if not (isinstance(cls, type) and issubclass(cls, Transform)):
        raise TypeError(f"register_depth_transform needs a subclass of fvcore's Transform, not {cls!r}")
    _apply.register(cls, fn)


@singledispatch
def _apply(transform: Any, depth: Depth) -> Depth:
    name = f"{type(transform).__module__}.{type(transform).__qualname__}"
    raise TypeError(
        f"no rule says what {name} does to depth. Add one before training: depthbox.data."
        f"register_depth_transform({type(transform).__qualname__}, lambda transform, depth: ...), "
        "which moves the (H, W) float32 map as the image moves, or returns it unchanged when only colours "
        "change."
    )


def _keep(transform: Transform, depth: Depth) -> Depth:
    return depth


def _as_image(transform: Transform, depth: Depth) -> Depth:
    return transform.apply_image(depth)


def _list(transforms: TransformList, depth: Depth) -> Depth:
    for transform in transforms.transforms:
        depth = _apply(transform, depth)
    return depth


def _resize(transform: T.ResizeTransform, depth: Depth) -> Depth:
    # Not apply_image: for floats it does not average when it shrinks, for the uint8 image it does.
    if depth.shape != (transform.h, transform.w):
        raise ValueError(f"a resize of {transform.h} x {transform.w} maps met a depth map of {depth.shape}")
    return resize_depth(depth, (transform.new_h, transform.new_w))


def _pad(transform: PadTransform, depth: Depth) -> Depth:
    return np.pad(depth, ((transform.y0, transform.y1), (transform.x0, transform.x1)))


def _extent(transform: T.ExtentTransform, depth: Depth) -> Depth:
    height, width = transform.output_size
    image = Image.fromarray(np.ascontiguousarray(depth))
    extent, bilinear = Image.Transform.EXTENT, Image.Resampling.BILINEAR
    return np.array(image.transform((width, height), extent, transform.src_rect, resample=bilinear, fill=0))


def _rotate(transform: T.RotationTransform, depth: Depth) -> Depth:
    import cv2  # the transform itself needs it; nothing else here does

    return transform.apply_image(depth, interp=cv2.INTER_LINEAR)


def _sample(transform: ScaleTransform | GridSampleTransform, depth: Depth) -> Depth:
    return transform.apply_image(depth, interp="bilinear")


for _cls in (T.NoOpTransform, T.BlendTransform, T.ColorTransform, T.PILColorTransform):
    register_depth_transform(_cls, _keep)
for _cls in (T.HFlipTransform, T.VFlipTransform, T.CropTransform):
    register_depth_transform(_cls, _as_image)
for _cls in (ScaleTransform, GridSampleTransform):
    register_depth_transform(_cls, _sample)
register_depth_transform(TransformList, _list)
register_depth_transform(T.ResizeTransform, _resize)
register_depth_transform(PadTransform, _pad)
register_depth_transform(T.ExtentTransform, _extent)
register_depth_transform(T.RotationTransform, _rotate)
