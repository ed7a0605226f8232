"""Figures of an ablation: a bar chart of the AP of each row, and the masks of the rows for the same objects."""

from __future__ import annotations

import io
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray

from ...evaluation.coco import RESULTS_FILE
from ...evaluation.image_quality import (
    CocoRecord,
    best_threshold,
    load_evaluated_dataset,
    read_candidates,
    read_predictions,
)
from ...io.coco_masks import segmentation_to_rle
from ...io.files import atomic_open
from ...io.images import RGBImage, read_image
from ...visualization.review_sheet import ReviewItem, review_tile
from ...visualization.sheet import Tile, make_sheet, save_sheet
from .plan import AblationRun, read_final_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MASKS_FILE = "ablation_masks.png"
_MIN_SIDE = 16  # pixels of a box's shorter side; the masks of smaller objects cannot be told apart in a tile
_TITLE = "objects that all rows find, evenly spread over the test set; number: IoU with the ground truth in percent"
_BAR, _FIRST, _POINT = "#9ecbd3", "#c9c9c9", "#1b3a4b"

Found = tuple[int, int]  # (image id, index of the object in that image)
Masks = dict[Found, tuple[float, Any]]  # (IoU with the ground truth, COCO segmentation)


def save_ablation_plot(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Draw mask AP and box AP of each row as a PNG: a bar for the mean, a point for each seed.

    Args:
        rows: ``name``, ``mask_AP`` and ``box_AP`` of each row; an AP is a list with one value per seed, which may be
            None.
        path: PNG file, written atomically; missing folders are created.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 1.8 + 0.45 * max(3, len(rows))), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, key, title in zip(panels, ("mask_AP", "box_AP"), ("mask AP", "box AP"), strict=True):
        _draw_bars(axes, [[value for value in row[key] if value is not None] for row in rows])
        axes.set(xlabel=f"{title} (points: seeds, bars: mean; the axis does not start at 0)", title=title)
    panels[0].set_yticks(range(len(rows)), [row["name"] for row in rows])
    panels[0].invert_yaxis()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    with atomic_open(path, tidy=True) as file:
        file.write(buffer.getvalue())


def save_mask_sheet(runs: Sequence[AblationRun], folder: Path, count: int = 8) -> str:
    """Draw objects of the test set with their ground-truth mask and the predicted mask of each row.

    A row is represented by its first finished seed. The objects are found by all rows (right class, mask IoU of at
    least 0.5, detections above the row's best score threshold), are not tiny, and are evenly spread over the test set
    in the order of the dataset.

    Args:
        runs: runs of the ablation, those of the first row first.
        folder: folder of ``ablation_masks.png``.
        count: number of objects; 0 draws nothing.

    Returns:
        One line per row that is missing from the sheet, with the reason; "" if none is missing.
    """
    if count < 1:
        return ""
    problems: dict[str, str] = {}
    rows: dict[str, Masks] = {}
    data: _TestSet | None = None
    for run in runs:
        if run.name in rows or read_final_metrics(run.folder) is None:
            continue
        try:
            data = data or _TestSet(run)
            rows[run.name] = data.read_masks(run)
        except (OSError, ValueError, KeyError, AttributeError) as error:  # moved files, or another kind of dataset
            problems[run.name] = f"{run.name} is not in {MASKS_FILE}: {error}"
        else:
            problems.pop(run.name, None)
    if data is not None and rows:
        try:
            tiles = data.make_tiles(rows, count)
            save_sheet(make_sheet(tiles, 1 + len(rows), _TITLE), folder / MASKS_FILE)
        except (OSError, ValueError) as error:
            problems[""] = f"{MASKS_FILE} was not written: {error}"
    return "\n".join(problems.values())


