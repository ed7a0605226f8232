"""The meta-architecture: one network, one screen."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, build_backbone
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from ..structures import Queries
from .fcos import FCOS
from .fcos.inference import Detections
from .health import log_training
from .mask_head import Controller, DynamicMaskHead, MaskBranch, MaskCriterion, paste_masks
from .supervision import MaskSupervision
from .warmup import warmup_factor


@META_ARCH_REGISTRY.register()
class DepthBox(nn.Module):
    """Instance segmentation from boxes: FCOS, and a dynamic mask head trained with BoxInst's losses.

    Args:
        backbone: images (B, 3, H, W) to named features.
        proposal_generator: the detector.
        controller: filters of the mask head at the detector's positions.
        mask_branch: mask features that all instances share.
        mask_head: filters and features to mask logits.
        supervision: what the masks are trained with.
        criterion: the masks' losses.
        pixel_mean, pixel_std: of each channel.
        color_warmup_iters: iterations over which the colour pairwise loss grows to its full weight.
        channels_last: memory layout of images and convolutions; changes speed, not results.
    """

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        proposal_generator: FCOS,
        controller: Controller,
        mask_branch: MaskBranch,
        mask_head: DynamicMaskHead,
        supervision: MaskSupervision,
        criterion: MaskCriterion,
        pixel_mean: list[float],
        pixel_std: list[float],
        color_warmup_iters: int,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.proposal_generator = proposal_generator
        self.controller = controller
        self.mask_branch = mask_branch
        self.mask_head = mask_head
        self.supervision = supervision
        self.criterion = criterion
        self.color_warmup_iters = color_warmup_iters
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.pixel_mean: Tensor
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), persistent=False)
        self.to(memory_format=self.memory_format)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        node = cfg.MODEL.CONDINST
        sizes = [float(size) for size in cfg.MODEL.FCOS.SIZES_OF_INTEREST]
        mask_branch = MaskBranch(cfg, shapes)
        mask_head = DynamicMaskHead(
            in_channels=node.MASK_BRANCH.OUT_CHANNELS,
            channels=node.MASK_HEAD.CHANNELS,
            num_layers=node.MASK_HEAD.NUM_LAYERS,
            feature_stride=mask_branch.stride,
            out_stride=node.MASK_OUT_STRIDE,
            sizes=(*sizes, 2 * sizes[-1]),
        )
        return {
            "backbone": backbone,
            "proposal_generator": FCOS(cfg, shapes),
            "controller": Controller(shapes[cfg.MODEL.FCOS.IN_FEATURES[0]].channels, mask_head.num_params),
            "mask_branch": mask_branch,
            "mask_head": mask_head,
            "supervision": MaskSupervision(cfg),
            "criterion": MaskCriterion(cfg),
            "pixel_mean": list(cfg.MODEL.PIXEL_MEAN),
            "pixel_std": list(cfg.MODEL.PIXEL_STD),
            "color_warmup_iters": cfg.MODEL.BOXINST.PAIRWISE.WARMUP_ITERS,
            "channels_last": cfg.MODEL.CHANNELS_LAST,
        }

    @property
    def device(self) -> torch.device:
        """Where the network is; inputs are moved there."""
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Losses by name in training; one ``{"instances": Instances}`` per image otherwise.

        Args:
            batched_inputs: one dict per image: ``image`` (3, H, W) in [0, 255], ``height`` and ``width`` of the
                original image, and in training ``instances`` with ``gt_boxes`` and ``gt_classes`` (plus ``gt_masks``
                and ``gt_has_mask`` where masks are used).
        """
        images = self._batch(batched_inputs)
        normalized = (images.tensor.float() - self.pixel_mean) / self.pixel_std
        features = self.backbone(normalized.contiguous(memory_format=self.memory_format))
        dense = self.proposal_generator(features)
        mask_features = self.mask_branch(features)
        if not self.training:
            return self._detect(batched_inputs, images, dense, mask_features)

        boxes = [x["instances"].gt_boxes.tensor.to(self.device) for x in batched_inputs]
        classes = [x["instances"].gt_classes.to(self.device) for x in batched_inputs]
        losses, queries = self.proposal_generator.losses(dense, boxes, classes, tuple(images.tensor.shape[2:]))
        filters = self.controller(dense.box_tower, queries)
        mask_logits = self.mask_head(mask_features, filters, queries)
        targets = self.supervision(
            images.tensor,
            images.image_sizes,
            [x["height"] for x in batched_inputs],
            boxes,
            *self._true_masks(batched_inputs),
        )
        mask_losses = self.criterion(mask_logits, queries, targets)
        factor = warmup_factor(self.color_warmup_iters)
        log_training(mask_losses, factor, mask_logits, queries, targets, self.mask_head.out_stride)
        if "loss_color_pairwise" in mask_losses:
            mask_losses["loss_color_pairwise"] = mask_losses["loss_color_pairwise"] * factor
        return {**losses, **mask_losses}

    def _batch(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        images = [x["image"].to(self.device, non_blocking=True) for x in batched_inputs]
        return ImageList.from_tensors(images, self.backbone.size_divisibility)

    def _true_masks(self, batched_inputs: list[dict[str, Any]]) -> tuple[list[Tensor] | None, list[Tensor] | None]:
        if self.criterion.supervision == "box":
            return None, None
        masks = [x["instances"].gt_masks.tensor.to(self.device) for x in batched_inputs]
        if self.criterion.supervision == "mask":
            return masks, None
        return masks, [x["instances"].gt_has_mask.to(self.device) for x in batched_inputs]

    def _detect(
        self, batched_inputs: list[dict[str, Any]], images: ImageList, dense: Any, mask_features: Tensor
    ) -> list[dict[str, Instances]]:
        results = []
        detections = self.proposal_generator.detect(dense)
        queries = _detection_queries(detections)
        filters = self.controller(dense.box_tower, queries)
        for b, found in enumerate(detections):
            start = sum(queries.counts[:b])
            params = filters[start : start + queries.counts[b]]
            logits = self.mask_head(mask_features[b : b + 1], params, _detection_queries([found]))
            size = images.image_sizes[b]
            output_size = (batched_inputs[b].get("height", size[0]), batched_inputs[b].get("width", size[1]))
            results.append({"instances": self._instances(found, logits, size, output_size)})
        return results

    def _instances(
        self, found: Detections, logits: Tensor, size: tuple[int, int], output_size: tuple[int, int]
    ) -> Instances:
        boxes = Boxes(found.boxes.clone())
        boxes.scale(output_size[1] / size[1], output_size[0] / size[0])
        boxes.clip(output_size)
        keep = boxes.nonempty()
        instances = Instances(output_size)
        instances.pred_boxes = boxes[keep]
        instances.scores = found.scores[keep]
        instances.pred_classes = found.classes[keep]
        instances.pred_masks = paste_masks(logits[keep], self.mask_head.out_stride, size, output_size)
        return instances


def _detection_queries(detections: list[Detections]) -> Queries:
    """The detections of some images as queries of the mask head."""
    counts = tuple(len(found.scores) for found in detections)
    device = detections[0].scores.device
    image_index = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).to(device)
    return Queries(
        image_index=image_index,
        level=torch.cat([found.level for found in detections]),
        row=torch.cat([found.row for found in detections]),
        column=torch.cat([found.column for found in detections]),
        locations=torch.cat([found.locations for found in detections]),
        target_index=torch.full_like(image_index, -1),
        counts=counts,
    )
