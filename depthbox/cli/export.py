"""``depthbox export``: which network, in which format, and what it is checked on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

SUMMARY = "Write a trained network as an ONNX graph, or for torch.export."
USAGE = "%(prog)s --weights FILE [--check IMAGE ...] [options]"
EXAMPLES = """
examples:
  ONNX:      %(prog)s --weights output/my/model_final.pth --check photos
  a name:    %(prog)s --weights W --output net.onnx --check a.jpg b.jpg
  no ONNX:   %(prog)s --weights W --format torch --output net.pt2
  larger:    %(prog)s --weights W --size 800
  one size:  %(prog)s --weights W --fixed-size 480 640
  surer:     %(prog)s --weights W --set MODEL.FCOS.INFERENCE_TH 0.2

--check runs the file and the network on the images. Where they find different
objects or masks, nothing is written. Without it the file is not checked.
examples/run_onnx.py runs the file without torch; docs/export.md explains its
inputs and outputs. The config of the training is taken from beside the weights.
Exit status: 0 written, 2 a mistake in the call, or a file that fails the check.
"""
SUFFIXES = {".onnx": "onnx", ".pt2": "torch"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--weights", required=True, metavar="FILE", help="checkpoint to export")
    add("--config-file", default="", metavar="FILE", help="of its training (default: config.yaml beside it)")
    add("--output", type=Path, metavar="FILE", help="default: beside the weights, with .onnx or .pt2")
    add("--format", choices=("onnx", "torch"), help="default: as --output ends, else onnx")
    add("--check", nargs="+", default=[], metavar="IMAGE", help="images, folders or patterns to compare on")
    add("--size", type=int, default=0, metavar="N", help="short side of the network's input (default: the config's)")
    add("--fixed-size", type=int, nargs=2, metavar=("H", "W"), help="take images of this size only, multiples of 32")
    add("--opset", type=int, default=18, metavar="N", help="version of ONNX's operations (default %(default)s)")
    add("--classes", default="", metavar="NAMES", help="a COCO json, a text file, or names with commas between")
    add("--set", nargs="+", default=[], metavar="KEY VALUE", dest="overrides", help="settings that win over the config")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ValueError where options are out of range or do not fit each other."""
    if arguments.size < 0 or 0 < arguments.size < 32:
        raise ValueError(f"--size is a number of pixels, 32 or more, not {arguments.size}")
    if arguments.fixed_size and min(arguments.fixed_size) < 32:
        raise ValueError(f"--fixed-size is a height and a width of 32 pixels or more, not {arguments.fixed_size}")
    if arguments.fixed_size and arguments.size:
        raise ValueError("--size and --fixed-size exclude each other: name one")
    if not 18 <= arguments.opset <= 24:
        raise ValueError(f"--opset is between 18 and 24, not {arguments.opset}")
    suffix = arguments.output.suffix if arguments.output else ""
    if arguments.output and suffix not in SUFFIXES:
        raise ValueError(f"--output {arguments.output} must end in .onnx or .pt2")
    if suffix and arguments.format and SUFFIXES[suffix] != arguments.format:
        raise ValueError(f"--output {arguments.output} is no name for --format {arguments.format}: leave one out")


def run(arguments: argparse.Namespace) -> int:
    """Export, print what was compared and written; returns the exit status.

    Raises:
        ValueError, OSError, ImportError: a mistake in the options, the config or the files, or a failed check.
    """
    from .. import add_depthbox_config
    from ..config import load_config
    from ..export import FORMATS, ExportSettings, export_network
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
        raise ValueError(f"--check takes images, and {wrong[0]} is none")
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
    print("exporting takes a minute or two", file=sys.stderr)
    report = export_network(cfg, arguments.weights, settings, sources)
    print(f"checked: {report}" if report else "not checked: name images with --check")
    print(output)
    return 0
