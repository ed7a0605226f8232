"""Rows of the whole network: a training step with our operations and the baselines, and inference with options."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from torch import nn

from ...config.defaults import add_depthbox_config
from ...modeling import DepthBox
from ...modeling.fcos import fcos as fcos_module
from ...modeling.supervision.boxes import DEPTH, BoxSupervision
from ...modeling.supervision.depth import DepthSupervision
from .. import inputs
from ..baselines import targets as baseline_targets
from ..baselines.edges import BaselineSupervision
from ..baselines.head import BaselineDynamicHead, DenseController
from ..baselines.masks import BaselineCriterion
from ..comparison import Comparison, Options, Row, describe
from ..inputs import Setting
from ..measure import Pass, Results, measure
from .ops import choose_setting

_CPU_INFERENCE = Setting(height=480, width=800)
_BATCHES = (1, 4)


def make_config(device: torch.device, classes: int, **overrides: Any) -> CfgNode:
    """Make the config of DepthBox with ResNet-50 and depth losses; overrides are keys with __ for each dot."""
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.MODEL.META_ARCHITECTURE = "DepthBox"
    cfg.MODEL.MASK_ON = True
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.DEVICE = device.type
    cfg.MODEL.BACKBONE.NAME = "build_depthbox_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.FCOS.NUM_CLASSES = classes
    cfg.MODEL.DEPTH.LAYER = cfg.MODEL.DEPTH.CONSISTENCY = cfg.INPUT.DEPTH.ENABLED = True
    for key, value in overrides.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    return cfg


def build_network(cfg: CfgNode, seed: int = 0) -> DepthBox:
    """Build a network with random weights."""
    torch.manual_seed(seed)
    network = build_model(cfg)
    assert isinstance(network, DepthBox)
    return network


def make_batch(setting: Setting, device: torch.device) -> list[dict[str, Any]]:
    """Make a batch in the format of the mapper, on the device."""
    images, depth = (
        inputs.make_images(setting, device),
        inputs.make_depth(setting, device, (setting.height, setting.width)),
    )
    boxes, classes = inputs.make_boxes(setting, device), inputs.make_classes(setting, device)
    batch = []
    for b in range(setting.images):
        instances = Instances((setting.height, setting.width))
        instances.gt_boxes, instances.gt_classes = Boxes(boxes[b]), classes[b]
        sample = {"image": images[b], "depth": depth[b : b + 1], "instances": instances}
        batch.append(sample | {"height": setting.height, "width": setting.width, "file_name": f"{b}", "image_id": b})
    return batch


def train_step(options: Options) -> Iterator[Comparison]:
    """Compare forward and backward pass of the whole network on two images."""
    setting = choose_setting(options)
    network = build_network(make_config(options.device, setting.classes)).train()
    batch = make_batch(setting, options.device)
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}

    def step() -> Results:
        network.zero_grad(set_to_none=True)
        losses: dict[str, Any] = network(batch)
        sum(losses.values()).backward()
        gradients = [p.grad.norm() for p in parameters.values() if p.grad is not None]
        return {name: loss.detach() for name, loss in losses.items()} | {"gradient": torch.stack(gradients).norm()}

    def baseline_step() -> Results:
        with use_baselines(network, (setting.height, setting.width)):
            return step()

    yield Comparison(
        "train_step",
        Pass(step),
        Pass(baseline_step),
        tolerance=2e-2,  # pairs at the threshold may be rounded differently by the two color conversions
        least=2,
        baseline_bytes=900 * len(batch) * setting.queries * setting.grid[0] * setting.grid[1],
        about={
            "input": f"{setting.images} x {setting.height} x {setting.width}, R-50",
            "objects": setting.objects,
            "queries": setting.queries,
        },
    )


@contextlib.contextmanager
def use_baselines(network: DepthBox, image_size: tuple[int, int]) -> Iterator[None]:
    """Replace the operations of the network by the baselines within a block; the weights are shared."""
    boxes, depth = (kind.supervision for kind in network.criterion.kinds)
    assert isinstance(boxes, BoxSupervision) and isinstance(depth, DepthSupervision)
    parts: dict[str, nn.Module] = {
        "mask_head": BaselineDynamicHead(network.mask_head),
        "controller": DenseController(network.controller),
        "criterion": BaselineCriterion(
            image_size,
            stride=boxes.stride,
            size=boxes.size,
            dilation=boxes.dilation,
            depth_weight=depth.weight,
            consistency_weight=boxes.pair_weights[DEPTH],
            color_threshold=boxes.color_threshold,
            depth_threshold=boxes.depth_threshold,
            build_targets=BaselineSupervision.like(boxes).similarities,
        ),
    }
    before = {name: getattr(network, name) for name in parts}
    try:
        for name, part in parts.items():
            setattr(network, name, part)
        with mock.patch.object(fcos_module, "assign_targets", baseline_targets.assign_targets):
            yield
    finally:
        for name, part in before.items():
            setattr(network, name, part)


def infer(options: Options) -> Iterator[Row]:
    """Measure images per second at batch sizes 1 and 4; the baseline of each option is the plain network.

    The 100 best detections of every image are kept, independent of their scores. An option that fails has a note.
    """
    if options.quick:
        setting = Setting(height=64, width=96, classes=5)
    else:
        setting = Setting() if options.device.type == "cuda" else _CPU_INFERENCE
    plain: dict[int, Row] = {}
    for name, change in _OPTIONS.items():
        if name == "torch.compile" and options.quick:
            continue  # compilation takes minutes
        for count in _BATCHES:
            row: Row = {"op": "infer", "device": options.device.type, "option": name, "batch": count}
            row |= {"speedup": None, "memory_ratio": None, "input": f"{setting.height} x {setting.width}, R-50"}
            try:
                row |= _inference(setting, count, change, name == "channels_last", options)
            except Exception as error:  # an unsupported option must not stop the others
                row["note"] = f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[
                    :200
                ]
            plain.setdefault(count, row)
            if name != "plain" and "ours_s" in row and "ours_s" in plain[count]:
                row["baseline_s"] = plain[count]["ours_s"]
                row["speedup"] = row["baseline_s"] / row["ours_s"]
            yield row


def _inference(
    setting: Setting, count: int, change: Callable[[DepthBox], None], channels_last: bool, options: Options
) -> Row:
    cfg = make_config(
        options.device, setting.classes, MODEL__FCOS__INFERENCE_TH=0.0, MODEL__CHANNELS_LAST=channels_last
    )
    network = build_network(cfg).eval()
    change(network)
    images = inputs.make_images(Setting(**{**vars(setting), "images": count}), options.device)
    batch = [{"image": image, "height": setting.height, "width": setting.width} for image in images]
    with torch.inference_mode():
        network(batch)  # warm-up, and compilation
        found = measure(lambda: network(batch), options.device, repeat=options.repeat, budget=options.budget / 4)
    return {**describe("ours", found), "images_per_s": count / found.median}


def _keep_plain(network: DepthBox) -> None:
    """Change nothing."""


def _use_bfloat16(network: DepthBox) -> None:
    """Run the whole forward pass under autocast, as training with AMP does."""
    network.forward = torch.autocast(network.device.type, torch.bfloat16)(network.forward)  # type: ignore[method-assign]


def _compile(network: DepthBox) -> None:
    """Compile backbone and towers; the shapes of later operations depend on the image."""
    network.backbone.forward = torch.compile(network.backbone.forward)
    head, branch = network.proposal_generator.fcos_head, network.mask_branch
    head.forward = torch.compile(head.forward)  # type: ignore[method-assign]
    branch.forward = torch.compile(branch.forward)  # type: ignore[method-assign]


_OPTIONS: dict[str, Callable[[DepthBox], None]] = {
    "plain": _keep_plain,
    "channels_last": _keep_plain,
    "bf16": _use_bfloat16,
    "torch.compile": _compile,
}
