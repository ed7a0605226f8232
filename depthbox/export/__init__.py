"""A trained network as a file that runs without this package: an ONNX graph, or a program of ``torch.export``."""

from .check import CheckError, Report, check_runner
from .graph import ExportGraph
from .images import Picture, fill_up, fit_picture
from .job import ExportSettings, export_network
from .write import FORMATS, ExportError, export_program, make_runner, onnx_bytes, program_bytes

__all__ = [
    "FORMATS",
    "CheckError",
    "ExportError",
    "ExportGraph",
    "ExportSettings",
    "Picture",
    "Report",
    "check_runner",
    "export_network",
    "export_program",
    "fill_up",
    "fit_picture",
    "make_runner",
    "onnx_bytes",
    "program_bytes",
]
