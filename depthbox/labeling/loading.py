"""A trained network as what computes the mask of each given box."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from numpy.typing import NDArray

from ..checkpoint.weights import load_weights
from ..data.depth_io import DEPTH_SUFFIXES, DepthFileError, read_depth, resize_depth
from ..engine.distillation import load_teacher
from ..inference.predictor import network_input, resize_to
from ..modeling.build import build_network
from ..modeling.meta_arch.depthbox import DepthBox
from .box_labeler import BoxLabeler, BoxMask, DepthRule, View
from .job import Entry, Label, LabelJob, Picture
from .partial_results import fingerprint


def load_box_labeler(
    cfg: CfgNode, weights: str, *, sizes: Sequence[int] = (), mirror: bool = True, depth: Path | None = None
) -> Label:
    """Build the network of a config and load its weights; of a self-distillation the teacher's.

    Args:
        cfg: of the training.
        weights: a checkpoint.
        sizes: short sides of the network's input, whose masks are averaged; none = ``default_sizes``.
        mirror: average with the masks of the mirrored image.
        depth: folder of depth maps, which then take part in the choice of the masks; None = they do not.

    Returns:
        A function from an image's entry in the json, its picture and boxes (N, 4) xyxy to their masks.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: depth is given, and MODEL.DISTILL.BETA is 0, or a network of another kind.
    """
    if depth is not None and not depth.is_dir():
        raise FileNotFoundError(f"there is no depth folder {depth}")
    return box_labeler(cfg, load_box_network(cfg, weights), sizes=sizes, mirror=mirror, depth=depth)


def load_box_network(cfg: CfgNode, weights: str) -> DepthBox:
    """Build the network of a config and load its weights; of a self-distillation the teacher's.

    Returns:
        The network, in evaluation mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a network of another kind.
    """
    network = build_network(cfg)
    if not isinstance(network, DepthBox):
        raise ValueError(f"masks of given boxes need MODEL.META_ARCHITECTURE DepthBox, not {type(network).__name__}")
    load_weights(network, weights)
    with contextlib.suppress(ValueError):
        load_teacher(network, None, weights)
    return network.eval()


def box_labeler(
    cfg: CfgNode, network: DepthBox, *, sizes: Sequence[int] = (), mirror: bool = True, depth: Path | None = None
) -> Label:
    """The function of ``load_box_labeler`` from a network that is already there, in evaluation mode."""
    rule = depth_rule(cfg) if depth is not None else None
    labeler = BoxLabeler(network, candidates=cfg.MODEL.DISTILL.CANDIDATES_PER_BOX, depth=rule)
    resizes = [resize_to(cfg, size) for size in (sizes or default_sizes(cfg))]

    def label(image: Entry, picture: Picture, boxes: NDArray[np.float64]) -> list[BoxMask]:
        size = (picture.shape[0], picture.shape[1])
        near = _read_depth(depth, image["file_name"], size) if depth is not None else None
        views = [view for resize in resizes for view in make_views(network_input(cfg, resize, picture), near, mirror)]
        return list(labeler(views, torch.as_tensor(boxes, dtype=torch.float32), size))

    return label


def make_views(pixels: torch.Tensor, depth: NDArray[np.float32] | None, mirror: bool) -> list[View]:
    """An input (3, h, w) of the network with its depth, at that size, and, where asked for, both mirrored."""
    shown = None
    if depth is not None:
        shown = torch.from_numpy(resize_depth(depth, (pixels.shape[1], pixels.shape[2])))[None]
    views = [View(pixels, False, shown)]
    if mirror:
        views.append(View(pixels.flip(2), True, None if shown is None else shown.flip(2)))
    return views


def job_word(cfg: CfgNode, weights: str, job: LabelJob, options: Mapping[str, Any]) -> str:
    """A word for all that decides the masks: the boxes, the weights, the config and the options."""
    files = [path for path in (job.json_file, Path(weights)) if path.is_file()]
    return fingerprint(files, {"config": cfg.dump(), "images": str(job.images.resolve()), **options})


def default_sizes(cfg: CfgNode) -> tuple[int, ...]:
    """The size of tests, and once and a half of it: finer masks, and still objects of familiar sizes."""
    short = int(cfg.INPUT.MIN_SIZE_TEST)
    return short, round(1.5 * short)


def depth_rule(cfg: CfgNode) -> DepthRule:
    """How depth takes part, as in self-distillation.

    Raises:
        ValueError: by the config it does not.
    """
    beta = float(cfg.MODEL.DISTILL.BETA)
    if beta <= 0:
        raise ValueError(
            "depth is given, but MODEL.DISTILL.BETA is 0, so that it would not be used: set it to 0.2, say"
        )
    pairwise = cfg.MODEL.BOXINST.PAIRWISE
    return DepthRule(beta, cfg.MODEL.DEPTH.THRESH, cfg.MODEL.DEPTH.SCALE, pairwise.SIZE, pairwise.DILATION)


def _read_depth(folder: Path, file_name: str, size: tuple[int, int]) -> Any:
    stem = (folder / file_name).with_suffix("")
    for suffix in DEPTH_SUFFIXES:
        path = stem.with_name(stem.name + suffix)
        if path.is_file():
            return resize_depth(read_depth(path, size), size)
    raise DepthFileError(f"the image {file_name} has no depth map {stem}.png or .npy; `depthbox depth` makes them")
