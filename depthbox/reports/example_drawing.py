"""Drawing of one case of a dataset check: its image with boxes, points and depth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ..data.check.check import CheckReport
from ..data.check.findings import Box, Example
from ..data.check.points.marks import PointMark
from ..data.depth_io import DEPTH_SUFFIXES
from ..io.images import ImageError, read_image
from ..io.untrusted.arrays import read_array, read_png
from ..visualization.point_marks import DrawnPoint, choose_radius, draw_points

TILE = (360, 270)  # maximum width and height of a drawing
RED, BLUE, YELLOW, OUTSIDE = (230, 30, 50), (110, 190, 255), (255, 210, 0), (128, 128, 128)
_MAX_ZOOM = 8.0
_REACH = 3  # maximum number of image widths and heights drawn beyond the image
_BORDER = 8  # pixels of a drawing that a mark takes
_MARGIN = 0.04  # of the longer side of the image, around points outside the image


def draw_example(report: CheckReport, example: Example) -> Image.Image | None:
    """Draw one case; None if it has no readable image."""
    if not example.file or report.image_root is None:
        return None
    try:
        image = Image.fromarray(read_image(report.image_root / example.file))
    except ImageError:  # the text of the case names the problem
        return None
    drawing = _draw_objects(image, example, report.boxes.get(example.file, ()), report.marks.get(example.file, ()))
    depth = _read_depth(report.settings.depth, example.file) if example.depth else None
    return drawing if depth is None else _join(drawing, depth)


def _draw_objects(
    image: Image.Image, example: Example, boxes: Sequence[Box], marks: Sequence[PointMark]
) -> Image.Image:
    size = example.declared_size
    frame = None if size is None else (0.0, 0.0, float(size[1]), float(size[0]))
    x0, y0, x1, y1 = _find_window(image.size, example, frame)
    scale = min(TILE[0] / (x1 - x0), TILE[1] / (y1 - y0), _MAX_ZOOM)
    drawing = _cut(image, (x0, y0, x1, y1), scale)
    pen = ImageDraw.Draw(drawing)
    for box, color, width in [(b, BLUE, 1) for b in boxes] + [(frame, YELLOW, 2), (example.box, RED, 2)]:
        if box is not None:
            corners = _to_corners(box) - np.array([x0, y0, x0, y0])
            # A faulty box that leaves the drawing keeps a line at its border; other boxes do not.
            margin = 9 if color == BLUE else 0
            left, top, right, bottom = np.clip(
                corners * scale, -margin, np.array(drawing.size * 2) - 1 + margin
            ).tolist()
            pen.rectangle((left, top, right, bottom), outline=color, width=width)
    covered = min(image.width * image.height * scale**2, float(drawing.width * drawing.height))
    _draw_points(drawing, example, marks, (x0, y0), scale, covered)
    return drawing


def _draw_points(
    drawing: Image.Image,
    example: Example,
    marks: Sequence[PointMark],
    corner: tuple[int, int],
    scale: float,
    area: float,
) -> None:
    """Draw the points of a case and of its image; ``area`` is that of the image in the drawing, in square pixels."""
    labels = {(mark.x, mark.y): mark.label for mark in marks}
    others = [mark for mark in marks if (mark.x, mark.y) not in example.points]
    places = np.array([*example.points, *((mark.x, mark.y) for mark in others)]).reshape(-1, 2)
    places = (np.clip(places, -1e7, 1e7) - corner) * scale
    # A faulty point that leaves the drawing keeps a mark at its border; other points do not.
    size = np.array(drawing.size)
    own = len(example.points)
    places[:own] = np.clip(places[:own], _BORDER, size - _BORDER)
    flags = [labels.get(point, 1) for point in example.points] + [mark.label for mark in others]
    colors = [RED] * own + [BLUE] * len(others)
    visible = ((places > -_BORDER) & (places < size + _BORDER)).all(1)
    points = [
        DrawnPoint(x, y, flag, color)
        for (x, y), flag, color, shown in zip(places.tolist(), flags, colors, visible, strict=True)
        if shown
    ]
    draw_points(drawing, points, choose_radius(len(points), area))


def _cut(image: Image.Image, window: tuple[int, int, int, int], scale: float) -> Image.Image:
    """Return a window of an image, resized; only the part that the image covers is resized, the rest is gray."""
    x0, y0, x1, y1 = window
    size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    part = (max(0, x0), max(0, y0), min(image.width, x1), min(image.height, y1))
    target = (max(1, round((part[2] - part[0]) * scale)), max(1, round((part[3] - part[1]) * scale)))
    drawing = Image.new("RGB", size, OUTSIDE)
    drawing.paste(image.resize(target, box=part), (round((part[0] - x0) * scale), round((part[1] - y0) * scale)))
    return drawing


def _find_window(size: tuple[int, int], example: Example, frame: Box | None) -> tuple[int, int, int, int]:
    """Return the drawn area (x0, y0, x1, y1) in pixels of the image.

    The area covers the image and everything outside it that is marked. For a small marked box, or a point, it covers
    only the surroundings.
    """
    width, height = size
    marked = _marked_corners(example, size)
    window = np.array([0.0, 0.0, width, height])
    for corners in (marked, None if frame is None else _to_corners(frame)):
        if corners is not None:
            window = np.concatenate([np.minimum(window[:2], corners[:2]), np.maximum(window[2:], corners[2:])])
    reach = np.array([width, height])
    if marked is not None and (window == (0, 0, width, height)).all():
        least = max(size) / 10 if example.points else 16.0
        half = max(16.0, least, 2 * float((marked[2:] - marked[:2]).max()))
        if half < max(size) / 4:
            middle = (marked[:2] + marked[2:]) / 2
            window = np.concatenate([np.maximum(middle - half, 0), np.minimum(middle + half, reach)])
    window = np.clip(window, -_REACH * np.tile(reach, 2), (1 + _REACH) * np.tile(reach, 2))
    low, high = np.floor(window[:2]).astype(int).tolist(), np.ceil(window[2:]).astype(int).tolist()
    return low[0], low[1], max(high[0], low[0] + 1), max(high[1], low[1] + 1)


def _marked_corners(example: Example, size: tuple[int, int]) -> np.ndarray | None:
    """Return corners x0, y0, x1, y1 around the box and the points of a case; points outside get a margin."""
    parts = [] if example.box is None else [_to_corners(example.box)]
    for point in np.clip(np.array(example.points, dtype=np.float64).reshape(-1, 2), -1e7, 1e7):
        inside = (point >= 0).all() and (point <= size).all()
        margin = 0.0 if inside else _MARGIN * max(size)
        parts.append(np.concatenate([point - margin, point + margin]))
    if not parts:
        return None
    corners = np.array(parts)
    return np.concatenate([corners[:, :2].min(0), corners[:, 2:].max(0)])


def _to_corners(box: Box) -> np.ndarray:
    """Return the sorted corners x0, y0, x1, y1 of a box x, y, width, height."""
    x, y, width, height = np.clip(np.array(box, dtype=np.float64), -1e7, 1e7).tolist()
    return np.array([min(x, x + width), min(y, y + height), max(x, x + width), max(y, y + height)])


def _read_depth(folder: Path | None, file: str) -> Image.Image | None:
    """Return the depth map of an image as a gray image, also with a wrong type or range; None if it is unreadable."""
    for suffix in DEPTH_SUFFIXES:
        path = Path(folder or "", os.path.splitext(file)[0] + suffix)
        try:
            if path.is_file():
                values = read_array(path) if suffix == ".npy" else read_png(path).values
                values = np.nan_to_num(values.real.astype(np.float64), nan=0, posinf=0, neginf=0)
                if values.ndim != 2 or not values.size:
                    return None
                values -= values.min()
                return Image.fromarray((255 * values / max(values.max(), 1e-9)).astype(np.uint8)).convert("RGB")
        except (OSError, ValueError, TypeError, MemoryError):  # also of a shape that is not that of an image
            return None
    return None


def _join(image: Image.Image, other: Image.Image) -> Image.Image:
    other = other.resize((max(1, round(other.width * image.height / other.height)), image.height))
    both = Image.new("RGB", (image.width + 4 + other.width, image.height), OUTSIDE)
    both.paste(image, (0, 0))
    both.paste(other, (image.width + 4, 0))
    return both
