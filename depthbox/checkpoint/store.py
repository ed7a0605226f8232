"""Checkpoints of a training run: atomic writing, and resuming from the newest sound one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from detectron2.utils import comm

from ..io.files import atomic_open, sync_path
from .divergence import (
    Vitals,
    check_finite,
    check_momenta,
    find_bad_state,
    find_divergence,
    format_divergence_advice,
    read_vitals,
)
from .run_files import (
    BEST,
    NUMBERED,
    POINTER,
    list_checkpoints,
    list_numbered,
    read_number,
    set_aside,
)
from .training_state import CheckpointError, State, find_vitals, read_checkpoint
from .weight_file import read_content


class CheckpointStore:
    """The checkpoints of one training run, in its output folder.

    A file appears under its name only when it is complete and on disk, and ``last_checkpoint`` names it only
    after that: a run may be killed at any moment. Only the main process writes. All processes read the folder.

    Attributes:
        folder: OUTPUT_DIR.
        keep: number of the newest numbered checkpoints that are kept; 0 = all.
        last_good: the checkpoint that was written or read last.
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
        self._sound: tuple[Path, Vitals] | None = None  # the last checkpoint without signs of divergence
        self._logger = logging.getLogger(__name__)

    def save(self, name: str, state: Mapping[str, Any]) -> Path:
        """Write ``<name>.pth`` on the main process, point to it, and delete outdated checkpoints.

        The last checkpoint without signs of divergence is not deleted.

        Args:
            name: ``model_<iteration>`` (at least seven digits) or ``model_final``.
            state: tensors, numbers, strings, and dicts and lists of them, readable with ``weights_only=True``.

        Raises:
            FloatingPointError: a weight in ``state["model"]`` or a momentum is not finite, or insanely large.
        """
        path = self.folder / f"{name}.pth"
        try:
            largest = check_finite(state["model"], "")
            check_momenta(state["optimizer"], "")
        except FloatingPointError as error:
            raise FloatingPointError(f"{error}{self.set_aside_diverged()}") from error
        if comm.is_main_process():
            self._write(path, state)
            with atomic_open(self.folder / POINTER) as file:
                file.write(path.name.encode())
            sync_path(self.folder)
            self._logger.info("Checkpoint saved: %s", path)
            self._note_soundness(path, read_vitals(state, largest))
            self._delete_old(path)
        self.last_good = path
        return path

    def save_best(self, state: Mapping[str, Any]) -> None:
        """Write ``model_best.pth`` on the main process."""
        if comm.is_main_process():
            self._write(self.folder / f"{BEST}.pth", state)

    def best(self) -> State | None:
        """Return the state that ``save_best`` wrote last; None if there is none, or if it is damaged."""
        path = self.folder / f"{BEST}.pth"
        try:
            state = read_content(str(path))
        except (ValueError, OSError):
            return None
        return state if isinstance(state, dict) else None

    def load_latest(self) -> State | None:
        """Read the newest sound checkpoint, the same one on all processes; return None if there is none.

        Broken files are renamed to ``<name>.broken``, those with diverged weights to ``<name>.diverged``, with a
        warning. A file that cannot be read (permissions, disk, network, memory) is not renamed.

        Raises:
            CheckpointError: all checkpoints are broken, or this process cannot read that of the main process.
            OSError: the newest checkpoint cannot be read.
        """
        found: tuple[str | None, Exception | None, State | None] = (None, None, None)
        if comm.is_main_process():
            try:
                found = self._find_latest()
            except (CheckpointError, OSError) as error:
                found = (None, error, None)
        name, problem, state = found
        name, problem = comm.all_gather((name, problem))[0]
        if problem is not None:
            raise problem
        if name is None:
            return None
        path = self.folder / name
        if state is None:
            try:
                state = read_checkpoint(path)
            except (ValueError, OSError) as error:
                raise CheckpointError(
                    f"process {comm.get_rank()} cannot read {path}: {error}. Machines must share OUTPUT_DIR."
                ) from error
        self.last_good = path
        self._sound = (path, read_vitals(state))
        self._logger.info("Resuming from %s", path)
        return state

    def set_aside_diverged(self, find_loss: Callable[[int], float | None] = lambda iteration: None) -> str:
        """Rename the checkpoints that were written while the run was diverging; call it on all processes.

        Checkpoints are judged from the newest to the oldest, up to the first sound one, which --resume takes then.

        Args:
            find_loss: returns the total loss of an iteration if it is known.

        Returns:
            Advice for the user that names the sound checkpoint and the files that were set aside.
        """
        result: tuple[str, Path | None] = ("", self.last_good)
        if comm.is_main_process():
            aside = self._set_aside_diverged(find_loss)
            result = (format_divergence_advice(self.last_good, aside), self.last_good)
        text, self.last_good = comm.all_gather(result)[0]
        return text

    def _set_aside_diverged(self, find_loss: Callable[[int], float | None]) -> list[Path]:
        aside: list[Path] = []
        readable = (
            (path, vitals) for path in list_checkpoints(self.folder) if (vitals := find_vitals(path)) is not None
        )
        newer = next(readable, None)
        while newer is not None:
            (path, vitals), newer = newer, next(readable, None)
            older = None if newer is None else newer[1]
            reason = find_divergence(vitals, older, find_loss(vitals.iteration + 1))
            if reason is None:
                break
            self._logger.warning("%s: %s; it is set aside", path, reason)
            aside.append(set_aside(path, "diverged"))
            self._point_to(None if newer is None else newer[0])
        return aside

    def _point_to(self, path: Path | None) -> None:
        """Let ``last_checkpoint`` name a file; None removes it."""
        self.last_good = path
        if path is None:
            (self.folder / POINTER).unlink(missing_ok=True)
            return
        with atomic_open(self.folder / POINTER) as file:
            file.write(path.name.encode())

    def _find_latest(self) -> tuple[str | None, Exception | None, State | None]:
        """Return the name of the newest sound checkpoint, no problem, and its content.

        Raises:
            CheckpointError: all checkpoints are broken.
            OSError: a checkpoint cannot be read or renamed.
        """
        for path in self.folder.glob(".model_*.tmp"):  # half-written files of a run that was killed
            path.unlink()
        candidates = list_checkpoints(self.folder)
        for path in candidates:
            try:
                state = read_checkpoint(path)
                diverged = find_bad_state(state)
            except ValueError as error:
                message = "The checkpoint %s is broken (%s). It is now %s; the previous checkpoint is used."
                self._logger.warning(message, path, error, set_aside(path, "broken").name)
                continue
            except OSError as error:
                raise OSError(
                    f"the checkpoint {path} cannot be read ({error}). It was not changed: correct the cause and repeat "
                    "the command, or move the file away to resume from the one before."
                ) from error
            if diverged is None:
                return path.name, None, state
            message = "The checkpoint %s has diverged: %s. It is now %s; the previous checkpoint is used."
            self._logger.warning(message, path, diverged, set_aside(path, "diverged").name)
        if not candidates:
            return None, None, None
        names = ", ".join(path.name for path in candidates)
        raise CheckpointError(f"all checkpoints in {self.folder} are broken: {names}. Start again without --resume.")

    def _note_soundness(self, path: Path, vitals: Vitals) -> None:
        """Remember a checkpoint without signs of divergence; warn of one with signs."""
        doubt = find_divergence(vitals, self._sound[1] if self._sound else None)
        if doubt is None or self._sound is None:
            self._sound = (path, vitals)
        else:
            self._logger.warning("%s may be diverging: %s. %s is kept as well", path.name, doubt, self._sound[0].name)

    def _delete_old(self, newest: Path) -> None:
        """Keep the newest checkpoint and its predecessors; files with higher numbers do not count as predecessors."""
        if self.keep > 0 and NUMBERED.fullmatch(newest.name):
            older = [path for path in list_numbered(self.folder) if read_number(path) < read_number(newest)]
            for path in older[self.keep - 1 :]:
                if self._sound is None or path != self._sound[0]:
                    path.unlink()

    def _write(self, path: Path, state: Mapping[str, Any]) -> None:
        with atomic_open(path) as file:
            torch.save(dict(state), file)
        sync_path(path.parent)
