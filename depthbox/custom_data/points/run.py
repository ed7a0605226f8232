"""Execution of a run in two stages: stage A, the masks of the points, stage B. Each part continues where it stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist
from detectron2.config import CfgNode
from detectron2.utils import comm

from ...checkpoint.earlier_runs import complete_set_aside, is_run
from ...checkpoint.run_files import FINAL, LABELER, LABELS, LABELS_DIGEST, SEGMENTOR, STAGES, is_staged
from ...config.defaults import add_depthbox_config
from ...config.loading import load_config
from ...engine.run import run as run_engine
from ...io.files import atomic_open
from ...labeling.class_indices import build_prompt_reader
from ...labeling.job import LabelJob, find_finished, label_dataset
from ...labeling.loading import job_fingerprint, load_annotations, load_labeler
from ...labeling.prompts import answers_boxes, plan_prompts
from ...labeling.summary import LabelSummary
from ..output_folder import start_run
from ..prepare import PreparedData, require_same_splits, write_splits
from ..sources import OwnDataError
from .plan import StagedRun, configure_segmentor

_LONGEST_LABELING = timedelta(days=30)  # for the other processes, which wait for the masks
_OPTIONS: dict[str, Any] = {"sizes": [], "mirror": True, "depth": None}  # defaults of `depthbox label`
_ABOUT = {LABELER: "network that makes masks of points", LABELS: "these masks", SEGMENTOR: "network for new images"}


@contextlib.contextmanager
def start_stages(run: StagedRun, data: PreparedData, *, resume: bool) -> Iterator[None]:
    """Prepare the folder of a run for the stages that are run while the block runs, in one process.

    Without ``resume`` an earlier run is set aside as a whole, but stage B alone keeps stage A and its masks.

    Args:
        run: the plan.
        data: the prepared data with their annotations.
        resume: continue the run in the folder.

    Raises:
        OwnDataError: the data differ from those of the run in the folder.
    """
    folder = run.folder
    interrupted = complete_set_aside(folder) is not None if resume else False
    if run.stages == "b" or (resume and is_staged(folder) and not interrupted):
        require_same_splits(data)
        yield
        return

    def write() -> list[Path]:
        written = [*write_splits(data), folder / STAGES]
        with atomic_open(folder / STAGES) as file:
            file.write(json.dumps(_ABOUT, indent=1).encode() + b"\n")
        return written

    with start_run(folder, write, has_begun=lambda path: is_run(path / LABELER)):
        yield


def run_stages(run: StagedRun, *, resume: bool, command: str) -> None:
    """Run the stages of a plan; call it in every process (see ``engine.launch``).

    Args:
        run: the plan.
        resume: continue the run in the folder. A finished stage is recognized and not repeated.
        command: command line of the run, for the logs.

    Raises:
        OwnDataError: stage B in the folder was trained on other masks.
        UserError, Stopped: see ``engine.run.run``.
    """
    if "a" in run.stages:
        cfg = run.labeler.cfg
        run_engine(cfg, resume=_continues(cfg, resume), command=command)
        _let_main_process(lambda: label_points(run))
    if "b" not in run.stages:
        return
    cfg = configure_segmentor(run.request, run.labels).cfg
    continues = _continues(cfg, resume)
    with _start_segmentor(run, continues) if comm.is_main_process() else contextlib.nullcontext():
        run_engine(cfg, resume=continues, command=command)


def label_points(run: StagedRun) -> LabelSummary:
    """Write the masks of the points of the training images, or recognize those of an earlier call.

    Raises:
        OwnDataError: an object got no mask, or stage B in the folder was trained on other masks.
        WriteError: the file cannot be written; the finished images are kept.
    """
    weights = str(run.folder / LABELER / f"{FINAL}.pth")
    trained = load_config(add_depthbox_config, str(run.folder / LABELER / "config.yaml"))
    job = make_label_job(run, trained, weights)
    summary = find_finished(job)
    if summary is None:
        if "b" in run.stages and is_run(run.folder / SEGMENTOR):
            raise OwnDataError(_describe_other_masks(run))
        labeler = load_labeler(_use_device(trained, run.request.device), weights, **_OPTIONS)
        read_prompts = build_prompt_reader(trained, job.annotations, job.plan)
        summary = label_dataset(replace(job, overwrite=True), labeler, read_prompts)
    if summary.problems:
        raise OwnDataError(f"{len(summary.problems)} objects got no mask, such as: {summary.problems[0]}")
    logging.getLogger(__name__).info(
        "Masks of %d points in %s%s; %d of them are squares (fallback), from which only box and class are trained",
        summary.points,
        run.labels,
        ", from an earlier call" if summary.was_finished else "",
        summary.fallbacks,
    )
    return summary


def make_label_job(run: StagedRun, cfg: CfgNode, weights: str) -> LabelJob:
    """Describe the labeling of the training images, as `depthbox label` does with the same weights.

    Args:
        run: the plan.
        cfg: config with which stage A was trained, which may differ from that of a later call.
        weights: of stage A.
    """
    train = run.request.data.train
    annotations = load_annotations(train.json_file, train.images)
    return LabelJob(
        annotations,
        run.labels,
        fingerprint=job_fingerprint(cfg, weights, annotations, _OPTIONS),
        plan=plan_prompts(annotations, boxes=answers_boxes(cfg)),
        fallback_side=cfg.MODEL.P2SEG.FALLBACK_SIDE,
    )


def _use_device(cfg: CfgNode, device: str) -> CfgNode:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = device
    cfg.freeze()
    return cfg


def _continues(cfg: CfgNode, resume: bool) -> bool:
    """Return whether a stage has begun and is to be continued, the same on all processes."""
    return comm.all_gather(resume and is_run(cfg.OUTPUT_DIR))[0]


def _let_main_process(work: Callable[[], object]) -> None:
    """Do work on the main process, while the others wait without the time limit of collectives."""
    if comm.get_world_size() == 1:
        work()
        return
    group = dist.new_group(backend="gloo", timeout=_LONGEST_LABELING)
    if comm.is_main_process():
        work()
    dist.barrier(group=group)  # type: ignore[arg-type]


@contextlib.contextmanager
def _start_segmentor(run: StagedRun, continues: bool) -> Iterator[None]:
    """Note on which masks stage B is trained; if it continues, require that they are the same."""
    folder = run.folder / SEGMENTOR
    path, digest = folder / LABELS_DIGEST, hashlib.sha256(run.labels.read_bytes()).hexdigest().encode()
    if continues:
        if not path.is_file() or path.read_bytes().strip() != digest:
            raise OwnDataError(_describe_other_masks(run))
        yield
        return

    def write() -> list[Path]:
        with atomic_open(path) as file:
            file.write(digest + b"\n")
        return [path]

    with start_run(folder, write):
        yield


def _describe_other_masks(run: StagedRun) -> str:
    return (
        f"--resume: {run.folder / SEGMENTOR} was trained on other masks than those of stage A now: train it anew on "
        "these with --stage b without --resume, or start the whole run again without --resume"
    )
