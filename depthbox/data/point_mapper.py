"""Conversion of dataset dicts to samples of P2Seg: image, class map, points and depth under one augmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import transforms as T
from detectron2.structures import Instances
from fvcore.transforms.transform import NoOpTransform, Transform
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .annotations import transform_mask
from .class_maps.build import build_class_maps
from .class_maps.point_seeds import UNKNOWN, build_seed_map, draw_discs
from .class_maps.source import ClassMapSource
from .mapper import BoxDepthMapper
from .points import MASK, ImagePoints, read_points


class PointMapper(BoxDepthMapper):
    """Reader of an image with its points, class map and depth map, which applies the same augmentation to all of them.

    All random numbers come from numpy's global generator, as in ``BoxDepthMapper``.
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        augmentations: Sequence[T.Augmentation | Transform],
        image_format: str,
        class_maps: ClassMapSource | None = None,
        depth: bool = False,
        seeds: bool = False,
        seed_radius: int = 2,
    ) -> None:
        """
        Args:
            is_train: whether to return class maps; points are returned in both cases.
            augmentations: applied to the image in this order; geometric ones also to all maps and points.
            image_format: channel order, "BGR" or "RGB".
            class_maps: function from (dataset dict, (H, W, 3) uint8 RGB image, points, depth or None) to the class map
                (H, W) uint8 of an image: 0 background, class + 1, 255 unknown. Needed in training.
            depth: read ``depth_file_name``.
            seeds: provide the seeds of a class map that is learned from points.
            seed_radius: radius of the discs around points, pixels.

        Raises:
            ValueError: no class maps in training, or an unknown ``image_format``.
        """
        fields = ("depth",) if depth else ()
        super().__init__(is_train, augmentations=augmentations, image_format=image_format, fields=fields)
        if is_train and class_maps is None:
            raise ValueError("P2Seg trains with a class map of each image: set MODEL.P2SEG.SEMANTIC.SOURCE")
        self.class_maps, self.seeds, self.seed_radius = class_maps, seeds, seed_radius

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Return arguments from ``INPUT`` and ``MODEL.P2SEG.SEMANTIC``."""
        arguments = super().from_config(cfg, is_train)
        node = cfg.MODEL.P2SEG.SEMANTIC
        return {
            **{key: arguments[key] for key in ("is_train", "augmentations", "image_format")},
            "class_maps": build_class_maps(cfg) if is_train else None,
            "depth": is_train and cfg.INPUT.DEPTH.ENABLED,
            "seeds": is_train and node.SOURCE == "points",
            "seed_radius": node.SEED_RADIUS,
        }

    def __call__(self, dataset_dict: Mapping[str, Any]) -> dict[str, Any]:
        """Convert the dict of one image to a sample.

        Args:
            dataset_dict: one image in Detectron2's format, whose objects have points, boxes or masks; not changed.

        Returns:
            The dict without ``annotations``, with ``image`` (3, H, W) uint8 and ``instances``: ``gt_classes``,
            ``gt_points`` (N, 2) float32 x and y, ``gt_kinds`` (N,) int64, and ``gt_regions`` (N, 4) float32 xyxy. In
            training an object whose point leaves the image is left out, and the sample has ``class_map`` (H, W) uint8,
            unknown (255) outside of the original image and at the pixels of the objects left out; ``mask_owner`` (H, W)
            int32, index + 1 of the object whose mask contains the pixel, if an object has a mask; ``seed_map`` (H, W)
            uint8 if it is asked for, and ``depth`` (1, H, W) if it is read. Otherwise it has ``original_points`` (N, 2)
            float64 in pixels of the original image.

        Raises:
            ImageError, SizeMismatchError, DepthFileError: a file cannot be read or used.
            ValueError: an object has neither point nor box, or a malformed segmentation.
        """
        result = {key: value for key, value in dataset_dict.items() if key not in ("annotations", "background_points")}
        image = self._read_image(result)
        image_size = (image.shape[0], image.shape[1])
        record = {**dataset_dict, "height": image_size[0], "width": image_size[1]}
        points = read_points(record)
        depth = self._read_depth(result, image_size) if "depth" in self.fields else None

        aug_input = T.AugInput(image)
        transforms = self.augmentations(aug_input)
        size = (aug_input.image.shape[0], aug_input.image.shape[1])
        result["image"] = torch.from_numpy(np.ascontiguousarray(aug_input.image.transpose(2, 0, 1)))
        if depth is not None:
            result["depth"] = self._augment_depth(depth, transforms, size)
        moved = move_points(points.coords, transforms, size)
        kept = inside_image(moved, size) if self.is_train else np.ones(len(points), dtype=bool)
        result["instances"] = _make_instances(points, moved, kept, transforms, size)
        if not self.is_train:
            result["original_points"] = torch.from_numpy(points.coords)
            return result

        rgb = np.ascontiguousarray(image if self.image_format == "RGB" else image[:, :, ::-1])
        owner = self._draw_owners(record, points, image_size)
        assert self.class_maps is not None
        class_map = self.class_maps(record, rgb, points, depth).copy()
        draw_discs(class_map, points.background, np.zeros(len(points.background), dtype=np.int64), self.seed_radius)
        class_map[lost_pixels(class_map, points, kept, owner)] = UNKNOWN
        result["class_map"] = transform_map(class_map, transforms)
        if owner is not None:
            result["mask_owner"] = transform_owners(owner, kept, transforms)
        if self.seeds:
            seed_map = build_seed_map(points, image_size, self.seed_radius, owner)
            result["seed_map"] = transform_map(seed_map, transforms)
        return result

    @staticmethod
    def _draw_owners(
        record: Mapping[str, Any], points: ImagePoints, image_size: tuple[int, int]
    ) -> NDArray[np.int32] | None:
        """Draw the masks of the objects that have one, (H, W) int32; the smallest is on top."""
        if not (points.kinds == MASK).any():
            return None
        objects = [entry for entry in record["annotations"] if not entry.get("iscrowd", 0)]
        masks = []
        for index in np.flatnonzero(points.kinds == MASK):
            entry = objects[index]
            try:
                mask = transform_mask(entry["segmentation"], NoOpTransform(), image_size, image_size)
            except (ValueError, KeyError, TypeError) as error:
                where = f"annotation {entry.get('id', '(no id)')} of {record.get('file_name', 'an image')}"
                raise ValueError(f"{where} has a malformed segmentation: {error}") from error
            masks.append((int(mask.sum()), int(index), mask))
        owner = np.zeros(image_size, dtype=np.int32)
        for _, number, mask in sorted(masks, key=lambda item: -item[0]):
            owner[mask] = number + 1
        return owner


def build_mapper(cfg: CfgNode, is_train: bool) -> BoxDepthMapper:
    """Build the mapper that provides the samples of MODEL.META_ARCHITECTURE."""
    mapper = PointMapper if cfg.MODEL.META_ARCHITECTURE == "P2Seg" else BoxDepthMapper
    return mapper(cfg, is_train=is_train)


def move_points(coords: NDArray[np.float64], transforms: Transform, size: tuple[int, int]) -> NDArray[np.float64]:
    """Transform points (N, 2), x and y in continuous pixels; a point on the far border is moved into the last pixel.

    A flip maps x = 0 to the width. The result also lies in the image after rounding to float32.
    """
    moved = transforms.apply_coords(coords.copy()) if len(coords) else coords.copy()
    border = np.array((size[1], size[0]), dtype=np.float32)
    return np.where(moved <= border, np.minimum(moved, np.nextafter(border, np.float32(0))), moved)


def inside_image(coords: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which points (N, 2) lie in an image of (height, width); a point that is NaN does not."""
    inside = np.asarray(((coords >= 0) & (coords < (size[1], size[0]))).all(axis=1), dtype=np.bool_)
    return inside


