"""Recognition of a file that an earlier call exported from the same inputs."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from detectron2.config import CfgNode

from ..inference.fingerprint import digest_states, fingerprint
from ..io.media import MediaSource
from ..io.untrusted.json_files import parse_json
from .job import JOB, ExportSettings

_FORMAT = 1  # to be raised when equal inputs give another file


def export_fingerprint(cfg: CfgNode, weights: str, settings: ExportSettings, check: Sequence[MediaSource] = ()) -> str:
    """Hash everything that determines an exported file: weights, config, settings and the images of the check.

    Args:
        cfg: config of the training run.
        weights: path or URL of a checkpoint.
        settings: the name of the file and ``job`` do not count.
        check: their names, sizes and times of change count.
    """
    files = [Path(weights)] if Path(weights).is_file() else []
    options = {
        "config": cfg.dump(),
        "weights": "" if files else weights,
        "settings": {key: value for key, value in asdict(settings).items() if key not in ("output", "job")},
        "check": digest_states((source.name, Path(source.path)) for source in check),
        "versions": f"{_FORMAT} {torch.__version__}",
    }
    return fingerprint(files, options)


def is_exported(settings: ExportSettings) -> bool:
    """Return whether ``settings.output`` is complete and was exported by the same job."""
    if not settings.job or not settings.output.is_file():
        return False
    read = _read_onnx_job if settings.form == "onnx" else _read_torch_job
    try:
        return parse_json(read(settings.output), settings.output) == settings.job
    except Exception:  # a file of anything; it is exported again
        return False


def _read_onnx_job(path: Path) -> str:
    import onnx

    model = onnx.load(path, load_external_data=False)
    return next(entry.value for entry in model.metadata_props if entry.key == JOB)


def _read_torch_job(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise ValueError("damaged")
        name = next(name for name in archive.namelist() if name.endswith(f"extra/{JOB}"))
        return archive.read(name).decode()
