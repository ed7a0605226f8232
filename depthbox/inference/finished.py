"""Record of a finished prediction, by which a repeated command recognizes its own result."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode

from ..io.files import atomic_open, remove_stale
from ..io.folder_lock import FolderInUseError, lock_folder
from ..io.media import MediaSource
from ..io.untrusted.json_files import read_json
from ..io.write_errors import describe_shortage
from .classes import ClassList
from .fingerprint import digest_states, fingerprint
from .pipeline import CUTOUTS, OVERLAYS, RESULTS, PredictionSettings, PredictionSummary

RECORD = "prediction_info.json"
_PURPOSE = "prediction"
_FORMAT = 1  # to be raised when equal inputs give other files


def prediction_fingerprint(
    cfg: CfgNode,
    weights: str,
    sources: Sequence[MediaSource],
    classes: ClassList,
    settings: PredictionSettings,
    size: int,
) -> str:
    """Hash everything that determines the files of a prediction: weights, config, sources, classes and settings.

    Args:
        cfg: config of the network.
        weights: path or URL of a checkpoint.
        sources: their names, sizes and times of change count.
        classes: names and ids of the classes.
        settings: the folder of the output does not count.
        size: shorter side of the input of the network.

    Returns:
        The hash; "" if the sources include a camera, whose frames differ each time.
    """
    if any(source.kind == "camera" for source in sources):
        return ""
    files = [Path(weights)] if Path(weights).is_file() else []
    options: Mapping[str, Any] = {
        "config": cfg.dump(),
        "weights": "" if files else weights,
        "sources": digest_states((source.name, Path(source.path)) for source in sources),
        "classes": asdict(classes),
        "settings": {key: value for key, value in asdict(settings).items() if key != "output"},
        "size": size,
        "versions": f"{_FORMAT} {torch.__version__}",
    }
    return fingerprint(files, options)


def find_finished(output: Path, job: str) -> PredictionSummary | None:
    """Return the counts of an earlier call that finished the same prediction, if its files are still complete.

    Args:
        output: folder of the results.
        job: from ``prediction_fingerprint``.
    """
    try:
        record = read_json(output / RECORD)
        if not job or record["job"] != job or record["outputs"] != _digest_outputs(output):
            return None
        found = PredictionSummary(int(record["images"]), int(record["objects"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    with contextlib.suppress(FolderInUseError, OSError), lock_folder(output, _PURPOSE):
        remove_stale(output)  # left by a call that was killed when all was written
    return found


def write_record(output: Path, job: str, summary: PredictionSummary) -> None:
    """Write the record of a prediction that is complete; none is written after a failure or a stop."""
    if not job or summary.failures or summary.stopped:
        return
    content = {"job": job, "images": summary.images, "objects": summary.objects, "outputs": _digest_outputs(output)}
    with atomic_open(output / RECORD) as file:
        file.write(json.dumps(content, indent=1).encode() + b"\n")


@contextlib.contextmanager
def occupy_output(output: Path) -> Iterator[None]:
    """Lock the folder of a prediction, and remove the temporary files of dead processes and an older record.

    Raises:
        FolderInUseError: another process predicts into the same folder.
        WriteError: the folder cannot be written.
    """
    with lock_folder(output, _PURPOSE):
        remove_stale(output)
        for name in (OVERLAYS, CUTOUTS):
            remove_stale(output / name, recursive=True)
        (output / RECORD).unlink(missing_ok=True)
        yield


def describe_prediction_shortage(sources: Sequence[MediaSource], settings: PredictionSettings) -> str:
    """Return a line if the disk probably has less space than the overlays will take; "" otherwise.

    Overlays are about as large as their sources.
    """
    if not settings.overlays:
        return ""
    needed = 0
    for source in sources:
        with contextlib.suppress(OSError):
            needed += Path(source.path).stat().st_size
    return describe_shortage(settings.output, needed)


def _digest_outputs(output: Path) -> str:
    """Hash the names and sizes of all files of a prediction."""
    files = [path for name in (OVERLAYS, CUTOUTS) for path in (output / name).rglob("*") if path.is_file()]
    files = sorted(path for path in [*files, output / RESULTS] if not path.name.startswith("."))
    return digest_states(((path.relative_to(output).as_posix(), path) for path in files), times=False)
