"""Encoding of a network as the bytes of a file, and functions that run such bytes."""

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
from .images import ExportInput

FORMATS = {"onnx": ".onnx", "torch": ".pt2"}
OPSET = 18


class ExportError(ValueError):
    """A network that cannot be written in a format. The message names the remedy."""


def export_program(graph: ExportGraph, fixed: tuple[int, int] | None = None) -> ExportedProgram:
    """Export the network as a program of ``torch.export``.

    Args:
        graph: the network.
        fixed: (height, width) of the only image size that the program takes; None = any size.

    Raises:
        ExportError: torch cannot export the operations of the network.
    """
    step = graph.divisibility
    height, width = fixed or (7 * step, 9 * step)  # whole cells on all levels, more than one on each
    example = (torch.zeros((height, width, 3), dtype=torch.uint8), *torch.tensor([[height, width]] * 2))
    # Multiples of the stride: with other sizes, the sizes of the levels become formulas that cost torch minutes.
    sizes = None if fixed else {axis: step * Dim(name) for axis, name in enumerate(("rows", "columns"))}
    try:
        with _silence(), _keep_sizes_symbolic(), torch.no_grad():
            return torch.export.export(graph, example, dynamic_shapes=(sizes, None, None))
    except Exception as error:  # torch raises errors of many types
        remedy = "" if fixed else ": export it for one size (--fixed-size HEIGHT WIDTH)"
        size = "of one size" if fixed else "of any size"
        raise ExportError(
            f"torch cannot export this network for images {size}{remedy}. {_describe_error(error)}"
        ) from error


def onnx_bytes(
    graph: ExportGraph, program: ExportedProgram, *, opset: int = OPSET, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Encode the network as an ONNX model with the inputs and outputs of ``ExportGraph.forward``.

    Args:
        graph: the network.
        program: from ``export_program``.
        opset: version of the operator set, 18 or more.
        metadata: entries of the model's metadata.

    Raises:
        ImportError: packages of the extra ``export`` are missing.
        ExportError: an operation has no ONNX counterpart.
    """
    for name in ("onnx", "onnxscript"):
        _require(name, "--format onnx")
    if any(isinstance(module, DeformableConv2d) for module in graph.modules()):
        raise ExportError(
            "deformable convolutions (MODEL.RESNETS.DEFORM_ON_PER_STAGE) cannot be exported to ONNX: use --format torch"
        )
    try:
        with _silence():
            exported = torch.onnx.export(
                program,
                dynamo=True,
                input_names=list(INPUTS),
                output_names=list(graph.outputs),
                opset_version=opset,
                verbose=False,
            )
    except Exception as error:  # errors of many types, as above
        raise ExportError(
            f"this network has no ONNX counterpart: use --format torch. {_describe_error(error)}"
        ) from error
    assert exported is not None
    exported.model.metadata_props.update(metadata or {})
    return exported.model_proto.SerializeToString()


def program_bytes(program: ExportedProgram, metadata: Mapping[str, str] | None = None) -> bytes:
    """Encode a program as ``torch.export.save`` does; the metadata become extra files."""
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files=dict(metadata or {}))
    return buffer.getvalue()


def make_runner(content: bytes, form: str) -> Runner:
    """Build a function that runs the network in a file's bytes on an image."""
    return _make_onnx_runner(content) if form == "onnx" else _make_torch_runner(content)


def _make_onnx_runner(content: bytes) -> Runner:
    onnxruntime = _require("onnxruntime", "--check of an ONNX model")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(image: ExportInput) -> Outputs:
        sizes = {"valid": np.array(image.valid), "size": np.array(image.size)}
        return dict(zip(names, session.run(None, {"image": image.image, **sizes}), strict=True))

    return run


def _require(name: str, purpose: str) -> Any:
    """Import a package of the extra ``export``."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{purpose} needs the package {name}: pip install 'depthbox[export]'") from error


def _make_torch_runner(content: bytes) -> Runner:
    # The guards are assumptions on the strides of the example's tensors. Very small images violate them; results agree.
    program: Any = torch.export.load(io.BytesIO(content)).module(check_guards=False)

    def run(image: ExportInput) -> Outputs:
        with torch.no_grad():
            outputs = program(*(torch.as_tensor(x) for x in (image.image, image.valid, image.size)))
        return dict(zip((*OUTPUTS, DEPTHS), (x.numpy() for x in outputs), strict=False))

    return run


@contextlib.contextmanager
def _keep_sizes_symbolic() -> Iterator[None]:
    """Keep torch from specializing sizes of 1, as its own ONNX export does."""
    import torch.fx.experimental._config as config

    if hasattr(config, "backed_size_oblivious"):
        with config.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
            yield
    else:
        yield


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Silence the exporters' notes on their internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _describe_error(error: Exception) -> str:
    """Return the type and the first line of an error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
