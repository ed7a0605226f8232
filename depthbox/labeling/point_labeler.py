"""Masks of point prompts: by a network of points (P2Seg), or by the detections of a network trained with boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pycocotools.mask as mask_util
import torch
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from torch import Tensor

from ..data.points import ImagePoints
from ..distillation.matching import match_instances
from ..io.coco_masks import segmentation_to_rle
from ..modeling.fcos.inference import Detections
from ..modeling.mask_head import paste_masks
from ..modeling.meta_arch.depthbox import DepthBox
from ..modeling.points.masks import EMPTY_SCORE, PointMasks
from ..ops import sample_grid
from .box_labeler import BoxMask
from .prompts import Entry, Prompts


class PointNetwork(Protocol):
    """Network that computes masks of the points of an image, such as ``P2Seg``."""

    def label_points(
        self,
        image: Tensor,
        points: Tensor,
        classes: Tensor,
        output_size: tuple[int, int],
        regions: Tensor | None = None,
    ) -> PointMasks:
        """Compute the masks of N points.

        Args:
            image: (3, h, w) uint8.
            points: (N, 2) float32, x and y in pixels of the original image.
            classes: (N,) int64.
            output_size: (height, width) of the original image.
            regions: (N, 4) float32 xyxy in pixels of the original image; no pixel outside belongs to the object.
        """


class PointLabeler:
    """Mask prediction for the points of an image with a network of points.

    All objects of an image compete for its pixels, those with boxes or masks too. Pixels of the masks that the user
    gave belong to no other object.

    Args:
        network: network in evaluation mode.
    """

    def __init__(self, network: PointNetwork) -> None:
        self.network = network

    @torch.no_grad()
    def __call__(self, image: Tensor, prompts: Prompts, size: tuple[int, int]) -> list[BoxMask]:
        """Compute the masks of N prompts; a mask without a pixel is empty and has the score ``EMPTY_SCORE``.

        Args:
            image: (3, h, w) uint8, input of the network.
            prompts: points of N objects, then those of the context.
            size: (height, width) of the original image.
        """
        points = prompts.points
        assert points is not None
        found = self.network.label_points(
            image,
            torch.from_numpy(points.coords).float(),
            torch.from_numpy(points.classes),
            size,
            torch.from_numpy(points.regions).float(),
        )
        owner = found.owner.cpu().numpy().copy()
        owner[draw_masks(prompts.context, size)] = 0
        return cut_out(owner, found.scores.cpu().double().numpy(), len(prompts.annotations))


def cut_out(owner: NDArray[np.int64], scores: NDArray[np.float64], count: int) -> list[BoxMask]:
    """Cut the masks of the first objects out of a map of owners.

    Args:
        owner: (H, W) index of the object + 1, 0 = none.
        scores: (N,) in [0, 1].
        count: number of masks, at most N.

    Returns:
        One mask per object, within its extent; an empty mask has the score ``EMPTY_SCORE``.
    """
    owner = np.where(owner > count, 0, owner)
    masks = []
    for number, extent in enumerate(find_objects(owner, count)):
        if extent is None:
            masks.append(BoxMask(torch.zeros((0, 0), dtype=torch.bool), 0, 0, EMPTY_SCORE))
            continue
        rows, columns = extent
        mask = torch.from_numpy(owner[extent] == number + 1)
        masks.append(BoxMask(mask, int(columns.start), int(rows.start), round(float(scores[number]), 5)))
    return masks


def draw_masks(annotations: Sequence[Entry], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels (H, W) of all masks of annotations; those without a mask are left out.

    Args:
        annotations: canonical annotations of an image.
        size: (height, width) of the image.
    """
    masks = [segmentation_to_rle(a["segmentation"], size) for a in annotations if "segmentation" in a]
    if not masks:
        return np.zeros(size, dtype=np.bool_)
    return mask_util.decode(mask_util.merge(masks)).astype(np.bool_)


