"""Comparison of an exported network with the network that it was made from, detection by detection."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from detectron2.structures import Instances
from numpy.typing import NDArray

from ..modeling.meta_arch.depthbox import DepthBox
from .images import ExportInput

Outputs = Mapping[str, NDArray]
Runner = Callable[[ExportInput], Outputs]

BOX_TOLERANCE = 0.1  # pixels of the network's input
SCORE_TOLERANCE = 1e-3  # of scores and depths
MASK_IOU = 0.999
MASK_PIXELS = (
    2  # a mask may differ in this many pixels, because one pixel of a small mask lowers its IoU below MASK_IOU
)


class ExportMismatchError(ValueError):
    """An exported network that gives other results than the network. The message names the image."""


@dataclass(frozen=True)
class ExportReport:
    """Differences of the results of two networks, over all images.

    Attributes:
        images, detections: numbers of compared images and of detections of the network.
        unmatched: detections of one network without a counterpart.
        borderline: unmatched detections whose score equals the threshold up to rounding.
        box: largest difference of a coordinate, in pixels of the result.
        score, depth: largest differences.
        mask_iou: lowest IoU of two matched masks.
        pixels, changed: pixels of the union of all matched masks, and those that only one network has.
        wrong_masks: masks with an IoU below MASK_IOU that differ in more than MASK_PIXELS pixels.
        failures: one line for each failed comparison.
    """

    images: int = 0
    detections: int = 0
    unmatched: int = 0
    borderline: int = 0
    box: float = 0.0
    score: float = 0.0
    depth: float = 0.0
    mask_iou: float = 1.0
    pixels: int = 0
    changed: int = 0
    wrong_masks: int = 0
    failures: tuple[str, ...] = ()

    def __add__(self, other: ExportReport) -> ExportReport:
        return ExportReport(
            self.images + other.images,
            self.detections + other.detections,
            self.unmatched + other.unmatched,
            self.borderline + other.borderline,
            max(self.box, other.box),
            max(self.score, other.score),
            max(self.depth, other.depth),
            min(self.mask_iou, other.mask_iou),
            self.pixels + other.pixels,
            self.changed + other.changed,
            self.wrong_masks + other.wrong_masks,
            self.failures + other.failures,
        )

    def __str__(self) -> str:
        missing = f"{self.unmatched} without a counterpart ({self.borderline} of them at the threshold), "
        return (
            f"{self.detections} detections in {self.images} images: {missing if self.unmatched else ''}largest "
            f"difference of boxes {self.box:.2g} pixels, of scores {self.score:.2g}, of depths {self.depth:.2g}; "
            f"lowest mask IoU {self.mask_iou:.6f}, {self.changed} of {self.pixels} mask pixels differ"
        )


def check_runner(model: DepthBox, flip: bool, runner: Runner, images: Iterable[ExportInput]) -> ExportReport:
    """Run both networks on images and compare their results.

    Args:
        model: the network, in evaluation mode.
        flip: whether the network takes BGR.
        runner: the exported network.
        images: inputs at the network's scale.

    Returns:
        The differences; ``failures`` is empty if all of them are within the tolerances.
    """
    report = ExportReport()
    with torch.no_grad():
        for image in images:
            eager = _run_eager(model, flip, image)
            scale = max(n / m for n, m in zip(image.size, image.valid, strict=True))
            limit = _lowest_score(model, len(eager), eager)
            report += compare(image.name, eager, runner(image), box_tolerance=BOX_TOLERANCE * scale, limit=limit)
    return report


def compare(name: str, eager: Instances, outputs: Outputs, *, box_tolerance: float, limit: float) -> ExportReport:
    """Compare the results of one image.

    Args:
        name: name of the image.
        eager: N instances of the network.
        outputs: outputs of the exported network, by name.
        box_tolerance: in pixels of the result.
        limit: score below which detections are dropped. Rounding decides about detections of this score.
    """
    boxes, classes, scores = (eager.pred_boxes.tensor.numpy(), eager.pred_classes.numpy(), eager.scores.numpy())
    pairs = match(boxes, classes, scores, outputs, box_tolerance)
    alone = [scores[i] for i in set(range(len(scores))) - {i for i, _ in pairs}]
    alone += [outputs["scores"][j] for j in set(range(len(outputs["scores"]))) - {j for _, j in pairs}]
    borderline = sum(abs(float(score) - limit) <= SCORE_TOLERANCE for score in alone)
    report = ExportReport(images=1, detections=len(scores), unmatched=len(alone), borderline=borderline)
    for i, j in pairs:
        report += _compare_pair(eager, i, outputs, j)
    return replace(report, failures=tuple(_list_failures(name, report)))


def _compare_pair(eager: Instances, i: int, outputs: Outputs, j: int) -> ExportReport:
    """Compare detection ``i`` of the network with detection ``j`` of the exported network."""
    mask, exported = eager.pred_masks[i].numpy(), outputs["masks"][j]
    common, union = int((mask & exported).sum()), int((mask | exported).sum())
    iou = common / union if union else 1.0
    depth = abs(float(eager.pred_depths[i] - outputs["depths"][j])) if eager.has("pred_depths") else 0.0
    return ExportReport(
        box=float(np.abs(eager.pred_boxes.tensor[i].numpy() - outputs["boxes"][j]).max()),
        score=abs(float(eager.scores[i] - outputs["scores"][j])),
        depth=depth,
        mask_iou=iou,
        pixels=union,
        changed=union - common,
        wrong_masks=int(iou < MASK_IOU and union - common > MASK_PIXELS),
    )


def match(
    boxes: NDArray, classes: NDArray, scores: NDArray, outputs: Outputs, tolerance: float
) -> list[tuple[int, int]]:
    """Match detections of equal class, box and score, nearest first; equal scores may come in any order.

    Args:
        boxes, classes, scores: (N, 4), (N,) and (N,) of the network.
        outputs: outputs of the exported network.
        tolerance: largest difference of a coordinate.

    Returns:
        Pairs (index in the network's detections, index in the outputs), sorted. Each index occurs once.
    """
    box = np.abs(boxes[:, None] - outputs["boxes"][None]).max(-1, initial=0)
    score = np.abs(scores[:, None] - outputs["scores"][None])
    fits = (box <= tolerance) & (score <= SCORE_TOLERANCE) & (classes[:, None] == outputs["classes"][None])
    rows, columns = np.nonzero(fits)
    taken: tuple[set[int], set[int]] = (set(), set())
    pairs = []
    for place in np.argsort(box[rows, columns] + score[rows, columns], kind="stable"):
        i, j = int(rows[place]), int(columns[place])
        if i not in taken[0] and j not in taken[1]:
            taken[0].add(i)
            taken[1].add(j)
            pairs.append((i, j))
    return sorted(pairs)


def require_equal(report: ExportReport, max_lines: int = 3) -> None:
    """Raise ExportMismatchError if a report has failures, and name the first ``max_lines`` of them."""
    if report.failures:
        raise ExportMismatchError(
            f"the exported network differs from the network, so no file is written ({report}): "
            + "; ".join(itertools.islice(report.failures, max_lines))
        )


def _run_eager(model: DepthBox, flip: bool, image: ExportInput) -> Instances:
    pixels = torch.from_numpy(image.image).permute(2, 0, 1)
    pixels = pixels.flip(0) if flip else pixels
    height, width = image.size
    sample = {"image": pixels[:, : image.valid[0], : image.valid[1]], "height": height, "width": width}
    # A second, black image pads the batch to the size of the exported network's image.
    return model([sample, {"image": torch.zeros_like(pixels)}])[0]["instances"].to("cpu")


def _lowest_score(model: DepthBox, count: int, eager: Instances) -> float:
    """Return the score below which detections are dropped: the threshold, or the last score if the list is full."""
    inference = model.proposal_generator.inference
    if count >= inference["post_nms_topk"]:
        return float(eager.scores.min())
    return float(inference["score_threshold"]) ** 0.5 if inference["threshold_with_quality"] else 0.0


def _list_failures(name: str, report: ExportReport) -> list[str]:
    found = []
    if report.unmatched > report.borderline:
        found.append(f"{name}: {report.unmatched - report.borderline} detections are found by only one of the networks")
    if report.wrong_masks:
        found.append(f"{name}: {report.wrong_masks} masks differ, the lowest IoU is {report.mask_iou:.5f}")
    if report.depth > SCORE_TOLERANCE:
        found.append(f"{name}: depths differ by {report.depth:.2g}")
    return found
