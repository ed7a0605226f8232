"""Objects and maps drawn into RGB images, with numpy and Pillow alone."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
Color = tuple[int, int, int]
Place = tuple[int, int, int, int]  # first and last pixel: left, top, right, bottom

# Dark violet, blue, green, yellow: readable without colour vision, as its brightness rises steadily.
COLORMAP = np.array(
    [
        (13, 8, 60),
        (62, 30, 130),
        (49, 90, 160),
        (32, 140, 140),
        (70, 185, 100),
        (180, 220, 60),
        (255, 250, 160),
    ]
)


@dataclass
class Objects:
    """What is drawn of N objects, in pixels of one image.

    Attributes:
        boxes: (N, 4) xyxy.
        labels: N texts; "" draws none.
        masks: (N, H, W) bool, or None where there are none.
        colors: N RGB colours; empty = those of ``instance_color``.
    """

    boxes: NDArray[np.float64]
    labels: Sequence[str]
    masks: NDArray[np.bool_] | None = None
    colors: Sequence[Color] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        self.boxes = np.asarray(self.boxes, dtype=np.float64).reshape(-1, 4)
        self.colors = self.colors or [instance_color(i) for i in range(len(self.boxes))]
        counts = {len(self.boxes), len(self.labels), len(self.colors)}
        if self.masks is not None:
            counts.add(len(self.masks))
        if len(counts) > 1:
            raise ValueError(f"boxes, labels, colours and masks must be equally many, got {sorted(counts)}")


def instance_color(number: int) -> Color:
    """The RGB colour of object ``number``: the same every time, and far from those of its predecessors."""
    hue = (0.02 + number * 0.61803398875) % 1.0
    saturation = (0.95, 0.70, 0.85)[number % 3]
    value = (1.0, 0.9)[number // 3 % 2]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def is_bright(color: Color) -> bool:
    """Whether letters on it must be black to be read, not white."""
    return 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2] > 120


def colorize(values: NDArray[np.floating]) -> Picture:
    """Colour a map (H, W) in [0, 1], dark violet = 0 to pale yellow = 1; gives (H, W, 3) uint8.

    Raises:
        ValueError: the map is not (H, W) or not finite.
    """
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError(f"colorize takes a finite (H, W) map, got {values.dtype} {values.shape}")
    stops = np.linspace(0, 1, len(COLORMAP))
    channels = [np.interp(values, stops, COLORMAP[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def resize_image(image: Picture, size: tuple[int, int], smooth: bool = True) -> Picture:
    """Resize (H, W, 3) uint8 to ``size`` (height, width), smoothly or in sharp blocks."""
    method = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), method))


def resize_objects(objects: Objects, size: tuple[int, int], new_size: tuple[int, int]) -> Objects:
    """Move objects from an image of ``size`` (height, width) to one of ``new_size``."""
    scale = np.array([new_size[1] / size[1], new_size[0] / size[0]] * 2)
    masks = None
    if objects.masks is not None:
        shape = (new_size[1], new_size[0])
        rows = [Image.fromarray(m.astype(np.uint8) * 255) for m in objects.masks]
        resized = [np.asarray(row.resize(shape, Image.Resampling.BILINEAR)) >= 128 for row in rows]
        masks = np.array(resized, dtype=bool).reshape(-1, *new_size)
    return Objects(objects.boxes * scale, objects.labels, masks, objects.colors)


def draw_objects(image: Picture, objects: Objects, fill: float = 0.45, boxes: bool = True) -> Picture:
    """Draw masks (translucent, with an outline), boxes and the labels that there is room for into a copy of an image.

    Args:
        image: (H, W, 3) uint8, RGB.
        objects: at the image's size. The first one is drawn last, on top.
        fill: opacity of the masks in [0, 1]; 0 draws only their outlines.
        boxes: whether to draw boxes.

    Raises:
        ValueError: masks of another size than the image.
    """
    canvas = image.copy()
    order = range(len(objects.boxes) - 1, -1, -1)
    if objects.masks is not None:
        if objects.masks.shape[1:] != image.shape[:2]:
            raise ValueError(f"the masks are {objects.masks.shape[1:]}, the image {image.shape[:2]}")
        for i in order:
            _blend(canvas, objects.masks[i], objects.colors[i], fill)
        for i in order:
            canvas[_outline(objects.masks[i])] = objects.colors[i]
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    if boxes:
        for i in order:
            pen.rectangle(_corners(objects.boxes[i], image), outline=objects.colors[i], width=1)
    taken: list[Place] = []
    for i in reversed(order):
        if objects.labels[i]:
            _label(pen, objects.labels[i], _corners(objects.boxes[i], image), objects.colors[i], image.shape, taken)
    return np.asarray(picture)


def overlap(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4), xyxy."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    area = [np.clip(b[:, 2:] - b[:, :2], 0, None).prod(-1) for b in (first, second)]
    union = area[0][:, None] + area[1][None] - common
    return common / np.maximum(union, 1e-9)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, about ``size`` pixels high where Pillow can scale it."""
    try:
        return ImageFont.load_default(size=size)
    except (TypeError, ImportError):  # Pillow before 10.1, or built without FreeType
        return ImageFont.load_default()


def _blend(canvas: Picture, mask: NDArray[np.bool_], color: Color, opacity: float) -> None:
    if opacity > 0:
        mixed = canvas[mask] * (1 - opacity) + np.array(color) * opacity
        canvas[mask] = mixed.round().astype(np.uint8)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that have a 4-neighbour outside it; the image's border is no outside."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _corners(box: NDArray[np.float64], image: Picture) -> Place:
    """First and last pixel of a box, inside the image."""
    height, width = image.shape[:2]
    x0, y0 = np.clip(np.floor(box[:2]), 0, (width - 1, height - 1))
    x1, y1 = np.clip(np.ceil(box[2:]) - 1, (x0, y0), (width - 1, height - 1))
    return int(x0), int(y0), int(x1), int(y1)


def _label(
    pen: ImageDraw.ImageDraw, text: str, corners: Place, color: Color, shape: tuple[int, ...], taken: list[Place]
) -> None:
    """Text on its object's colour, above the box where there is room, else inside it.

    None where it would hide another label, or more than its object: a crowd of small objects could not be seen.

    Args:
        taken: places of the labels so far; gains this one.
    """
    letters = font(11)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=letters)
    width, height = int(right - left) + 4, int(bottom - top) + 4
    x = max(0, min(corners[0], shape[1] - width))
    y = corners[1] - height if corners[1] >= height else corners[1]
    place = (x, y, x + width - 1, y + height - 1)
    covers_more = width * height > (corners[2] - corners[0] + 1) * (corners[3] - corners[1] + 1)
    if covers_more or any(_meet(place, other) for other in taken):
        return
    taken.append(place)
    pen.rectangle(place, fill=color)
    ink = (0, 0, 0) if is_bright(color) else (255, 255, 255)
    pen.text((x + 2 - left, y + 2 - top), text, fill=ink, font=letters)


def _meet(one: Place, other: Place) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]
