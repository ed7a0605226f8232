"""Class maps of single images: labels, outputs of the heads without padding, probabilities, and cleaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from ...losses.hard_pixels import UNKNOWN
from ...ops.precision import full_precision
from .heads import STRIDE, PointOutputs

_NEIGHBORS = torch.ones(3, 3).numpy()  # 8-connected components


@dataclass(frozen=True)
class PointLabels:
    """Class map and points of one image of a batch.

    Attributes:
        class_map: (H, W) int64: 0 background, class + 1, 255 unknown.
        points: (N, 2) float32, x and y in input pixels.
        classes: (N,) int64.
        regions: (N, 4) float32 xyxy, box outside of which no pixel belongs to the object; None = the image.
        mask_owner: (H, W) int64, index + 1 of the object whose ground truth mask contains the pixel; None = no masks.
        seeds: (H, W) int64 class map of the pixels that are known from the points alone; None = not used.
    """

    class_map: Tensor
    points: Tensor
    classes: Tensor
    regions: Tensor | None = None
    mask_owner: Tensor | None = None
    seeds: Tensor | None = None

    @property
    def unknown(self) -> Tensor:
        """Return (H, W) bool, True at pixels of unknown class."""
        return self.class_map == UNKNOWN


@dataclass(frozen=True)
class GridOutputs:
    """Outputs of the heads for one image without padding, in float32 at least.

    Attributes:
        class_logits: (K + 1, h, w), h = ceil(H / 4), w = ceil(W / 4).
        offsets: (2, h, w), (dy, dx) in input pixels.
        features: (D, h * w).
        centers: (K, h, w) or None.
        size: (H, W) of the image in pixels.
    """

    class_logits: Tensor
    offsets: Tensor
    features: Tensor
    centers: Tensor | None
    size: tuple[int, int]


def split_outputs(outputs: PointOutputs, sizes: Sequence[Sequence[int]]) -> list[GridOutputs]:
    """Split the outputs of a padded batch into those of its images.

    Args:
        outputs: outputs for B images.
        sizes: (height, width) of each image without padding, pixels.

    Raises:
        ValueError: the number of images differs.
    """
    if len(sizes) != len(outputs.features):
        raise ValueError(f"the outputs are of {len(outputs.features)} images, the labels of {len(sizes)}")
    result = []
    for index, (height, width) in enumerate(sizes):
        grid = (index, slice(None), slice(-(-height // STRIDE)), slice(-(-width // STRIDE)))
        centers = None if outputs.centers is None else full_precision(outputs.centers[grid])
        logits, offsets = full_precision(outputs.class_logits[grid]), full_precision(outputs.offsets[grid])
        features = full_precision(outputs.features[grid]).flatten(1)
        result.append(GridOutputs(logits, offsets, features, centers, (height, width)))
    return result


def upsample_grid(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Upsample maps (C, h, w) on the grid of stride 4 bilinearly to the pixels of an image, (C, H, W)."""
    pixels = (maps.shape[1] * STRIDE, maps.shape[2] * STRIDE)
    full = F.interpolate(maps[None], size=pixels, mode="bilinear", align_corners=False)[0]
    return full[:, : size[0], : size[1]]


def compact_probabilities(class_logits: Tensor, classes: Tensor) -> Tensor:
    """Compute the probabilities of the background and of the classes that have a point (P2Seg; I2S).

    Args:
        class_logits: (K + 1, h, w), background first.
        classes: (N,) int64, class of each point.

    Returns:
        (k + 1, h, w), softmax over the background and the k classes of the points in ascending order.
    """
    channels = F.pad(torch.unique(classes) + 1, (1, 0))
    return class_logits[channels].softmax(0)


def compact_labels(class_map: Tensor, classes: Tensor) -> Tensor:
    """Renumber a class map in the order of the channels of ``compact_probabilities``.

    Args:
        class_map: (H, W) int64.
        classes: (N,) int64, class of each point.

    Returns:
        (H, W) int64: 0 background, 1..k the classes of the points, 255 unknown or a class without a point.
    """
    numbers = torch.full((UNKNOWN + 1,), UNKNOWN, dtype=torch.int64, device=class_map.device)
    present = torch.unique(classes)
    numbers[0] = 0
    numbers[present + 1] = torch.arange(1, len(present) + 1, device=class_map.device)
    return numbers[class_map]


