"""The masks of an ablation's rows side by side, of the same objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray

from ...evaluation.coco import RESULTS_FILE
from ...evaluation.image_quality import CocoRecord, best_threshold, load_evaluated_dataset, read_candidates
from ...io.media import read_picture
from ...labeling.quality import to_rle
from ...visualization.draw import Picture
from ...visualization.review_sheet import ReviewItem, review_tile
from ...visualization.sheet import Tile, make_sheet, save_sheet
from .plan import AblationRun, final_metrics

PICTURES_FILE = "ablation_masks.png"
_LEAST = 16  # pixels of a box's shorter side: in a smaller object there is nothing to see

_TITLE = (
    "objects that all rows find, evenly spread over the test set; number: the mask's IoU with the true one, percent"
)

Found = tuple[int, int]  # image id, number of the object in it
Masks = dict[Found, tuple[float, Any]]  # IoU with the truth, segmentation


def save_pictures(runs: Sequence[AblationRun], folder: Path, count: int = 8) -> str:
    """Draw objects of the first test set with their true mask and the one that each row's first finished seed predicts.

    The objects are those that all rows find (right class, mask IoU of at least 0.5, detections from the row's own best
    score on) and that are not tiny, evenly spread over them in the data set's order: nobody chooses.

    Args:
        runs: of the ablation, the first row's first.
        folder: gets ``ablation_masks.png``.
        count: objects; 0 draws nothing.

    Returns:
        What is not in the picture and why, in words; "" = nothing.
    """
    if count < 1:
        return ""
    problems: dict[str, str] = {}
    rows: dict[str, Masks] = {}
    data: _Data | None = None
    for run in runs:
        if run.name in rows or final_metrics(run.folder) is None:
            continue
        try:
            data = data or _Data(run)
            rows[run.name] = data.masks(run)
        except (OSError, ValueError, KeyError, AttributeError) as error:  # data that were moved, or of another kind
            problems[run.name] = f"{run.name} is not in {PICTURES_FILE}: {error}"
        else:
            problems.pop(run.name, None)
    if data is not None and rows:
        try:
            tiles = data.tiles(rows, count)
            save_sheet(make_sheet(tiles, 1 + len(rows), _TITLE), folder / PICTURES_FILE)
        except (OSError, ValueError) as error:
            problems[""] = f"no {PICTURES_FILE}: {error}"
    return "\n".join(problems.values())


class _Data:
    """The test set of an ablation."""

    def __init__(self, run: AblationRun) -> None:
        self._name = run.cfg.DATASETS.TEST[0]
        self._truth = load_evaluated_dataset(self._name, run.cfg.DATASETS.COCO_STYLE, run.folder)
        self._objects: dict[Found, CocoRecord] = {}

    def masks(self, run: AblationRun) -> Masks:
        """What a run finds: from image and object to the mask."""
        if run.cfg.DATASETS.TEST[0] != self._name:
            raise ValueError(f"it was tested on {run.cfg.DATASETS.TEST[0]}, the first row on {self._name}")
        text = (run.folder / "inference" / self._name / RESULTS_FILE).read_text(encoding="utf-8")
        candidates = read_candidates(json.loads(text), self._truth)
        if not candidates or not candidates[0].masks:
            raise ValueError(f"there are no true masks in {self._name}, or no predicted ones")
        threshold = best_threshold(candidates)
        found: Masks = {}
        for candidate in candidates:
            for number, chosen in candidate.match(threshold).matched.items():
                given = candidate.objects[chosen]
                if min(given["bbox"][2:]) >= _LEAST:
                    self._objects[candidate.image, chosen] = given
                    mask = (float(candidate.overlaps[number, chosen]), candidate.detections[number]["segmentation"])
                    found[candidate.image, chosen] = mask
        return found

    def tiles(self, rows: Mapping[str, Masks], count: int) -> list[Tile]:
        """The truth and all rows of ``count`` objects, evenly spread over those that are in all rows."""
        common = [found for found in next(iter(rows.values())) if all(found in masks for masks in rows.values())]
        if not common:
            raise ValueError("there is no object that all rows find")
        count = min(count, len(common))
        tiles = []
        for image, number in [common[(2 * n + 1) * len(common) // (2 * count)] for n in range(count)]:
            record, given = self._truth.images[image], self._objects[image, number]
            picture = read_picture(self._truth.folder / record["file_name"])
            at = {name: masks[image, number] for name, masks in rows.items()}
            shown = [(f"true: {self._truth.classes.get(given['category_id'], '?')}", given["segmentation"])]
            shown += [(f"{name}: {100 * iou:.0f}", mask) for name, (iou, mask) in at.items()]
            tiles += [_tile(picture, given["bbox"], mask, caption) for caption, mask in shown]
        return tiles


def _tile(picture: Picture, bbox: Sequence[float], segmentation: Any, caption: str) -> Tile:
    def mask() -> NDArray[np.bool_]:
        return mask_util.decode(to_rle(segmentation, (picture.shape[0], picture.shape[1]))).astype(bool)

    x, y, width, height = bbox
    return review_tile(picture, ReviewItem(None, (x, y, x + width, y + height), mask, caption))
