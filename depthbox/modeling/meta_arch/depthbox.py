"""DepthBox: instance segmentation from boxes and pseudo depth (Fig. 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, build_backbone
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from ...structures import MaskPredictions
from ..fcos import FCOS
from ..fcos.head import HeadOutputs
from ..fcos.inference import Detections
from ..fcos.queries import detection_queries
from ..mask_head import Controller, DynamicMaskHead, MaskBranch, mean_depth, paste_masks, paste_rles
from ..supervision import MaskCriterion
from ..supervision.annotations import AnnotationReader, Inputs
from ..training_stats import compute_training_stats, warmup_factor
from .levels import check_levels

MASK_FORMATS = ("bitmask", "rle")


@META_ARCH_REGISTRY.register()
class DepthBox(nn.Module):
    """FCOS detector with a dynamic mask head whose masks are guided by the predicted depth.

    Args:
        backbone: network from images (B, 3, H, W) to features by name.
        proposal_generator: detector.
        controller: predictor of the mask head's filters at the locations of the queries.
        mask_branch: network from features to the mask features that all instances share.
        mask_head: network from mask features and filters to masks and instance depth.
        annotations: reader of the annotations that the criterion uses.
        criterion: targets and losses of the masks.
        pixel_mean, pixel_std: mean and standard deviation of each channel.
        channels_last: use the channels-last memory format; it changes the speed, not the results.
        mask_format: format of the predicted masks: "bitmask" (``pred_masks`` (N, H, W) bool) or "rle"
            (``pred_masks_rle``, N COCO RLEs of the same masks, computed in less time and memory).

    Attributes:
        training_stats: statistics of the last training step, see ``compute_training_stats``.

    Raises:
        ValueError: ``mask_format`` is unknown.
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
        annotations: AnnotationReader,
        criterion: MaskCriterion,
        pixel_mean: list[float],
        pixel_std: list[float],
        channels_last: bool = False,
        mask_format: str = "bitmask",
    ) -> None:
        super().__init__()
        if mask_format not in MASK_FORMATS:
            raise ValueError(f"TEST.MASK_FORMAT must be {' or '.join(MASK_FORMATS)}, got {mask_format!r}")
        self.backbone = backbone
        self.proposal_generator = proposal_generator
        self.controller = controller
        self.mask_branch = mask_branch
        self.mask_head = mask_head
        self.annotations = annotations
        self.criterion = criterion
        self.training_stats: dict[str, Tensor | float] = {}
        self.mask_format = mask_format
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.pixel_mean: Tensor
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), persistent=False)
        self.to(memory_format=self.memory_format)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Build the parts of the network from ``MODEL``."""
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        check_levels(cfg, shapes, backbone.size_divisibility)
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
            depth_layer=cfg.MODEL.DEPTH.LAYER,
            triton=cfg.MODEL.TRITON,
        )
        criterion = MaskCriterion(cfg)
        return {
            "backbone": backbone,
            "proposal_generator": FCOS(cfg, shapes),
            "controller": Controller(shapes[cfg.MODEL.FCOS.IN_FEATURES[0]].channels, mask_head.num_params),
            "mask_branch": mask_branch,
            "mask_head": mask_head,
            "annotations": AnnotationReader(criterion.fields, criterion.optional_fields),
            "criterion": criterion,
            "pixel_mean": list(cfg.MODEL.PIXEL_MEAN),
            "pixel_std": list(cfg.MODEL.PIXEL_STD),
            "channels_last": cfg.MODEL.CHANNELS_LAST,
            "mask_format": cfg.TEST.MASK_FORMAT,
        }

    @property
    def device(self) -> torch.device:
        """Device of the network, to which inputs are moved."""
        return self.pixel_mean.device

    def forward(self, batched_inputs: Inputs) -> Any:
        """Compute the losses in training, and the instances of each image otherwise (Fig. 3).

        Args:
            batched_inputs: one dict per image: ``image`` (3, H, W) in [0, 255], ``height`` and ``width`` of the
                original image, and in training ``instances`` with ``gt_boxes`` and ``gt_classes``, and the further
                annotations that the supervision uses (``criterion.fields``), such as ``gt_masks`` of the instances or
                ``depth`` (1, H, W) in [0, 1].

        Returns:
            In training, 0-dim losses by name. Otherwise one ``{"instances": Instances}`` per image.
        """
        images, dense, mask_features = self.predict_dense(batched_inputs)
        if not self.training:
            return self._detect(batched_inputs, images, dense, mask_features)

        annotations = self.annotations(batched_inputs, self.device)
        boxes, padded = annotations.boxes, (images.tensor.shape[2], images.tensor.shape[3])
        losses, queries = self.proposal_generator.losses(dense, boxes, annotations.classes, padded)
        predictions = self.mask_head(mask_features, self.controller(dense.box_tower, queries), queries)
        targets = self.criterion.targets(images.tensor, images.image_sizes, annotations)
        mask_losses = self.criterion(predictions, queries, targets)
        warmups = {name: warmup_factor(iterations) for name, iterations in self.criterion.warmup_iters.items()}
        self.training_stats = compute_training_stats(
            mask_losses, warmups, predictions.logits, queries, torch.cat(boxes), self.mask_head.out_stride
        )
        return {**losses, **{name: loss * warmups.get(name, 1.0) for name, loss in mask_losses.items()}}

    def predict_dense(self, batched_inputs: Inputs) -> tuple[ImageList, HeadOutputs, Tensor]:
        """Encode a batch of images.

        Args:
            batched_inputs: one dict per image with ``image`` (3, H, W) in [0, 255].

        Returns:
            The images as a padded batch, the dense predictions of the detector, and the mask features (B, C, h, w).
        """
        images = ImageList.from_tensors(
            [x["image"].to(self.device, non_blocking=True) for x in batched_inputs], self.backbone.size_divisibility
        )
        normalized = (images.tensor.float() - self.pixel_mean) / self.pixel_std
        features = self.backbone(normalized.contiguous(memory_format=self.memory_format))
        return images, self.proposal_generator(features), self.mask_branch(features)

    def predict_masks(
        self, dense: HeadOutputs, mask_features: Tensor, detections: list[Detections]
    ) -> Iterator[MaskPredictions]:
        """Predict the masks of detections, with the masks of one image in memory at a time.

        Args:
            dense: predictions of the detector for B images.
            mask_features: (B, C, h, w) float.
            detections: detections of each image.

        Yields:
            The predictions of each image.
        """
        filters = self.controller(dense.box_tower, detection_queries(detections))
        parts = filters.split([len(found.scores) for found in detections])
        for features, params, found in zip(mask_features.split(1), parts, detections, strict=True):
            yield self.mask_head(features, params, detection_queries([found]))

    def fill_up_weights(self, state: dict[str, Any]) -> list[str]:
        """Add the depth layer to a state dict without it, in place; returns a description of the added filters."""
        given = state.get("controller.weight")
        if given is None or len(given) != self.mask_head.num_mask_params:
            return []  # the state dict of another mask head
        added = self.controller.fill_up(state, "controller.")
        return [f"{added} filters of the depth layer, at their initial values"] if added else []

    def _detect(
        self, batched_inputs: Inputs, images: ImageList, dense: HeadOutputs, mask_features: Tensor
    ) -> list[dict[str, Instances]]:
        detections = self.proposal_generator.detect(dense)
        results = []
        for b, (found, predictions) in enumerate(
            zip(detections, self.predict_masks(dense, mask_features, detections), strict=True)
        ):
            size = images.image_sizes[b]
            output_size = (batched_inputs[b].get("height", size[0]), batched_inputs[b].get("width", size[1]))
            results.append({"instances": self._instances(found, predictions, size, output_size)})
        return results

    def _instances(
        self, found: Detections, predictions: MaskPredictions, size: tuple[int, int], output_size: tuple[int, int]
    ) -> Instances:
        boxes = Boxes(found.boxes.clone())
        boxes.scale(output_size[1] / size[1], output_size[0] / size[0])
        boxes.clip(output_size)
        keep = boxes.nonempty()
        instances = Instances(output_size)
        instances.pred_boxes = boxes[keep]
        instances.scores = found.scores[keep]
        instances.pred_classes = found.classes[keep]
        logits = predictions.logits[keep]
        if self.mask_format == "rle":
            instances.pred_masks_rle = paste_rles(logits, self.mask_head.out_stride, size, output_size)
        else:
            instances.pred_masks = paste_masks(logits, self.mask_head.out_stride, size, output_size)
        if predictions.depth_logits is not None:
            instances.pred_depths = mean_depth(logits, predictions.depth_logits[keep])
        return instances
