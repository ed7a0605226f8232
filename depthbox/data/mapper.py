"""Conversion of dataset dicts to training and test samples: image, depth and objects under one augmentation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import detection_utils
from detectron2.data import transforms as T
from detectron2.structures import Instances
from fvcore.transforms.transform import Transform
from numpy.typing import NDArray

from ..io.images import read_image
from .annotations import (
    add_masks,
    add_weights,
    boxes_to_instances,
    drop_empty,
    require_boxes,
    required_fields,
    transform_mask,
)
from .depth_io import DEPTH_COMMAND, read_depth, resize_depth
from .depth_transforms import transform_depth
from .samples import require_same_size
from .teacher_view import TeacherView

FIELDS = ("gt_masks", "gt_has_mask", "gt_weight", "depth")  # what the mapper provides besides boxes and classes
IMAGE_FORMATS = ("BGR", "RGB")


class BoxDepthMapper:
    """Reader of an image with its depth map and objects, which applies the same augmentation to all of them.

    All random numbers come from numpy's global generator: with an equal seed, a call repeats bit for bit.
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        augmentations: Sequence[T.Augmentation | Transform],
        image_format: str,
        fields: Sequence[str] = (),
        teacher_view: TeacherView | None = None,
    ) -> None:
        """
        Args:
            is_train: whether to return ``instances``.
            augmentations: applied to the image in this order; geometric ones also to depth and objects.
            image_format: channel order, "BGR" or "RGB".
            fields: annotations to provide besides boxes and classes. "gt_masks" requires a ``segmentation`` of each
                object, or uses the existing ones if "gt_has_mask" is also given. Without "gt_masks", no
                ``segmentation`` is accessed. "gt_weight" weighs the masks by ``score`` and ``fallback``. "depth" reads
                ``depth_file_name``.
            teacher_view: adds the view of a teacher that labels the batch.

        Raises:
            ValueError: an unknown field or ``image_format``.
        """
        unknown = [name for name in fields if name not in FIELDS]
        if unknown:
            raise ValueError(f"BoxDepthMapper provides {', '.join(FIELDS)}, not {', '.join(unknown)}")
        if image_format not in IMAGE_FORMATS:
            raise ValueError(f"INPUT.FORMAT is one of {IMAGE_FORMATS}, not '{image_format}'")
        self.is_train = is_train
        self.augmentations = T.AugmentationList(augmentations)
        self.image_format = image_format
        self.fields = tuple(fields)
        self.teacher_view = teacher_view
        mode = "training" if is_train else "inference"
        logging.getLogger(__name__).info("Augmentations in %s: %s", mode, list(augmentations))

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Return arguments from ``INPUT`` and ``required_fields``, which are read in training only."""
        augmentations = detection_utils.build_augmentation(cfg, is_train)
        if is_train and cfg.INPUT.CROP.ENABLED:
            augmentations.insert(0, T.RandomCrop(cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE))
        return {
            "is_train": is_train,
            "augmentations": augmentations,
            "image_format": cfg.INPUT.FORMAT,
            "fields": required_fields(cfg) if is_train else (),
            "teacher_view": TeacherView.from_config(cfg) if is_train else None,
        }

    def __call__(self, dataset_dict: Mapping[str, Any]) -> dict[str, Any]:
        """Convert the dict of one image to a sample.

        Args:
            dataset_dict: one image in Detectron2's format, with ``depth_file_name`` if depth is read and
                ``iteration`` (that of the batch) if there is a teacher; not changed.

        Returns:
            The dict without ``annotations``, with ``image`` (3, H, W) uint8. If depth is read, with ``depth``
            (1, H, W) float32 in [0, 1], 1 = near. In training, with ``instances``: ``gt_boxes``, ``gt_classes`` and,
            if in ``fields``, ``gt_masks`` (BitMasks, H x W), ``gt_has_mask`` (N,) bool and ``gt_weight`` (N,) float32
            in [0, 1]. ``height`` and ``width`` are those of the original image. Crowds and objects outside the crop
            are left out.

        Raises:
            ImageError: the image file cannot be read.
            SizeMismatchError: the image has another size than the dict.
            DepthFileError: see ``depth_io.read_depth``.
            ValueError: an object without a box, an object without a usable segmentation though masks are required, or
                no depth file is named.
        """
        result = {key: value for key, value in dataset_dict.items() if key != "annotations"}
        image = self._read_image(result)
        image_size = (image.shape[0], image.shape[1])
        depth = self._read_depth(result, image_size) if "depth" in self.fields else None

        aug_input = T.AugInput(image)
        transforms = self.augmentations(aug_input)
        size = (aug_input.image.shape[0], aug_input.image.shape[1])
        result["image"] = torch.from_numpy(np.ascontiguousarray(aug_input.image.transpose(2, 0, 1)))
        if depth is not None:
            result["depth"] = self._augment_depth(depth, transforms, size)
        if self.is_train:
            objects = [a for a in dataset_dict.get("annotations", ()) if not a.get("iscrowd", 0)]
            result["instances"] = self._make_instances(objects, transforms, image_size, size, result["file_name"])
        return result if self.teacher_view is None else self.teacher_view(result, image, depth, transforms)

    def check_records(self, records: Sequence[Mapping[str, Any]], source: str) -> None:
        """Check the dicts of a training set before the first sample is loaded.

        Args:
            records: dicts of one dataset.
            source: its annotation file.

        Raises:
            ValueError: objects have no box, see ``require_boxes``.
        """
        require_boxes(records, source)

    def _read_image(self, result: dict[str, Any]) -> NDArray[np.uint8]:
        image = read_image(result["file_name"])
        require_same_size(result, image)
        result.setdefault("height", image.shape[0])
        result.setdefault("width", image.shape[1])
        return image if self.image_format == "RGB" else image[:, :, ::-1]

    @staticmethod
    def _read_depth(result: dict[str, Any], image_size: tuple[int, int]) -> NDArray[np.float32]:
        if not result.get("depth_file_name"):
            raise ValueError(
                f"INPUT.DEPTH.ENABLED is True, but {result['file_name']} has no depth file. Register its dataset with "
                f"a depth folder (generated by {DEPTH_COMMAND}), or set INPUT.DEPTH.ENABLED False."
            )
        return resize_depth(read_depth(result["depth_file_name"], image_size), image_size)

    @staticmethod
    def _augment_depth(depth: NDArray[np.float32], transforms: Transform, size: tuple[int, int]) -> torch.Tensor:
        depth = transform_depth(transforms, depth)
        if depth.shape != size:
            raise ValueError(f"the rules for {transforms} returned depth of {depth.shape} for an image of {size}")
        return torch.from_numpy(np.ascontiguousarray(depth, dtype=np.float32))[None]

    def _make_instances(
        self,
        objects: Sequence[Mapping[str, Any]],
        transforms: Transform,
        image_size: tuple[int, int],
        size: tuple[int, int],
        file_name: str,
    ) -> Instances:
        instances = boxes_to_instances(objects, transforms, size)
        if "gt_masks" in self.fields:
            masks = [self._draw_mask(annotation, transforms, image_size, size, file_name) for annotation in objects]
            instances = add_masks(instances, masks, mixed="gt_has_mask" in self.fields)
        if "gt_weight" in self.fields:
            instances = add_weights(instances, objects)
        return drop_empty(instances)

    def _draw_mask(
        self,
        annotation: Mapping[str, Any],
        transforms: Transform,
        image_size: tuple[int, int],
        size: tuple[int, int],
        file_name: str,
    ) -> NDArray[np.bool_] | None:
        segmentation = annotation.get("segmentation")
        where = f"annotation {annotation.get('id', '(no id)')} of {file_name}"
        if segmentation is None or len(segmentation) == 0:
            if "gt_has_mask" not in self.fields:
                raise ValueError(
                    f"{where} has no segmentation. Set MODEL.MASK_SUPERVISION mixed to train such objects from their "
                    "boxes and the others from their masks, or box to use no masks."
                )
            return None
        try:
            return transform_mask(segmentation, transforms, image_size, size)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{where} has a malformed segmentation: {error}") from error
