"""The teacher: labels the objects of a batch with its own masks, on the batch's way to the student."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.structures import Instances
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou

from ..modeling.fcos.inference import Detections
from ..modeling.meta_arch.depthbox import DepthBox
from ..ops import box_masks, cells_inside, depth_on_grid, depth_similarity
from .candidates import find_candidates
from .matching import depth_consistency_score, match_instances, matching_scores

Batch = list[dict[str, Any]]


class TeacherLabeler:
    """Gives each annotated box the teacher's mask that matches it best, and says whether it is reliable.

    The teacher sees ``teacher_image`` and ``teacher_depth`` where the batch has them, else the student's own view.

    Args:
        teacher: in evaluation mode; moved by others.
        candidates_per_box: dense predictions of its class that compete for a box.
        score_threshold: of these predictions, as in the detector.
        alpha, beta: weights of the matching score (eq. 9).
        reliable: tau_m, least matching score of a mask that is used, exclusive.
        depth_threshold, depth_scale: tau_d and kappa of S_d_cons (eq. 8).
        size, dilation: the kernel of neighbours of S_d_cons.
        soft: probabilities as labels instead of masks cut at 0.5.
        certainty: weigh each label by the mean probability inside its mask.
    """

    @configurable
    def __init__(
        self,
        teacher: DepthBox,
        *,
        candidates_per_box: int,
        score_threshold: float,
        alpha: float,
        beta: float,
        reliable: float,
        depth_threshold: float,
        depth_scale: float,
        size: int,
        dilation: int,
        soft: bool = False,
        certainty: bool = False,
    ) -> None:
        self.teacher = teacher
        self.candidates_per_box, self.score_threshold = candidates_per_box, score_threshold
        self.alpha, self.beta, self.reliable = alpha, beta, reliable
        self.depth_threshold, self.depth_scale = depth_threshold, depth_scale
        self.size, self.dilation = size, dilation
        self.soft, self.certainty = soft, certainty

    @classmethod
    def from_config(cls, cfg: CfgNode, teacher: DepthBox) -> dict[str, Any]:
        node = cfg.MODEL.DISTILL
        if node.BETA > 0 and not cfg.INPUT.DEPTH.ENABLED:
            raise ValueError(
                "MODEL.DISTILL.BETA weighs depth in the matching, but INPUT.DEPTH.ENABLED is False: set it True, or "
                "BETA 0"
            )
        return {
            "teacher": teacher,
            "candidates_per_box": node.CANDIDATES_PER_BOX,
            "score_threshold": cfg.MODEL.FCOS.INFERENCE_TH,
            "alpha": node.ALPHA,
            "beta": node.BETA,
            "reliable": node.SCORE_THRESH,
            "depth_threshold": cfg.MODEL.DEPTH.THRESH,
            "depth_scale": cfg.MODEL.DEPTH.SCALE,
            "size": cfg.MODEL.BOXINST.PAIRWISE.SIZE,
            "dilation": cfg.MODEL.BOXINST.PAIRWISE.DILATION,
            "soft": node.SOFT_MASKS,
            "certainty": node.CERTAINTY_WEIGHT,
        }

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Batch:
        """The batch with labels on its instances; the argument stays as it is.

        The labels: ``pseudo_masks`` (N, h/s, w/s) on the student's mask grid, ``pseudo_weights`` (N,), 0 where a mask
        is not reliable, ``pseudo_scores`` (N,), the matching scores (0 = no candidate).

        Args:
            batch: the mapper's dicts with ``instances``, see ``DepthBox.forward``.
        """
        teacher = self.teacher
        views = [{**x, "image": x.get("teacher_image", x["image"])} for x in batch]
        images, dense, mask_features = teacher.predict_dense(views)
        boxes = [self._boxes(x["instances"], size) for x, size in zip(batch, images.image_sizes, strict=True)]
        classes = [x["instances"].gt_classes.to(teacher.device) for x in batch]
        candidates = find_candidates(
            dense,
            teacher.proposal_generator.positions(dense),
            boxes,
            classes,
            per_box=self.candidates_per_box,
            score_threshold=self.score_threshold,
        )
        masks = (m.logits.float().sigmoid() for m in teacher.predict_masks(dense, mask_features, candidates))
        padded = (images.tensor.shape[2], images.tensor.shape[3])
        return list(self._label(batch, boxes, classes, candidates, masks, images.image_sizes, padded))

    def _label(
        self,
        batch: Batch,
        boxes: list[Tensor],
        classes: list[Tensor],
        candidates: list[Detections],
        masks: Iterator[Tensor],
        sizes: list[tuple[int, int]],
        padded: tuple[int, int],
    ) -> Iterator[dict[str, Any]]:
        for b, (x, found, probabilities) in enumerate(zip(batch, candidates, masks, strict=True)):
            iou = box_iou(boxes[b], found.boxes)
            depth_scores = torch.zeros_like(found.scores)
            if self.beta > 0:
                depth_scores = self._depth_scores(x, probabilities, sizes[b], padded)
            scores = matching_scores(iou, depth_scores, found.scores, self.alpha, self.beta)
            matched = match_instances(scores, (classes[b][:, None] == found.classes) & (iou > 0))
            yield {**x, "instances": self._labeled(x["instances"], probabilities, scores, matched, sizes[b])}

    def _depth_scores(
        self, x: dict[str, Any], probabilities: Tensor, size: tuple[int, int], padded: tuple[int, int]
    ) -> Tensor:
        stride = self.teacher.mask_head.out_stride
        depth = x.get("teacher_depth", x.get("depth"))
        if depth is None:
            raise KeyError(f"{x.get('file_name', 'an image')} comes without depth, which MODEL.DISTILL.BETA needs")
        grid = depth_on_grid(depth.to(probabilities.device), padded, stride)
        valid = cells_inside((grid.shape[1], grid.shape[2]), *size, stride, grid.device)[None]
        similarity = depth_similarity(grid[None], valid, self.size, self.dilation, self.depth_scale)[0]
        return depth_consistency_score(probabilities * valid, similarity, self.depth_threshold)

    def _labeled(
        self, instances: Instances, probabilities: Tensor, scores: Tensor, matched: Tensor, size: tuple[int, int]
    ) -> Instances:
        """A copy of the instances with the matched masks, cut to their boxes, on the student's mask grid."""
        stride = self.teacher.mask_head.out_stride
        boxes = instances.gt_boxes.tensor.to(probabilities.device, non_blocking=True)
        height, width = (-(-side // stride) for side in instances.image_size)
        labels, best = probabilities.new_zeros((len(boxes), height, width)), boxes.new_zeros(len(boxes))
        if len(probabilities):
            chosen = matched.clamp(min=0)
            labels = resample(probabilities[chosen], stride, size, instances.image_size)
            labels *= box_masks(boxes, height, width, stride) & (matched >= 0)[:, None, None]
            best = scores.gather(1, chosen[:, None])[:, 0].to(boxes.dtype) * (matched >= 0)
        inside = labels > 0.5
        weights = ((best > self.reliable) & inside.any(2).any(1)).to(labels.dtype)
        if self.certainty:
            weights *= (labels * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
        labeled = Instances(instances.image_size, **instances.get_fields())
        labeled.pseudo_masks = labels if self.soft else inside
        labeled.pseudo_weights = weights
        labeled.pseudo_scores = best
        return labeled

    def _boxes(self, instances: Instances, size: tuple[int, int]) -> Tensor:
        """The annotated boxes in the pixels of the teacher's view."""
        boxes = instances.gt_boxes.tensor.to(self.teacher.device)
        height, width = instances.image_size
        return boxes * boxes.new_tensor((size[1] / width, size[0] / height)).repeat(2)


def resample(masks: Tensor, stride: int, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """Masks of one view of an image on the mask grid of another, bilinearly at the centres of its cells.

    Args:
        masks: (N, 1, H, W) on the grid of the source, padding included.
        stride: input pixels per cell, of both grids.
        source, target: (height, width) of both views without padding.

    Returns:
        (N, ceil(height / stride), ceil(width / stride)) of the target.
    """
    axes = []
    for side, (old, new) in enumerate(zip(source, target, strict=True)):
        pixel = torch.arange(-(-new // stride), device=masks.device, dtype=torch.float32) * stride + stride // 2
        cell = ((pixel + 0.5) * (old / new) - 0.5 - stride // 2) / stride
        axes.append(cell * 2 / max(masks.shape[2 + side] - 1, 1) - 1)
    y, x = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack((x, y), dim=2).expand(len(masks), -1, -1, -1)
    return F.grid_sample(masks, grid.to(masks.dtype), padding_mode="border", align_corners=True)[:, 0]
