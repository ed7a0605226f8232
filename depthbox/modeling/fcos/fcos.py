"""FCOS: a one-stage detector without anchors."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from torch import Tensor, nn

from ...losses.focal import focal_loss
from ...structures import Queries
from ..distributed import mean_over_processes, world_size
from .head import FCOSHead, HeadOutputs
from .inference import Detections, select_detections
from .locations import Locations, pyramid_locations
from .losses import fcos_losses
from .queries import select_queries
from .targets import Assignment, assign_targets


class FCOS(nn.Module):
    """Detector with a head on the feature pyramid, its losses, and the selection of detections and queries.

    Args:
        head: predictor of classes, boxes and box quality.
        in_features: names of the levels, finest first.
        strides: input pixels per cell of each level.
        sizes_of_interest: L - 1 bounds between the object sizes of the levels, in pixels.
        num_classes: C.
        loss, focal: arguments of ``fcos_losses`` and ``focal_loss``.
        sampling: arguments of ``assign_targets``.
        sample_mass_center: sample around the center of the pixels that a box covers.
        inference: arguments of ``select_detections``.
        queries_per_image: maximum number of queries per image in training.

    Raises:
        ValueError: the numbers of levels differ, or ``box_quality`` is unknown.
    """

    @configurable
    def __init__(
        self,
        *,
        head: FCOSHead,
        in_features: list[str],
        strides: list[int],
        sizes_of_interest: list[int],
        num_classes: int,
        loss: dict[str, Any],
        focal: dict[str, float],
        sampling: dict[str, Any],
        sample_mass_center: bool,
        inference: dict[str, Any],
        queries_per_image: int,
    ) -> None:
        super().__init__()
        if len(strides) != len(in_features) or len(sizes_of_interest) != len(in_features) - 1:
            raise ValueError(
                f"{len(in_features)} features need as many FPN_STRIDES and one fewer SIZES_OF_INTEREST, "
                f"got {strides} and {sizes_of_interest}"
            )
        if loss["box_quality"] not in ("centerness", "iou"):
            raise ValueError(f"MODEL.FCOS.BOX_QUALITY must be centerness or iou, got {loss['box_quality']!r}")
        self.fcos_head = head
        self.in_features, self.strides, self.sizes_of_interest = in_features, strides, sizes_of_interest
        self.num_classes, self.loss, self.focal, self.sampling = num_classes, loss, focal, sampling
        self.sample_mass_center, self.inference = sample_mass_center, inference
        self.queries_per_image = queries_per_image

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Read the arguments from ``MODEL.FCOS``, for features of these shapes."""
        node = cfg.MODEL.FCOS
        shapes = [input_shape[name] for name in node.IN_FEATURES]
        return {
            "head": FCOSHead(
                shapes[0].channels,
                node.NUM_CLASSES,
                len(shapes),
                num_share_convs=node.NUM_SHARE_CONVS,
                num_cls_convs=node.NUM_CLS_CONVS,
                num_box_convs=node.NUM_BOX_CONVS,
                norm=node.NORM,
                use_scale=node.USE_SCALE,
                prior_prob=node.PRIOR_PROB,
            ),
            "in_features": list(node.IN_FEATURES),
            "strides": list(node.FPN_STRIDES),
            "sizes_of_interest": list(node.SIZES_OF_INTEREST),
            "num_classes": node.NUM_CLASSES,
            "loss": {
                "box_quality": node.BOX_QUALITY,
                "loc_loss_type": node.LOC_LOSS_TYPE,
                "cls_weight": node.LOSS_WEIGHT_CLS,
            },
            "focal": {"alpha": node.LOSS_ALPHA, "gamma": node.LOSS_GAMMA},
            "sampling": {"center_sample": node.CENTER_SAMPLE, "radius": node.POS_RADIUS},
            "sample_mass_center": {"box": False, "box_mass": True}[node.SAMPLE_CENTER],
            "inference": {
                "score_threshold": node.INFERENCE_TH,
                "pre_nms_topk": node.PRE_NMS_TOPK,
                "nms_threshold": node.NMS_TH,
                "post_nms_topk": cfg.TEST.DETECTIONS_PER_IMAGE,
                "threshold_with_quality": node.THRESH_WITH_CTR,
            },
            "queries_per_image": cfg.MODEL.CONDINST.QUERIES_PER_IMAGE,
        }

    def forward(self, features: dict[str, Tensor]) -> HeadOutputs:
        """Predict densely from the backbone's features (B, C, H, W) by name."""
        return self.fcos_head([features[name] for name in self.in_features])

    def losses(
        self, outputs: HeadOutputs, boxes: list[Tensor], classes: list[Tensor], image_size: tuple[int, int]
    ) -> tuple[dict[str, Tensor], Queries]:
        """Compute the losses of the detector and select the queries whose masks are trained.

        Args:
            outputs: return value of ``forward``.
            boxes, classes: (N_b, 4) xyxy in input pixels and (N_b,) int64 of each image.
            image_size: (height, width) of the padded batch, pixels.
        """
        locations = self.locations(outputs)
        assignment = assign_targets(
            locations,
            boxes,
            classes,
            self.num_classes,
            mass_center_size=image_size if self.sample_mass_center else None,
            **self.sampling,
        )
        labels = assignment.labels
        # The focal loss is queued before the host waits for the number of positives.
        focal = focal_loss([x.flatten(2) for x in outputs.logits], labels, **self.focal)
        flat = outputs.flatten()
        deltas, quality = flat.deltas.flatten(0, 1), flat.quality.flatten()
        positive = torch.nonzero(labels.flatten() != self.num_classes)[:, 0]
        num_positives = torch.full_like(focal, len(positive), requires_grad=False)
        losses = fcos_losses(
            focal,
            deltas.index_select(0, positive),
            quality.index_select(0, positive),
            assignment.deltas.flatten(0, 1).index_select(0, positive),
            num_positives=mean_over_processes(num_positives).clamp(min=1 / world_size()),
            global_sum=mean_over_processes,
            **self.loss,
        )
        return losses, self._queries(locations, assignment, positive, outputs.logits, quality)

    def detect(self, outputs: HeadOutputs) -> list[Detections]:
        """Select the detections of each image, best first."""
        return select_detections(outputs.logits, outputs.deltas, outputs.quality, self.strides, **self.inference)

    def locations(self, outputs: HeadOutputs) -> Locations:
        """Return the locations of these predictions in one image."""
        sizes = [(x.shape[2], x.shape[3]) for x in outputs.logits]
        return pyramid_locations(sizes, self.strides, self.sizes_of_interest, outputs.logits[0].device)

    @torch.no_grad()
    def _queries(
        self, locations: Locations, assignment: Assignment, positive: Tensor, logits: list[Tensor], quality: Tensor
    ) -> Queries:
        """Select queries among the positive locations (N,), indices of the batch's B * P locations."""
        best_class = torch.cat([x.amax(1).flatten(1) for x in logits], dim=1).flatten()
        best_class, best_quality = (x.index_select(0, positive) for x in (best_class, quality))
        scores = best_class.to(quality.dtype).sigmoid() * best_quality.sigmoid()
        image_index = torch.div(positive, len(locations), rounding_mode="floor")
        location_index = positive - image_index * len(locations)
        return select_queries(locations, assignment, image_index, location_index, scores, self.queries_per_image)
