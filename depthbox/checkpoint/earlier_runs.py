"""Earlier training runs in OUTPUT_DIR: each is set aside as a whole before a new run starts there."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from detectron2.config import CfgNode
from detectron2.utils import comm

from ..io.files import atomic_open, sync_path
from ..io.yaml_files import read_yaml
from .evaluations import EVALUATED
from .run_files import LABELER, LABELS, LABELS_DIGEST, POINTER, SEGMENTOR, STAGES, is_staged

# Files and folders that a training run writes. The pointer is first: without it nothing is resumed by mistake.
RUN_FILES = (
    *(POINTER, "model_*", EVALUATED, "metrics.json", "events.out.tfevents.*", "run.json", "log.txt*"),
    *("report.html", "inference", "visualize", "wandb", "wandb_run_id", LABELS_DIGEST, "config.yaml"),
)
# Further files of a run in two stages.
_STAGE_FILES = (LABELER, SEGMENTOR, LABELS, f"{LABELS}.partial.jsonl", STAGES)
# Files that only a training run writes: an evaluation writes log.txt and inference as well.
_EVIDENCE = (POINTER, "model_*.pth", EVALUATED, "metrics.json", "run.json", "config.yaml", STAGES)
_INCOMPLETE = ".incomplete"
_NUMBER = re.compile(r"earlier_(\d+)(\.incomplete)?")


def set_aside_run(folder: str | os.PathLike[str]) -> Path | None:
    """Move the training run in a folder into the new subfolder ``earlier_<n>``; call it in one process.

    The subfolder is a run folder like any other (``depthbox eval --run``). The annotation files of its config that
    lie in ``folder`` are copied, and the paths in its config.yaml are adjusted. Files that no training run writes stay.
    A run in two stages is moved with the folders of both.

    The files are collected in ``earlier_<n>.incomplete``, which is renamed at the end. If the process is killed before
    that, no file is lost, and the next call continues with the same subfolder.

    Args:
        folder: OUTPUT_DIR of the new run; it may be missing.

    Returns:
        The subfolder, None if the folder holds no training run.

    Raises:
        OSError: a file cannot be moved.
    """
    folder = Path(folder)
    partial = _find_incomplete(folder)
    if partial is None:
        if not is_run(folder):
            return None
        partial = folder / f"earlier_{_next_number(folder)}{_INCOMPLETE}"
        partial.mkdir()
    for leftover in folder.glob(".model_*.tmp"):  # half-written checkpoints of a run that was killed
        leftover.unlink()
    staged = is_staged(folder) or is_staged(partial)
    for path in _matches(folder, (*_STAGE_FILES, *RUN_FILES) if staged else RUN_FILES):
        if not (partial / path.name).exists():
            path.rename(partial / path.name)
    for path in (folder / "data" / f"{name}.json" for name in ("train", "val")):
        if path.is_file():
            _copy_whole(path, partial / "data" / path.name)
    target = partial.with_name(partial.name.removesuffix(_INCOMPLETE))
    for part in _list_parts(partial):
        _adjust_config(partial, part, folder, target)
    sync_path(partial)
    partial.rename(target)
    sync_path(folder)
    logging.getLogger(__name__).warning(
        "%s held an earlier training run. It is now in %s; evaluate it with: depthbox eval --run %s",
        folder,
        target,
        target,
    )
    return target


def is_run(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder holds files that only a training run writes."""
    return any(_matches(Path(folder), _EVIDENCE))


def read_configs(folder: str | os.PathLike[str]) -> dict[str, bytes]:
    """Read the config.yaml of the run in a folder, of two stages both of them.

    Returns:
        Path below ``folder`` -> content.
    """
    paths = [Path(part) / "config.yaml" for part in _list_parts(Path(folder))]
    return {str(path): (Path(folder) / path).read_bytes() for path in paths if (Path(folder) / path).is_file()}


def restore_run(folder: str | os.PathLike[str], aside: Path, configs: Mapping[str, bytes]) -> None:
    """Undo ``set_aside_run``, because the new run was refused before it wrote anything.

    Args:
        folder: OUTPUT_DIR.
        aside: result of ``set_aside_run``.
        configs: result of ``read_configs`` before.
    """
    folder = Path(folder)
    for path in sorted(aside.rglob("*")):
        if path.is_file():
            target = folder / path.relative_to(aside)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    for name, content in configs.items():
        with atomic_open(folder / name) as file:
            file.write(content)
    shutil.rmtree(aside)
    logging.getLogger(__name__).warning("The new run was refused: the earlier run is in %s as before", folder)


