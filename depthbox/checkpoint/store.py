"""Checkpoints of a training run: atomic writing, and resuming from the newest sound one."""

from __future__ import annotations

import logging
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from detectron2.utils import comm
from torch import Tensor

from ..io.files import atomic_open
from .divergence import check_finite
from .evaluations import read_evaluation, write_evaluation
from .weights import fetch_local_path, read_content, select_weights

State = dict[str, Any]
POINTER = "last_checkpoint"
FINAL = "model_final"
BEST = "model_best"
TEACHER_HOOK = "SelfDistillation"  # the hook in the trainer's state whose state holds the teacher
_NUMBERED = re.compile(r"model_\d{7,}\.pth")
# Errors of torch.load for files that are truncated, damaged or not checkpoints.
_BROKEN = (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile)


class CheckpointStore:
    """The checkpoints of one training run, in its output folder.

    A file appears under its name only when it is complete and on disk, and ``last_checkpoint`` names it only
    after that: a run may be killed at any moment. Only the main process writes. All processes read the folder.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 3) -> None:
        """
        Args:
            folder: OUTPUT_DIR.
            keep: number of the newest numbered checkpoints that are kept; 0 = all.
        """
        self.folder = Path(folder)
        self.keep = keep
        self.last_good: Path | None = None
        self._logger = logging.getLogger(__name__)

    def save(self, name: str, state: Mapping[str, Any]) -> Path:
        """Write ``<name>.pth`` on the main process, point to it, and delete outdated checkpoints.

        Args:
            name: ``model_<iteration>`` (at least seven digits) or ``model_final``.
            state: tensors, numbers, strings, and dicts and lists of them, readable with ``weights_only=True``.

        Raises:
            FloatingPointError: a weight in ``state["model"]`` is not finite.
        """
        path = self.folder / f"{name}.pth"
        check_finite(state["model"], self.last_good)
        if comm.is_main_process():
            self._write(path, state)
            with atomic_open(self.folder / POINTER) as file:
                file.write(path.name.encode())
            sync_folder(self.folder)
            self._logger.info("Checkpoint saved: %s", path)
            self._delete_old(path)
        self.last_good = path
        return path

    def save_best(self, state: Mapping[str, Any]) -> None:
        """Write ``model_best.pth`` on the main process."""
        if comm.is_main_process():
            self._write(self.folder / f"{BEST}.pth", state)

    def best(self) -> State | None:
        """Return the state that ``save_best`` wrote last, its weights memory-mapped; None if there is none."""
        path = self.folder / f"{BEST}.pth"
        try:
            return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        except _BROKEN:
            return None

    @property
    def last_evaluated(self) -> int:
        """Number of iterations done at the last finished evaluation. Setting it writes it to disk."""
        return read_evaluation(self.folder)[0]

    @last_evaluated.setter
    def last_evaluated(self, iterations: int) -> None:
        write_evaluation(self.folder, iterations, {})

    def load_latest(self) -> State | None:
        """Read the newest complete checkpoint, the same one on all processes; return None if there is none.

        Broken files are renamed to ``<name>.broken``, with a warning.

        Raises:
            RuntimeError: all checkpoints are broken, or this process cannot read that of the main process.
        """
        found: tuple[str | None, str | None, State | None] = (None, None, None)
        if comm.is_main_process():
            found = self._find_latest()
        name, problem, state = found
        name, problem = comm.all_gather((name, problem))[0]
        if problem:
            raise RuntimeError(problem)
        if name is None:
            return None
        path = self.folder / name
        if state is None:
            try:
                state = read_checkpoint(path)
            except _BROKEN as error:
                raise RuntimeError(
                    f"process {comm.get_rank()} cannot read {path}: {error}. Machines must share OUTPUT_DIR."
                ) from error
        self.last_good = path
        self._logger.info("Resuming from %s", path)
        return state

    def _find_latest(self) -> tuple[str | None, str | None, State | None]:
        """Return the name of the newest complete checkpoint, a problem if all are broken, and its content."""
        for path in self.folder.glob(".model_*.tmp"):  # half-written files of a run that was killed
            path.unlink()
        candidates = self._candidates()
        for path in candidates:
            try:
                return path.name, None, read_checkpoint(path)
            except _BROKEN as error:
                aside = path.with_name(f"{path.name}.broken")
                path.rename(aside)
                reason = f"{type(error).__name__} {error}".splitlines()[0]
                message = "The checkpoint %s is broken (%s). It is now %s; the previous checkpoint is used."
                self._logger.warning(message, path, reason, aside.name)
        if not candidates:
            return None, None, None
        names = ", ".join(path.name for path in candidates)
        problem = f"all checkpoints in {self.folder} are broken: {names}. Start again without --resume."
        return None, problem, None

    def _candidates(self) -> list[Path]:
        """Return the checkpoints to resume from: that of the pointer, then the others, newest first."""
        if not self.folder.is_dir():
            return []
        paths = self._numbered()
        final = self.folder / f"{FINAL}.pth"
        if final.exists():
            paths.insert(0, final)
        try:
            named = self.folder / (self.folder / POINTER).read_text().strip()
        except OSError:
            return paths
        return sorted(paths, key=lambda path: path != named)

    def _numbered(self) -> list[Path]:
        """Return the periodic checkpoints, newest first."""
        return sorted((p for p in self.folder.iterdir() if _NUMBERED.fullmatch(p.name)), key=_number, reverse=True)

    def _delete_old(self, newest: Path) -> None:
        """Keep the newest checkpoint and its predecessors; files with higher numbers do not count as predecessors."""
        if self.keep > 0 and _NUMBERED.fullmatch(newest.name):
            older = [path for path in self._numbered() if _number(path) < _number(newest)]
            for path in older[self.keep - 1 :]:
                path.unlink()

    def _write(self, path: Path, state: Mapping[str, Any]) -> None:
        with atomic_open(path) as file:
            torch.save(dict(state), file)
        sync_folder(path.parent)


def read_checkpoint(path: Path) -> State:
    """Read a checkpoint of a training run to the CPU.

    Raises:
        Exception: the file is damaged (any of ``_BROKEN``) or not a checkpoint of a training run (ValueError).
    """
    _verify_checksums(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("model", "optimizer", "trainer"):
        if key not in state:
            raise ValueError(f"it has no '{key}': not a checkpoint of a DepthBox training run")
    return state


def teacher_state(source: str | os.PathLike[str]) -> dict[str, Tensor] | None:
    """Return the state dict of the EMA teacher in a checkpoint, on the CPU.

    Args:
        source: path or URL of a checkpoint, or of a weight file of another project.

    Returns:
        None if the file is sound and holds no teacher: a checkpoint from before MODEL.DISTILL.START_ITER, a training
        run without distillation, ``model_best.pth``, or bare weights.

    Raises:
        FileNotFoundError: the file does not exist.
        OSError: the URL cannot be fetched.
        ValueError: the file is damaged or holds no weights; the message names it.
    """
    path = fetch_local_path(os.fspath(source))
    content = read_content(path)
    select_weights(content, path)  # raises for a file of another kind
    if "trainer" in content:
        try:
            _verify_checksums(Path(path))
        except _BROKEN as error:
            raise ValueError(f"{path} is damaged: {error}. Use another checkpoint of the run.") from error
    return find_teacher(content)


def find_teacher(state: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """Return the teacher's state dict in the content of a checkpoint, None if it holds no teacher."""
    trainer = state.get("trainer")
    hooks = trainer.get("hooks") if isinstance(trainer, Mapping) else None
    saved = hooks.get(TEACHER_HOOK) if isinstance(hooks, Mapping) else None
    return saved.get("teacher") if isinstance(saved, Mapping) else None


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk: renames in it then survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _verify_checksums(path: Path) -> None:
    """Verify the checksums that torch.save writes; torch.load does not read them.

    Raises:
        ValueError: a checksum is wrong.
        zipfile.BadZipFile: not a file of torch.save.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} in it is wrong")


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("model_"))
