"""Initial weights: reading of weight files of several projects without running code, and loading by name."""

from __future__ import annotations

import logging
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.utils.file_io import PathManager
from torch import Tensor, nn

from .conversion import TORCHVISION, convert_names
from .load_report import LoadReport
from .safe_pickle import UnsafePickleError, format_refusal, read_arrays

_TORCH = (
    b"PK\x03\x04",
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
)  # first bytes of zip files and of files from before torch 1.6
_TORCHVISION_MEAN = (123.675, 116.28, 103.53)
_GLOBAL = re.compile(r"(?:GLOBAL|class|function)\s+['`]?([\w.]+)")  # in error messages of torch
_BROKEN = (
    AttributeError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


@dataclass(frozen=True)
class WeightFile:
    """Tensors of a weight file.

    Attributes:
        state: tensors by the names of the file.
        by_suffix, caffe2: conventions of the names, see ``conversion.convert_names``.
    """

    state: dict[str, Tensor]
    by_suffix: bool = False
    caffe2: bool = False


def load_weights(model: nn.Module, source: str) -> LoadReport | None:
    """Load initial weights, on all processes, and log a report.

    Args:
        model: network, changed in place.
        source: path or URL of a .pth of DepthBox, Detectron2, AdelaiDet (BoxInst, CondInst) or torchvision (ResNet),
            or of a .pkl of Detectron2's model zoo or of MSRA; "" loads nothing.

    Returns:
        The report, None if ``source`` is empty.

    Raises:
        FileNotFoundError: the file does not exist.
        OSError: the URL cannot be fetched.
        UnsafePickleError: loading the file could run code.
        ValueError: the file is damaged, holds no weights, or no weights of this network.
    """
    logger = logging.getLogger(__name__)
    if not source:
        logger.info("MODEL.WEIGHTS is empty: training starts from random weights, except for weights of MODEL.TIMM")
        return None
    file = read_weight_file(fetch_local_path(source))
    report = _load(model, file, source)
    backbone_only = all(name.startswith("backbone.") for name in report.loaded)
    logger.log(logging.INFO if report.complete or backbone_only else logging.WARNING, "%s", report)
    _warn_of_another_backbone(logger, model, report)
    if report.layout == TORCHVISION:
        _warn_of_other_inputs(logger, model)
    return report


def read_weight_file(path: str) -> WeightFile:
    """Read the tensors of a local file, without running code.

    Raises:
        ValueError: the file is damaged, unsafe, or holds no weights.
    """
    return select_weights(read_content(path), path)


def read_content(path: str) -> Any:
    """Read a local file of torch, or a pickle of arrays, without running code.

    Raises:
        ValueError: the file is damaged, unsafe, or has another format.
    """
    return read_arrays(path) if _is_pickle(path) else _read_torch(path)


def select_weights(content: Any, path: str) -> WeightFile:
    """Select the weights in the content of a file.

    Args:
        content: of ``read_content``.
        path: of the file, for messages and for its format.

    Raises:
        ValueError: the content holds no weights.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a dict of weights: give a checkpoint")
    keys = ("model", "state_dict", "model_state", "blobs")  # Detectron2; Lightning and timm; pycls; Detectron
    key = next((key for key in keys if isinstance(content.get(key), dict)), "")
    state = content[key] if key else content
    if not state:
        raise ValueError(f"{path} holds no weights: it is an empty dict. Give a checkpoint.")
    # Only names of Caffe2 contain no dots, and only such files lack an entry about their origin.
    dotless = not any("." in str(name) for name in state)
    caffe2 = content.get("__author__") == "Caffe2" or (dotless and _is_pickle(path))
    unused = "_momentum" if caffe2 else "num_batches_tracked" if key == "model_state" else "\0"
    by_suffix = caffe2 or key == "model_state" or bool(content.get("matching_heuristics", False))
    return WeightFile(_tensors(state, unused, path), by_suffix, caffe2)


def _is_pickle(path: str) -> bool:
    with open(path, "rb") as file:
        return not file.read(16).startswith(_TORCH)


def fetch_local_path(source: str) -> str:
    """Return the path of a weight file; a URL is downloaded into the cache first.

    Raises:
        FileNotFoundError: the file does not exist.
        OSError: the URL cannot be fetched.
    """
    path = source
    if "://" in source:
        try:
            path = PathManager.get_local_path(source)
        except Exception as error:  # any error of the handler of this kind of URL
            raise OSError(
                f"MODEL.WEIGHTS: {source} cannot be fetched ({error}). Download it in another way and give its path."
            ) from error
    if not os.path.isfile(path):
        raise FileNotFoundError(f"MODEL.WEIGHTS: the file {path} does not exist")
    return path


def _read_torch(path: str) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        found = _GLOBAL.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if found:
            raise UnsafePickleError(format_refusal(path, found[1])) from None
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"{path} is not a sound checkpoint of torch ({reason}). Download it again.") from error


def _tensors(state: Mapping[Any, Any], unused: str, path: str) -> dict[str, Tensor]:
    """Convert arrays to tensors, strip the name prefix of DataParallel, and keep the module versions of torch."""
    versions = getattr(state, "_metadata", None)
    prefix = "module." if state and all(str(name).startswith("module.") for name in state) else ""
    result: OrderedDict[str, Tensor] = OrderedDict()
    for name, value in state.items():
        if str(name).endswith(unused):
            continue
        tensor = torch.as_tensor(value) if isinstance(value, np.ndarray | np.generic) else value
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(
                f"{path} holds no weights: {str(name)[:60]!r} in it is of type {type(value).__name__}, not a tensor. "
                "Give a dict of tensors by name, or a checkpoint with such a dict as 'model'."
            )
        result[name.removeprefix(prefix)] = tensor
    if versions is not None:
        result._metadata = {name.removeprefix(prefix): v for name, v in versions.items()}  # type: ignore[attr-defined]
    return result


def _load(model: nn.Module, file: WeightFile, source: str) -> LoadReport:
    own = model.state_dict()
    try:
        converted = convert_names(file.state, own, by_suffix=file.by_suffix, caffe2=file.caffe2)
    except ValueError as error:
        raise ValueError(f"{source} does not fit the network: {error} Give weights of the same backbone.") from error
    state: OrderedDict[str, Tensor] = OrderedDict(converted.state)
    if hasattr(file.state, "_metadata"):
        state._metadata = file.state._metadata  # type: ignore[attr-defined]
    fill_up = getattr(model, "fill_up_weights", None)
    added = fill_up(state) if fill_up is not None else []
    both = [name for name in own if name in state]
    shapes = {name: (tuple(state[name].shape), tuple(own[name].shape)) for name in both}
    wrong = {name: pair for name, pair in shapes.items() if pair[0] != pair[1]}
    loaded = [name for name in both if name not in wrong]
    if not loaded:
        raise ValueError(
            f"MODEL.WEIGHTS: these weights are not of this network: none of the {len(file.state)} tensors of {source} "
            f"fits (the first: {', '.join(list(file.state)[:3])}). Give weights of timm as MODEL.TIMM.WEIGHTS."
        )
    for name in wrong:
        del state[name]
    result = model.load_state_dict(state, strict=False)
    missing = [name for name in result.missing_keys if name not in wrong]
    return LoadReport(
        source=source,
        layout=converted.layout,
        loaded=loaded,
        missing=missing,
        wrong_shape=wrong,
        implied=[name for name in own if name not in {*loaded, *missing, *wrong}],
        unexpected=list(result.unexpected_keys),
        not_needed=converted.not_needed,
        added=added,
    )


def _warn_of_another_backbone(logger: logging.Logger, model: nn.Module, report: LoadReport) -> None:
    loaded, total = report.share("backbone.")
    if 2 * loaded < total:
        logger.warning(
            "These weights are not of this network: only %d of %d tensors of its backbone are in\n  %s\n"
            "  Check MODEL.BACKBONE.NAME and MODEL.RESNETS.DEPTH (or MODEL.TIMM.NAME).",
            loaded,
            total,
            report.source,
        )


def _warn_of_other_inputs(logger: logging.Logger, model: nn.Module) -> None:
    """Warn if normalization or strides differ from torchvision's: RGB, standard deviations, stride in the 3 x 3."""
    changes = []
    mean, std = getattr(model, "pixel_mean", None), getattr(model, "pixel_std", None)
    if mean is not None and not np.allclose(mean.flatten().tolist(), _TORCHVISION_MEAN, atol=1):
        changes.append("INPUT.FORMAT RGB, MODEL.PIXEL_MEAN [123.675, 116.28, 103.53]")
    if std is not None and bool((std.flatten() < 10).any()):
        changes.append("MODEL.PIXEL_STD [58.395, 57.12, 57.375]")
    first = {name: module for name, module in model.named_modules() if name.endswith("bottom_up.res3.0.conv1")}
    if any(conv.kernel_size == (1, 1) and conv.stride == (2, 2) for conv in first.values()):
        changes.append("MODEL.RESNETS.STRIDE_IN_1X1 False")
    if changes:
        logger.warning(
            "torchvision's networks were trained with other inputs or strides; set\n  %s", "\n  ".join(changes)
        )
