"""Teacher view of a training sample: the crop and flip of the student, at another size, without color changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from fvcore.transforms.transform import Transform, TransformList
from numpy.typing import NDArray

from .depth_transforms import transform_depth

_COLORS = (T.BlendTransform, T.ColorTransform, T.PILColorTransform, T.NoOpTransform)
_STRONG = (T.RandomBrightness, T.RandomContrast, T.RandomSaturation)
_STRENGTH = (0.6, 1.4)


class TeacherView:
    """Addition of ``teacher_image`` (3, H, W) and ``teacher_depth`` (1, H, W) to training samples.

    Args:
        start_iter: first iteration of the teacher; samples of earlier iterations are not changed.
        min_size, max_size: short side of the view and limit of its long side in pixels; a ``min_size`` of 0 keeps the
            size of the student.
        strong: distort brightness, contrast and saturation of the student's image, not of the teacher's.
    """

    def __init__(self, start_iter: int, min_size: int, max_size: int, strong: bool = False) -> None:
        if min_size < 0 or (min_size > 0 and max_size < min_size):
            raise ValueError(
                "MODEL.DISTILL.TEACHER_MIN_SIZE must be 0 or positive and at most TEACHER_MAX_SIZE, got "
                f"{min_size} and {max_size}"
            )
        self.start_iter, self.min_size, self.max_size = start_iter, min_size, max_size
        self.strong = T.AugmentationList([augmentation(*_STRENGTH) for augmentation in _STRONG]) if strong else None

    @classmethod
    def from_config(cls, cfg: CfgNode) -> TeacherView | None:
        """Build the view of ``MODEL.DISTILL``; None if it is disabled."""
        node = cfg.MODEL.DISTILL
        if not node.ENABLED:
            return None
        return cls(node.START_ITER, node.TEACHER_MIN_SIZE, node.TEACHER_MAX_SIZE, node.STRONG_AUGMENTATION)

    def __call__(
        self, sample: dict[str, Any], image: NDArray[Any], depth: NDArray[np.float32] | None, transforms: TransformList
    ) -> dict[str, Any]:
        """Add the teacher view to a sample, from ``start_iter`` on.

        Args:
            sample: sample of the student, with ``iteration``.
            image, depth: (H, W, 3) and (H, W), before any transform.
            transforms: applied to the student's image.

        Returns:
            The sample, or a copy with the teacher view.
        """
        if sample["iteration"] < self.start_iter:
            return sample
        sample = dict(sample)
        if self.min_size > 0:
            repeated = repeat_transforms(transforms, (image.shape[0], image.shape[1]), self.min_size, self.max_size)
            sample["teacher_image"] = _to_tensor(repeated.apply_image(image))
            if depth is not None:
                moved = np.ascontiguousarray(transform_depth(repeated, depth), dtype=np.float32)
                sample["teacher_depth"] = torch.from_numpy(moved)[None]
        if self.strong is not None:
            sample.setdefault("teacher_image", sample["image"])
            view = T.AugInput(sample["image"].numpy().transpose(1, 2, 0))
            self.strong(view)
            sample["image"] = _to_tensor(view.image)
        return sample


def repeat_transforms(transforms: TransformList, size: tuple[int, int], min_size: int, max_size: int) -> TransformList:
    """Return the same crops and flips with another resize and without color changes.

    Args:
        transforms: transforms of the student.
        size: (height, width) of the original image.
        min_size, max_size: short side of the result and limit of its long side.

    Raises:
        TypeError: a transform that cannot be repeated at another size.
    """
    repeated: list[Transform] = []
    resized = False
    for transform in transforms.transforms:
        height, width = size
        if isinstance(transform, _COLORS):
            continue
        if isinstance(transform, T.ResizeTransform) and not resized:
            size, resized = shortest_edge_size(size, min_size, max_size), True
            repeated.append(T.ResizeTransform(height, width, *size, transform.interp))
        elif isinstance(transform, T.HFlipTransform):
            repeated.append(T.HFlipTransform(width))
        elif isinstance(transform, T.VFlipTransform):
            repeated.append(T.VFlipTransform(height))
        elif isinstance(transform, T.CropTransform) and not resized:
            size = (transform.h, transform.w)
            repeated.append(transform)
        else:
            order = "after the resize " if resized else ""
            raise TypeError(
                f"{type(transform).__name__} {order}cannot be repeated at the teacher's size: give the teacher the "
                "student's view with MODEL.DISTILL.TEACHER_MIN_SIZE 0, or remove this augmentation"
            )
    if not resized:
        repeated.append(T.ResizeTransform(*size, *shortest_edge_size(size, min_size, max_size)))
    return TransformList(repeated)


def shortest_edge_size(size: tuple[int, int], min_size: int, max_size: int) -> tuple[int, int]:
    """Return (height, width) after scaling the short side to ``min_size``, the long side to at most ``max_size``."""
    scale = min(min_size / min(size), max_size / max(size))
    return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)


def _to_tensor(image: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
