"""The made-up inputs that all contestants share, drawn from a fixed seed."""

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
_BLOB = 64  # pixels from one random value of an image to the next
_SMALLEST, _LARGEST = 16.0, 600.0  # pixels, root of a box's area in an image of 800 x 1344


@dataclass(frozen=True)
class Setting:
    """How large the inputs are.

    Attributes:
        images: B.
        height, width: of the images, multiples of 32, pixels.
        objects: annotated in each image.
        queries: of each image.
        classes: C.
        channels: of the mask features.
        stride, feature_stride: pixels per cell of the mask logits and of the mask features.
        seed: of everything random.
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
        """Rows and columns of the mask grid."""
        return self.height // self.stride, self.width // self.stride

    @property
    def levels(self) -> list[tuple[int, int]]:
        """Rows and columns of the pyramid's levels; coarse ones are rounded up, as by strided convolutions."""
        return [(-(-self.height // s), -(-self.width // s)) for s in STRIDES]

    def with_objects(self, objects: int, queries: int | None = None) -> Setting:
        return replace(self, objects=objects, queries=self.queries if queries is None else queries)

    def generator(self, salt: int = 0) -> torch.Generator:
        """Random numbers of this setting; different salts give different ones."""
        return torch.Generator().manual_seed(self.seed * 1000 + salt)


def make_boxes(setting: Setting, device: torch.device) -> list[Tensor]:
    """(N, 4) xyxy of each image: root of the area log-uniform, so that most are small, the mean about 5 % of an image.

    Aspect ratios reach from 1:2 to 2:1, coordinates are fractions of pixels.
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
    """(N,) int64 of each image."""
    generator = setting.generator(101)
    size = (setting.images, setting.objects)
    return list(torch.randint(0, setting.classes, size, generator=generator).to(device))


def make_images(setting: Setting, device: torch.device) -> Tensor:
    """(B, 3, H, W) uint8: soft blobs of colour with a little noise, so that neighbours are often alike, not always."""
    size = (setting.height, setting.width)
    blobs = _blobs(setting, 3, size, setting.generator(102))
    noise = torch.randn((setting.images, 3, *size), generator=setting.generator(103))
    return (blobs * 255 + 6 * noise).clamp(0, 255).byte().to(device)


def make_depth(setting: Setting, device: torch.device, size: tuple[int, int] | None = None) -> Tensor:
    """(B, h, w) float32 in [0, 1], smooth; on the mask grid unless a size is given."""
    return _blobs(setting, 1, size or setting.grid, setting.generator(104))[:, 0].to(device)


def make_queries(setting: Setting, boxes: list[Tensor]) -> Queries:
    """Queries that stand for the objects in turn, near their centres, on the level of their size."""
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
    """(N, 1, *grid) logits of a mask like a ragged ellipse in each box, low outside, as a trained network gives."""
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
