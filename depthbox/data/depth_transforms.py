"""Geometric transforms of depth maps.

Each transform of Detectron2 and fvcore has one rule below: it resamples depth exactly as the image, or leaves depth
unchanged if it changes colors only. A transform without a rule is an error because a guess could misalign depth and
image unnoticed.
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
_Transform = TypeVar("_Transform", bound=Transform)


def transform_depth(transforms: Transform, depth: Depth) -> Depth:
    """Apply the transforms of an image to its depth map.

    Args:
        transforms: the transform, or ``TransformList``, that was applied to the image.
        depth: (H, W) float32 in [0, 1] at the size of the image before the transforms.

    Returns:
        (H', W') float32 in [0, 1] at the size of the image after the transforms. Pixels from outside the image are
        0 (far).

    Raises:
        TypeError: a transform has no rule; ``register_depth_transform`` adds one.
    """
    return _apply(transforms, depth)


def register_depth_transform(cls: type[_Transform], fn: Callable[[_Transform, Depth], Depth]) -> None:
    """Register the rule of a custom transform and its subclasses.

    Args:
        cls: a subclass of fvcore's ``Transform``.
        fn: takes the transform and the (H, W) float32 depth map, returns the new map. For a transform that
            changes colors only, it returns the map unchanged.

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
        f"no depth rule is registered for {name}. Add one before training: depthbox.data.register_depth_transform("
        f"{type(transform).__qualname__}, lambda transform, depth: ...), which transforms the (H, W) float32 map as "
        "the image, or returns it unchanged if only colors change."
    )


def _keep(transform: Transform, depth: Depth) -> Depth:
    return depth


def _apply_image(transform: Transform, depth: Depth) -> Depth:
    return transform.apply_image(depth)


def _apply_all(transforms: TransformList, depth: Depth) -> Depth:
    for transform in transforms.transforms:
        depth = _apply(transform, depth)
    return depth


def _resize(transform: T.ResizeTransform, depth: Depth) -> Depth:
    # Unlike for uint8 images, apply_image does not average floating-point values when it shrinks.
    if depth.shape != (transform.h, transform.w):
        raise ValueError(f"the resize of {transform.h} x {transform.w} maps got a depth map of {depth.shape}")
    return resize_depth(depth, (transform.new_h, transform.new_w))


def _pad(transform: PadTransform, depth: Depth) -> Depth:
    return np.pad(depth, ((transform.y0, transform.y1), (transform.x0, transform.x1)))


def _crop_extent(transform: T.ExtentTransform, depth: Depth) -> Depth:
    height, width = transform.output_size
    image = Image.fromarray(np.ascontiguousarray(depth))
    extent, bilinear = Image.Transform.EXTENT, Image.Resampling.BILINEAR
    return np.array(image.transform((width, height), extent, transform.src_rect, resample=bilinear, fill=0))


def _rotate(transform: T.RotationTransform, depth: Depth) -> Depth:
    import cv2  # RotationTransform needs it, too

    return transform.apply_image(depth, interp=cv2.INTER_LINEAR)


def _sample(transform: ScaleTransform | GridSampleTransform, depth: Depth) -> Depth:
    return transform.apply_image(depth, interp="bilinear")


for _cls in (T.NoOpTransform, T.BlendTransform, T.ColorTransform, T.PILColorTransform):
    register_depth_transform(_cls, _keep)
for _cls in (T.HFlipTransform, T.VFlipTransform, T.CropTransform):
    register_depth_transform(_cls, _apply_image)
for _cls in (ScaleTransform, GridSampleTransform):
    register_depth_transform(_cls, _sample)
register_depth_transform(TransformList, _apply_all)
register_depth_transform(T.ResizeTransform, _resize)
register_depth_transform(PadTransform, _pad)
register_depth_transform(T.ExtentTransform, _crop_extent)
register_depth_transform(T.RotationTransform, _rotate)
