"""Drawing of objects and maps into RGB images with numpy and Pillow."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..io.images import RGBImage

Color = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]  # first and last pixel: left, top, right, bottom

# Dark violet, blue, green, yellow. The brightness rises steadily, so it is readable without color vision.
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
class DrawnObjects:
    """N objects to draw, in pixels of one image.

    Attributes:
        boxes: (N, 4) xyxy; NaN for an object without a box, whose box and label are not drawn.
        labels: N texts; "" draws no label.
        masks: (N, H, W) bool, or None.
        colors: N RGB colors; empty = those of ``instance_color``.
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
            raise ValueError(f"the numbers of boxes, labels, colors and masks differ: {sorted(counts)}")


def instance_color(number: int) -> Color:
    """Return the RGB color of object ``number``: deterministic, and far from the colors of its predecessors."""
    hue = (0.02 + number * 0.61803398875) % 1.0
    saturation = (0.95, 0.70, 0.85)[number % 3]
    value = (1.0, 0.9)[number // 3 % 2]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def is_bright(color: Color) -> bool:
    """Return whether black text is more readable than white text on a color."""
    return 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2] > 120


def colorize(values: NDArray[np.floating]) -> RGBImage:
    """Convert a map to colors from dark violet (0) to pale yellow (1).

    Args:
        values: (H, W) in [0, 1].

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: the map is not (H, W) or not finite.
    """
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError(f"colorize takes a finite (H, W) map, got {values.dtype} {values.shape}")
    stops = np.linspace(0, 1, len(COLORMAP))
    channels = [np.interp(values, stops, COLORMAP[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def resize_image(image: RGBImage, size: tuple[int, int], smooth: bool = True) -> RGBImage:
    """Resize (H, W, 3) uint8 to ``size`` (height, width), with bicubic or nearest interpolation."""
    method = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), method))


def resize_objects(objects: DrawnObjects, size: tuple[int, int], new_size: tuple[int, int]) -> DrawnObjects:
    """Scale objects from an image of ``size`` (height, width) to one of ``new_size``."""
    scale = np.array([new_size[1] / size[1], new_size[0] / size[0]] * 2)
    masks = None
    if objects.masks is not None:
        shape = (new_size[1], new_size[0])
        images = [Image.fromarray(mask.astype(np.uint8) * 255) for mask in objects.masks]
        resized = [np.asarray(image.resize(shape, Image.Resampling.BILINEAR)) >= 128 for image in images]
        masks = np.array(resized, dtype=bool).reshape(-1, *new_size)
    return DrawnObjects(objects.boxes * scale, objects.labels, masks, objects.colors)


def draw_objects(image: RGBImage, objects: DrawnObjects, fill: float = 0.45, boxes: bool = True) -> RGBImage:
    """Draw masks (translucent, with an outline), boxes and labels into a copy of an image.

    Labels without enough space are left out.

    Args:
        image: (H, W, 3) uint8, RGB.
        objects: objects at the size of the image. The first one is drawn last, on top.
        fill: opacity of the masks in [0, 1]; 0 draws only their outlines.
        boxes: whether to draw boxes.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: the size of the masks differs from that of the image.
    """
    canvas = image.copy()
    order = range(len(objects.boxes) - 1, -1, -1)
    if objects.masks is not None:
        if objects.masks.shape[1:] != image.shape[:2]:
            raise ValueError(f"the masks are {objects.masks.shape[1:]}, the image is {image.shape[:2]}")
        for i in order:
            _blend(canvas, objects.masks[i], objects.colors[i], fill)
        for i in order:
            canvas[_find_outline(objects.masks[i])] = objects.colors[i]
    drawing = Image.fromarray(canvas)
    pen = ImageDraw.Draw(drawing)
    boxed = [i for i in order if not np.isnan(objects.boxes[i]).any()]
    if boxes:
        for i in boxed:
            pen.rectangle(_to_pixels(objects.boxes[i], image), outline=objects.colors[i], width=1)
    taken: list[Rectangle] = []
    for i in reversed(boxed):
        if objects.labels[i]:
            _draw_label(
                pen, objects.labels[i], _to_pixels(objects.boxes[i], image), objects.colors[i], image.shape, taken
            )
    return np.asarray(drawing)


def compute_iou(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the IoU (N, M) of boxes (N, 4) and (M, 4), xyxy."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    area = [np.clip(b[:, 2:] - b[:, :2], 0, None).prod(-1) for b in (first, second)]
    union = area[0][:, None] + area[1][None] - common
    return common / np.maximum(union, 1e-9)


def load_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's built-in font, about ``size`` pixels high if Pillow can scale it."""
    try:
        return ImageFont.load_default(size=size)
    except (TypeError, ImportError):  # Pillow before 10.1, or built without FreeType
        return ImageFont.load_default()


def _blend(canvas: RGBImage, mask: NDArray[np.bool_], color: Color, opacity: float) -> None:
    if opacity > 0:
        mixed = canvas[mask] * (1 - opacity) + np.array(color) * opacity
        canvas[mask] = mixed.round().astype(np.uint8)


def _find_outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a mask with a 4-neighbor outside it; pixels beyond the image do not count."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _to_pixels(box: NDArray[np.float64], image: RGBImage) -> Rectangle:
    """Return the first and last pixel of a box, clipped to the image."""
    height, width = image.shape[:2]
    x0, y0 = np.clip(np.floor(box[:2]), 0, (width - 1, height - 1))
    x1, y1 = np.clip(np.ceil(box[2:]) - 1, (x0, y0), (width - 1, height - 1))
    return int(x0), int(y0), int(x1), int(y1)


def _draw_label(
    pen: ImageDraw.ImageDraw,
    text: str,
    corners: Rectangle,
    color: Color,
    shape: tuple[int, ...],
    taken: list[Rectangle],
) -> None:
    """Draw a label in the color of its object, above the box if there is space, else inside it.

    A label that would cover another label, or a larger area than its object, is not drawn. Otherwise labels would hide
    groups of small objects.

    Args:
        taken: rectangles of the labels so far; this one is appended.
    """
    letters = load_font(11)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=letters)
    width, height = int(right - left) + 4, int(bottom - top) + 4
    x = max(0, min(corners[0], shape[1] - width))
    y = corners[1] - height if corners[1] >= height else corners[1]
    rectangle = (x, y, x + width - 1, y + height - 1)
    covers_more = width * height > (corners[2] - corners[0] + 1) * (corners[3] - corners[1] + 1)
    if covers_more or any(intersect(rectangle, other) for other in taken):
        return
    taken.append(rectangle)
    pen.rectangle(rectangle, fill=color)
    ink = (0, 0, 0) if is_bright(color) else (255, 255, 255)
    pen.text((x + 2 - left, y + 2 - top), text, fill=ink, font=letters)


def intersect(one: Rectangle, other: Rectangle) -> bool:
    """Return whether two rectangles have a pixel in common."""
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]
