"""COCO evaluation by pycocotools, as its documentation shows it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any


def pycocotools_stats(json_file: str, results: Sequence[dict[str, Any]], task: str) -> list[float]:
    """AP, AP50, AP75, APs, APm, APl in percent at up to 100 detections an image; NaN where there is no object.

    Args:
        json_file: the truth.
        results: rows in COCO's result format; not changed.
        task: "bbox" or "segm".
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    # loadRes writes into its rows, and takes any row with a box for a box.
    field = "bbox" if task == "bbox" else "segmentation"
    rows = [{key: row[key] for key in ("image_id", "category_id", "score", field)} for row in results]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(json_file)
        evaluation = COCOeval(truth, truth.loadRes(rows), task)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [100 * float(value) if value >= 0 else float("nan") for value in evaluation.stats[:6]]
