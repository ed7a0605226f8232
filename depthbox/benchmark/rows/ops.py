"""Comparisons of single operations on masks: mask losses, dynamic head, edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...modeling.mask_head import DynamicMaskHead
from ...modeling.supervision import MaskCriterion, WeightedSupervision
from ...modeling.supervision.boxes import COLOR, DEPTH, BoxSupervision, BoxTargets
from ...modeling.supervision.criterion import WeightedTargets
from ...modeling.supervision.depth import DepthSupervision, DepthTargets
from ...modeling.supervision.pseudo_masks import PseudoMaskSupervision, PseudoMaskTargets
from ...ops import box_extents, color_similarity, depth_similarity, pack_edges, rgb_to_lab, unpack_edges
from ...structures import MaskPredictions, Queries
from .. import inputs
from ..baselines.edges import BaselineSupervision
from ..baselines.head import BaselineDynamicHead
from ..baselines.masks import BaselineCriterion, BaselineTargets
from ..comparison import Comparison, Options
from ..inputs import Setting
from ..measure import Pass, Results

_QUICK = Setting(images=2, height=64, width=96, objects=3, queries=6, classes=5)
_NEIGHBORS = 8


def choose_setting(options: Options) -> Setting:
    """Choose 2 images of 800 x 1344 with 64 queries each, or tiny inputs for a quick run."""
    return _QUICK if options.quick else Setting()


def make_supervision() -> BoxSupervision:
    """Make the supervision by boxes with the defaults of the config."""
    return BoxSupervision(
        stride=4,
        rgb=False,
        color_threshold=0.3,
        size=3,
        dilation=2,
        bottom_pixels_removed=0,
        consistency_weight=1.0,
        depth_scale=100.0,
    )


@dataclass(frozen=True)
class MaskProblem:
    """Inputs of mask head and mask losses; the baselines use ``baseline_targets``."""

    features: Tensor
    params: Tensor
    queries: Queries
    predictions: MaskPredictions
    targets: list[WeightedTargets]
    baseline_targets: BaselineTargets
    head: DynamicMaskHead
    criterion: MaskCriterion
    baseline_criterion: BaselineCriterion


def make_mask_problem(setting: Setting, device: torch.device) -> MaskProblem:
    """Make random features, filters and logits, edges of synthetic images, and pseudo masks."""
    generator = setting.generator(1)
    boxes = inputs.make_boxes(setting, device)
    queries = inputs.make_queries(setting, boxes)
    feature_size = (setting.height // setting.feature_stride, setting.width // setting.feature_stride)
    head = DynamicMaskHead(in_channels=setting.channels, depth_layer=True).to(device)
    count, grid = len(queries), setting.grid

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(shape, generator=generator) * scale).to(device)

    depth = inputs.make_depth(setting, device)
    color_edges = _color_similarity(inputs.make_images(setting, device), depth.shape[1])
    depth_edges = depth_similarity(depth[:, None], torch.ones_like(depth, dtype=torch.bool), scale=100.0)
    pseudo = inputs.make_blob_logits(torch.cat(boxes), grid, setting.stride, generator) > 0
    labels = PseudoMaskTargets(pseudo[:, 0].float(), torch.rand(len(pseudo), generator=generator).to(device))
    edges = {COLOR: pack_edges(color_edges >= 0.3), DEPTH: pack_edges(depth_edges > 0.5)}
    rows, columns = box_extents(torch.cat(boxes), *grid, setting.stride)
    targets = (BoxTargets(rows, columns, edges), DepthTargets(depth, rows, columns), labels)
    kinds = (
        make_supervision(),
        DepthSupervision(stride=setting.stride),
        PseudoMaskSupervision(stride=setting.stride, weight=4.0),
    )
    weights: dict[str, Any] = {"depth_weight": 1.0, "consistency_weight": 1.0, "pseudo_weight": 4.0}
    return MaskProblem(
        features=normal(setting.images, setting.channels, *feature_size).requires_grad_(),
        params=normal(count, head.num_params, scale=0.3).requires_grad_(),
        queries=queries,
        predictions=MaskPredictions(
            normal(count, 1, *grid, scale=3.0).requires_grad_(), normal(count, 1, *grid).requires_grad_()
        ),
        targets=[WeightedTargets(target, None) for target in targets],
        baseline_targets=BaselineTargets(
            torch.cat(boxes), color_edges, depth_edges, depth, labels.masks, labels.weights
        ),
        head=head,
        criterion=MaskCriterion(kinds=[WeightedSupervision(kind) for kind in kinds]),
        baseline_criterion=BaselineCriterion((setting.height, setting.width), stride=setting.stride, **weights),
    )


def mask_losses(options: Options) -> Iterator[Comparison]:
    """Compare the mask losses, forward and backward: projection, color and depth pairs, depth, pseudo masks."""
    setting = choose_setting(options)
    p = make_mask_problem(setting, options.device)
    assert p.predictions.depth_logits is not None
    leaves = {"logits": p.predictions.logits, "depth_logits": p.predictions.depth_logits}
    cells = p.predictions.logits.numel()
    yield Comparison(
        "mask_losses",
        Pass(lambda: p.criterion(p.predictions, p.queries, p.targets), leaves),
        Pass(lambda: p.baseline_criterion(p.predictions, p.queries, p.baseline_targets), leaves),
        kept=True,
        baseline_bytes=900 * cells,
        # Lower bound: both maps are read, both gradients are written.
        about={**describe_inputs(setting), "floor_bytes": 2 * 2 * 4 * cells},
    )


def dynamic_head(options: Options) -> Iterator[Comparison]:
    """Compare the dynamic head, forward and backward: mask and depth logits of all queries from shared features."""
    setting = choose_setting(options)
    p = make_mask_problem(setting, options.device)
    baseline = BaselineDynamicHead(p.head)
    cotangent = torch.randn(p.predictions.logits.shape, generator=setting.generator(2)).to(options.device)
    leaves = {"features": p.features, "params": p.params}
    cotangents = {"logits": cotangent, "depth_logits": cotangent}
    cells = len(p.queries) * p.features.shape[2] * p.features.shape[3]
    weights = p.head.num_params - sum(out for out, _ in p.head.layer_shapes) - 1
    yield Comparison(
        "dynamic_head",
        Pass(lambda: dict(vars(p.head(p.features, p.params, p.queries))), leaves, cotangents),
        Pass(lambda: dict(vars(baseline(p.features, p.params, p.queries))), leaves, cotangents),
        kept=True,
        tolerance=2e-2,  # rounding decides whether a hidden value near the kink of the ReLU has a gradient
        # Lower bound: forward pass, gradients of inputs and of filters, each with 2 operations per weight and cell.
        about={**describe_inputs(setting), "floor_operations": 3 * 2 * weights * cells},
    )


def edges(options: Options) -> Iterator[Comparison]:
    """Compare the color and depth edges of a batch."""
    setting = choose_setting(options)
    device = options.device
    ours, baseline = make_supervision(), BaselineSupervision.like(make_supervision())
    images, depth = inputs.make_images(setting, device), inputs.make_depth(setting, device)
    valid = torch.ones((setting.images, *setting.grid), dtype=torch.bool, device=device)
    valid[:, -2:] = False

    def both(maker: BoxSupervision) -> Results:
        return {"color": maker.color_edges(images, valid), "depth": maker.depth_edges(depth, valid)}

    def differing(mine: Results, other: Results) -> float:
        expected = {"color": other["color"] >= ours.color_threshold, "depth": other["depth"] > ours.depth_threshold}
        shares = [unpack_edges(mine[k], _NEIGHBORS).ne(expected[k]).float().mean() for k in mine if k in expected]
        return float(max(shares))

    yield Comparison(
        "edges",
        Pass(lambda: both(ours)),
        Pass(lambda: both(baseline)),
        difference=differing,
        tolerance=1e-3,  # share of pairs; rounding decides those at the threshold
        about={**describe_inputs(setting), "floor_bytes": images.numel() + 4 * depth.numel() + 3 * valid.numel()},
    )


def _color_similarity(images: Tensor, height: int) -> Tensor:
    """Compute dense color similarities (B, 8, h, w) of BGR images, without the baseline's conversion on the CPU."""
    small = F.avg_pool2d(images.float(), images.shape[2] // height).flip(1)
    return color_similarity(rgb_to_lab(small.floor() / 255), torch.ones_like(small[:, 0], dtype=torch.bool))


def describe_inputs(setting: Setting) -> dict[str, Any]:
    """Return the fields of a row that describe its inputs."""
    size = f"{setting.images} x {setting.height} x {setting.width}"
    return {"input": size, "objects": setting.objects, "queries": setting.queries}
