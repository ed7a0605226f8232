"""Marks of annotated points: crosses on objects, hollow circles off their object, x marks on the background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from .draw import Color, Rectangle, intersect, is_bright, load_font

_LETTERS = 11  # pixels
_AROUND = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dx, dy) != (0, 0)]
_THICK = 5  # smallest radius of marks with thick lines


class DrawnPoint(NamedTuple):
    """A point to draw.

    Attributes:
        x, y: continuous pixels of the drawing.
        label: 1 = on an object (cross), 0 = not on its object (hollow circle), -1 = on no object (x mark).
        color: RGB.
        text: class of the object; "" = none.
    """

    x: float
    y: float
    label: int
    color: Color
    text: str = ""


def draw_points(drawing: Image.Image, points: Sequence[DrawnPoint], radius: int = 4) -> None:
    """Draw points; a black or white edge around each mark keeps it readable on bright and dark images.

    Texts that would cover another text are left out.

    Args:
        drawing: RGB image, changed in place.
        points: the points. The first one is drawn last, on top.
        radius: half the width of a mark in pixels, without the edge. Marks of 5 pixels and more have thick lines.
    """
    pen = ImageDraw.Draw(drawing)
    taken: list[Rectangle] = []
    for point in points:
        if point.text:
            _draw_text(pen, point, radius, drawing.width, taken)
    line = 3 if radius >= _THICK else 1
    for point in reversed(points):
        edge = (0, 0, 0) if is_bright(point.color) else (255, 255, 255)
        x, y = round(point.x - 0.5), round(point.y - 0.5)
        for dx, dy in _AROUND:
            _draw_mark(pen, (x + dx, y + dy), point.label, radius, edge, line)
        _draw_mark(pen, (x, y), point.label, radius, point.color, line)


def choose_radius(count: int, area: float) -> int:
    """Return the radius of marks for ``count`` points on ``area`` square pixels: smaller if they are crowded."""
    return max(2, min(6, int((area / max(count, 1)) ** 0.5 / 7)))


def _draw_mark(
    pen: ImageDraw.ImageDraw, pixel: tuple[int, int], label: int, reach: int, color: Color, width: int
) -> None:
    x, y = pixel
    if label == 0:
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), outline=color, width=width)
        return
    side = reach - 1 if label < 0 else reach
    for dx, dy in ((1, -1), (1, 1)) if label < 0 else ((1, 0), (0, 1)):
        pen.line((x - side * dx, y - side * dy, x + side * dx, y + side * dy), fill=color, width=width)


def _draw_text(
    pen: ImageDraw.ImageDraw, point: DrawnPoint, radius: int, right_border: int, taken: list[Rectangle]
) -> None:
    """Draw the text of a point beside its mark: on the right, or on the left if it would leave the drawing."""
    letters = load_font(_LETTERS)
    left, top, right, bottom = pen.textbbox((0, 0), point.text, font=letters)
    width, height = round(right - left) + 4, round(bottom - top) + 4
    x, y = round(point.x) + radius + 2, round(point.y) - height // 2
    if x + width > right_border:
        x = round(point.x) - radius - 3 - width
    rectangle = (x, y, x + width - 1, y + height - 1)
    if any(intersect(rectangle, other) for other in taken):
        return
    taken.append(rectangle)
    pen.rectangle(rectangle, fill=point.color)
    ink = (0, 0, 0) if is_bright(point.color) else (255, 255, 255)
    pen.text((x + 2 - left, y + 2 - top), point.text, fill=ink, font=letters)
