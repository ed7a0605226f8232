"""``depthbox export``: a trained network as one file for other programs."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from ..errors import show

SUMMARY = "Write a trained network as an ONNX model or for torch.export."
USAGE = "%(prog)s --weights FILE [--check IMAGE ...] [options]"
EXAMPLES = """
examples:
  ONNX:      %(prog)s --weights output/my/model_final.pth --check photos
  output:    %(prog)s --weights W --output net.onnx --check a.jpg b.jpg
  no ONNX:   %(prog)s --weights W --format torch --output net.pt2
  larger:    %(prog)s --weights W --size 800
  one size:  %(prog)s --weights W --fixed-size 480 640
  threshold: %(prog)s --weights W --set MODEL.FCOS.INFERENCE_TH 0.2

--check compares the exported network with the original one on images. If the
objects or masks differ, no file is written. Without --check nothing is
compared.
examples/run_onnx.py runs the file without torch; docs/export.md explains its
inputs and outputs. The config of the training run is config.yaml beside the
weights.
Exit status: 0 written, 2 wrong options or files, or the check has failed.
"""
SUFFIXES = {".onnx": "onnx", ".pt2": "torch"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--weights", required=True, metavar="FILE", help="checkpoint to export")
    add("--config-file", default="", metavar="FILE", help="config of the training run (default: beside the weights)")
    add("--output", type=Path, metavar="FILE", help="file to write (default: beside the weights, with .onnx or .pt2)")
    add("--format", choices=("onnx", "torch"), help="format (default: by the suffix of --output, else onnx)")
    add("--check", nargs="+", default=[], metavar="IMAGE", help="images, folders or patterns to compare on")
    add("--size", type=int, default=0, metavar="N", help="shorter side of the network's input (default: the config's)")
    add(
        "--fixed-size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="the only image size of the exported network, multiples of 32",
    )
    add("--opset", type=int, default=18, metavar="N", help="version of the ONNX operator set (default %(default)s)")
    add("--classes", default="", metavar="NAMES", help="COCO JSON file, text file, or names separated by commas")
    add("--set", nargs="+", default=[], metavar="KEY VALUE", dest="overrides", help="config keys to override")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ValueError if options are out of range or contradict each other."""
    if arguments.size < 0 or 0 < arguments.size < 32:
        raise ValueError(f"--size must be 32 pixels or more, not {arguments.size}")
    if arguments.fixed_size and min(arguments.fixed_size) < 32:
        raise ValueError(f"--fixed-size must be a height and a width of 32 pixels or more, not {arguments.fixed_size}")
    if arguments.fixed_size and arguments.size:
        raise ValueError("--size and --fixed-size exclude each other: omit one")
    if not 18 <= arguments.opset <= 24:
        raise ValueError(f"--opset must be between 18 and 24, not {arguments.opset}")
    suffix = arguments.output.suffix if arguments.output else ""
    if arguments.output and suffix not in SUFFIXES:
        raise ValueError(f"--output {arguments.output} must end in .onnx or .pt2")
    if suffix and arguments.format and SUFFIXES[suffix] != arguments.format:
        raise ValueError(f"--output {arguments.output} contradicts --format {arguments.format}: omit one")


def run(arguments: argparse.Namespace) -> int:
    """Export the network and print the comparison and the file; returns the exit status.

    Raises:
        ValueError, OSError, ImportError: wrong options, config or files, or a failed check.
    """
    from .. import add_depthbox_config
    from ..config import load_config
    from ..export import FORMATS, ExportSettings, export_network
    from ..export.finished import export_fingerprint, is_exported
    from ..inference.classes import find_classes
    from ..inference.predictor import find_config
    from ..io.media import find_sources

    check_arguments(arguments)
    output = arguments.output
    form = arguments.format or (SUFFIXES[output.suffix] if output else "onnx")
    output = output or Path(arguments.weights).with_suffix(FORMATS[form])
    sources = find_sources(arguments.check) if arguments.check else []
    wrong = [source.path for source in sources if source.kind != "image"]
    if wrong:
        raise ValueError(f"--check takes images, but {wrong[0]} is not an image")
    config_file = find_config(arguments.weights, arguments.config_file)
    cfg = load_config(add_depthbox_config, config_file, arguments.overrides)
    settings = ExportSettings(
        output=output,
        form=form,
        size=arguments.size,
        fixed=tuple(arguments.fixed_size) if arguments.fixed_size else None,
        opset=arguments.opset,
        classes=find_classes(cfg, arguments.classes).names,
    )
    settings = replace(settings, job=export_fingerprint(cfg, arguments.weights, settings, sources))
    if is_exported(settings):
        show(f"exported{' and checked' * bool(sources)} by an earlier call with the same inputs")
        show(output)
        return 0
    show("exporting takes one to a few minutes", error=True)
    report = export_network(cfg, arguments.weights, settings, sources)
    show(f"checked: {report}" if report else "not checked: add images with --check")
    show(output)
    return 0
