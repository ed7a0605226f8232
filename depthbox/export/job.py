"""From a checkpoint to an exported file that was checked before it got its name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from tqdm import tqdm

from ..checkpoint.weights import load_weights
from ..inference.predictor import resize_to
from ..io.files import atomic_open
from ..io.media import Source, read_frames
from ..modeling.build import build_network
from ..modeling.meta_arch.depthbox import DepthBox
from .check import Report, check_runner, require_equal
from .graph import ExportGraph
from .images import Picture, fit_picture
from .write import OPSET, ExportError, export_program, make_runner, onnx_bytes, program_bytes


@dataclass(frozen=True)
class ExportSettings:
    """What is written.

    Attributes:
        output: the file.
        form: "onnx" or "torch".
        size: short side of the network's input; 0 = that of the config's tests.
        fixed: height and width of the only image that the network is to take; None = images of any size.
        opset: version of ONNX's operations.
        classes: names that go with the file.
    """

    output: Path
    form: str = "onnx"
    size: int = 0
    fixed: tuple[int, int] | None = None
    opset: int = OPSET
    classes: tuple[str, ...] = ()


def export_network(cfg: CfgNode, weights: str, settings: ExportSettings, check: Sequence[Source] = ()) -> Report | None:
    """Export a checkpoint, compare the file with the network on images, then write it.

    Args:
        cfg: of the training.
        weights: path or URL, see ``weights.load_weights``.
        settings: what is written.
        check: images to compare on.

    Returns:
        How far both lie apart; None where nothing was to be compared.

    Raises:
        CheckError: they give different results; nothing is written.
        ExportError: the network cannot be exported, or is no DepthBox.
        ImportError: packages of the extra ``export`` are missing.
        FileNotFoundError: there is no such checkpoint.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "cpu"
    cfg.freeze()
    model = build_network(cfg).eval()
    if not isinstance(model, DepthBox):
        raise ExportError(f"MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE}: only a DepthBox can be exported")
    load_weights(model, weights)
    graph = ExportGraph(model, cfg.INPUT.FORMAT)
    if settings.fixed and any(n % graph.divisibility for n in settings.fixed):
        raise ExportError(f"--fixed-size {settings.fixed} must be multiples of {graph.divisibility}")
    resize = resize_to(cfg, settings.size)
    content = _content(graph, settings, _metadata(graph, resize, settings))
    report = None
    if check:
        pictures = tqdm(
            _pictures(check, resize, graph.divisibility, settings.fixed), total=len(check), unit="image", desc="check"
        )
        report = _compare(model, graph, content, settings, pictures)
        require_equal(report)
    with atomic_open(settings.output) as file:
        file.write(content)
    return report


def _content(graph: ExportGraph, settings: ExportSettings, metadata: dict[str, str]) -> bytes:
    program = export_program(graph, settings.fixed)
    if settings.form == "onnx":
        return onnx_bytes(graph, program, opset=settings.opset, metadata=metadata)
    return program_bytes(program, metadata)


def _compare(
    model: DepthBox, graph: ExportGraph, content: bytes, settings: ExportSettings, pictures: Iterable[Picture]
) -> Report:
    return check_runner(model, graph.flip, make_runner(content, settings.form), pictures)


def _pictures(
    sources: Sequence[Source], resize: T.Augmentation, divisibility: int, fixed: tuple[int, int] | None
) -> Iterable[Picture]:
    for source in sources:
        for frame in read_frames(source):
            yield fit_picture(frame.name, frame.pixels, resize, divisibility, fixed)


def _metadata(graph: ExportGraph, resize: T.Augmentation, settings: ExportSettings) -> dict[str, str]:
    """What a runner needs to know, as JSON: how to resize, and what the classes are called."""
    return {
        "short_side": json.dumps(int(resize.short_edge_length[0])),
        "long_side": json.dumps(int(resize.max_size)),
        "divisibility": json.dumps(graph.divisibility),
        "fixed_size": json.dumps(settings.fixed),
        "classes": json.dumps(settings.classes),
        "torch": json.dumps(str(torch.__version__)),
    }
