"""Depth-estimation models of the transformers library, with one convention of the output: larger = nearer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ...errors import describe_error
from .model_folder import PseudoDepthError, check_model_folder, hash_model_folder, offline

SHORT_NAMES = {
    "dpt-large": "Intel/dpt-large",
    "depth-anything-small": "depth-anything/Depth-Anything-V2-Small-hf",
}
INVERT = ("auto", "yes", "no")

# Whether `predicted_depth` of a model type is distance, if its config does not define it. That of DepthPro is inverse
# depth before the post-processing of its image processor, which is not used here.
_PREDICTS_DISTANCE = {"dpt": False, "depth_pro": False, "zoedepth": True, "glpn": True}

# Distances below this share of the farthest one are noise; their inverse would compress all others to 0.
_NEAREST = 1e-3


@dataclass(frozen=True)
class ModelInfo:
    """Identity of a model, found without loading its weights.

    Attributes:
        name: hub name or local folder.
        revision: requested revision on the hub.
        weights: "commit ..." on the hub, "sha256 ..." of a folder.
        model_type: model type in transformers.
        inverted: whether 1 / output is used.
    """

    name: str
    revision: str | None
    weights: str
    model_type: str
    inverted: bool


@dataclass(frozen=True)
class ModelInput:
    """Input of a model.

    Attributes:
        pixels: (3, h, w) float32.
        unpadded: (height, width) of the centered part of ``pixels`` that is the image.
        image_size: (height, width) of the original image.
    """

    pixels: Tensor
    unpadded: tuple[int, int]
    image_size: tuple[int, int]


def describe_model(model: str, revision: str | None = None, invert: str = "auto") -> ModelInfo:
    """Identify a model by its configuration.

    Args:
        model: a key of ``SHORT_NAMES``, a name on the Hugging Face hub, or a folder made by ``save_pretrained``.
        revision: branch, tag or commit on the hub; None = its newest.
        invert: "yes" for models that predict distance, "no" for inverse depth, "auto" = by type.

    Raises:
        ImportError: transformers is not installed.
        PseudoDepthError: an unknown model, a model of another task, or a model whose output "auto" cannot determine.
    """
    transformers = _import_transformers()
    name = SHORT_NAMES.get(model, model)
    local = os.path.isdir(name)
    if local and revision:
        raise PseudoDepthError(f"{name} is a local folder, which has no revision '{revision}': leave out --revision")
    if local:
        check_model_folder(Path(name))
    try:
        with offline(local):
            config = transformers.AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    except Exception as error:  # damaged settings raise nearly anything
        raise _load_error(name, error) from error
    if type(config) not in transformers.MODEL_FOR_DEPTH_ESTIMATION_MAPPING:
        raise PseudoDepthError(f"{name} is a '{config.model_type}' model, not one of transformers' depth estimators")
    commit = getattr(config, "_commit_hash", None)
    weights = f"sha256 {hash_model_folder(Path(name))}" if local else f"commit {commit or 'unknown'}"
    return ModelInfo(name, revision, weights, config.model_type, _is_inverted(name, config, invert))


class DepthModel:
    """Loaded model that predicts maps of inverse depth."""

    def __init__(self, info: ModelInfo, device: str = "cpu", half: bool = False) -> None:
        """
        Args:
            info: output of ``describe_model``; its commit on the hub is loaded.
            device: device of the network, such as "cuda:1".
            half: compute in float16 (CUDA only).

        Raises:
            PseudoDepthError: the model cannot be loaded, its output head has no weights, or half precision on a CPU.
        """
        self._device = torch.device(device)
        if half and self._device.type != "cuda":
            raise PseudoDepthError(f"half precision needs a CUDA device, not '{device}': leave out --half")
        self._half, self._inverted = half, info.inverted
        transformers = _import_transformers()
        kind, _, commit = info.weights.partition(" ")
        revision = commit if kind == "commit" and commit != "unknown" else info.revision
        try:
            with offline(os.path.isdir(info.name)):
                options = {"revision": revision, "trust_remote_code": False}
                self._processor = transformers.AutoImageProcessor.from_pretrained(info.name, **options)
                network, loaded = transformers.AutoModelForDepthEstimation.from_pretrained(
                    info.name, weights_only=True, output_loading_info=True, **options
                )
        except Exception as error:  # damaged settings and weights raise nearly anything
            raise _load_error(info.name, error) from error
        # Published checkpoints may lack weights that are not used, but the output head is always used.
        untrained = sorted(key for key in loaded["missing_keys"] if key.split(".")[0].endswith("head"))
        if untrained:
            raise PseudoDepthError(f"the weights of {info.name} lack its output head ({untrained[0]}, ...)")
        self._network = network.float().eval().to(self._device)

    def prepare(self, image: NDArray[np.uint8]) -> ModelInput:
        """Scale and normalize an RGB image (H, W, 3) uint8 as in the training of the model."""
        pixels = self._pixels(image)
        # ZoeDepth pads as well, but its own post-processing removes the padding.
        divisor = getattr(self._processor, "do_pad", False) and getattr(self._processor, "size_divisor", None)
        inner = self._pixels(image, do_pad=False) if divisor else pixels
        return ModelInput(pixels, (inner.shape[1], inner.shape[2]), (image.shape[0], image.shape[1]))

    @torch.inference_mode()
    def predict(self, inputs: Sequence[ModelInput]) -> list[Tensor]:
        """Predict inverse depth in the resolution and units of the model.

        Args:
            inputs: N images with ``pixels`` of one shape.

        Returns:
            N float32 maps (h, w) on the model's device, larger = nearer; not always finite.
        """
        pixels = torch.stack([image.pixels for image in inputs]).to(self._device)
        with torch.autocast(self._device.type, torch.float16, enabled=self._half):
            outputs = self._network(pixel_values=pixels)
        if self._network.config.model_type == "zoedepth":
            sizes = [image.image_size for image in inputs]
            results = self._processor.post_process_depth_estimation(outputs, source_sizes=sizes)
            maps = [result["predicted_depth"] for result in results]
        else:
            maps = [_unpad(depth, image) for depth, image in zip(outputs.predicted_depth, inputs, strict=True)]
        return [invert_distance(depth.float()) if self._inverted else depth.float() for depth in maps]

    def _pixels(self, image: NDArray[np.uint8], **options: Any) -> Tensor:
        # Without the format, an image with a height of three pixels would be interpreted as channels-first.
        batch = self._processor(image, return_tensors="pt", input_data_format="channels_last", **options)
        return batch["pixel_values"][0]


def invert_distance(distance: Tensor) -> Tensor:
    """Return the inverse of a distance map (h, w), whose values are clamped to 1/1000 of the farthest distance."""
    return 1 / distance.clamp(min=float(distance.max()) * _NEAREST)


def _unpad(depth: Tensor, image: ModelInput) -> Tensor:
    """Return the part of a map (h, w) that is the image, without the border that the processor added."""
    whole = (image.pixels.shape[1], image.pixels.shape[2])
    if whole == image.unpadded:
        return depth
    height, width = image.unpadded
    top, left = (whole[0] - height) // 2, (whole[1] - width) // 2
    full = F.interpolate(depth[None, None].float(), size=whole, mode="bilinear")[0, 0]
    return full[top : top + height, left : left + width]


def _is_inverted(name: str, config: Any, invert: str) -> bool:
    if invert not in INVERT:
        raise PseudoDepthError(f"invert is one of {', '.join(INVERT)}, not '{invert}'")
    if invert != "auto":
        return invert == "yes"
    kind = getattr(config, "depth_estimation_type", None)
    if kind in ("metric", "relative"):
        return kind == "metric"
    # DPT on DINOv2 was published with weights that predict meters; DPT of MiDaS predicts inverse depth.
    backbone = getattr(getattr(config, "backbone_config", None), "model_type", "")
    if config.model_type in _PREDICTS_DISTANCE and not backbone.startswith("dinov2"):
        return _PREDICTS_DISTANCE[config.model_type]
    raise PseudoDepthError(
        f"{name} ('{config.model_type}' {backbone}): it is unknown whether it predicts distance or inverse depth: "
        "give --invert yes if larger values are farther away, --invert no if they are nearer"
    )


def _load_error(name: str, error: Exception) -> PseudoDepthError:
    return PseudoDepthError(
        f"the model '{name}' cannot be loaded ({describe_error(error)[:300]}). Give a name on the Hugging Face "
        f"hub (available over the network, or downloaded before), one of {', '.join(SHORT_NAMES)}, or a folder with "
        "config.json, preprocessor_config.json and the weights."
    )


def _import_transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError("pseudo depth needs the package transformers: pip install 'depthbox[depth]'") from error
    return transformers
