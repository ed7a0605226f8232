"""Checkpoints that are whole at any moment, and the way back from them."""

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

State = dict[str, Any]
POINTER = "last_checkpoint"
EVALUATED = "last_evaluation"
FINAL = "model_final"
BEST = "model_best"
_NUMBERED = re.compile(r"model_\d{7,}\.pth")
# What torch.load raises on files that are cut off, damaged or no checkpoints.
_BROKEN = (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile)


class CheckpointStore:
    """The checkpoints of one run, in its output folder.

    A file appears under its name only when it is complete and on disk, and ``last_checkpoint`` names it only
    after that: a run may be killed at any moment. Only the main process writes; all must see the folder.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 3) -> None:
        """
        Args:
            folder: OUTPUT_DIR.
            keep: numbered checkpoints that are kept, the newest; 0 = all.
        """
        self.folder = Path(folder)
        self.keep = keep
        self.last_good: Path | None = None
        self._logger = logging.getLogger(__name__)

    def save(self, name: str, state: Mapping[str, Any]) -> Path:
        """Write ``<name>.pth`` on the main process, point to it, and delete those too old to keep.

        Args:
            name: ``model_<iteration>`` (at least seven digits) or ``model_final``.
            state: tensors, numbers, strings, and dicts and lists of them, so that ``torch.load`` can read it
                safely.

        Raises:
            FloatingPointError: a weight in ``state["model"]`` is not finite.
        """
        path = self.folder / f"{name}.pth"
        check_finite(state["model"], self.last_good)
        if comm.is_main_process():
            self._write(path, state)
            with atomic_open(self.folder / POINTER) as file:
                file.write(path.name.encode())
            _sync_folder(self.folder)
            self._logger.info("Checkpoint saved: %s", path)
            self._delete_old(path)
        self.last_good = path
        return path

    def save_best(self, state: Mapping[str, Any]) -> None:
        """Write ``model_best.pth`` on the main process."""
        if comm.is_main_process():
            self._write(self.folder / f"{BEST}.pth", state)

    def best(self) -> State | None:
        """What ``save_best`` wrote last, its weights not yet read; None where there is none."""
        path = self.folder / f"{BEST}.pth"
        try:
            return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        except _BROKEN:
            return None

    @property
    def last_evaluated(self) -> int:
        """Iterations that were done when the last evaluation was finished; setting it writes it to disk."""
        try:
            return int((self.folder / EVALUATED).read_text())
        except (OSError, ValueError):
            return 0

    @last_evaluated.setter
    def last_evaluated(self, iterations: int) -> None:
        with atomic_open(self.folder / EVALUATED) as file:
            file.write(str(iterations).encode())

    def load_latest(self) -> State | None:
        """Read the newest complete checkpoint, the same one on all processes; None where there is none.

        Broken files are set aside as ``<name>.broken``, with a warning.

        Raises:
            RuntimeError: all checkpoints are broken, or this process cannot read the main process's.
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

    def set_aside_earlier_run(self) -> None:
        """Move what an earlier run left into ``earlier_run_<n>``: a new run must not resume from it."""
        if not comm.is_main_process() or not self.folder.is_dir():
            return
        self._remove_leftovers()
        named = [self.folder / name for name in (POINTER, EVALUATED, f"{BEST}.pth", "metrics.json")]
        events = self.folder.glob("events.out.tfevents.*")
        files = [path for path in (*self._candidates(), *named, *events) if path.exists()]
        if not files:
            return
        number = 1
        while (self.folder / f"earlier_run_{number}").exists():
            number += 1
        target = self.folder / f"earlier_run_{number}"
        target.mkdir()
        for path in sorted(files, key=lambda path: path.name != POINTER):  # the pointer goes first
            path.rename(target / path.name)
        self._logger.warning(
            "%s holds an earlier run (--resume continues it); its checkpoints and metrics are now in %s",
            self.folder,
            target,
        )

    def _find_latest(self) -> tuple[str | None, str | None, State | None]:
        """Name, problem and content of the newest complete checkpoint."""
        self._remove_leftovers()
        candidates = self._candidates()
        for path in candidates:
            try:
                return path.name, None, read_checkpoint(path)
            except _BROKEN as error:
                aside = path.with_name(f"{path.name}.broken")
                path.rename(aside)
                reason = f"{type(error).__name__} {error}".splitlines()[0]
                message = "The checkpoint %s is broken (%s); it is now %s. Falling back to the one before."
                self._logger.warning(message, path, reason, aside.name)
        if not candidates:
            return None, None, None
        names = ", ".join(path.name for path in candidates)
        problem = f"all checkpoints in {self.folder} are broken: {names}. Start again without --resume."
        return None, problem, None

    def _remove_leftovers(self) -> None:
        """Delete half-written files of a run that was killed."""
        for path in self.folder.glob(".model_*.tmp"):
            path.unlink()

    def _candidates(self) -> list[Path]:
        """Checkpoints to resume from: the one that the pointer names, then the others, newest first."""
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
        """The periodic checkpoints, newest first."""
        return sorted((p for p in self.folder.iterdir() if _NUMBERED.fullmatch(p.name)), key=_number, reverse=True)

    def _delete_old(self, newest: Path) -> None:
        """Keep the newest and its predecessors; files with higher numbers are of no use as predecessors."""
        if self.keep > 0 and _NUMBERED.fullmatch(newest.name):
            older = [path for path in self._numbered() if _number(path) < _number(newest)]
            for path in older[self.keep - 1 :]:
                path.unlink()

    def _write(self, path: Path, state: Mapping[str, Any]) -> None:
        with atomic_open(path) as file:
            torch.save(dict(state), file)
        _sync_folder(path.parent)