def clean_class_map(probabilities: Tensor, label: PointLabels, certain: float, seed_radius: int) -> PointLabels:
    """Derive a class map from predicted probabilities and the points (section 3, source 3).

    A pixel has the most probable class if its probability exceeds ``certain``, else it is unknown. Pixels outside of
    all regions of the objects of their class are unknown. Discs around the points, and ground truth masks, have their
    class. Components without a point of their class are unknown, not background.

    Args:
        probabilities: (k + 1, H, W) of the background and the classes of the points, see ``compact_probabilities``.
        label: points of the image.
        certain: smallest probability of a known pixel, exclusive.
        seed_radius: radius of the discs around the points, pixels.

    Returns:
        The label with another class map.
    """
    numbers = F.pad(torch.unique(label.classes) + 1, (1, 0))
    best = probabilities.max(0)
    class_map = numbers[best.indices].masked_fill(best.values <= certain, UNKNOWN)
    class_map = _exclude_outside(class_map, label)
    class_map = draw_discs(class_map, label.points, label.classes + 1, seed_radius)
    if label.mask_owner is not None and len(label.classes):
        owned = label.mask_owner > 0
        class_map[owned] = label.classes[label.mask_owner[owned].long() - 1] + 1
    return replace(label, class_map=_exclude_pointless(class_map, label))


def draw_discs(class_map: Tensor, points: Tensor, values: Tensor, radius: int) -> Tensor:
    """Return a class map (H, W) with a disc of a value around each point (x, y); later points cover earlier ones."""
    height, width = class_map.shape
    class_map = class_map.clone()
    steps = torch.arange(-radius, radius + 1, device=points.device)
    dy, dx = torch.meshgrid(steps, steps, indexing="ij")
    inside = dy * dy + dx * dx <= radius * radius
    pixels = points.floor().long()
    x, y = pixels[:, :1] + dx[inside], pixels[:, 1:] + dy[inside]
    valid = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    class_map[y[valid], x[valid]] = values[:, None].expand_as(x)[valid].to(class_map.dtype)
    return class_map


def _exclude_outside(class_map: Tensor, label: PointLabels) -> Tensor:
    """Mark pixels as unknown that lie outside of the regions of all objects of their class."""
    if label.regions is None:
        return class_map
    height, width = class_map.shape
    rows = torch.arange(height, device=class_map.device) + 0.5
    columns = torch.arange(width, device=class_map.device) + 0.5
    outside = torch.zeros_like(class_map, dtype=torch.bool)
    for c in torch.unique(label.classes).tolist():
        x0, y0, x1, y1 = label.regions[label.classes == c].t()[..., None]
        in_rows, in_columns = (rows > y0) & (rows < y1), (columns > x0) & (columns < x1)
        covered = (in_rows.float().t() @ in_columns.float()) > 0
        outside |= (class_map == c + 1) & ~covered
    return class_map.masked_fill(outside, UNKNOWN)


def _exclude_pointless(class_map: Tensor, label: PointLabels) -> Tensor:
    """Mark the 8-connected components of a class as unknown that contain no point of the class."""
    array = class_map.cpu().numpy().copy()
    pixels = label.points.floor().long().cpu().numpy()
    classes = label.classes.cpu().numpy()
    for c in set(classes.tolist()):
        components, count = ndimage.label(array == c + 1, structure=_NEIGHBORS)
        x, y = pixels[classes == c].T
        inside = (x >= 0) & (x < array.shape[1]) & (y >= 0) & (y < array.shape[0])
        found = set(components[y[inside], x[inside]].tolist()) - {0}
        if len(found) < count:
            lost = [number for number in range(1, count + 1) if number not in found]
            array[torch.isin(torch.from_numpy(components), torch.tensor(lost)).numpy()] = UNKNOWN
    return torch.from_numpy(array).to(class_map.device)
