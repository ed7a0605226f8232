"""Labels of points by loops over pixels, and scenes of blobs with points."""

from __future__ import annotations

import math
from collections import deque

import torch
from torch import Tensor

Pixel = tuple[int, int]


def components_by_search(mask: Tensor) -> list[list[Pixel]]:
    """List the 8-connected components of (H, W) bool as lists of (y, x), by breadth-first search."""
    left = {(y, x) for y, x in mask.nonzero().tolist()}
    components = []
    while left:
        queue, part = deque([left.pop()]), []
        while queue:
            y, x = queue.popleft()
            part.append((y, x))
            for near in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                if near in left:
                    left.remove(near)
                    queue.append(near)
        components.append(part)
    return components


def pixel_of(point: Tensor) -> Pixel | None:
    """Return the pixel (y, x) of a point (x, y), None for NaN."""
    x, y = point.tolist()
    return None if math.isnan(x) or math.isnan(y) else (math.floor(y), math.floor(x))


def nearest(target: tuple[float, float], points: dict[int, Pixel]) -> int:
    """Return the first of the nearest points {index: (y, x)} of a target (y, x)."""
    return min(points, key=lambda i: ((target[0] - points[i][0]) ** 2 + (target[1] - points[i][1]) ** 2, i))


def within(pixel: Pixel, region: Tensor) -> bool:
    x0, y0, x1, y1 = region.tolist()
    return pixel[1] + 1 > x0 and pixel[1] < x1 and pixel[0] + 1 > y0 and pixel[0] < y1


def initial_owner_by_loop(
    class_map: Tensor, points: Tensor, classes: Tensor, min_area: int, regions: Tensor | None = None
) -> Tensor:
    """Return the owner map (H, W) of the first labels."""
    owner = torch.zeros(class_map.shape, dtype=torch.long)
    for c in set(classes.tolist()):
        for part in components_by_search(class_map == c + 1):
            inside = {i: pixel_of(p) for i, p in enumerate(points) if classes[i] == c and pixel_of(p) in part}
            for pixel in part:
                allowed = {i: p for i, p in inside.items() if regions is None or within(pixel, regions[i])}
                if allowed and len(part) >= min_area:
                    owner[pixel] = nearest(pixel, allowed) + 1
    return owner


def refined_owner_by_loop(
    class_map: Tensor, offsets: Tensor, points: Tensor, classes: Tensor, regions: Tensor | None = None
) -> Tensor:
    """Return the owner map (H, W) of S2I."""
    owner = torch.zeros(class_map.shape, dtype=torch.long)
    height, width = class_map.shape
    pixels = [pixel_of(p) for p in points]
    for y, x in torch.ones_like(class_map).nonzero().tolist():
        allowed = {
            i: p
            for i, p in enumerate(pixels)
            if p is not None
            and 0 <= p[0] < height
            and 0 <= p[1] < width
            and int(class_map[y, x]) == int(classes[i]) + 1
            and (regions is None or within((y, x), regions[i]))
        }
        if allowed:
            owner[y, x] = nearest((y + float(offsets[0, y, x]), x + float(offsets[1, y, x])), allowed) + 1
    return owner


def make_blobs(height: int, width: int, classes: int = 3) -> Tensor:
    """Draw rectangles of several classes, background, and a few unknown pixels: (H, W) uint8."""
    class_map = torch.zeros((height, width), dtype=torch.uint8)
    for _ in range(12):
        y, x = int(torch.randint(height, ())), int(torch.randint(width, ()))
        high, wide = (int(torch.randint(2, 14, ())) for _ in range(2))
        class_map[y : y + high, x : x + wide] = int(torch.randint(classes + 1, ()))
    class_map[torch.rand(height, width) > 0.97] = 255
    return class_map


def make_points(class_map: Tensor, count: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Draw points (N, 2) with their class at the pixel where that is known, otherwise of a random class."""
    height, width = class_map.shape
    points = torch.rand(count, 2) * torch.tensor([width, height])
    found = class_map[points[:, 1].long(), points[:, 0].long()].long() - 1
    random = torch.randint(classes, (count,))
    return points, torch.where((found >= 0) & (found < classes), found, random)