class _TestSet:
    """Images and ground truth of the first test set of an ablation."""

    def __init__(self, run: AblationRun) -> None:
        self._name = run.cfg.DATASETS.TEST[0]
        self._truth = load_evaluated_dataset(self._name, run.cfg.DATASETS.COCO_STYLE, run.folder)
        self._objects: dict[Found, CocoRecord] = {}

    def read_masks(self, run: AblationRun) -> Masks:
        """Read the predicted masks of the objects that a run finds.

        Raises:
            OSError: the run's results are missing.
            ValueError: the run was tested on another dataset, or there are no masks.
        """
        if run.cfg.DATASETS.TEST[0] != self._name:
            raise ValueError(f"it was tested on {run.cfg.DATASETS.TEST[0]}, the first row on {self._name}")
        predictions = read_predictions(run.folder / "inference" / self._name / RESULTS_FILE)
        candidates = read_candidates(predictions, self._truth)
        if not candidates or not candidates[0].masks:
            raise ValueError(f"{self._name} has no ground-truth masks, or the run predicted none")
        threshold = best_threshold(candidates)
        found: Masks = {}
        for candidate in candidates:
            for number, chosen in candidate.match(threshold).matched.items():
                given = candidate.objects[chosen]
                if min(given["bbox"][2:]) >= _MIN_SIDE:
                    self._objects[candidate.image, chosen] = given
                    mask = (float(candidate.overlaps[number, chosen]), candidate.detections[number]["segmentation"])
                    found[candidate.image, chosen] = mask
        return found

    def make_tiles(self, rows: Mapping[str, Masks], count: int) -> list[Tile]:
        """Draw the ground truth and all rows of ``count`` objects, evenly spread over those that all rows find."""
        common = [found for found in next(iter(rows.values())) if all(found in masks for masks in rows.values())]
        if not common:
            raise ValueError("there is not a single object that all rows find")
        count = min(count, len(common))
        tiles = []
        for image_id, number in [common[(2 * n + 1) * len(common) // (2 * count)] for n in range(count)]:
            record, given = self._truth.images[image_id], self._objects[image_id, number]
            image = read_image(self._truth.folder / record["file_name"])
            at = {name: masks[image_id, number] for name, masks in rows.items()}
            shown = [(f"true: {self._truth.classes.get(given['category_id'], '?')}", given["segmentation"])]
            shown += [(f"{name}: {100 * iou:.0f}", mask) for name, (iou, mask) in at.items()]
            tiles += [_draw_tile(image, given["bbox"], mask, caption) for caption, mask in shown]
        return tiles


def _draw_tile(image: RGBImage, bbox: Sequence[float], segmentation: Any, caption: str) -> Tile:
    def mask() -> NDArray[np.bool_]:
        return mask_util.decode(segmentation_to_rle(segmentation, (image.shape[0], image.shape[1]))).astype(bool)

    x, y, width, height = bbox
    return review_tile(image, ReviewItem(None, (x, y, x + width, y + height), mask, caption))


def _draw_bars(axes: Axes, values: Sequence[Sequence[float]]) -> None:
    """Draw horizontal bars; the axis starts near the smallest value, so that small differences are visible."""
    everything = [value for row in values for value in row]
    if not everything:
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center")
        return
    low, high = min(everything), max(everything)
    margin = max(0.15 * (high - low), 0.01 * high, 0.1)
    start = max(0.0, low - 4 * margin)
    axes.set_xlim(start, high + 3 * margin)
    for place, row in enumerate(values):
        if not row:
            continue
        mean = statistics.fmean(row)
        axes.barh(place, mean - start, left=start, color=_FIRST if place == 0 else _BAR, height=0.62)
        axes.plot(row, [place + 0.12 * ((i % 3) - 1) for i in range(len(row))], "o", color=_POINT, markersize=5)
        axes.annotate(
            f"{mean:.2f}", (max(mean, *row), place), xytext=(7, 0), textcoords="offset points", va="center", fontsize=9
        )
    if values[0]:
        axes.axvline(statistics.fmean(values[0]), color="gray", linestyle=":", linewidth=1)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