class DetectionLabeler:
    """Mask prediction for the points of an image with the detections of a network.

    A point gets a detection whose mask holds it. The score of the pair is the score of the detection times the
    probability of the mask at the point. Each detection is assigned to one point at most, with the largest sum of
    scores over all points; detections of the class of the point come first.

    Args:
        network: network in evaluation mode.
        chunk: number of masks of the original size that are in memory at a time.
    """

    def __init__(self, network: DepthBox, *, chunk: int = 16) -> None:
        self.network, self.chunk = network, chunk

    @torch.no_grad()
    def __call__(self, image: Tensor, points: ImagePoints, size: tuple[int, int]) -> list[BoxMask]:
        """Compute the masks of N points; a point without a detection has an empty mask of score 0.

        Args:
            image: (3, h, w) uint8, input of the network.
            points: N points inside the image; the class -1 fits every detection.
            size: (height, width) of the original image.
        """
        empty = BoxMask(torch.zeros((0, 0), dtype=torch.bool), 0, 0, 0.0)
        masks = [empty] * len(points)
        images, dense, features = self.network.predict_dense([{"image": image}])
        (found,) = self.network.proposal_generator.detect(dense)
        if not len(points) or not len(found):
            return masks
        logits = next(self.network.predict_masks(dense, features, [found])).logits.float()
        probabilities = self._sample(logits.sigmoid()[:, 0], images.image_sizes[0], points, size)
        matched = match_points(probabilities, found, points)
        (answered,) = torch.where(matched >= 0)
        for part in answered.split(self.chunk):
            chosen = matched[part]
            stride = self.network.mask_head.out_stride
            pasted = paste_masks(logits[chosen], stride, images.image_sizes[0], size).cpu()
            scores = found.scores[chosen] * probabilities[part, chosen]
            for n, mask, score in zip(part.tolist(), pasted, scores.tolist(), strict=True):
                masks[n] = _crop(mask, score)
        return masks

    def _sample(self, maps: Tensor, source: tuple[int, int], points: ImagePoints, size: tuple[int, int]) -> Tensor:
        """Return the values (N, D) of D maps (D, h, w) at the pixels of N points."""
        centers = torch.from_numpy(points.pixels()).to(maps.device, torch.float32) + 0.5
        stride = self.network.mask_head.out_stride
        values = [sample_grid(maps, stride, source, size, xy[:1], xy[1:])[:, 0, 0] for xy in centers]
        return torch.stack(values)


def match_points(probabilities: Tensor, found: Detections, points: ImagePoints) -> Tensor:
    """Assign D detections to N points, each to one point at most.

    Args:
        probabilities: (N, D) float in [0, 1], probability of each mask at each point; a mask holds a point above 0.5.
        found: D detections.
        points: N points. Of several points of a class on one pixel, the first may be assigned.

    Returns:
        (N,) int64, detection of each point; -1 = none.
    """
    classes = torch.from_numpy(points.classes).to(probabilities.device)
    own = (classes[:, None] == found.classes) | (classes[:, None] < 0)
    first = torch.from_numpy(_is_first(points)).to(probabilities.device)
    allowed = (probabilities > 0.5) & first[:, None]
    return match_instances((probabilities * found.scores + own) / 2, allowed)


def _is_first(points: ImagePoints) -> NDArray[np.bool_]:
    """Return the points (N,) that are the first of their class on their pixel."""
    keys = np.column_stack((points.pixels(), points.classes))
    first = np.zeros(len(keys), dtype=np.bool_)
    first[np.unique(keys, axis=0, return_index=True)[1]] = True
    return first


def _crop(mask: Tensor, score: float) -> BoxMask:
    """Return the part of a mask (H, W) within its extent."""
    rows, columns = (torch.nonzero(mask.any(axis))[:, 0].tolist() for axis in (1, 0))
    if not rows:
        return BoxMask(mask[:0, :0], 0, 0, 0.0)
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return BoxMask(part.clone(), columns[0], rows[0], round(score, 5))