def complete_set_aside(folder: str | os.PathLike[str]) -> Path | None:
    """Finish an interrupted ``set_aside_run``; return the subfolder, None if there was nothing to finish."""
    return None if _find_incomplete(Path(folder)) is None else set_aside_run(folder)


def _find_incomplete(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob(f"earlier_*{_INCOMPLETE}"))), None)


def _next_number(folder: Path) -> int:
    numbers = [int(match[1]) for path in folder.iterdir() if (match := _NUMBER.fullmatch(path.name))]
    return max(numbers, default=0) + 1


def _matches(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    """Yield the entries of a folder that match a pattern, in the order of the patterns."""
    for pattern in patterns:
        yield from sorted(folder.glob(pattern))


def _list_parts(folder: Path) -> tuple[str, ...]:
    """Return the folders of a run that have a config.yaml, relative to its folder."""
    return (LABELER, SEGMENTOR) if is_staged(folder) else ("",)


def _adjust_config(partial: Path, part: str, folder: Path, target: Path) -> None:
    """Let config.yaml name ``target`` and copies of the annotation files in ``folder``.

    Args:
        partial: the files of the run, now.
        part: folder of the config in it.
        folder: where they were.
        target: where they will be.
    """
    path = partial / part / "config.yaml"
    if not path.is_file():
        return
    try:
        tree = read_yaml(path)
        entries = tree["DATASETS"]["COCO_STYLE"]
        adjusted = [_copy_annotations(entry, folder, partial, target) for entry in entries]
    except (ValueError, TypeError, KeyError, IndexError):
        logging.getLogger(__name__).warning(
            "%s is not the config of a training run: it is kept as it is", target / part / path.name
        )
        return
    tree = {**tree, "OUTPUT_DIR": str(target / part), "DATASETS": {**tree["DATASETS"], "COCO_STYLE": adjusted}}
    with atomic_open(path) as file:
        file.write(yaml.safe_dump(tree).encode())


def _copy_annotations(entry: list[str], folder: Path, partial: Path, target: Path) -> list[str]:
    """Copy the annotation file of a dataset if it lies in ``folder``, and return the entry with the path of the copy.

    The file is not moved: it may belong to the user, or be read by the new run as well. Only the masks of a run in two
    stages are moved with it.
    """
    source = Path(os.path.expanduser(os.path.expandvars(entry[1])))
    inside = Path(os.path.relpath(source, folder))
    if inside.parts[0] == os.pardir or _NUMBER.fullmatch(inside.parts[0]):
        return entry
    if source.is_file():
        _copy_whole(source, partial / inside)
    elif not (partial / inside).is_file():
        return entry
    return [entry[0], os.path.abspath(target / inside), *entry[2:]]


def _copy_whole(source: Path, copy: Path) -> None:
    """Copy a file, complete or not at all."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    temporary = copy.with_name(f".{copy.name}.tmp")
    shutil.copy2(source, temporary)
    temporary.replace(copy)


def replace_run(cfg: CfgNode) -> None:
    """Set aside an earlier run in OUTPUT_DIR, and let MODEL.WEIGHTS follow it; call it on all processes.

    Args:
        cfg: changed in place if the initial weights were moved.
    """
    aside = comm.all_gather(set_aside_run(cfg.OUTPUT_DIR) if comm.is_main_process() else None)[0]
    cfg.defrost()
    cfg.MODEL.WEIGHTS = follow_weights(cfg.MODEL.WEIGHTS, aside)
    cfg.freeze()


def follow_weights(weights: str, aside: Path | None) -> str:
    """Return the path of the initial weights after an earlier run, perhaps with these weights, was set aside.

    Args:
        weights: MODEL.WEIGHTS.
        aside: result of ``set_aside_run``.
    """
    if aside is None or os.path.abspath(os.path.dirname(weights)) != os.path.abspath(aside.parent):
        return weights
    moved = aside / os.path.basename(weights)
    return str(moved) if moved.is_file() and not os.path.exists(weights) else weights
