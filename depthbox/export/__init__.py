"""Export of a trained network to a file that runs without this package: ONNX or ``torch.export``."""

from .check import ExportMismatchError, ExportReport, check_runner
from .graph import ExportGraph
from .images import ExportInput, fit_image, pad_image
from .job import ExportSettings, export_network
from .write import FORMATS, ExportError, export_program, make_runner, onnx_bytes, program_bytes

__all__ = [
    "FORMATS",
    "ExportError",
    "ExportGraph",
    "ExportInput",
    "ExportMismatchError",
    "ExportReport",
    "ExportSettings",
    "check_runner",
    "export_network",
    "export_program",
    "fit_image",
    "make_runner",
    "onnx_bytes",
    "pad_image",
    "program_bytes",
]
