"""Pseudo masks of a teacher for the annotated boxes of a batch (eq. 7 to 9)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.structures import Instances
from torch import Tensor
from torchvision.ops import box_iou

from ..modeling.fcos.inference import Detections
from ..modeling.meta_arch.depthbox import DepthBox
from ..ops import box_masks, sample_grid
from ..ops.precision import without_autocast
from .candidates import find_candidates
from .matching import DepthRule, DepthScorer, match_instances, matching_scores

Batch = list[dict[str, Any]]


class TeacherLabeler:
    """Labeler that matches the teacher's masks to the annotated boxes and marks the reliable ones.

    The input of the teacher is ``teacher_image`` and ``teacher_depth`` if the batch has them, else the student's view.

    Args:
        teacher: network in evaluation mode; the caller updates its weights.
        candidates_per_box: maximum number of dense predictions of its class that are candidates of a box.
        score_threshold: score threshold of these predictions, as in the detector.
        alpha: weight of the IoU in the matching score (eq. 9).
        reliable: tau_m, minimum matching score of a reliable mask, exclusive.
        depth: depth term of the matching score; None = not used.
        soft: label with probabilities instead of masks binarized at 0.5.
        certainty: multiply the weight of each label by the mean probability inside its mask.
    """

    @configurable
    def __init__(
        self,
        teacher: DepthBox,
        *,
        candidates_per_box: int,
        score_threshold: float,
        alpha: float,
        reliable: float,
        depth: DepthRule | None = None,
        soft: bool = False,
        certainty: bool = False,
    ) -> None:
        self.teacher = teacher
        self.candidates_per_box, self.score_threshold = candidates_per_box, score_threshold
        self.alpha, self.reliable, self.depth = alpha, reliable, depth
        self.soft, self.certainty = soft, certainty

    @classmethod
    def from_config(cls, cfg: CfgNode, teacher: DepthBox, *, soft: bool = False) -> dict[str, Any]:
        """Read the arguments from ``MODEL.DISTILL``; ``soft`` selects probabilities independent of the config."""
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
            "reliable": node.SCORE_THRESH,
            "depth": DepthRule.from_config(cfg) if node.BETA > 0 else None,
            "soft": soft or node.SOFT_MASKS,
            "certainty": node.CERTAINTY_WEIGHT,
        }

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with labels; the argument is not changed.

        The labels are fields of ``instances``: ``pseudo_masks`` (N, h/s, w/s) on the student's mask grid, bool or, if
        soft, float32 in [0, 1]; ``pseudo_weights`` (N,) float32, 0 for a mask that is not reliable; and
        ``pseudo_scores`` (N,) float32, the matching scores, 0 for a box without a candidate.

        Args:
            batch: samples of the mapper with ``instances``, see ``DepthBox.forward``.

        Raises:
            KeyError: depth takes part in the matching and an image comes without depth.
        """
        teacher = self.teacher
        views = [{**x, "image": x.get("teacher_image", x["image"])} for x in batch]
        images, dense, mask_features = teacher.predict_dense(views)
        boxes = [self._boxes(x["instances"], size) for x, size in zip(batch, images.image_sizes, strict=True)]
        classes = [x["instances"].gt_classes.to(teacher.device) for x in batch]
        candidates = find_candidates(
            dense,
            teacher.proposal_generator.locations(dense),
            boxes,
            classes,
            per_box=self.candidates_per_box,
            score_threshold=self.score_threshold,
        )
        masks = (m.logits.float().sigmoid() for m in teacher.predict_masks(dense, mask_features, candidates))
        padded = (images.tensor.shape[2], images.tensor.shape[3])
        return list(self._label(batch, boxes, classes, candidates, masks, images.image_sizes, padded))

    def count(self, labeled: Batch) -> Tensor:
        """Return sums over a labeled batch (4,) float32: reliable masks, matched boxes, their scores, and boxes."""
        weights = torch.cat([x["instances"].pseudo_weights for x in labeled])
        scores = torch.cat([x["instances"].pseudo_scores for x in labeled])
        numbers = ((weights > 0).sum(), (scores > 0).sum(), scores.sum(), scores.new_tensor(len(scores)))
        return torch.stack([number.float() for number in numbers])

    def summarize(self, counts: list[float]) -> dict[str, float]:
        """Convert sums of ``count`` to the shares of reliable and matched boxes, and the mean matching score."""
        reliable, matched, score, boxes = counts
        shares = {"distill/reliable": reliable / boxes, "distill/matched": matched / boxes} if boxes else {}
        return {**shares, "distill/score": score / matched} if matched else shares

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
        """Match and label image by image, so that the masks of one image are in memory at a time."""
        beta = 0.0 if self.depth is None else self.depth.beta
        for b, (x, found, probabilities) in enumerate(zip(batch, candidates, masks, strict=True)):
            with without_autocast(probabilities.device):
                iou = box_iou(boxes[b], found.boxes)
                depth_scores = self._depth_scores(x, probabilities, sizes[b], padded)
                scores = matching_scores(iou, depth_scores, found.scores, self.alpha, beta)
                matched = match_instances(scores, (classes[b][:, None] == found.classes) & (iou > 0))
                labeled = self._labeled(x["instances"], probabilities, scores, matched, sizes[b])
            yield {**x, "instances": labeled}

    def _depth_scores(
        self, x: dict[str, Any], probabilities: Tensor, size: tuple[int, int], padded: tuple[int, int]
    ) -> Tensor:
        """Return the depth consistency score (N,) of masks (N, 1, H, W); 0 if depth is not used."""
        if self.depth is None:
            return probabilities.new_zeros(len(probabilities))
        depth = x.get("teacher_depth", x.get("depth"))
        if depth is None:
            raise KeyError(f"{x.get('file_name', 'an image')} comes without depth, which MODEL.DISTILL.BETA needs")
        stride = self.teacher.mask_head.out_stride
        scorer = DepthScorer.from_depth(self.depth, depth.to(probabilities.device), size, padded, stride)
        return scorer(probabilities)

    def _labeled(
        self, instances: Instances, probabilities: Tensor, scores: Tensor, matched: Tensor, size: tuple[int, int]
    ) -> Instances:
        """Return the instances with the matched masks, cropped to their boxes, on the student's mask grid."""
        stride = self.teacher.mask_head.out_stride
        boxes = instances.gt_boxes.tensor.to(probabilities.device, non_blocking=True)
        height, width = (-(-side // stride) for side in instances.image_size)
        labels, best = probabilities.new_zeros((len(boxes), height, width)), boxes.new_zeros(len(boxes))
        if len(probabilities):
            chosen = matched.clamp(min=0)
            labels = sample_grid(probabilities[chosen, 0], stride, size, instances.image_size)
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
        """Return the annotated boxes (N, 4) in the pixels of the teacher's view."""
        boxes = instances.gt_boxes.tensor.to(self.teacher.device)
        height, width = instances.image_size
        return boxes * boxes.new_tensor((size[1] / width, size[0] / height)).repeat(2)
