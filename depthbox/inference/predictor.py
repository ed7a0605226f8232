"""Trained networks as functions: from an image to instances, or from annotated boxes to their masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.structures import Instances
from torch import nn
from torch.nn import functional as F

from ..checkpoint.run_files import SEGMENTOR
from ..checkpoint.run_weights import find_weights
from ..checkpoint.tensor_checks import load_exactly
from ..checkpoint.training_state import teacher_state
from ..checkpoint.weights import load_weights
from ..data.mapper import BoxDepthMapper
from ..data.point_mapper import build_mapper
from ..distillation import TeacherLabeler
from ..io.images import RGBImage
from ..modeling.build import build_network
from ..modeling.meta_arch.depthbox import DepthBox
from ..ops import aligned_upsample

RecordPredictor = Callable[[Mapping[str, Any]], Instances]
_POINT_NETWORK = "P2Seg"  # MODEL.META_ARCHITECTURE of the networks that make masks of given points
BatchPredictor = Callable[[Sequence[RGBImage]], list[Instances]]


def load_network(cfg: CfgNode, weights: str, use_teacher: bool = False) -> nn.Module:
    """Build the network of a config and load its weights.

    Args:
        cfg: config of the training run.
        weights: path or URL of a checkpoint; see ``checkpoint.weights.load_weights``.
        use_teacher: load the EMA teacher of self-distillation instead of the student if the checkpoint has one.

    Returns:
        The network on MODEL.DEVICE, in evaluation mode.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged, or its weights do not fit the network.
    """
    if not weights:
        raise ValueError("no checkpoint is given: name one with --weights")
    network = build_network(cfg, initial_weights=False)
    load_weights(network, weights)
    teacher = teacher_state(weights) if use_teacher else None
    if teacher is not None:
        load_exactly(network, teacher, weights, "teacher")
    return network.eval()


def require_depthbox(network: nn.Module) -> DepthBox:
    """Return the network if it is a ``DepthBox``.

    Raises:
        ValueError: it is a network of another meta-architecture.
    """
    if type(network).__name__ == _POINT_NETWORK:
        raise ValueError(_explain_points())
    if not isinstance(network, DepthBox):
        raise ValueError(
            f"MODEL.META_ARCHITECTURE is {type(network).__name__}, but only a DepthBox computes masks of given boxes "
            "and can be exported: name the checkpoint and config of a DepthBox"
        )
    return network


def _explain_points(weights: str = "") -> str:
    """Explain that a network makes masks of given points, and which weights work on images alone."""
    stage_b = Path(weights).absolute().parent.parent / SEGMENTOR
    found = find_weights(stage_b) if weights else None
    which = found or f"{SEGMENTOR}/model_best.pth or {SEGMENTOR}/model_final.pth in its folder"
    return (
        f"{weights or 'the checkpoint'} holds a {_POINT_NETWORK}, which makes masks of points (`depthbox label`). "
        f"On images alone use the network of stage B of the training run, {which}"
    )


def find_config(weights: str, config_file: str = "") -> str:
    """Find the config file of a checkpoint.

    Args:
        weights: path or URL of the checkpoint.
        config_file: returned if given; "" = ``config.yaml`` in the folder of the checkpoint.

    Raises:
        FileNotFoundError: the checkpoint, or the config file beside it, does not exist. A URL needs ``config_file``.
    """
    if config_file:
        return config_file
    if "://" in weights:
        raise FileNotFoundError(f"the config of {weights} is not known: name it with --config-file")
    if not Path(weights).is_file():
        raise FileNotFoundError(f"the checkpoint {weights} does not exist: correct --weights")
    beside = Path(weights).parent / "config.yaml"
    if not beside.is_file():
        raise FileNotFoundError(
            f"{beside} does not exist: name the config of the training run of {weights} with --config-file"
        )
    return str(beside)


def load_predictor(cfg: CfgNode, weights: str) -> RecordPredictor:
    """Build the predictor of the images of a dataset.

    Args:
        cfg: config of the training run.
        weights: path or URL of a checkpoint.

    Returns:
        A function from a dataset dict to Instances on the CPU, in pixels of the original image.

    Raises:
        FileNotFoundError, ValueError: see ``load_network``.
    """
    network = load_network(cfg, weights)
    mapper = build_mapper(cfg, is_train=False)

    def predict(record: Mapping[str, Any]) -> Instances:
        with torch.no_grad():
            return network([mapper(record)])[0]["instances"].to("cpu")

    return predict


def load_batch_predictor(cfg: CfgNode, weights: str, size: int = 0) -> BatchPredictor:
    """Build the predictor of images that belong to no dataset.

    Args:
        cfg: config of the training run.
        weights: path or URL of a checkpoint.
        size: shorter side of the network's input; see ``build_resize``.

    Returns:
        A function from images (H, W, 3) uint8, RGB, to their Instances on the CPU, in pixels of the images.

    Raises:
        FileNotFoundError, ValueError: see ``load_network``; or the network makes masks of given points.
    """
    if cfg.MODEL.META_ARCHITECTURE == _POINT_NETWORK:
        raise ValueError(_explain_points(weights))
    return build_batch_predictor(cfg, load_network(cfg, weights), size)


def build_batch_predictor(cfg: CfgNode, network: nn.Module, size: int = 0) -> BatchPredictor:
    """Build the function of ``load_batch_predictor`` from a network in evaluation mode."""
    resize = build_resize(cfg, size)

    def predict(images: Sequence[RGBImage]) -> list[Instances]:
        samples = [
            {"image": prepare_image(cfg, resize, image), "height": image.shape[0], "width": image.shape[1]}
            for image in images
        ]
        with torch.no_grad():
            return [result["instances"].to("cpu") for result in network(samples)]

    return predict


def build_resize(cfg: CfgNode, size: int = 0) -> T.Augmentation:
    """Build the resizing of images for the network.

    Args:
        cfg: gives INPUT.MIN_SIZE_TEST and INPUT.MAX_SIZE_TEST.
        size: shorter side in pixels; 0 = MIN_SIZE_TEST. The limit of the longer side is scaled with it.
    """
    short, longest = cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST
    return T.ResizeShortestEdge(size, round(longest * size / short)) if size else T.ResizeShortestEdge(short, longest)


def prepare_image(cfg: CfgNode, resize: T.Augmentation, image: RGBImage) -> torch.Tensor:
    """Convert an image (H, W, 3) uint8, RGB, to the network's input (3, h, w) uint8 in the order INPUT.FORMAT."""
    channels = image[:, :, ::-1] if cfg.INPUT.FORMAT == "BGR" else image
    resized = resize.get_transform(channels).apply_image(np.ascontiguousarray(channels))
    return torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1)))


