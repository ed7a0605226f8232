"""An exported network against the one that it was made from, detection by detection."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from detectron2.structures import Instances
from numpy.typing import NDArray

from ..modeling.meta_arch.depthbox import DepthBox
from .images import Picture

Outputs = Mapping[str, NDArray]
Runner = Callable[[Picture], Outputs]

BOX_TOLERANCE = 0.1  # pixels of the network's input
SCORE_TOLERANCE = 1e-3  # also of depths
MASK_IOU = 0.999
MASK_PIXELS = 2  # so many may differ in a mask so small that one pixel would be too many


class CheckError(ValueError):
    """The exported network finds something else; the message says where."""


@dataclass(frozen=True)
class Report:
    """How far two networks' results lie apart, over all pictures.

    Attributes:
        pictures, detections: compared.
        unmatched: detections of one network that the other has not.
        borderline: those among them whose score lies at the threshold, where rounding decides.
        box: largest difference of a coordinate, pixels of the result.
        score, depth: largest differences.
        mask_iou: the least.
        pixels, changed: of all masks together, and those among them that one network alone has.
        wrong_masks: masks below MASK_IOU that differ in more than MASK_PIXELS pixels.
        failures: sentences on what is not equal.
    """

    pictures: int = 0
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

    def __add__(self, other: Report) -> Report:
        return Report(
            self.pictures + other.pictures,
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
        missing = f"{self.unmatched} not found by both ({self.borderline} of them at the threshold), "
        return (
            f"{self.detections} detections in {self.pictures} images: {missing if self.unmatched else ''}largest "
            f"difference of boxes {self.box:.2g} pixels, of scores {self.score:.2g}, of depths {self.depth:.2g}; "
            f"least mask IoU {self.mask_iou:.6f}, {self.changed} of {self.pixels} mask pixels differ"
        )


def check_runner(model: DepthBox, flip: bool, runner: Runner, pictures: Iterable[Picture]) -> Report:
    """Run both networks on pictures and compare.

    Args:
        model: in evaluation mode.
        flip: the network was trained with BGR.
        runner: the exported network.
        pictures: at its scale.

    Returns:
        The differences; ``failures`` is empty where there are none that count.
    """
    report = Report()
    with torch.no_grad():
        for picture in pictures:
            eager = _run_eager(model, flip, picture)
            scale = max(n / m for n, m in zip(picture.size, picture.valid, strict=True))
            limit = _lowest_score(model, len(eager), eager)
            report += compare(picture.name, eager, runner(picture), box_tolerance=BOX_TOLERANCE * scale, limit=limit)
    return report


def compare(name: str, eager: Instances, outputs: Outputs, *, box_tolerance: float, limit: float) -> Report:
    """Compare the results of one picture.

    Args:
        name: of the picture.
        eager: of the network.
        outputs: of the exported network, by name.
        box_tolerance: pixels of the result.
        limit: score below which detections are left out; which of them are is decided by rounding.
    """
    boxes, classes, scores = (eager.pred_boxes.tensor.numpy(), eager.pred_classes.numpy(), eager.scores.numpy())
    pairs = match(boxes, classes, scores, outputs, box_tolerance)
    alone = [scores[i] for i in set(range(len(scores))) - {i for i, _ in pairs}]
    alone += [outputs["scores"][j] for j in set(range(len(outputs["scores"]))) - {j for _, j in pairs}]
    borderline = sum(abs(float(score) - limit) <= SCORE_TOLERANCE for score in alone)
    report = Report(pictures=1, detections=len(scores), unmatched=len(alone), borderline=borderline)
    masks = eager.pred_masks.numpy()
    for i, j in pairs:
        common = int((masks[i] & outputs["masks"][j]).sum())
        union = int((masks[i] | outputs["masks"][j]).sum())
        iou = common / union if union else 1.0
        report = replace(
            report,
            box=max(report.box, float(np.abs(boxes[i] - outputs["boxes"][j]).max())),
            score=max(report.score, abs(float(scores[i] - outputs["scores"][j]))),
            mask_iou=min(report.mask_iou, iou),
            pixels=report.pixels + union,
            changed=report.changed + union - common,
            wrong_masks=report.wrong_masks + (iou < MASK_IOU and union - common > MASK_PIXELS),
            depth=max(report.depth, abs(float(eager.pred_depths[i] - outputs["depths"][j])))
            if eager.has("pred_depths")
            else 0.0,
        )
    return replace(report, failures=tuple(_failures(name, report)))


def match(
    boxes: NDArray, classes: NDArray, scores: NDArray, outputs: Outputs, tolerance: float
) -> list[tuple[int, int]]:
    """Pairs of detections of like class, box and score, the nearest first; equal scores may come in any order."""
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


def _run_eager(model: DepthBox, flip: bool, picture: Picture) -> Instances:
    image = torch.from_numpy(picture.image).permute(2, 0, 1)
    image = image.flip(0) if flip else image
    height, width = picture.size
    sample = {"image": image[:, : picture.valid[0], : picture.valid[1]], "height": height, "width": width}
    # A second, black image makes the batch as large as the exported network's image.
    return model([sample, {"image": torch.zeros_like(image)}])[0]["instances"].to("cpu")


def _lowest_score(model: DepthBox, count: int, eager: Instances) -> float:
    """Score at which detections begin to be left out: the threshold, or that of the last where there are too many."""
    how = model.proposal_generator.inference
    if count >= how["post_nms_topk"]:
        return float(eager.scores.min())
    return float(how["score_threshold"]) ** 0.5 if how["threshold_with_quality"] else 0.0


def _failures(name: str, report: Report) -> list[str]:
    found = []
    if report.unmatched > report.borderline:
        found.append(f"{name}: {report.unmatched - report.borderline} detections are not found by both networks")
    if report.wrong_masks:
        found.append(f"{name}: {report.wrong_masks} masks differ, the least IoU is {report.mask_iou:.5f}")
    if report.depth > SCORE_TOLERANCE:
        found.append(f"{name}: depths differ by {report.depth:.2g}")
    return found


def require_equal(report: Report, shown: int = 3) -> None:
    """Raise CheckError where a report has failures."""
    if report.failures:
        raise CheckError(
            f"the exported network does not give what the network gives, so it is not written ({report}): "
            + "; ".join(itertools.islice(report.failures, shown))
        )
