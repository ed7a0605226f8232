"""Marks of annotated points: crosses on objects, hollow circles off their object, x marks on the background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import ImageDraw

from .draw import Color, Rectangle, intersect, is_bright, load_font

_LINE_PIXELS = 11


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


def draw_points(pen: ImageDraw.ImageDraw, points: Sequence[DrawnPoint], radius: int = 4) -> None:
    """Draw points; a black or white edge around each mark keeps it readable on bright and dark images.

    Texts that would cover another text are left out.

    Args:
        pen: of the drawing.
        points: the points. The first one is drawn last, on top.
        radius: half the width of a mark in pixels, without the edge.
    """
    for point in reversed(points):
        edge = (0, 0, 0) if is_bright(point.color) else (255, 255, 255)
        for width, color in ((3, edge), (1, point.color)):
            _draw_mark(pen, point, radius + width // 2, color, width)
    taken: list[Rectangle] = []
    for point in points:
        if point.text:
            _draw_text(pen, point, radius, taken)


def choose_radius(count: int, area: float) -> int:
    """Return the radius of marks for ``count`` points on ``area`` square pixels: smaller if they are crowded."""
    return max(2, min(5, int((area / max(count, 1)) ** 0.5 / 5)))


def _draw_mark(pen: ImageDraw.ImageDraw, point: DrawnPoint, reach: int, color: Color, width: int) -> None:
    x, y = round(point.x - 0.5), round(point.y - 0.5)
    if point.label == 0:
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), outline=color, width=width)
        return
    side = reach - 1 if point.label < 0 else reach
    for dx, dy in ((1, -1), (1, 1)) if point.label < 0 else ((1, 0), (0, 1)):
        pen.line((x - side * dx, y - side * dy, x + side * dx, y + side * dy), fill=color, width=width)


def _draw_text(pen: ImageDraw.ImageDraw, point: DrawnPoint, radius: int, taken: list[Rectangle]) -> None:
    letters = load_font(_LINE_PIXELS)
    left, top, right, bottom = pen.textbbox((0, 0), point.text, font=letters)
    x, y = round(point.x) + radius + 2, round(point.y) - round(bottom - top) // 2 - 2
    rectangle = (x, y, x + round(right - left) + 3, y + round(bottom - top) + 3)
    if any(intersect(rectangle, other) for other in taken):
        return
    taken.append(rectangle)
    pen.rectangle(rectangle, fill=point.color)
    ink = (0, 0, 0) if is_bright(point.color) else (255, 255, 255)
    pen.text((x + 2 - left, y + 2 - top), point.text, fill=ink, font=letters)
