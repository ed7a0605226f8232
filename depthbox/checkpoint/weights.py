"""Initial weights of several projects, loaded by name."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict

import numpy as np
from detectron2.utils.file_io import PathManager
from torch import Tensor, nn

from .conversion import TORCHVISION, ConvertedWeights, convert_names
from .load_report import LoadReport
from .tensor_checks import check_values
from .weight_file import WeightFile, read_weight_file

_TORCHVISION_MEAN = (123.675, 116.28, 103.53)
# Errors of the conversion of foreign names if tensors have unexpected shapes.
_UNEXPECTED = (AssertionError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


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
        ValueError: the file is damaged, holds no weights, no weights of this network, or weights that are not finite.
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


def _load(model: nn.Module, file: WeightFile, source: str) -> LoadReport:
    own = model.state_dict()
    converted, added = _convert(model, file, own, source)
    state: OrderedDict[str, Tensor] = OrderedDict(converted.state)
    if hasattr(file.state, "_metadata"):
        state._metadata = file.state._metadata  # type: ignore[attr-defined]
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
    check_values(state, own, source)
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


def _convert(
    model: nn.Module, file: WeightFile, own: dict[str, Tensor], source: str
) -> tuple[ConvertedWeights, list[str]]:
    """Return the weights under the names of the network, and descriptions of what completed them."""
    fill_up = getattr(model, "fill_up_weights", None)
    try:
        converted = convert_names(file.state, own, by_suffix=file.by_suffix, caffe2=file.caffe2)
        return converted, fill_up(converted.state) if fill_up is not None else []
    except _UNEXPECTED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{source} does not fit the network: {reason}. Give weights of the same backbone.") from error


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
