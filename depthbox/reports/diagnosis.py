"""What the curves of a healthy training look like, and what is wrong with those of an unhealthy one."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from ..engine.hooks import FULL_BOX, NO_POSITIVES

Points = Sequence[tuple[int, float]]
Series = Mapping[str, Points]

EMPTY = 0.05  # share of its box that a mask hardly fills
FEW_RELIABLE = 0.1  # share of boxes
RISE = 1.2  # of a loss, over the least it was
WAITING = 0.3  # share of a step
WORSE = 0.9  # of the best AP
FEWEST = 10  # points of a curve that is judged

# By the titles of visualization.curves.PANELS.
HEALTHY = {
    "losses of the detector": (
        "all fall fast at first, then slowly. The classification loss goes towards 0; that of the centerness has a "
        "floor near 0.6, as its targets are no certainties."
    ),
    "losses of the masks, before their warm-up": (
        "the projection loss falls from the start. The pairwise loss may rise while it warms up, then it falls or "
        "stays: edges of the masks move to edges of the image. A loss that begins later may do so with a jump."
    ),
    "share of its box that a mask fills": (
        "settles where the objects are: about 0.5 to 0.8, below that for thin or slanted ones. Near 1 the masks are "
        "filled boxes, near 0 they are empty."
    ),
    "positions an image that stand for objects, and those with a mask": (
        "steady, several for each object of an image; it depends on the data, not on what was learnt."
    ),
    "labels of the teacher (shares of boxes, mean score)": (
        "nearly every box is matched, and the share of reliable masks grows, or is a third or more from the start."
    ),
    "AP": "rises and levels off; boxes above masks, and masks far above filled boxes.",
    "seconds of a step": "flat. Waiting for data is a small part of a step; the teacher adds up to one half.",
}


def judge(title: str, curves: Series, series: Series) -> list[str]:
    """What is wrong with the curves of a panel, each in words with a remedy.

    Args:
        title: of the panel.
        curves: its metrics.
        series: all metrics of the run.
    """
    if "losses" in title:
        return [words for name in curves if (words := _rise(name, curves[name], series))]
    if title == "AP":
        return _accuracy(curves)
    return [words for name in curves for words in _level(name, curves, series)]


def judge_numbers(not_finite: Mapping[str, int]) -> list[str]:
    """Warnings on numbers that were infinite or NaN.

    Args:
        not_finite: metric -> the first iteration.
    """
    return [
        f"{name} was not finite at iteration {iteration}: lower SOLVER.BASE_LR, clip gradients "
        "(SOLVER.CLIP_GRADIENTS.ENABLED True), or train without SOLVER.AMP"
        for name, iteration in not_finite.items()
    ]


def late(points: Points) -> float:
    """Median of the last fifth."""
    return statistics.median(value for _, value in points[-max(1, len(points) // 5) :])


def _rise(name: str, points: Points, series: Series) -> str:
    """Words on a loss that is higher at the end than it was before, else ""."""
    warmup = dict(series.get(f"warmup/{name.removeprefix('raw/')}", ()))
    began = next((place for place, (_, value) in enumerate(points) if value), len(points))  # 0 until the teacher begins
    points = [point for point in points[began:] if warmup.get(point[0], 1.0) >= 1.0]
    if len(points) < FEWEST:
        return ""
    size = len(points) // 5
    levels = [
        statistics.median(value for _, value in points[start : start + size]) for start in range(0, 4 * size, size)
    ]
    least, end = min(levels), late(points)
    if end <= RISE * least or end - least < 0.01:
        return ""
    label = name.rpartition("/")[2].removeprefix("loss_")
    words = f"{label} rose from {least:.3g} to {end:.3g}"
    if "pairwise" in label:
        return f"{words}: the masks' edges leave those of the image. Look whether the masks shrink or fill their boxes"
    return f"{words}: lower SOLVER.BASE_LR, or lengthen SOLVER.WARMUP_ITERS"


def _level(name: str, curves: Series, series: Series) -> list[str]:
    points = curves[name]
    if len(points) < FEWEST and name != "time":
        return []
    value = late(points)
    if name == "health/mask_fill" and value > FULL_BOX:
        return [
            f"the masks fill {value:.0%} of their boxes: they have collapsed to filled boxes. Check that the pairwise "
            "loss is on and finds edges (MODEL.BOXINST.PAIRWISE), and that its warm-up ends"
        ]
    if name == "health/mask_fill" and value < EMPTY:
        return [f"the masks fill {value:.1%} of their boxes: they are nearly empty. Lower the learning rate"]
    if name == "health/positives_per_image" and value < NO_POSITIVES:
        return [
            f"hardly any position stands for an object ({value:.3f} an image). Check the boxes (COCO: x, y, width, "
            "height in pixels), INPUT.MIN_SIZE_TRAIN and MODEL.FCOS.SIZES_OF_INTEREST"
        ]
    if name == "distill/reliable" and value < FEW_RELIABLE:
        return [
            f"the teacher finds reliable masks for only {value:.0%} of the boxes: begin later "
            "(MODEL.DISTILL.START_ITER), or ask for less (MODEL.DISTILL.SCORE_THRESH)"
        ]
    step = late(series["time"]) if series.get("time") else 0.0
    if name == "data_time" and step and value > WAITING * step:
        return [f"{value / step:.0%} of a step is waiting for data: raise DATALOADER.NUM_WORKERS, or shrink the images"]
    return []


def _accuracy(curves: Series) -> list[str]:
    words = []
    for name, points in curves.items():
        best = max(points, key=lambda point: point[1])
        if best[1] > 1 and points[-1][1] < WORSE * best[1]:
            words.append(
                f"{name} fell from {best[1]:.1f} at iteration {best[0]} to {points[-1][1]:.1f}: model_best.pth is "
                "better than the last checkpoint; train shorter, or with more images"
            )
        filled = curves.get(name.replace("segm/AP", "boxfill/AP"), ()) if name.endswith("segm/AP") else ()
        if filled and points[-1][1] <= filled[-1][1]:
            words.append(
                f"the masks ({points[-1][1]:.1f}) are no better than filled boxes ({filled[-1][1]:.1f}): nothing was "
                "learnt about their shape"
            )
    return words
