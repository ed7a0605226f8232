"""Synthetic inputs shared by both implementations, drawn from a fixed seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..structures import Queries

STRIDES = (8, 16, 32, 64, 128)
SIZES_OF_INTEREST = (64.0, 128.0, 256.0, 512.0)
_REFERENCE_SIDE = math.sqrt(800 * 1344)
_BLOB = 64  # distance in pixels of the random values that an image interpolates
_SMALLEST, _LARGEST = 16.0, 600.0  # root of a box's area, pixels, in an image of 800 x 1344


@dataclass(frozen=True)
class Setting:
    """Sizes of the inputs.

    Attributes:
        images: B.
        height, width: size of the images in pixels, multiples of 32.
        objects: annotated objects per image.
        queries: queries per image.
        classes: C.
        channels: channels of the mask features.
        stride, feature_stride: pixels per cell of the mask logits and of the mask features.
        seed: seed of all random numbers.
    """

    images: int = 2
    height: int = 800
    width: int = 1344
    objects: int = 7
    queries: int = 64
    classes: int = 80
    channels: int = 16
    stride: int = 4
    feature_stride: int = 8
    seed: int = 0

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the mask grid."""
        return self.height // self.stride, self.width // self.stride

    @property
    def levels(self) -> list[tuple[int, int]]:
        """Height and width of each pyramid level, rounded up as by strided convolutions."""
        return [(-(-self.height // s), -(-self.width // s)) for s in STRIDES]

    def with_objects(self, objects: int, queries: int | None = None) -> Setting:
        """Return a copy with other numbers of objects and queries per image; None keeps the queries."""
        return replace(self, objects=objects, queries=self.queries if queries is None else queries)

    def generator(self, salt: int = 0) -> torch.Generator:
        """Return the random generator of this setting; each salt gives another sequence."""
        return torch.Generator().manual_seed(self.seed * 1000 + salt)


def make_boxes(setting: Setting, device: torch.device) -> list[Tensor]:
    """Draw boxes (N, 4) xyxy for each image, in pixels with fractions.

    The root of the area is log-uniform: most boxes are small, and their mean area is about 5 % of the image. Aspect
    ratios range from 1:2 to 2:1.
    """
    scale = math.sqrt(setting.height * setting.width) / _REFERENCE_SIDE
    boxes = []
    for image in range(setting.images):
        u = torch.rand((4, setting.objects), generator=setting.generator(image))
        side = scale * _SMALLEST * (_LARGEST / _SMALLEST) ** u[0]
        root = 2.0 ** (u[1] - 0.5)
        width = (side * root).clamp(max=setting.width - 1.0)
        height = (side / root).clamp(max=setting.height - 1.0)
        left, top = u[2] * (setting.width - width), u[3] * (setting.height - height)
        boxes.append(torch.stack((left, top, left + width, top + height), 1).to(device))
    return boxes


def make_classes(setting: Setting, device: torch.device) -> list[Tensor]:
    """Draw classes (N,) int64 for each image."""
    generator = setting.generator(101)
    size = (setting.images, setting.objects)
    return list(torch.randint(0, setting.classes, size, generator=generator).to(device))


def make_images(setting: Setting, device: torch.device) -> Tensor:
    """Draw images (B, 3, H, W) uint8: smooth color blobs with noise, so that neighbors are often similar."""
    size = (setting.height, setting.width)
    blobs = _blobs(setting, 3, size, setting.generator(102))
    noise = torch.randn((setting.images, 3, *size), generator=setting.generator(103))
    return (blobs * 255 + 6 * noise).clamp(0, 255).byte().to(device)


def make_depth(setting: Setting, device: torch.device, size: tuple[int, int] | None = None) -> Tensor:
    """Draw smooth depth (B, h, w) float32 in [0, 1], by default on the mask grid."""
    return _blobs(setting, 1, size or setting.grid, setting.generator(104))[:, 0].to(device)


def make_queries(setting: Setting, boxes: list[Tensor]) -> Queries:
    """Make queries that are assigned to the objects in turn, near their centers, on the level of their size.

    Args:
        setting: sizes of the inputs.
        boxes: (N, 4) xyxy of each image.
    """
    device = boxes[0].device
    image = torch.arange(setting.images).repeat_interleave(setting.queries)
    own = (torch.arange(setting.queries) * setting.objects // max(setting.queries, 1)).repeat(setting.images)
    target = image * setting.objects + own
    chosen = torch.cat([b.cpu() for b in boxes])[target]
    center, extent = (chosen[:, :2] + chosen[:, 2:]) / 2, chosen[:, 2:] - chosen[:, :2]
    level = torch.bucketize(extent.amax(1) / 2, torch.tensor(SIZES_OF_INTEREST))
    stride = torch.tensor(STRIDES)[level]
    jitter = torch.rand((len(chosen), 2), generator=setting.generator(105)) * 2 - 1
    last = torch.tensor([(w, h) for h, w in setting.levels])[level] - 1
    cell = torch.minimum((center / stride[:, None] + jitter).floor().clamp(min=0).long(), last)
    return Queries(
        image_index=image.to(device),
        level=level.to(device),
        row=cell[:, 1].to(device),
        column=cell[:, 0].to(device),
        locations=(cell * stride[:, None] + stride[:, None] // 2).float().to(device),
        target_index=target.to(device),
        counts=(setting.queries,) * setting.images,
        num_positives=len(target),
    )


def make_blob_logits(boxes: Tensor, grid: tuple[int, int], stride: int, generator: torch.Generator) -> Tensor:
    """Draw mask logits (N, 1, *grid) like those of a trained network: a noisy ellipse in each box, low outside.

    Args:
        boxes: (N, 4) xyxy, pixels.
        grid: height and width of the mask grid.
        stride: pixels per cell of the grid.
        generator: random numbers of the noise.
    """
    device = boxes.device
    x = torch.arange(grid[1], device=device) * stride + stride // 2
    y = torch.arange(grid[0], device=device) * stride + stride // 2
    center, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).clamp(min=1) / 2
    across = ((x - center[:, :1]) / half[:, :1]) ** 2
    down = ((y - center[:, 1:]) / half[:, 1:]) ** 2
    noise = torch.randn((len(boxes), *grid), generator=generator).to(device)
    return ((1 - across[:, None] - down[:, :, None]) * 8).clamp(-12, 8).add_(noise)[:, None]


def _blobs(setting: Setting, channels: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    rows, columns = (max(side // _BLOB, 1) + 1 for side in (setting.height, setting.width))
    coarse = torch.rand((setting.images, channels, rows, columns), generator=generator)
    return F.interpolate(coarse, size=size, mode="bicubic", align_corners=False).clamp(0, 1)
