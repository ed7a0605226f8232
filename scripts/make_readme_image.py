#!/usr/bin/env python3
"""Draw the figure of the README: training annotation (boxes) above predicted masks, for a few test scenes.

The network is not trained here; by default it is that of `make demo`, with its test scenes:

  scripts/make_readme_image.py
  scripts/make_readme_image.py --indices 3 8 21 40 --output docs/assets/boxes_to_masks.jpg
  scripts/make_readme_image.py --weights RUN/model_final.pth --json instances_val.json --images val
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.structures import Boxes, BoxMode, Instances, pairwise_iou
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.data.datasets import load_coco_style
from depthbox.experiments.label_baseline import match
from depthbox.inference.predictor import find_config, load_predictor
from depthbox.io.files import atomic_open

DEMO = Path("output/demo")
OUTPUT = Path("docs/assets/boxes_to_masks.jpg")
MAX_BYTES = 200_000
CAPTIONS = ("Training annotation: boxes", "Prediction: masks")
_GAP, _CAPTION, _LINE = 8, 34, 3
_PALETTE = (
    (230, 60, 70),
    (30, 120, 220),
    (250, 180, 20),
    (60, 170, 90),
    (160, 90, 200),
    (240, 120, 30),
    (20, 170, 180),
)
_UNMATCHED = (120, 120, 120)  # predicted objects without an annotated box

Record = Mapping[str, Any]
Color = tuple[int, int, int]


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line (None: that of this process)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--weights", default=str(DEMO / "train" / "model_final.pth"), metavar="FILE", help="default %(default)s")
    add("--config-file", default="", metavar="FILE", help="default: config.yaml beside the weights")
    add("--json", type=Path, default=DEMO / "data" / "instances_val.json", metavar="FILE", help="default %(default)s")
    add("--images", type=Path, default=DEMO / "data" / "val", metavar="DIR", help="default %(default)s")
    add("--indices", type=int, nargs="+", default=[0, 1, 2, 3], metavar="N", help="scenes (default 0 1 2 3)")
    add("--score-threshold", type=float, default=0.4, metavar="X", help="default %(default)s")
    add("--tile-width", type=int, default=440, metavar="N", help="width of a scene in pixels (default %(default)s)")
    add("--output", type=Path, default=OUTPUT, metavar="FILE", help="PNG, JPEG or WebP (default %(default)s)")
    return parser.parse_args(argv)


def make_figure(
    records: Sequence[Record], predict: Callable[[Record], Instances], threshold: float, tile_width: int
) -> Image.Image:
    """Draw a row of scenes with their annotated boxes, and below it the same scenes with the predicted masks.

    A predicted mask has the color of the annotated box that it is matched to, gray without a match.

    Args:
        records: Detectron2's dataset dicts.
        predict: function from a record to its instances, in pixels of the original image.
        threshold: smallest score of a drawn mask.
        tile_width: width of each scene in pixels.
    """
    rows: tuple[list[Image.Image], list[Image.Image]] = ([], [])
    for record in records:
        corners = [BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in record["annotations"]]
        boxes = Boxes(np.array(corners, dtype=np.float32).reshape(-1, 4))
        found = predict(record)
        found = found[found.scores >= threshold]
        owners = {m: n for n, m in enumerate(match(pairwise_iou(boxes, found.pred_boxes).numpy())) if m is not None}
        colors = [_PALETTE[owners[n] % len(_PALETTE)] if n in owners else _UNMATCHED for n in range(len(found))]
        with Image.open(record["file_name"]) as file:
            scene = ImageOps.exif_transpose(file).convert("RGB")
        rows[0].append(draw_boxes(scene, boxes.tensor.tolist(), tile_width))
        rows[1].append(draw_masks(scene, list(found.pred_masks.numpy()), colors, tile_width))
    return arrange(rows)


def draw_boxes(scene: Image.Image, boxes: Sequence[Sequence[float]], width: int) -> Image.Image:
    """Enlarge a scene to a width and draw its boxes (xyxy, pixels of the scene)."""
    tile, scale = _enlarge(scene, width), width / scene.width
    pen = ImageDraw.Draw(tile)
    for number, box in enumerate(boxes):
        pen.rectangle([scale * side for side in box], outline=_PALETTE[number % len(_PALETTE)], width=_LINE)
    return tile


def draw_masks(
    scene: Image.Image, masks: Sequence[NDArray[np.bool_]], colors: Sequence[Color], width: int
) -> Image.Image:
    """Enlarge a scene to a width and draw its masks (H, W) with outlines."""
    tile = _enlarge(scene, width)
    for mask, color in zip(masks, colors, strict=True):
        area = Image.fromarray(mask.astype(np.uint8) * 255).resize(tile.size, Image.Resampling.BILINEAR)
        area = area.point([255 * (value > 127) for value in range(256)])
        outline = ImageChops.subtract(area, area.filter(ImageFilter.MinFilter(2 * _LINE - 1)))
        tile.paste(color, mask=area.point([value // 2 for value in range(256)]))
        tile.paste(color, mask=outline)
    return tile


def arrange(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Arrange rows of equally large tiles on white, with a caption above each row."""
    width, height = rows[0][0].size
    line = _CAPTION + height + _GAP
    sheet = Image.new("RGB", (len(rows[0]) * (width + _GAP) - _GAP, len(rows) * line - _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=22)
    for y, (tiles, caption) in enumerate(zip(rows, CAPTIONS, strict=True)):
        pen.text((2, y * line + 3), caption, fill=(40, 40, 40), font=font)
        for x, tile in enumerate(tiles):
            sheet.paste(tile.resize((width, height)), (x * (width + _GAP), y * line + _CAPTION))
    return sheet


def encode(figure: Image.Image, suffix: str, max_bytes: int = MAX_BYTES) -> bytes:
    """Encode a figure in at most ``max_bytes``: JPEG and WebP with lower quality, PNG with 256 colors if necessary.

    Raises:
        ValueError: the suffix is unknown, or the figure does not fit.
    """
    format_name = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(suffix.lower())
    if format_name is None:
        raise ValueError(f"--output: '{suffix}' is not an image format: choose .png, .jpg or .webp")
    attempts: list[tuple[Image.Image, dict[str, Any]]] = [(figure, {"quality": q}) for q in range(92, 40, -6)]
    if format_name == "PNG":
        attempts = [(figure, {"optimize": True}), (figure.quantize(256), {"optimize": True})]
    for image, options in attempts:
        buffer = io.BytesIO()
        image.save(buffer, format_name, **options)
        if buffer.tell() <= max_bytes:
            return buffer.getvalue()
    raise ValueError(f"the figure does not fit into {max_bytes // 1000} KB: choose a smaller --tile-width, or .jpg")


def _enlarge(scene: Image.Image, width: int) -> Image.Image:
    return scene.resize((width, round(scene.height * width / scene.width)), Image.Resampling.LANCZOS)


def main(argv: list[str] | None = None) -> None:
    """Draw and write the figure; a mistake ends with one line."""
    arguments = parse_arguments(argv)
    try:
        cfg = load_config(add_depthbox_config, find_config(arguments.weights, arguments.config_file))
        records = load_coco_style("readme_scenes", str(arguments.json), str(arguments.images), "")
        missing = [index for index in arguments.indices if not 0 <= index < len(records)]
        if missing:
            raise ValueError(f"--indices {missing[0]}: {arguments.json} has {len(records)} images")
        chosen = [records[index] for index in arguments.indices]
        predict = load_predictor(cfg, arguments.weights)
        figure = make_figure(chosen, predict, arguments.score_threshold, arguments.tile_width)
        content = encode(figure, arguments.output.suffix)
        with atomic_open(arguments.output, tidy=True) as file:
            file.write(content)
    except (ValueError, OSError) as error:
        remedy = "; `make demo` trains the default network" if not Path(arguments.weights).is_file() else ""
        sys.exit(f"{Path(sys.argv[0]).name}: {error}{remedy}")
    print(f"{arguments.output}: {figure.width} x {figure.height} pixels, {len(content) // 1000} KB")


if __name__ == "__main__":
    main()