def load_pseudo_labeler(cfg: CfgNode, weights: str) -> RecordPredictor:
    """Build the teacher of self-distillation, which assigns a mask to each annotated box.

    Args:
        cfg: config of the training run; MODEL.DISTILL defines the matching of masks and boxes.
        weights: path or URL of a checkpoint; its teacher is used if it has one, else its network.

    Returns:
        A function from a dataset dict with ``annotations`` to Instances on the CPU, in pixels of the original image:
        one instance per box without crowds. The score is the matching score, 0 for a box without a candidate.

    Raises:
        FileNotFoundError, ValueError: see ``load_network``.
    """
    network = require_depthbox(load_network(cfg, weights, use_teacher=True))
    labeler = TeacherLabeler(cfg, network, soft=True)
    fields = ("depth",) if cfg.MODEL.DISTILL.BETA > 0 else ()
    mapper = BoxDepthMapper(True, augmentations=[build_resize(cfg)], image_format=cfg.INPUT.FORMAT, fields=fields)

    def label(record: Mapping[str, Any]) -> Instances:
        labeled = labeler([mapper(record)])[0]["instances"].to("cpu")
        return _restore_size(labeled, (record["height"], record["width"]), network.mask_head.out_stride)

    return label


def _restore_size(labeled: Instances, size: tuple[int, int], stride: int) -> Instances:
    """Convert labeled instances of the network's input to predictions in an image of ``size`` (height, width)."""
    height, width = labeled.image_size
    masks = aligned_upsample(labeled.pseudo_masks[:, None], stride)[..., :height, :width]
    boxes = labeled.gt_boxes.clone()
    boxes.scale(size[1] / width, size[0] / height)
    result = Instances(size)
    result.pred_boxes, result.pred_classes = boxes, labeled.gt_classes
    result.scores = labeled.pseudo_scores
    result.pred_masks = F.interpolate(masks, size=size, mode="bilinear", align_corners=False)[:, 0] > 0.5
    return result
