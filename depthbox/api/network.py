"""A trained network as an object: masks of an image, or of given boxes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from numpy.typing import ArrayLike, NDArray

from ..checkpoint.run_files import find_run
from ..checkpoint.run_weights import find_weights
from ..config import add_depthbox_config, load_config
from ..inference.classes import ClassList, find_classes
from ..inference.predictor import (
    build_batch_predictor,
    build_resize,
    find_config,
    load_network,
    prepare_image,
    require_depthbox,
)
from ..io.coco_masks import crop_to_rle
from ..io.images import RGBImage
from ..labeling.box_depths import predict_box_depths
from ..labeling.loading import build_box_labeler
from ..labeling.prompts import Prompts
from ..modeling.meta_arch.depthbox import DepthBox
from .inputs import ImageLike, NamedImage, as_single, check_boxes, iterate_images, read_named
from .result import Result


def load(
    source: str | os.PathLike[str],
    *,
    config_file: str | os.PathLike[str] = "",
    device: str = "",
    size: int = 0,
    classes: str = "",
    overrides: Sequence[str] = (),
) -> Network:
    """Load a trained network.

    Args:
        source: folder of a training run, whose best weights are loaded (of two stages, those of the second), or a
            checkpoint.
        config_file: config of the training run; "" = ``config.yaml`` beside the checkpoint.
        device: "cuda", "cuda:1", "cpu"; "" = a GPU if there is one, else the CPU.
        size: shorter side of the network's input in pixels; 0 = that of the config.
        classes: class names, as a COCO JSON file, a text file, or names separated by commas; "" = those of the
            training data.
        overrides: KEY, VALUE, KEY, VALUE, ... of the config.

    Raises:
        FileNotFoundError: the folder, checkpoint or config does not exist.
        ValueError: a file is damaged, or the weights do not fit the config.

    Example:
        >>> net = depthbox.load("output/boxes")  # doctest: +SKIP
        >>> net.predict("photo.jpg").save("photo_masks.png")  # doctest: +SKIP
    """
    import_module("..modeling", __package__)  # registers the networks
    weights = _find_checkpoint(Path(source))
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    words = ["MODEL.DEVICE", device, *map(str, overrides), "TEST.MASK_FORMAT", "rle"]
    cfg = load_config(add_depthbox_config, find_config(str(weights), os.fspath(config_file)), words)
    names = find_classes(cfg, classes)
    network = require_depthbox(load_network(cfg, str(weights), use_teacher=True))
    return Network(cfg, network, names, size)


@dataclass(frozen=True)
class Network:
    """A trained network, made by ``load``.

    Attributes:
        cfg: config of the training run, with TEST.MASK_FORMAT "rle".
        network: in evaluation mode.
        classes: classes of the network.
        size: shorter side of the network's input; 0 = INPUT.MIN_SIZE_TEST.
    """

    cfg: CfgNode
    network: DepthBox
    classes: ClassList
    size: int = 0

    @property
    def has_depth(self) -> bool:
        """Return whether the network predicts the depth of objects."""
        return bool(self.cfg.MODEL.DEPTH.LAYER)

    def predict(
        self, images: ImageLike | Iterable[ImageLike], threshold: float = 0.4, *, batch: int = 1
    ) -> Result | list[Result]:
        """Detect the objects of images, sorted by descending score.

        Args:
            images: an image: a path, a PIL image or pixels (H, W, 3) uint8, RGB. Or several: a list of images, a
                folder, or a pattern such as "photos/*.jpg".
            threshold: lowest score of an object that is kept.
            batch: number of images that are predicted at once.

        Returns:
            The result of an image; a list of results if several images are given.

        Raises:
            ImageError: an image cannot be read.
            ValueError: pixels of another shape or dtype.
        """
        if (single := as_single(images)) is not None:
            return next(self.predict_each([single], threshold))
        return list(self.predict_each(images, threshold, batch=batch))  # type: ignore[arg-type]

    def predict_each(
        self, images: str | os.PathLike[str] | Iterable[ImageLike], threshold: float = 0.4, *, batch: int = 1
    ) -> Iterator[Result]:
        """Detect the objects of many images; results are yielded one by one, see ``predict``."""
        if batch < 1:
            raise ValueError(f"the batch size must be 1 or more, not {batch}")
        predict = build_batch_predictor(self.cfg, self.network, self.size)
        waiting: list[NamedImage] = []
        for image in iterate_images(images):
            waiting.append(image)
            if len(waiting) == batch:
                yield from self._convert(waiting, predict([image.pixels for image in waiting]), threshold)
                waiting = []
        if waiting:
            yield from self._convert(waiting, predict([image.pixels for image in waiting]), threshold)

    def label(self, image: ImageLike, boxes: ArrayLike, classes: ArrayLike = 0, *, xywh: bool = False) -> Result:
        """Compute the mask of each given box, in their order; the score is the quality of the mask.

        The network is evaluated at one size and mirrored. ``depthbox label`` uses two sizes, which takes twice as long.

        Args:
            image: a path, a PIL image or pixels (H, W, 3) uint8, RGB.
            boxes: (N, 4) xyxy in pixels of the image; they are clipped to it.
            classes: (N,) indices of ``self.classes``, or one index for all boxes.
            xywh: the boxes are x, y, width, height, as in COCO.

        Raises:
            ImageError: the image cannot be read.
            ValueError: the shape of the boxes, a box with less than half a pixel inside the image, or an unknown class.
        """
        named = read_named(image)
        size = (named.pixels.shape[0], named.pixels.shape[1])
        corners = check_boxes(boxes, size, xywh)
        labels = np.broadcast_to(np.asarray(classes, dtype=np.int64), len(corners)).copy()
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(self.classes)):
            raise ValueError(f"classes must be indices from 0 to {len(self.classes) - 1}, got {np.unique(labels)}")
        masks = []
        if len(corners):
            sizes = (self.size or self.cfg.INPUT.MIN_SIZE_TEST,)
            label = build_box_labeler(self.cfg, self.network, sizes=sizes)
            masks = list(label({}, named.pixels, Prompts(corners)))
        return Result(
            named.name,
            size,
            corners,
            labels,
            np.array([mask.score for mask in masks], dtype=np.float64),
            [crop_to_rle(mask.mask.numpy(), mask.left, mask.top, size) for mask in masks],
            self._depths(named.pixels, corners) if self.has_depth else None,
            self.classes,
            named.source,
        )

    def _convert(self, images: Sequence[NamedImage], found: Sequence[Any], threshold: float) -> Iterator[Result]:
        for image, instances in zip(images, found, strict=True):
            order = instances.scores.argsort(descending=True, stable=True)
            kept = order[instances.scores[order] >= threshold]
            rles = [instances.pred_masks_rle[index] for index in kept.tolist()]
            depth = instances.pred_depths[kept].double().numpy() if instances.has("pred_depths") else None
            yield Result(
                image.name,
                (image.pixels.shape[0], image.pixels.shape[1]),
                instances.pred_boxes.tensor[kept].double().numpy(),
                instances.pred_classes[kept].numpy(),
                instances.scores[kept].double().numpy(),
                rles,
                depth,
                self.classes,
                image.source,
            )

    def _depths(self, image: RGBImage, corners: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the depth (N,) of boxes (N, 4), see ``predict_box_depths``."""
        pixels = prepare_image(self.cfg, build_resize(self.cfg, self.size), image)
        scale = np.array([pixels.shape[2] / image.shape[1], pixels.shape[1] / image.shape[0]] * 2)
        return np.array(list(predict_box_depths(self.network, pixels, torch.from_numpy(corners * scale))))


def _find_checkpoint(source: Path) -> Path:
    if not source.is_dir():
        return source
    weights = find_weights(find_run(source))
    if weights is None:
        raise FileNotFoundError(f"{source} holds neither model_best.pth nor model_final.pth: name a checkpoint")
    return weights