def check_finite(weights: Mapping[str, Tensor], last_good: Path | None) -> None:
    """Refuse weights that have diverged.

    Raises:
        FloatingPointError: naming the first bad tensor.
    """
    names = [name for name, tensor in weights.items() if tensor.is_floating_point()]
    finite = [torch.isfinite(weights[name]).all() for name in names]
    for name, good in zip(names, torch.stack(finite).tolist() if finite else [], strict=True):  # one wait for all
        if not good:
            raise FloatingPointError(f"the weight {name} is not finite: no checkpoint is written. {advice(last_good)}")


def advice(last_good: Path | None) -> str:
    """What a user can do when training diverges."""
    where = f"The last good checkpoint is {last_good}." if last_good else "There is no checkpoint yet."
    return (
        f"{where} What helps: a lower SOLVER.BASE_LR (it belongs to the batch size), a longer "
        "SOLVER.WARMUP_ITERS, SOLVER.CLIP_GRADIENTS.ENABLED True, or SOLVER.AMP.ENABLED False."
    )


def read_checkpoint(path: Path) -> State:
    with zipfile.ZipFile(path) as archive:  # torch.load does not look at the checksums that torch.save writes
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} in it is wrong")
    state = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("model", "optimizer", "trainer"):
        if key not in state:
            raise ValueError(f"it has no '{key}': not a checkpoint of a DepthBox training")
    return state


def teacher_state(path: str | os.PathLike[str]) -> State | None:
    """Return the state dict of the EMA teacher in a checkpoint.

    Args:
        path: a checkpoint of a training run, or a file of weights alone.

    Returns:
        The state dict, memory-mapped; None if the file is sound and contains no teacher.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, damaged or not a checkpoint.
    """
    with open(path, "rb") as file:
        head = file.read(4)
    if head.startswith(b"\x80"):  # a pickle, such as the weights of Detectron2's model zoo or of torch before 1.6
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} in it is wrong")
        found: Any = torch.load(os.fspath(path), map_location="cpu", mmap=True, weights_only=True)
    except _BROKEN as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(f"the checkpoint {path} is damaged or not a checkpoint ({reason}). Copy it again") from error
    for key in ("trainer", "hooks", "SelfDistillation", "teacher"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("model_"))


def _sync_folder(folder: Path) -> None:
    """Have a rename in a folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
