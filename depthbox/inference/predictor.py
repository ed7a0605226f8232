"""A trained network as a function: from a data set's image to objects, or from its boxes to their masks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.structures import Instances
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from ..checkpoint.weights import load_weights
from ..data.mapper import BoxDepthMapper
from ..distillation import TeacherLabeler
from ..engine.distillation import load_teacher
from ..modeling.build import build_network
from ..ops import aligned_upsample


def load_network(cfg: CfgNode, weights: str) -> nn.Module:
    """Build the network of a config and load its weights; in evaluation mode.

    Raises:
        FileNotFoundError: there is no such file.
    """
    model = build_network(cfg)
    load_weights(model, weights)
    return model.eval()


def load_predictor(cfg: CfgNode, weights: str) -> Callable[[Mapping[str, Any]], Instances]:
    """Build the network of a config and load its weights.

    Args:
        cfg: of the training.
        weights: path or URL, see ``weights.load_weights``.

    Returns:
        A function from a data set dict to its Instances, on the CPU, at the original image's size.

    Raises:
        FileNotFoundError: there is no such file.
    """
    model = load_network(cfg, weights)
    mapper = BoxDepthMapper(cfg, is_train=False)

    def predict(record: Mapping[str, Any]) -> Instances:
        with torch.no_grad():
            return model([mapper(record)])[0]["instances"].to("cpu")

    return predict


def find_config(weights: str, config_file: str = "") -> str:
    """The config file of a checkpoint: the one that is given, else the config.yaml that its training left beside it.

    Raises:
        FileNotFoundError: there is none, or no such weights; those behind a URL have none beside them.
    """
    if config_file:
        return config_file
    if "://" in weights:
        raise FileNotFoundError(f"name the config of the training of {weights} (--config-file)")
    if not Path(weights).is_file():
        raise FileNotFoundError(f"there is no file {weights} (--weights)")
    beside = Path(weights).parent / "config.yaml"
    if not beside.is_file():
        raise FileNotFoundError(f"there is no {beside}: name the config of the training of {weights} (--config-file)")
    return str(beside)


def load_batch_predictor(
    cfg: CfgNode, weights: str, size: int = 0
) -> Callable[[Sequence[NDArray[np.uint8]]], list[Instances]]:
    """Build the network of a config and load its weights, for pictures that are no data set's.

    Args:
        cfg: of the training.
        weights: path or URL, see ``weights.load_weights``.
        size: short side of the network's input, see ``resize_to``.

    Returns:
        A function from pictures (H, W, 3) uint8, RGB, to their Instances, on the CPU, at the pictures' size.

    Raises:
        FileNotFoundError: there is no such file.
    """
    return batch_predictor(cfg, load_network(cfg, weights), size)


def batch_predictor(
    cfg: CfgNode, network: nn.Module, size: int = 0
) -> Callable[[Sequence[NDArray[np.uint8]]], list[Instances]]:
    """The function of ``load_batch_predictor`` from a network that is already there, in evaluation mode."""
    resize = resize_to(cfg, size)

    def predict(pictures: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        samples = [
            {"image": network_input(cfg, resize, picture), "height": picture.shape[0], "width": picture.shape[1]}
            for picture in pictures
        ]
        with torch.no_grad():
            return [result["instances"].to("cpu") for result in network(samples)]

    return predict


def resize_to(cfg: CfgNode, size: int = 0) -> T.Augmentation:
    """How pictures are resized for the network: the short side to ``size``, or to that of tests where it is 0.

    The bound of the long side keeps its ratio to the short one.
    """
    short, longest = cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST
    return T.ResizeShortestEdge(size, round(longest * size / short)) if size else T.ResizeShortestEdge(short, longest)


def network_input(cfg: CfgNode, resize: T.Augmentation, picture: NDArray[np.uint8]) -> torch.Tensor:
    """A picture (H, W, 3) uint8, RGB, as the network's ``image`` (3, h, w) uint8."""
    channels = picture[:, :, ::-1] if cfg.INPUT.FORMAT == "BGR" else picture
    resized = resize.get_transform(channels).apply_image(np.ascontiguousarray(channels))
    return torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1)))


def load_labeler(cfg: CfgNode, weights: str) -> Callable[[Mapping[str, Any]], Instances]:
    """Build the teacher of a config: it turns given boxes into masks, as in self-distillation.

    Args:
        cfg: of the training; MODEL.DISTILL says how masks are matched to boxes.
        weights: a checkpoint; its teacher is taken where it holds one, else its network.

    Returns:
        A function from a data set dict with ``annotations`` to Instances, on the CPU, at the original image's size: one
        for each box (crowds left out), its score the matching score; a box without any candidate has score 0.

    Raises:
        FileNotFoundError: there is no such file.
    """
    network = build_network(cfg)
    load_weights(network, weights)
    with contextlib.suppress(ValueError):
        load_teacher(network, None, weights)
    labeler = TeacherLabeler(cfg, network.eval())
    stride = cfg.MODEL.CONDINST.MASK_OUT_STRIDE
    labeler.soft = True
    augmentations = [T.ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)]
    fields = ("depth",) if cfg.MODEL.DISTILL.BETA > 0 else ()
    mapper = BoxDepthMapper(True, augmentations=augmentations, image_format=cfg.INPUT.FORMAT, fields=fields)

    def label(record: Mapping[str, Any]) -> Instances:
        sample = labeler([mapper(record)])[0]
        labeled = sample["instances"].to("cpu")
        height, width = labeled.image_size
        size = (record["height"], record["width"])
        masks = aligned_upsample(labeled.pseudo_masks[:, None], stride)[..., :height, :width]
        result = Instances(size)
        boxes = labeled.gt_boxes.clone()
        boxes.scale(size[1] / width, size[0] / height)
        result.pred_boxes, result.pred_classes = boxes, labeled.gt_classes
        result.scores = labeled.pseudo_scores
        result.pred_masks = F.interpolate(masks, size=size, mode="bilinear", align_corners=False)[:, 0] > 0.5
        return result

    return label
