"""Training jobs: a planned run as functions that prepare its folder and run it in every process."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from ..checkpoint.earlier_runs import is_run
from ..checkpoint.run_files import is_staged
from ..engine.run import run as run_engine
from .output_folder import start_run
from .plan import OwnRequest, OwnRun, OwnTraining, configure_direct, read_request
from .plan_table import format_plan
from .points.plan import configure_stages
from .points.run import run_stages, start_stages
from .points.table import format_staged_plan
from .prepare import require_same_splits, write_splits
from .sources import OwnDataError


@dataclass(frozen=True)
class TrainingJob:
    """A planned training run.

    Attributes:
        cfg: config of the run; of two stages, that of the last one.
        folder: folder of the run.
        run: trains; called in every process, and pickled for others than this one.
        plan: table for the user; "" = none.
        start: prepares the folder while its block runs; called in one process.
        previews: whether the folder is prepared for a plan without a run as well.
    """

    cfg: CfgNode
    folder: Path
    run: Callable[[], Any]
    plan: str = ""
    start: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    previews: bool = True


def make_file_job(cfg: CfgNode, *, resume: bool, command: str) -> TrainingJob:
    """Make the job of a config file.

    Args:
        cfg: its config.
        resume: continue from the newest checkpoint in OUTPUT_DIR.
        command: command line, for the log.
    """
    return TrainingJob(cfg, Path(cfg.OUTPUT_DIR), functools.partial(run_engine, cfg, resume=resume, command=command))


def make_own_job(
    training: OwnTraining, overrides: Sequence[str], *, check: bool, resume: bool, preview: bool, command: str
) -> TrainingJob:
    """Read a user's data, choose the method, and make the job; nothing is written.

    Args:
        training: request of the user.
        overrides: KEY VALUE KEY VALUE...
        check: whether to check the data first.
        resume: continue the run in the folder.
        preview: only the plan is shown.
        command: command line, for the log.

    Raises:
        ConfigError, OwnDataError: options that do not fit each other, the data or the run that is continued.
        ValueError, OSError: files that are missing or cannot be read.
    """
    request = read_request(training, overrides, check=check)
    if resume:
        _require_same_kind(request)
    if request.method == "p2seg":
        return _make_staged_job(request, resume, command)
    own = configure_direct(request)
    if resume:
        require_same_splits(own.data)
    return TrainingJob(
        own.cfg,
        Path(own.cfg.OUTPUT_DIR),
        functools.partial(run_engine, own.cfg, resume=resume, command=command),
        format_plan(own),
        functools.partial(_start_direct, own, keep=resume or preview),
    )


def _make_staged_job(request: OwnRequest, resume: bool, command: str) -> TrainingJob:
    run = configure_stages(request, resume=resume)
    return TrainingJob(
        (run.labeler if run.stages == "a" else run.segmentor).cfg,
        run.folder,
        functools.partial(run_stages, run, resume=resume, command=command),
        format_staged_plan(run),
        functools.partial(start_stages, run, request.data, resume=resume),
        previews=False,
    )


def _start_direct(own: OwnRun, keep: bool) -> contextlib.AbstractContextManager[None]:
    """Start a run in one stage; with ``keep`` an existing run and its files are left as they are."""
    folder = Path(own.cfg.OUTPUT_DIR)
    if keep and is_run(folder):
        return contextlib.nullcontext()
    return start_run(folder, functools.partial(write_splits, own.data))


def _require_same_kind(request: OwnRequest) -> None:
    """Check that a resumed run has as many stages as the run in its folder.

    Raises:
        OwnDataError: it has another number.
    """
    folder, staged = Path(request.output), request.method == "p2seg"
    if is_run(folder) and is_staged(folder) != staged and request.training.stage != "b":
        raise OwnDataError(
            f"--resume: the run in {folder} was {'not ' if staged else ''}trained with --method p2seg: give the same "
            "--data and --method, or another --output to start a new run"
        )
