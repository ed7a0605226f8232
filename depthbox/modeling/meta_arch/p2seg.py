"""P2Seg: masks of objects that are given by one point each, from a class map and mutual distillation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, build_backbone
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from ...ops.affinity import propagate
from ...ops.precision import without_autocast
from ..points import PointMasks, point_masks
from ..points.answers import make_instances
from ..points.class_map import GridOutputs, compact_probabilities, split_outputs
from ..points.heads import STRIDE, PointHeads, PointOutputs
from ..supervision.annotations import Inputs
from ..supervision.class_maps import ClassMapSupervision
from ..supervision.point_labels import has_regions, read_point_labels
from ..supervision.points import PointSupervision
from ..training_stats import training_iteration
from .depthbox import MASK_FORMATS


@META_ARCH_REGISTRY.register()
class P2Seg(nn.Module):
    """Network of P2Seg's stage A: class map, offsets and affinity at stride 4, trained from points and a class map.

    It predicts the mask of each given point. It does not detect objects in images without points.

    Args:
        backbone: network from images (B, 3, H, W) to features by name.
        heads: class, offset, affinity and center heads.
        supervision: targets and losses of the heads.
        class_maps: supervision of a class map that is learned from the points; None = the class map is given.
        pixel_mean, pixel_std: mean and standard deviation of each channel.
        channels_last: use the channels-last memory format; it changes the speed, not the results.
        mask_format: format of the predicted masks, "bitmask" or "rle", see ``DepthBox``.
        fallback_side: side of the square that replaces an empty mask, pixels; 0 = median of its class in the image.
        keep_near: keep the component of the point and components near it, see ``points.point_masks``.
        weak_share: share of the probability at the point of an object without a pixel, see ``points.point_masks``.

    Attributes:
        training_stats: statistics of the last training step: losses before they are added, and the share of pixels of
            an object's class that have an owner.

    Raises:
        ValueError: ``mask_format`` is unknown.
    """

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        heads: PointHeads,
        supervision: PointSupervision,
        class_maps: ClassMapSupervision | None = None,
        pixel_mean: list[float],
        pixel_std: list[float],
        channels_last: bool = False,
        mask_format: str = "bitmask",
        fallback_side: int = 0,
        keep_near: bool = True,
        weak_share: float = 0.0,
    ) -> None:
        super().__init__()
        if mask_format not in MASK_FORMATS:
            raise ValueError(f"TEST.MASK_FORMAT must be {' or '.join(MASK_FORMATS)}, got {mask_format!r}")
        self.backbone, self.heads = backbone, heads
        self.supervision, self.class_maps = supervision, class_maps
        self.training_stats: dict[str, Tensor | float] = {}
        self.mask_format, self.fallback_side = mask_format, fallback_side
        self.keep_near, self.weak_share = keep_near, weak_share
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.pixel_mean: Tensor
        self.pixel_std: Tensor
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), persistent=False)
        self.to(memory_format=self.memory_format)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Build the parts of the network from ``MODEL``."""
        backbone = build_backbone(cfg)
        node = cfg.MODEL.P2SEG
        return {
            "backbone": backbone,
            "heads": PointHeads(cfg, backbone.output_shape()),
            "supervision": PointSupervision(cfg),
            "class_maps": ClassMapSupervision(cfg) if node.SEMANTIC.SOURCE == "points" else None,
            "pixel_mean": list(cfg.MODEL.PIXEL_MEAN),
            "pixel_std": list(cfg.MODEL.PIXEL_STD),
            "channels_last": cfg.MODEL.CHANNELS_LAST,
            "mask_format": cfg.TEST.MASK_FORMAT,
            "fallback_side": node.FALLBACK_SIDE,
            "keep_near": node.KEEP_NEAR,
            "weak_share": node.WEAK_SHARE,
        }

    @property
    def device(self) -> torch.device:
        """Device of the network, to which inputs are moved."""
        return self.pixel_mean.device

    def forward(self, batched_inputs: Inputs) -> Any:
        """Compute the losses in training, and the masks of the given points otherwise.

        Args:
            batched_inputs: samples of ``data.PointMapper``, one dict per image: ``image`` (3, H, W) in [0, 255],
                ``height`` and ``width`` of the original image, and ``instances`` with ``gt_points`` and ``gt_classes``;
                in training also ``class_map``, and ``depth`` if the class map is learned with depth.

        Returns:
            In training, 0-dim losses by name. Otherwise one ``{"instances": Instances}`` per image, in the order of the
            points, see ``points.answers.make_instances``.

        Raises:
            KeyError: an image comes without points, or in training without class map.
        """
        images = ImageList.from_tensors(
            [x["image"].to(self.device, non_blocking=True) for x in batched_inputs], self.backbone.size_divisibility
        )
        outputs = self.predict_dense(images.tensor)
        if not self.training:
            parts = split_outputs(outputs, images.image_sizes)
            return [self._answer(x, part) for x, part in zip(batched_inputs, parts, strict=True)]

        labels = read_point_labels(batched_inputs, self.device)
        terms = self.supervision(outputs, labels)
        losses = terms.by_name()
        if self.class_maps is not None:
            targets = self.class_maps.targets(images.tensor, images.image_sizes, batched_inputs)
            losses |= self.class_maps.losses(outputs, labels, targets)
        self.training_stats = {} if training_iteration() is None else terms.statistics()
        return losses

    def predict_dense(self, images: Tensor) -> PointOutputs:
        """Compute the outputs of the heads from images (B, 3, H, W) in [0, 255], zero-padded."""
        normalized = (images.float() - self.pixel_mean) / self.pixel_std
        return self.heads(self.backbone(normalized.contiguous(memory_format=self.memory_format)))

    def predict_probabilities(self, output: GridOutputs, classes: Tensor) -> Tensor:
        """Compute the class map of stage A: propagated probabilities of the classes with a point (P2Seg; I2S).

        Args:
            output: outputs of the heads for one image.
            classes: (N,) int64, class of each point.

        Returns:
            (K + 1, h, w), background first; 0 for classes without a point.
        """
        settings = self.supervision
        values = compact_probabilities(output.class_logits, classes)
        compact = values.flatten(1)
        for _ in range(settings.stages if settings.i2s else 0):
            compact = propagate(
                output.features,
                compact,
                scale=settings.affinity_scale,
                power=settings.affinity_power,
                rows=settings.affinity_rows,
            )
        result = torch.zeros_like(output.class_logits)
        result[0] = compact[0].view_as(result[0])
        result[torch.unique(classes) + 1] = compact[1:].view(-1, *result.shape[1:])
        return result

    @torch.no_grad()
    def label_points(
        self,
        image: Tensor,
        points: Tensor,
        classes: Tensor,
        output_size: tuple[int, int],
        regions: Tensor | None = None,
        depth: Tensor | None = None,
    ) -> PointMasks:
        """Predict the mask of each point of an image (P2Seg; masks of the points).

        Args:
            image: (3, h, w) in [0, 255], resized to the test size, in the channel order of INPUT.FORMAT.
            points: (N, 2) float, x and y in pixels of the original image.
            classes: (N,) int64.
            output_size: (height, width) of the original image.
            regions: (N, 4) xyxy in pixels of the original image, box outside of which no pixel belongs to the object.
            depth: not used by this network.

        Returns:
            Owner (height, width) of each pixel, and score and area of each mask; a mask may be empty.
        """
        images = ImageList.from_tensors([image.to(self.device)], self.backbone.size_divisibility)
        (part,) = split_outputs(self.predict_dense(images.tensor), images.image_sizes)
        return self._mask(part, points, classes, output_size, regions)

    def _mask(
        self,
        output: GridOutputs,
        points: Tensor,
        classes: Tensor,
        output_size: tuple[int, int],
        regions: Tensor | None,
    ) -> PointMasks:
        points, classes = points.to(self.device), classes.to(self.device)
        with without_autocast(self.device):
            return point_masks(
                self.predict_probabilities(output, classes),
                output.offsets,
                points,
                classes,
                input_size=output.size,
                output_size=output_size,
                stride=STRIDE,
                keep_near=self.keep_near,
                weak_share=self.weak_share,
                regions=None if regions is None else regions.to(self.device),
            )

    def _answer(self, x: dict[str, Any], output: GridOutputs) -> dict[str, Instances]:
        given: Instances | None = x.get("instances")
        if given is None or not given.has("gt_points"):
            raise KeyError(
                f"{x.get('file_name', 'an image')} comes without points: P2Seg predicts masks of given points only. "
                "Train a segmentor on its labels for images without points (`depthbox train --data points.json`)"
            )
        size: tuple[int, int] = (x.get("height", output.size[0]), x.get("width", output.size[1]))
        points = x.get("original_points", scale_points(given.gt_points, output.size, size))
        regions = scale_points(given.gt_regions, output.size, size) if has_regions(given) else None
        masks = self._mask(output, points, given.gt_classes, size, regions)
        boxes = None if regions is None else torch.where((given.gt_kinds > 0)[:, None], regions, torch.nan)
        return {
            "instances": make_instances(
                masks, points, given.gt_classes, boxes, rle=self.mask_format == "rle", side=self.fallback_side
            )
        }


def scale_points(values: Tensor, size: Sequence[int], output_size: Sequence[int]) -> Tensor:
    """Scale points (N, 2) or boxes (N, 4) in an image of ``size`` (height, width) to one of ``output_size``."""
    factors = values.new_tensor((output_size[1] / size[1], output_size[0] / size[0]))
    return values * factors.repeat(values.shape[1] // 2)