def lost_pixels(
    class_map: NDArray[np.uint8], points: ImagePoints, kept: NDArray[np.bool_], owner: NDArray[np.int32] | None
) -> NDArray[np.bool_]:
    """Find the pixels of the objects that are left out: nearest to their point of all points of the class, or masked.

    Args:
        class_map: (H, W) uint8 of the whole image.
        points: points of all objects.
        kept: (N,) bool, False for objects that are left out.
        owner: (H, W) index + 1 of the object whose mask contains the pixel; None = no masks.

    Returns:
        (H, W) bool.
    """
    lost = np.zeros(class_map.shape, dtype=bool)
    for c in np.unique(points.classes[~kept]):
        members = np.flatnonzero((points.classes == c) & np.isfinite(points.coords).all(1))
        rows, columns = np.nonzero(class_map == c + 1)
        if not len(members):
            lost[rows, columns] = True
        elif len(rows):
            nearest = cKDTree(points.pixels()[members]).query(np.stack((columns, rows), axis=1))[1]
            lost[rows, columns] = ~kept[members[nearest]]
    if owner is not None:
        known = owner > 0
        lost[known] = ~kept[owner[known] - 1]
    return lost


def transform_map(class_map: NDArray[np.uint8], transforms: Transform) -> torch.Tensor:
    """Transform a class map (H, W) uint8 without interpolation; pixels from outside the image become 255."""
    inside = inside_original(transforms, class_map.shape)
    return torch.from_numpy(np.where(inside, transforms.apply_segmentation(class_map), UNKNOWN).astype(np.uint8))


def inside_original(transforms: Transform, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which pixels of the result (H, W) of transforms lie in the original image of ``size`` (height, width).

    Transforms pad segmentations with a value of their own, which differs from one of two constant maps.
    """
    first, second = (transforms.apply_segmentation(np.full(size, value, dtype=np.uint8)) for value in (1, 2))
    inside: NDArray[np.bool_] = (first == 1) & (second == 2)
    return inside


def transform_owners(owner: NDArray[np.int32], kept: NDArray[np.bool_], transforms: Transform) -> torch.Tensor:
    """Transform owners (H, W) and number the kept objects anew; owners that are left out become 0."""
    numbers = np.concatenate(([0], np.where(kept, np.cumsum(kept), 0))).astype(np.int32)
    owner = numbers[owner]
    # Segmentations are resized as uint8 only: the owners as two digits.
    low, high = (transforms.apply_segmentation(digit.astype(np.uint8)) for digit in (owner % 256, owner // 256))
    inside = inside_original(transforms, owner.shape)
    return torch.from_numpy(np.where(inside, high.astype(np.int32) * 256 + low, 0).astype(np.int32))


def _make_instances(
    points: ImagePoints,
    moved: NDArray[np.float64],
    kept: NDArray[np.bool_],
    transforms: Transform,
    size: tuple[int, int],
) -> Instances:
    regions = transforms.apply_box(points.regions.copy()) if len(points) else points.regions
    regions = np.clip(regions, 0, (size[1], size[0], size[1], size[0]))
    instances = Instances(size)
    instances.gt_classes = torch.from_numpy(points.classes[kept])
    instances.gt_points = torch.from_numpy(moved[kept].astype(np.float32))
    instances.gt_kinds = torch.from_numpy(points.kinds[kept])
    instances.gt_regions = torch.from_numpy(regions[kept].astype(np.float32))
    return instances
