"""Images with known objects for the sources of class maps."""

import numpy as np
from numpy.typing import NDArray

from depthbox.data.points import ImagePoints

SIZE = (80, 100)


def make_points(coords: list[tuple[float, float]], classes: list[int], **more: NDArray) -> ImagePoints:
    count = len(coords)
    return ImagePoints(
        np.array(coords, dtype=np.float64).reshape(-1, 2),
        np.array(classes, dtype=np.int64),
        more.get("kinds", np.zeros(count, dtype=np.int64)),
        more.get("regions", np.tile(np.array([0.0, 0.0, SIZE[1], SIZE[0]]), (count, 1))),
        more.get("background", np.zeros((0, 2))),
    )


def draw_discs(centers: list[tuple[int, int]], radius: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.any([(x - cx) ** 2 + (y - cy) ** 2 <= radius**2 for cx, cy in centers], axis=0)


def make_cells() -> tuple[NDArray[np.uint8], NDArray[np.bool_], ImagePoints]:
    """Bright discs of different brightness on an uneven dark background: image, foreground, points off the centers."""
    rng = np.random.default_rng(3)
    centers = [(18, 20), (48, 18), (80, 22), (25, 58), (60, 55), (85, 62)]
    shade = np.linspace(10, 40, SIZE[1])[None, :] + rng.normal(0, 2, SIZE)
    for number, center in enumerate(centers):
        shade = np.where(draw_discs([center], 8), shade + 60 + 25 * number, shade)
    image = np.repeat(np.clip(shade, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    points = make_points([(x + 5.5, y + 2.5) for x, y in centers], [0] * 6)
    return image, draw_discs(centers, 8), points
