"""Depth-estimation models of the transformers library, all brought to one convention: larger = nearer."""

from __future__ import annotations

import hashlib
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

SHORT_NAMES = {
    "dpt-large": "Intel/dpt-large",
    "depth-anything-small": "depth-anything/Depth-Anything-V2-Small-hf",
}
INVERT = ("auto", "yes", "no")

# What `predicted_depth` of a model type is, where its config does not say. DepthPro's is inverse depth before the
# post-processing of its image processor, which is not used here.
_GIVES_DISTANCE = {"dpt": False, "depth_pro": False, "zoedepth": True, "glpn": True}

# Distances below this share of the farthest one are noise; their inverse would squash all the rest to 0.
_NEAREST = 1e-3
# A map that varies less than this, relative to its values, is constant but for rounding.
_CONSTANT = 1e-6


class PseudoDepthError(ValueError):
    """Pseudo depth cannot be made like this; the message says what to change."""


@dataclass(frozen=True)
class ModelInfo:
    """Which model, exactly; known without loading its weights.

    ``name`` is a hub name or a local folder, ``revision`` what was asked for, ``weights`` identifies the weights
    ("commit ..." on the hub, "sha256 ..." of a folder), ``inverted`` whether 1 / output is taken.
    """

    name: str
    revision: str | None
    weights: str
    model_type: str
    inverted: bool


@dataclass(frozen=True)
class ModelInput:
    """An image as a model wants it.

    ``pixels`` is (3, h, w) float32; ``unpadded`` is the (height, width) of it that shows the image, centred;
    ``image_size`` is the (height, width) of the image itself.
    """

    pixels: Tensor
    unpadded: tuple[int, int]
    image_size: tuple[int, int]


def describe_model(model: str, revision: str | None = None, invert: str = "auto") -> ModelInfo:
    """Find out what a model is from its configuration.

    Args:
        model: a key of ``SHORT_NAMES``, a name on the Hugging Face hub, or a folder made by ``save_pretrained``.
        revision: branch, tag or commit on the hub; None = its newest.
        invert: "yes" for models that give distance, "no" for those that give inverse depth, "auto" by type.

    Raises:
        ImportError: transformers is not installed.
        PseudoDepthError: there is no such model, it estimates no depth, or "auto" cannot tell what it gives.
    """
    transformers = _transformers()
    name = SHORT_NAMES.get(model, model)
    local = os.path.isdir(name)
    if local and revision:
        raise PseudoDepthError(f"{name} is a local folder, it has no revision '{revision}'")
    try:
        config = transformers.AutoConfig.from_pretrained(name, revision=revision)
    except (OSError, ValueError) as error:
        raise _not_loaded(name, error) from error
    if type(config) not in transformers.MODEL_FOR_DEPTH_ESTIMATION_MAPPING:
        raise PseudoDepthError(f"{name} is a '{config.model_type}' model, not one of transformers' depth estimators")
    commit = getattr(config, "_commit_hash", None)
    weights = f"sha256 {_fingerprint(Path(name))}" if local else f"commit {commit or 'unknown'}"
    return ModelInfo(name, revision, weights, config.model_type, _is_inverted(name, config, invert))


