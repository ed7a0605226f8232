"""Marks of points: their shapes and colors, readable on any image, and texts that stay inside the drawing."""

import numpy as np
import pytest
from PIL import Image

from depthbox.visualization.point_marks import DrawnPoint, choose_radius, draw_points

RED, YELLOW, BLUE = (255, 0, 0), (255, 220, 0), (60, 60, 255)
SIZE = 41


def draw(*points: DrawnPoint, ground: tuple[int, int, int] = (0, 0, 0), radius: int = 4) -> np.ndarray:
    drawing = Image.new("RGB", (SIZE, SIZE), ground)
    draw_points(drawing, points, radius)
    return np.asarray(drawing)


def pixels_of(pixels: np.ndarray, color: tuple[int, int, int]) -> set[tuple[int, int]]:
    """Return the offsets (x, y) of the pixels of a color from the center of the drawing."""
    rows, columns = np.nonzero((pixels == color).all(-1))
    return {(int(x) - SIZE // 2, int(y) - SIZE // 2) for x, y in zip(columns, rows, strict=True)}


def test_a_positive_point_is_a_cross_at_its_pixel() -> None:
    found = pixels_of(draw(DrawnPoint(20.5, 20.5, 1, RED)), RED)
    assert found == {(d, 0) for d in range(-4, 5)} | {(0, d) for d in range(-4, 5)}


def test_a_negative_point_is_a_hollow_circle() -> None:
    found = pixels_of(draw(DrawnPoint(20.5, 20.5, 0, RED)), RED)
    assert {(4, 0), (-4, 0), (0, 4), (0, -4)} <= found
    assert all(3 <= np.hypot(x, y) <= 5 for x, y in found)


def test_a_background_point_is_an_x() -> None:
    found = pixels_of(draw(DrawnPoint(20.5, 20.5, -1, RED)), RED)
    assert found == {(d, sign * d) for d in range(-3, 4) for sign in (-1, 1)}


@pytest.mark.parametrize("radius", [2, 4, 6])
@pytest.mark.parametrize("label", [1, 0, -1])
@pytest.mark.parametrize(("color", "edge"), [(YELLOW, (0, 0, 0)), (BLUE, (255, 255, 255))])
@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255), (128, 128, 128)])
def test_marks_have_their_color_and_an_edge_of_the_opposite_brightness(
    radius: int, label: int, color: tuple[int, int, int], edge: tuple[int, int, int], ground: tuple[int, int, int]
) -> None:
    pixels = draw(DrawnPoint(20.5, 20.5, label, color), ground=ground, radius=radius)
    own = pixels_of(pixels, color)
    assert len(own) >= 2 * radius - 1
    around = {(x + dx, y + dy) for x, y in own for dx in (-1, 0, 1) for dy in (-1, 0, 1)} - own
    assert around <= pixels_of(pixels, edge), "every neighbor of the mark is its edge"


def test_the_first_point_is_on_top() -> None:
    pixels = draw(DrawnPoint(20.5, 20.5, 1, RED), DrawnPoint(20.5, 20.5, 1, YELLOW))
    assert len(pixels_of(pixels, RED)) == 17 and not pixels_of(pixels, YELLOW)


def test_a_text_at_the_right_border_is_on_the_left_of_its_point() -> None:
    left = draw(DrawnPoint(5.5, 20.5, 1, RED, "ox"))
    assert max(x for x, _ in pixels_of(left, RED)) > -5, "beside the mark, on the right"
    right = draw(DrawnPoint(36.5, 20.5, 1, RED, "ox"))
    assert min(x for x, _ in pixels_of(right, RED)) < 8, "on the left"


def test_texts_do_not_cover_one_another() -> None:
    one = draw(DrawnPoint(5.5, 20.5, 1, RED, "ox"))
    two = draw(DrawnPoint(5.5, 20.5, 1, RED, "ox"), DrawnPoint(6.5, 22.5, 1, RED, "ox"))
    height = [len({y for x, y in pixels_of(pixels, RED) if x > -6}) for pixels in (one, two)]
    assert height[0] == height[1], "the second text is left out"


def test_marks_are_smaller_where_they_are_crowded() -> None:
    radii = [choose_radius(count, 360 * 270) for count in (1, 50, 300, 3000)]
    assert radii[0] == 6 and radii[-1] == 2 and radii == sorted(radii, reverse=True)
    assert choose_radius(0, 100) >= 2
