"""Inputs of a labeling job: annotations of any format, and a trained network that computes the masks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from numpy.typing import NDArray

from ..data.depth_io import DEPTH_SUFFIXES, DepthFileError, read_depth, resize_depth
from ..data.points import POINT
from ..distillation.matching import DepthRule
from ..inference.fingerprint import fingerprint
from ..inference.predictor import build_resize, load_network, prepare_image, require_depthbox
from ..io.annotations.canonical import canonicalize
from ..io.annotations.detect import read_raw, splits_of
from ..io.annotations.records import AnnotationError, AnnotationSet
from ..io.images import RGBImage
from ..modeling.meta_arch.depthbox import DepthBox
from .box_labeler import BoxLabeler, BoxMask, View
from .point_labeler import DetectionLabeler, PointLabeler, PointNetwork
from .prompts import Entry, Labeler, Prompts, answers_boxes, take_points


def load_annotations(source: Path, images: Path | None = None, split: str = "") -> AnnotationSet:
    """Read the annotations to label.

    Args:
        source: annotation file or dataset folder of any format.
        images: image folder; None = as the format defines.
        split: "train", "val" or "test" of a divided dataset; "" = the only one.

    Raises:
        AnnotationError: there are no such annotations, or a divided dataset needs a split.
    """
    splits = splits_of(source)
    if not split and len(splits) > 1:
        raise AnnotationError(f"{source} is divided into {', '.join(splits)}: choose one with --split")
    raw = read_raw(source, images, split or (splits[0] if splits else "train"))
    if raw is None:
        raise AnnotationError(f"{source} has no split {split}; its splits: {', '.join(splits)}")
    return canonicalize(raw)


def load_labeler(
    cfg: CfgNode, weights: str, *, sizes: Sequence[int] = (), mirror: bool = True, depth: Path | None = None
) -> Labeler:
    """Build the network of a config, load its weights or its teacher's, and make a labeler of the prompts it answers.

    A ``P2Seg`` answers points, at one size and not mirrored. Other networks answer boxes and points, see
    ``load_box_labeler``.

    Args:
        cfg: config of the training run.
        weights: path or URL of a checkpoint.
        sizes, mirror, depth: as in ``load_box_labeler``.

    Raises:
        FileNotFoundError: the checkpoint or the folder does not exist.
        ValueError: a ``P2Seg`` and more than one size or depth; or see ``load_box_labeler``.
    """
    if answers_boxes(cfg):
        return load_box_labeler(cfg, weights, sizes=sizes, mirror=mirror, depth=depth)
    if len(sizes) > 1:
        raise ValueError(f"a P2Seg labels at one size, but --size names {len(sizes)}: name one")
    if depth is not None:
        raise ValueError("--depth has no effect, because a P2Seg does not read depth when it labels: omit it")
    network: Any = load_network(cfg, weights, use_teacher=True)
    return build_point_labeler(cfg, network, size=sizes[0] if sizes else 0)


def build_point_labeler(cfg: CfgNode, network: PointNetwork, *, size: int = 0) -> Labeler:
    """Build the function of ``load_labeler`` from a network of points in evaluation mode.

    Args:
        cfg: config of the training run.
        network: such as a ``P2Seg``.
        size: shorter side of the network's input; 0 = INPUT.MIN_SIZE_TEST.
    """
    labeler, resize = PointLabeler(network), build_resize(cfg, size)

    def label(entry: Entry, image: RGBImage, prompts: Prompts) -> list[BoxMask]:
        original = (image.shape[0], image.shape[1])
        return labeler(prepare_image(cfg, resize, image), prompts, original)

    return label


def load_box_labeler(
    cfg: CfgNode, weights: str, *, sizes: Sequence[int] = (), mirror: bool = True, depth: Path | None = None
) -> Labeler:
    """Build the network of a config, load its weights or its teacher's, and make a labeler of boxes and points.

    Masks of points are those of detections at the first size, see ``DetectionLabeler``.

    Args:
        cfg: config of the training run.
        weights: path or URL of a checkpoint.
        sizes: shorter sides of the network's input, whose masks are averaged; () = ``default_sizes``.
        mirror: also average the masks of the mirrored image.
        depth: folder of depth maps, which contribute to the choice of masks; None = not used.

    Returns:
        A function from the entry of an image, the image and prompts to the masks of the boxes.

    Raises:
        FileNotFoundError: the checkpoint or the folder does not exist.
        ValueError: ``depth`` is given and MODEL.DISTILL.BETA is 0; or see ``load_network`` and ``require_depthbox``.
    """
    if depth is not None and not depth.is_dir():
        raise FileNotFoundError(f"the depth folder {depth} does not exist: correct --depth")
    network = require_depthbox(load_network(cfg, weights, use_teacher=True))
    return build_box_labeler(cfg, network, sizes=sizes, mirror=mirror, depth=depth)


def build_box_labeler(
    cfg: CfgNode, network: DepthBox, *, sizes: Sequence[int] = (), mirror: bool = True, depth: Path | None = None
) -> Labeler:
    """Build the function of ``load_box_labeler`` from a network in evaluation mode."""
    rule = build_depth_rule(cfg) if depth is not None else None
    labeler = BoxLabeler(network, candidates=cfg.MODEL.DISTILL.CANDIDATES_PER_BOX, depth=rule)
    detections = DetectionLabeler(network)
    resizes = [build_resize(cfg, size) for size in (sizes or default_sizes(cfg))]

    def label(entry: Entry, image: RGBImage, prompts: Prompts) -> list[BoxMask]:
        size = (image.shape[0], image.shape[1])
        depth_map = _read_depth(depth, entry["file_name"], size) if depth is not None else None
        inputs = [prepare_image(cfg, resize, image) for resize in resizes]
        views = [view for pixels in inputs for view in make_views(pixels, depth_map, mirror)]
        boxes = torch.as_tensor(prompts.boxes, dtype=torch.float32)
        if prompts.points is None:
            return list(labeler(views, boxes, size))
        points = take_points(prompts.points, slice(len(boxes)))
        by_point = points.kinds == POINT
        of_boxes = labeler(views, boxes[torch.from_numpy(~by_point)], size)
        of_points = iter(detections(views[0].image, take_points(points, by_point), size))
        return [next(of_points if is_point else of_boxes) for is_point in by_point]

    return label


def make_views(image: torch.Tensor, depth: NDArray[np.float32] | None, mirror: bool) -> list[View]:
    """Make the views of an input of the network, with its depth at the same size.

    Args:
        image: (3, h, w) uint8.
        depth: (H, W) float32 in [0, 1], resized to the input; None = not used.
        mirror: add the mirrored view.
    """
    resized = None
    if depth is not None:
        resized = torch.from_numpy(resize_depth(depth, (image.shape[1], image.shape[2])))[None]
    views = [View(image, False, resized)]
    if mirror:
        views.append(View(image.flip(2), True, None if resized is None else resized.flip(2)))
    return views


def job_fingerprint(cfg: CfgNode, weights: str, annotations: AnnotationSet, options: Mapping[str, Any]) -> str:
    """Hash everything that determines the masks: annotations, image folder, weights, config and options.

    The image folder counts relative to the annotations.
    """
    files = [path for path in (Path(weights),) if path.is_file()]
    settings = {
        "annotations": annotations.original,
        "config": cfg.dump(),
        "images": _locate_images(annotations),
        "weights": "" if files else weights,
        **options,
    }
    return fingerprint(files, settings)


def _locate_images(annotations: AnnotationSet) -> str:
    """Return the image folder relative to the annotations, so that a dataset may be moved as a whole."""
    root, folder = annotations.image_root.resolve(), annotations.source.resolve().parent
    try:
        return os.path.relpath(root, folder)
    except ValueError:  # another drive of Windows
        return str(root)


def default_sizes(cfg: CfgNode) -> tuple[int, ...]:
    """Default test-time sizes: INPUT.MIN_SIZE_TEST and 1.5 times that."""
    short = int(cfg.INPUT.MIN_SIZE_TEST)
    return short, round(1.5 * short)


def build_depth_rule(cfg: CfgNode) -> DepthRule:
    """Build the rule by which depth contributes to the choice of masks, as in self-distillation.

    Raises:
        ValueError: MODEL.DISTILL.BETA, the weight of depth, is 0.
    """
    beta = float(cfg.MODEL.DISTILL.BETA)
    if beta <= 0:
        raise ValueError("--depth has no effect because MODEL.DISTILL.BETA is 0: add --set MODEL.DISTILL.BETA 0.2")
    pairwise = cfg.MODEL.BOXINST.PAIRWISE
    return DepthRule(beta, cfg.MODEL.DEPTH.THRESH, cfg.MODEL.DEPTH.SCALE, pairwise.SIZE, pairwise.DILATION)


def _read_depth(folder: Path, file_name: str, size: tuple[int, int]) -> Any:
    stem = (folder / file_name).with_suffix("")
    for suffix in DEPTH_SUFFIXES:
        path = stem.with_name(stem.name + suffix)
        if path.is_file():
            return resize_depth(read_depth(path, size), size)
    raise DepthFileError(
        f"the image {file_name} has no depth map {stem}.png or .npy: generate it with `depthbox depth`"
    )
