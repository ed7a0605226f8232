"""Comparison of the detector's targets and losses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from detectron2.layers import ShapeSpec
from torch import Tensor

from ...modeling.fcos import FCOS
from ...modeling.fcos.head import HeadOutputs
from ...modeling.fcos.locations import Locations
from .. import inputs
from ..baselines import targets as baseline
from ..comparison import Comparison, Options
from ..inputs import Setting
from ..measure import Pass, Results
from .network import make_config
from .ops import choose_setting, describe_inputs

_MANY_OBJECTS, _QUICK_MANY = 300, 20


def targets(options: Options) -> Iterator[Comparison]:
    """Compare assignment, the detector's losses and the selection of queries, with few and many objects."""
    few = choose_setting(options)
    for objects in (few.objects, _QUICK_MANY if options.quick else _MANY_OBJECTS):
        yield compare_targets(few.with_objects(objects), options.device)


@dataclass(frozen=True)
class DetectorProblem:
    """Detector, its predictions at all locations, and their targets.

    Attributes:
        leaves: predictions of each level by name.
    """

    detector: FCOS
    outputs: HeadOutputs
    locations: Locations
    boxes: list[Tensor]
    classes: list[Tensor]
    leaves: dict[str, Tensor]


def make_detector_problem(setting: Setting, device: torch.device) -> DetectorProblem:
    """Make random predictions; objects are sampled around the center of mass of their boxes, as in BoxInst."""
    generator = setting.generator(3)

    def levels(channels: int) -> list[Tensor]:
        shapes = [(setting.images, channels, *size) for size in setting.levels]
        return [torch.randn(shape, generator=generator).to(device) for shape in shapes]

    outputs = HeadOutputs(
        logits=[(x - 4).requires_grad_() for x in levels(setting.classes)],
        deltas=[(x.exp() * 3).requires_grad_() for x in levels(4)],
        quality=[x.requires_grad_() for x in levels(1)],
        box_tower=[],
    )
    detector = _detector(setting, device)
    named = {"logits": outputs.logits, "deltas": outputs.deltas, "quality": outputs.quality}
    return DetectorProblem(
        detector,
        outputs,
        detector.locations(outputs),
        inputs.make_boxes(setting, device),
        inputs.make_classes(setting, device),
        {f"{name} {level}": x for name, maps in named.items() for level, x in enumerate(maps)},
    )


def compare_targets(setting: Setting, device: torch.device) -> Comparison:
    """Make the comparison for one number of objects."""
    p = make_detector_problem(setting, device)
    matrix = 4 * len(p.locations) * setting.objects
    canvases = setting.objects * setting.height * setting.width
    return Comparison(
        "targets",
        Pass(lambda: compute_losses(p, setting), p.leaves),
        Pass(lambda: compute_baseline_losses(p, setting), p.leaves),
        baseline_bytes=3 * 4 * max(matrix, canvases),
        about={**describe_inputs(setting), "objects": setting.objects},
    )


def compute_losses(p: DetectorProblem, setting: Setting) -> Results:
    """Compute the losses with the detector itself."""
    losses, _ = p.detector.losses(p.outputs, p.boxes, p.classes, (setting.height, setting.width))
    return dict(losses)


def compute_baseline_losses(p: DetectorProblem, setting: Setting) -> Results:
    """Compute the losses with the baseline, including its selection of queries."""
    size = (setting.height, setting.width)
    found = baseline.assign_targets(p.locations, p.boxes, p.classes, setting.classes, mass_center_size=size)
    logits, deltas, quality = (
        torch.cat([x.permute(0, 2, 3, 1).flatten(1, 2) for x in maps], dim=1)
        for maps in (p.outputs.logits, p.outputs.deltas, p.outputs.quality)
    )
    losses = baseline.fcos_losses(logits, deltas, quality[..., 0], found, setting.classes)
    baseline.select_queries(found, logits.detach(), quality[..., 0].detach(), setting.classes, setting.queries)
    return dict(losses)


def _detector(setting: Setting, device: torch.device) -> FCOS:
    cfg = make_config(device, setting.classes)
    cfg.MODEL.FCOS.SAMPLE_CENTER = "box_mass"
    cfg.MODEL.FCOS.NUM_CLS_CONVS = cfg.MODEL.FCOS.NUM_BOX_CONVS = 0  # the towers are not used here
    cfg.MODEL.CONDINST.QUERIES_PER_IMAGE = setting.queries
    names = cfg.MODEL.FCOS.IN_FEATURES
    shapes = {name: ShapeSpec(channels=8, stride=s) for name, s in zip(names, inputs.STRIDES, strict=True)}
    return FCOS(cfg, shapes).to(device)