class DepthModel:
    """A loaded model: images in, maps of inverse depth out."""

    def __init__(self, info: ModelInfo, device: str = "cpu", half: bool = False) -> None:
        """
        Args:
            info: from ``describe_model``; on the hub its very commit is loaded.
            device: of the network, such as "cuda:1".
            half: compute in float16 (CUDA only).

        Raises:
            PseudoDepthError: the model cannot be loaded, its output head has no weights, or half precision on a CPU.
        """
        self._device = torch.device(device)
        if half and self._device.type != "cuda":
            raise PseudoDepthError(f"half precision needs a CUDA device, this is '{device}'")
        self._half, self._inverted = half, info.inverted
        transformers = _transformers()
        kind, _, commit = info.weights.partition(" ")
        revision = commit if kind == "commit" and commit != "unknown" else info.revision
        try:
            self._processor = transformers.AutoImageProcessor.from_pretrained(info.name, revision=revision)
            network, loaded = transformers.AutoModelForDepthEstimation.from_pretrained(
                info.name, revision=revision, output_loading_info=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise _not_loaded(info.name, error) from error
        # Published checkpoints do leave out weights that are never used, but none lives without its head.
        untrained = sorted(key for key in loaded["missing_keys"] if key.split(".")[0].endswith("head"))
        if untrained:
            raise PseudoDepthError(f"the weights of {info.name} lack its output head ({untrained[0]}, ...)")
        self._network = network.float().eval().to(self._device)

    def prepare(self, image: NDArray[np.uint8]) -> ModelInput:
        """Scale and normalise an RGB image (H, W, 3) uint8 as the model was trained."""
        pixels = self._pixels(image)
        # ZoeDepth pads as well, but its own post-processing takes that away.
        divisor = getattr(self._processor, "do_pad", False) and getattr(self._processor, "size_divisor", None)
        inner = self._pixels(image, do_pad=False) if divisor else pixels
        return ModelInput(pixels, (inner.shape[1], inner.shape[2]), (image.shape[0], image.shape[1]))

    @torch.inference_mode()
    def predict(self, inputs: Sequence[ModelInput]) -> list[Tensor]:
        """Inverse depth of images, in the model's own resolution and units.

        Args:
            inputs: with ``pixels`` of one shape.

        Returns:
            For each a float32 map (h, w) on the model's device, larger = nearer; not always finite.
        """
        pixels = torch.stack([one.pixels for one in inputs]).to(self._device)
        with torch.autocast(self._device.type, torch.float16, enabled=self._half):
            outputs = self._network(pixel_values=pixels)
        if self._network.config.model_type == "zoedepth":
            sizes = [one.image_size for one in inputs]
            results = self._processor.post_process_depth_estimation(outputs, source_sizes=sizes)
            maps = [result["predicted_depth"] for result in results]
        else:
            maps = [_unpad(depth, one) for depth, one in zip(outputs.predicted_depth, inputs, strict=True)]
        return [invert_distance(depth.float()) if self._inverted else depth.float() for depth in maps]

    def _pixels(self, image: NDArray[np.uint8], **options: Any) -> Tensor:
        # Without the format an image three pixels high would be taken for one of three channels first.
        batch = self._processor(image, return_tensors="pt", input_data_format="channels_last", **options)
        return batch["pixel_values"][0]


def invert_distance(distance: Tensor) -> Tensor:
    """Inverse of a distance map (h, w); distances under a thousandth of the farthest count as that."""
    return 1 / distance.clamp(min=float(distance.max()) * _NEAREST)


def finish_depth(depth: Tensor, size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize a raw map and stretch it to [0, 1].

    Args:
        depth: (h, w) float32, inverse depth in any unit.
        size: (height, width) of the result in pixels.

    Returns:
        (height, width) float32 whose smallest value is 0 and largest 1; 0.5 all over for a constant map, which
        says nothing about near and far.

    Raises:
        PseudoDepthError: the map holds NaN or infinite values.
    """
    if not bool(torch.isfinite(depth).all()):
        raise PseudoDepthError("the model's output holds NaN or infinite values (in half precision: do without)")
    resized = F.interpolate(depth[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
    values = resized.cpu().numpy().astype(np.float64)
    low, high = values.min(), values.max()
    if high - low <= _CONSTANT * max(abs(low), abs(high)):
        return np.full(size, 0.5, dtype=np.float32)
    return ((values - low) / (high - low)).astype(np.float32)


def _unpad(depth: Tensor, one: ModelInput) -> Tensor:
    """The part of a map (h, w) that shows the image, without the border that the processor added."""
    whole = (one.pixels.shape[1], one.pixels.shape[2])
    if whole == one.unpadded:
        return depth
    height, width = one.unpadded
    top, left = (whole[0] - height) // 2, (whole[1] - width) // 2
    full = F.interpolate(depth[None, None].float(), size=whole, mode="bilinear")[0, 0]
    return full[top : top + height, left : left + width]


def _is_inverted(name: str, config: Any, invert: str) -> bool:
    if invert not in INVERT:
        raise PseudoDepthError(f"invert is one of {', '.join(INVERT)}, not '{invert}'")
    if invert != "auto":
        return invert == "yes"
    said = getattr(config, "depth_estimation_type", None)
    if said in ("metric", "relative"):
        return said == "metric"
    # DPT on DINOv2 was published with weights that give metres; DPT of MiDaS gives inverse depth.
    backbone = getattr(getattr(config, "backbone_config", None), "model_type", "")
    if config.model_type in _GIVES_DISTANCE and not backbone.startswith("dinov2"):
        return _GIVES_DISTANCE[config.model_type]
    raise PseudoDepthError(
        f"{name} ('{config.model_type}' {backbone}): it is not known whether this gives distance or inverse depth; "
        "say --invert yes if larger values are farther away, --invert no if they are nearer"
    )


def _fingerprint(folder: Path) -> str:
    """Checksum of the weights and settings in a model's folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".bin", ".json")):
        digest.update(path.name.encode())
        with open(path, "rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def _not_loaded(name: str, error: Exception) -> PseudoDepthError:
    return PseudoDepthError(
        f"the model '{name}' cannot be loaded ({str(error).strip().splitlines()[0]}). It is a name on the Hugging "
        f"Face hub (reached over the network, or downloaded before), one of {', '.join(SHORT_NAMES)}, or an existing "
        "folder with config.json, preprocessor_config.json and the weights."
    )


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError("pseudo depth needs the transformers library: pip install 'depthbox[depth]'") from error
    return transformers
