"""Masks from one point per object without learning: the baselines of P2Seg."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ...data.class_maps.automatic import AutomaticClassMaps
from ...data.class_maps.geodesic import convert_to_lab, gradient_norm
from ...data.class_maps.point_seeds import build_seed_map
from ...data.points import ImagePoints
from ...io.images import RGBImage
from ...modeling.points.initial import initial_labels
from ...modeling.points.masks import fallback_box

Owners = NDArray[np.int64]  # (H, W), index of the object + 1, 0 = none
_RADIUS = 2  # of the seeds, pixels
_SIDE = 64.0  # of the square, pixels
_DEPTH_WEIGHT = 200.0  # of the depth gradient beside the Lab gradient, taken from the literature and not tuned
_SMOOTHING = 1.0  # pixels, before the gradients
_NEIGHBORS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class PointScene:
    """An image with its points.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        points: points of the N objects.
        depth: (H, W) float32 in [0, 1]; None = not used.
        true_masks: (N, H, W) bool; None = unknown.
    """

    image: RGBImage
    points: ImagePoints
    depth: NDArray[np.float32] | None = None
    true_masks: NDArray[np.bool_] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]


def draw_squares(scene: PointScene) -> NDArray[np.bool_]:
    """Return squares (N, H, W) bool that reach 32 pixels to each side of the points; they may overlap."""
    masks = np.zeros((len(scene.points), *scene.size), dtype=bool)
    for mask, (x, y) in zip(masks, scene.points.coords, strict=True):
        left, top, right, bottom = (round(v) for v in fallback_box((float(x), float(y)), _SIDE, scene.size))
        mask[top:bottom, left:right] = True
    return masks


def watershed_owners(scene: PointScene) -> Owners:
    """Assign pixels by the watershed of the gradients of color and depth, from the points and the background seeds."""
    from skimage.segmentation import watershed

    edges = gradient_norm(convert_to_lab(scene.image), _SMOOTHING)
    if scene.depth is not None:
        edges = edges + _DEPTH_WEIGHT * gradient_norm(scene.depth[:, :, None], _SMOOTHING)
    markers = _markers(scene)
    found = np.asarray(watershed(edges, markers), dtype=np.int64)
    return np.where(found > len(scene.points), 0, found)


def random_walker_owners(scene: PointScene) -> Owners:
    """Assign pixels by the random walker on color, from the points and the background seeds."""
    import warnings

    from skimage.segmentation import random_walker

    lab = convert_to_lab(scene.image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the solver's tolerance and optional packages
        found = random_walker(lab, _markers(scene), beta=1000, mode="cg_j", tol=1e-2, channel_axis=-1)
    found = np.asarray(found, dtype=np.int64)
    return np.where((found > len(scene.points)) | (found < 0), 0, found)


def otsu_owners(scene: PointScene) -> Owners:
    """Assign the foreground of Otsu's threshold to the nearest point; keep the point's component, without holes."""
    gray = cv2.cvtColor(scene.image, cv2.COLOR_RGB2GRAY)
    threshold, _ = cv2.threshold(gray, 0, 255, cv2.THRESH_OTSU)
    bright = gray > threshold
    x, y = scene.points.pixels().T
    foreground = bright == (bright[y, x].mean() >= 0.5)
    rows, columns = np.nonzero(foreground)
    owners = np.zeros(scene.size, dtype=np.int64)
    if len(rows):
        owners[rows, columns] = cKDTree(scene.points.pixels()).query(np.stack([columns, rows], axis=1))[1] + 1
    return keep_components(owners, scene.points)


def class_map_owners(scene: PointScene) -> Owners:
    """Assign the pixels of the computed class map to the nearest point of their component and class."""
    class_map = AutomaticClassMaps(_RADIUS)({}, scene.image, scene.points, scene.depth)
    return _nearest_in_component(class_map, scene.points)


def true_map_owners(scene: PointScene) -> Owners:
    """Assign the pixels of the true class map to the nearest point of their component and class.

    Raises:
        ValueError: the true masks are unknown.
    """
    if scene.true_masks is None:
        raise ValueError("the true class map needs ground-truth masks")
    class_map = np.zeros(scene.size, dtype=np.uint8)
    for mask, label in zip(scene.true_masks, scene.points.classes, strict=True):
        class_map[mask] = label + 1
    return _nearest_in_component(class_map, scene.points)


def keep_components(owners: Owners, points: ImagePoints) -> Owners:
    """Keep the component of each object that contains its point or is nearest to it, and fill its holes."""
    result = np.zeros_like(owners)
    for index, (x, y) in enumerate(points.pixels()):
        labels, count = ndimage.label(owners == index + 1, _NEIGHBORS)
        if not count:
            continue
        rows, columns = np.nonzero(labels)
        nearest = int(np.argmin((rows - y) ** 2 + (columns - x) ** 2))
        part = ndimage.binary_fill_holes(labels == labels[rows[nearest], columns[nearest]])
        result[part & (result == 0)] = index + 1
    return result


BASELINES: dict[str, Callable[[PointScene], Owners]] = {
    "watershed": watershed_owners,
    "random walker": random_walker_owners,
    "Otsu, nearest point": otsu_owners,
    "class map, nearest point": class_map_owners,
    "true class map, nearest point": true_map_owners,
}


def _nearest_in_component(class_map: NDArray[np.uint8], points: ImagePoints) -> Owners:
    coords = torch.from_numpy(points.coords).float()
    found = initial_labels(torch.from_numpy(class_map), coords, torch.from_numpy(points.classes), min_area=0)
    return found.owner.numpy()


def _markers(scene: PointScene) -> NDArray[np.int32]:
    """Return the seeds (H, W): index + 1 in a disc around each point, N + 1 in the background."""
    seeds = build_seed_map(scene.points, scene.size, _RADIUS)
    markers = np.where(seeds == 0, len(scene.points) + 1, 0).astype(np.int32)
    for index in reversed(range(len(scene.points))):  # the first of two points on one pixel has it
        x, y = scene.points.pixels()[index]
        cv2.circle(markers, (int(x), int(y)), _RADIUS, index + 1, -1)
    return markers
