"""Health of a training run: thresholds, messages with remedies, and descriptions of healthy curves."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from ..visualization.curves import Points, Series

FULL_BOX = 0.95  # share of its box above which a mask is a filled box
NO_POSITIVES = 0.05  # assigned locations per image
EMPTY_MASK = 0.05  # share of its box below which a mask is empty
FEW_RELIABLE = 0.1  # share of boxes with a reliable pseudo mask
FEW_CLASS_MAPS = 0.5  # share of images whose learned class map is plausible
RISE = 1.2  # factor by which a loss ends above its minimum
MIN_RISE = 0.01  # of a loss; smaller differences are noise
DATA_SHARE = 0.3  # share of a step spent waiting for data
AP_DROP = 0.9  # factor by which the last AP is below the best
MIN_POINTS = 10  # of a curve; shorter curves are not diagnosed


@dataclass(frozen=True)
class HealthRule:
    """Range of a metric outside which training is unhealthy.

    Attributes:
        metric: name in the event storage and in metrics.json.
        message: text with ``{value}`` that names the fault and the remedy.
        below: lower end of the healthy range.
        above: upper end of the healthy range.
    """

    metric: str
    message: str
    below: float = float("-inf")
    above: float = float("inf")

    def check(self, value: float) -> str:
        """Return the message for an unhealthy value, "" for a healthy one."""
        return self.message.format(value=value) if value < self.below or value > self.above else ""


COLLAPSED_MASKS = HealthRule(
    "health/mask_fill",
    "the masks fill {value:.0%} of their boxes: they have collapsed to filled boxes, and mask AP will be near 0 "
    "although the losses fall. Check that the pairwise loss is on, that its weight and threshold let it find edges "
    "(MODEL.BOXINST.PAIRWISE), and that its warm-up ends",
    above=FULL_BOX,
)
NO_ASSIGNED_LOCATIONS = HealthRule(
    "health/positives_per_image",
    "hardly any location is assigned to an object ({value:.3f} per image): the detector has almost no positive "
    "samples. Check the boxes of the annotations (COCO: x, y, width, height in pixels), INPUT.MIN_SIZE_TRAIN and "
    "MODEL.FCOS.SIZES_OF_INTEREST",
    below=NO_POSITIVES,
)
EMPTY_MASKS = HealthRule(
    "health/mask_fill",
    "the masks fill {value:.1%} of their boxes: they are nearly empty. Lower SOLVER.BASE_LR",
    below=EMPTY_MASK,
)
FEW_PSEUDO_LABELS = HealthRule(
    "distill/reliable",
    "the teacher gives reliable masks for only {value:.0%} of the boxes: start it later (MODEL.DISTILL.START_ITER), or "
    "lower MODEL.DISTILL.SCORE_THRESH",
    below=FEW_RELIABLE,
)
COLLAPSED_CLASS_MAP = HealthRule(
    "semantic/replaced",
    "the learned class map replaces that of only {value:.0%} of the images: in the others its foreground has collapsed "
    "or spread. Start it later (MODEL.P2SEG.SEMANTIC.WARMUP_ITERS), or set MODEL.P2SEG.SEMANTIC.SOURCE auto",
    below=FEW_CLASS_MAPS,
)
# Rules that are also checked while a run trains.
LIVE_RULES = (COLLAPSED_MASKS, NO_ASSIGNED_LOCATIONS, COLLAPSED_CLASS_MAP)
RULES = (*LIVE_RULES, EMPTY_MASKS, FEW_PSEUDO_LABELS)

# Panel id (see ``visualization.curves.PANELS``) -> description of healthy curves.
HEALTHY: Mapping[str, str] = {
    "detector_losses": (
        "all losses fall fast at first, then slowly. The classification loss approaches 0. The centerness loss levels "
        "off near 0.6, because its targets are not binary."
    ),
    "mask_losses": (
        "the projection loss falls from the start. The pairwise loss may rise while it warms up, then it falls or "
        "stays constant: edges of the masks move to edges of the image. A loss that starts later may do so with a jump."
    ),
    "mask_fill": (
        "the share settles at that of the objects: about 0.5 to 0.8, less for thin or slanted objects. Near 1 the "
        "masks are filled boxes, near 0 they are empty."
    ),
    "locations": (
        "constant, several locations per object of an image. The number depends on the data, not on the weights."
    ),
    "pseudo_labels": (
        "nearly every box is matched. The share of reliable masks grows, or is a third or more from the start."
    ),
    "class_maps": "nearly every learned class map is used, and the share of pixels of known class grows.",
    "accuracy": "AP rises and levels off. Box AP is above mask AP, and mask AP is far above that of filled boxes.",
    "step_time": "constant. Waiting for data takes a small part of a step; the teacher adds up to one half.",
}


def diagnose_panel(panel: str, curves: Series, series: Series) -> list[str]:
    """Describe the problems of the curves of a panel, each with a remedy.

    Args:
        panel: id of the panel.
        curves: metrics of the panel.
        series: all metrics of the run.

    Returns:
        One sentence per problem; empty for healthy curves.
    """
    if panel in ("detector_losses", "mask_losses"):
        return [text for name in curves if (text := _diagnose_loss(name, curves[name], series))]
    if panel == "accuracy":
        return [text for name in curves for text in _diagnose_accuracy(name, curves)]
    if panel == "step_time":
        return _diagnose_step_time(curves)
    return [text for name in curves for text in _diagnose_level(name, curves[name])]


def diagnose_non_finite(not_finite: Mapping[str, int]) -> list[str]:
    """Describe metrics that were infinite or NaN, with remedies.

    Args:
        not_finite: metric -> first iteration.
    """
    return [
        f"{name} was not finite at iteration {iteration}: lower SOLVER.BASE_LR, clip gradients "
        "(SOLVER.CLIP_GRADIENTS.ENABLED True), or train without SOLVER.AMP"
        for name, iteration in not_finite.items()
    ]


def final_median(points: Points) -> float:
    """Return the median of the last fifth of a curve."""
    return statistics.median(value for _, value in points[-max(1, len(points) // 5) :])


def _diagnose_loss(name: str, points: Points, series: Series) -> str:
    """Describe a loss that ends higher than it was before, "" for a healthy one."""
    warmup = dict(series.get(f"warmup/{name.removeprefix('raw/')}", ()))
    start = next((index for index, (_, value) in enumerate(points) if value), len(points))  # 0 before the teacher
    points = [point for point in points[start:] if warmup.get(point[0], 1.0) >= 1.0]
    if len(points) < MIN_POINTS:
        return ""
    size = len(points) // 5
    levels = [statistics.median(value for _, value in points[i : i + size]) for i in range(0, 4 * size, size)]
    minimum, end = min(levels), final_median(points)
    if end <= RISE * minimum or end - minimum < MIN_RISE:
        return ""
    label = name.rpartition("/")[2].removeprefix("loss_")
    text = f"{label} rose from {minimum:.3g} to {end:.3g}"
    if "pairwise" in label:
        return f"{text}: mask edges move away from image edges. Check whether the masks shrink or fill their boxes"
    return f"{text}: lower SOLVER.BASE_LR, or lengthen SOLVER.WARMUP_ITERS"


def _diagnose_level(name: str, points: Points) -> list[str]:
    if len(points) < MIN_POINTS:
        return []
    value = final_median(points)
    return [text for rule in RULES if rule.metric == name and (text := rule.check(value))]


def _diagnose_step_time(curves: Series) -> list[str]:
    waiting, total = curves.get("data_time", ()), curves.get("time", ())
    if len(waiting) < MIN_POINTS or not total:
        return []
    share = final_median(waiting) / max(final_median(total), 1e-9)
    if share <= DATA_SHARE:
        return []
    return [f"{share:.0%} of a step is spent waiting for data: raise DATALOADER.NUM_WORKERS, or shrink the images"]


def _diagnose_accuracy(name: str, curves: Series) -> list[str]:
    texts = []
    points = curves[name]
    last = points[-1][1]
    iteration, best = max(points, key=lambda point: point[1])
    if best > 1 and last < AP_DROP * best:
        texts.append(
            f"{name} fell from {best:.1f} at iteration {iteration} to {last:.1f}: model_best.pth is better than the "
            "last checkpoint; train for fewer iterations, or with more images"
        )
    filled = curves.get(name.replace("segm/AP", "boxfill/AP"), ()) if name.endswith("segm/AP") else ()
    if filled and last <= filled[-1][1]:
        texts.append(
            f"the masks (AP {last:.1f}) are not better than filled boxes (AP {filled[-1][1]:.1f}): the network did not "
            "learn their shape"
        )
    return texts
