"""Names in the folder of a training run: checkpoints, their order, how one is set aside, and parts of two stages."""

from __future__ import annotations

import re
from pathlib import Path

POINTER = "last_checkpoint"
FINAL = "model_final"
BEST = "model_best"
NUMBERED = re.compile(r"model_\d{7,}\.pth")

# A run in two stages (one point per object): its folder holds the marker, two folders of training runs and the masks.
STAGES = "stages.json"
LABELER, LABELS, SEGMENTOR = "A", "labels.json", "B"
LABELS_DIGEST = "labels.sha256"  # in the folder of the segmentor: hash of the masks that it is trained on


def is_staged(folder: Path) -> bool:
    """Return whether a folder holds a run in two stages."""
    return (folder / STAGES).is_file()


def find_run(folder: Path) -> Path:
    """Return the folder of the training run that ``folder`` stands for: of two stages, that of the segmentor."""
    segmentor = folder / SEGMENTOR
    return segmentor if is_staged(folder) and (segmentor / "config.yaml").is_file() else folder


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints to resume from: that of the pointer, then the others, newest first."""
    if not folder.is_dir():
        return []
    paths = list_numbered(folder)
    final = folder / f"{FINAL}.pth"
    if final.exists():  # a run that was continued after its end has newer ones
        time = final.stat().st_mtime
        place = next((i for i, path in enumerate(paths) if path.stat().st_mtime <= time), len(paths))
        paths.insert(place, final)
    try:
        named = (folder / POINTER).read_text(errors="replace").strip()
    except OSError:
        return paths
    return sorted(paths, key=lambda path: path.name != named)


def list_numbered(folder: Path) -> list[Path]:
    """Return the periodic checkpoints, newest first."""
    return sorted((p for p in folder.iterdir() if NUMBERED.fullmatch(p.name)), key=read_number, reverse=True)


def read_number(path: Path) -> int:
    """Return the iteration in the name of a periodic checkpoint."""
    return int(path.stem.removeprefix("model_"))


def set_aside(path: Path, reason: str) -> Path:
    """Rename a checkpoint to ``<name>.<reason>``, without replacing an earlier file of that name.

    Raises:
        OSError: the file cannot be renamed.
    """
    target, number = path.with_name(f"{path.name}.{reason}"), 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.{reason}_{number}")
    try:
        return path.rename(target)
    except OSError as error:
        raise OSError(f"the checkpoint {path} is {reason} and cannot be renamed ({error}): move it away") from error
