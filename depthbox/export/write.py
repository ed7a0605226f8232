"""From a network to the bytes of a file, and from them to a function."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.export import Dim, ExportedProgram

from ..modeling.backbone import DeformableConv2d
from .check import Outputs, Runner
from .graph import DEPTHS, INPUTS, OUTPUTS, ExportGraph
from .images import Picture

FORMATS = {"onnx": ".onnx", "torch": ".pt2"}
OPSET = 18


class ExportError(ValueError):
    """A network that cannot be written in a format; the message names the remedy."""


def export_program(graph: ExportGraph, fixed: tuple[int, int] | None = None) -> ExportedProgram:
    """The network as a program of ``torch.export``.

    Args:
        graph: the network.
        fixed: height and width of the only image that it takes; None = images of any size.

    Raises:
        ExportError: the network's operations do not allow that.
    """
    step = graph.divisibility
    height, width = fixed or (7 * step, 9 * step)  # whole cells on all levels, nowhere a single one
    example = (torch.zeros((height, width, 3), dtype=torch.uint8), *torch.tensor([[height, width]] * 2))
    # Whole multiples: of other sizes, the sizes of the levels become formulas that take torch minutes.
    sizes = None if fixed else {axis: step * Dim(name) for axis, name in enumerate(("rows", "columns"))}
    try:
        with _quiet(), _any_size(), torch.no_grad():
            return torch.export.export(graph, example, dynamic_shapes=(sizes, None, None))
    except Exception as error:  # torch raises what it meets, of many types
        remedy = "" if fixed else ": try an image of one size (--fixed-size HEIGHT WIDTH)"
        size = "of one size" if fixed else "of any size"
        raise ExportError(f"torch cannot export this network for images {size}{remedy}. {_reason(error)}") from error


def onnx_bytes(
    graph: ExportGraph, program: ExportedProgram, *, opset: int = OPSET, metadata: Mapping[str, str] | None = None
) -> bytes:
    """An ONNX model with inputs ``image`` and ``size`` and the outputs of ``ExportGraph``.

    Args:
        graph: the network.
        program: of ``export_program``.
        opset: version of the operations, 18 or more.
        metadata: words that go with the model.

    Raises:
        ImportError: the packages of the extra ``export`` are missing.
        ExportError: an operation has no ONNX counterpart.
    """
    for name in ("onnx", "onnxscript"):
        _require(name, "--format onnx")
    if any(isinstance(module, DeformableConv2d) for module in graph.modules()):
        raise ExportError(
            "deformable convolutions (MODEL.RESNETS.DEFORM_ON_PER_STAGE) cannot be exported to ONNX: use --format torch"
        )
    try:
        with _quiet():
            exported = torch.onnx.export(
                program,
                dynamo=True,
                input_names=list(INPUTS),
                output_names=list(graph.outputs),
                opset_version=opset,
                verbose=False,
            )
    except Exception as error:  # as above
        raise ExportError(f"this network has no ONNX counterpart: use --format torch. {_reason(error)}") from error
    assert exported is not None
    exported.model.metadata_props.update(metadata or {})
    return exported.model_proto.SerializeToString()


def program_bytes(program: ExportedProgram, metadata: Mapping[str, str] | None = None) -> bytes:
    """A file of ``torch.export.save``; the metadata are its extra files."""
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files=dict(metadata or {}))
    return buffer.getvalue()


def make_runner(content: bytes, form: str) -> Runner:
    """The network in a file's bytes, as a function of a picture."""
    return _onnx_runner(content) if form == "onnx" else _torch_runner(content)


def _onnx_runner(content: bytes) -> Runner:
    onnxruntime = _require("onnxruntime", "--check of an ONNX model")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(picture: Picture) -> Outputs:
        sizes = {"valid": np.array(picture.valid), "size": np.array(picture.size)}
        return dict(zip(names, session.run(None, {"image": picture.image, **sizes}), strict=True))

    return run


def _require(name: str, what: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{what} needs the package {name}: pip install 'depthbox[export]'") from error


def _torch_runner(content: bytes) -> Runner:
    # The guards are what torch assumed of the example's strides, not of the results: small images break them.
    program: Any = torch.export.load(io.BytesIO(content)).module(check_guards=False)

    def run(picture: Picture) -> Outputs:
        with torch.no_grad():
            outputs = program(*(torch.as_tensor(x) for x in (picture.image, picture.valid, picture.size)))
        return dict(zip((*OUTPUTS, DEPTHS), (x.numpy() for x in outputs), strict=False))

    return run


@contextlib.contextmanager
def _any_size() -> Iterator[None]:
    """Let torch assume nothing of a size because it is 1 somewhere; its own export to ONNX does the same."""
    import torch.fx.experimental._config as config

    if hasattr(config, "backed_size_oblivious"):
        with config.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
            yield
    else:
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' notes on their own workings away from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
