"""Export of a checkpoint to a file that is compared with the network before it is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from tqdm import tqdm

from ..inference.predictor import build_resize, load_network, require_depthbox
from ..io.files import atomic_open
from ..io.media import MediaSource, read_frames
from ..io.write_errors import require_writable
from .check import ExportReport, check_runner, require_equal
from .graph import ExportGraph
from .images import ExportInput, fit_image
from .write import OPSET, ExportError, export_program, make_runner, onnx_bytes, program_bytes

JOB = "depthbox_job"  # entry of the metadata with the fingerprint


@dataclass(frozen=True)
class ExportSettings:
    """Settings of an export.

    Attributes:
        output: the file to write.
        form: "onnx" or "torch".
        size: shorter side of the network's input; 0 = INPUT.MIN_SIZE_TEST.
        fixed: (height, width) of the only image size that the network takes; None = any size.
        opset: version of the ONNX operator set.
        classes: class names, stored in the file.
        job: fingerprint of the export, stored in the file; "" = none.
    """

    output: Path
    form: str = "onnx"
    size: int = 0
    fixed: tuple[int, int] | None = None
    opset: int = OPSET
    classes: tuple[str, ...] = ()
    job: str = ""


def export_network(
    cfg: CfgNode, weights: str, settings: ExportSettings, check: Sequence[MediaSource] = ()
) -> ExportReport | None:
    """Export a checkpoint, compare the result with the network on images, and write the file.

    Args:
        cfg: config of the training run.
        weights: path or URL of a checkpoint.
        settings: format and name of the file.
        check: images to compare on.

    Returns:
        The differences of both networks; None without images.

    Raises:
        ExportMismatchError: the results differ; no file is written.
        ExportError: the network cannot be exported.
        ImportError: packages of the extra ``export`` are missing.
        WriteError: the file cannot be written.
        FileNotFoundError, ValueError: see ``load_network`` and ``require_depthbox``.
    """
    require_writable(settings.output)
    model = require_depthbox(load_network(_use_cpu(cfg), weights))
    graph = ExportGraph(model, cfg.INPUT.FORMAT)
    if settings.fixed and any(n % graph.divisibility for n in settings.fixed):
        raise ExportError(f"--fixed-size {settings.fixed} must be multiples of {graph.divisibility}")
    resize = build_resize(cfg, settings.size)
    content = _encode(graph, settings, _describe(graph, resize, settings))
    report = None
    if check:
        inputs = _read_inputs(check, resize, graph.divisibility, settings.fixed)
        progress = tqdm(inputs, total=len(check), unit="image", desc="check")
        report = check_runner(model, graph.flip, make_runner(content, settings.form), progress)
        require_equal(report)
    with atomic_open(settings.output, tidy=True) as file:
        file.write(content)
    return report


def _use_cpu(cfg: CfgNode) -> CfgNode:
    """Return a copy of a config with MODEL.DEVICE cpu."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "cpu"
    cfg.freeze()
    return cfg


def _encode(graph: ExportGraph, settings: ExportSettings, metadata: dict[str, str]) -> bytes:
    program = export_program(graph, settings.fixed)
    if settings.form == "onnx":
        return onnx_bytes(graph, program, opset=settings.opset, metadata=metadata)
    return program_bytes(program, metadata)


def _read_inputs(
    sources: Sequence[MediaSource], resize: T.Augmentation, divisibility: int, fixed: tuple[int, int] | None
) -> Iterator[ExportInput]:
    for source in sources:
        for frame in read_frames(source):
            yield fit_image(frame.name, frame.pixels, resize, divisibility, fixed)


def _describe(graph: ExportGraph, resize: T.Augmentation, settings: ExportSettings) -> dict[str, str]:
    """Return the metadata of the file as JSON: the resizing of images and the class names."""
    return {
        "short_side": json.dumps(int(resize.short_edge_length[0])),
        "long_side": json.dumps(int(resize.max_size)),
        "divisibility": json.dumps(graph.divisibility),
        "fixed_size": json.dumps(settings.fixed),
        "classes": json.dumps(settings.classes),
        "torch": json.dumps(str(torch.__version__)),
        **({JOB: json.dumps(settings.job)} if settings.job else {}),
    }
