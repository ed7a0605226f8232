"""Evaluation of the student and the EMA teacher on DATASETS.TEST."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import nn

from ..data.loader import build_test_loader, load_records
from ..data.point_mapper import build_mapper
from ..evaluation.cityscapes import CityscapesEvaluator
from ..evaluation.coco import CocoEvaluator
from ..evaluation.run import evaluate_dataset

Results = OrderedDict[str, Any]
EVALUATED_NETWORKS = ("student", "teacher", "both")


@dataclass(frozen=True)
class ScoredNetwork:
    """The network to which a metric belongs.

    Attributes:
        name: "student" or "teacher".
        network: the network itself.
    """

    name: str
    network: nn.Module


def evaluate_network(cfg: CfgNode, model: nn.Module) -> Results:
    """Evaluate a network on all DATASETS.TEST; call it on all processes.

    Returns:
        On the main process {task: {metric: value}}, or {dataset: {task: ...}} if there are several datasets.
    """
    results: Results = OrderedDict()
    for name in cfg.DATASETS.TEST:
        loader = build_test_loader(cfg, name, build_mapper(cfg, is_train=False))
        results[name] = evaluate_dataset(model, loader, build_evaluator(cfg, name), cfg.TEST.AMP)
    comm.synchronize()
    return next(iter(results.values())) if len(results) == 1 else results


def evaluate_networks(
    test: Callable[[nn.Module], Results], student: nn.Module, teacher: nn.Module | None, choice: str
) -> Results:
    """Evaluate the student, the teacher, or both; in the latter case the teacher's tasks are named ``teacher_...``.

    Args:
        test: evaluates one network.
        student: the trained network.
        teacher: EMA teacher; None before MODEL.DISTILL.START_ITER, when the student is evaluated instead.
        choice: TEST.EVALUATE.
    """
    if choice != "student" and teacher is None:
        logging.getLogger(__name__).info("The EMA teacher does not exist yet: the student is evaluated")
    if choice == "student" or teacher is None:
        return test(student)
    if choice == "teacher":
        return test(teacher)
    results = test(student)
    results.update({f"teacher_{task}": values for task, values in test(teacher).items()})
    return results


def find_scored_network(metric: str, student: nn.Module, teacher: nn.Module | None, choice: str) -> ScoredNetwork:
    """Return the network to which a metric of ``evaluate_networks`` belongs.

    Args:
        metric: key of the flattened results, such as "segm/AP" or "teacher_segm/AP".
        student: the trained network.
        teacher: EMA teacher; None before MODEL.DISTILL.START_ITER.
        choice: TEST.EVALUATE.
    """
    is_teacher = choice == "teacher" or (choice == "both" and metric.startswith("teacher_"))
    return (
        ScoredNetwork("teacher", teacher) if teacher is not None and is_teacher else ScoredNetwork("student", student)
    )


class NetworkEvaluation:
    """Evaluation of the networks of TEST.EVALUATE on DATASETS.TEST.

    Args:
        cfg: config of the run.

    Raises:
        ValueError: see ``check_evaluation_keys``.
    """

    def __init__(self, cfg: CfgNode) -> None:
        check_evaluation_keys(cfg)
        self._cfg = cfg
        self.subject = describe_evaluation(cfg)

    def __call__(self, student: nn.Module, teacher: nn.Module | None) -> Results:
        """Evaluate on all processes, see ``evaluate_networks``."""
        return evaluate_networks(partial(evaluate_network, self._cfg), student, teacher, self._cfg.TEST.EVALUATE)


def build_evaluator(cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
    """Build the evaluator of TEST.EVALUATOR; it writes predictions to OUTPUT_DIR/inference/<dataset>.

    Raises:
        ValueError: an unknown TEST.EVALUATOR.
    """
    folder = Path(cfg.OUTPUT_DIR) / "inference" / dataset_name
    check_evaluation_keys(cfg)
    if cfg.TEST.EVALUATOR == "cityscapes":
        return CityscapesEvaluator(dataset_name, output_dir=folder)
    return CocoEvaluator(dataset_name, output_dir=folder, fast=cfg.TEST.EVAL_FAST, filled_box=cfg.TEST.FILLED_BOX_AP)


def describe_evaluation(cfg: CfgNode) -> str:
    """Return the networks, datasets and settings of an evaluation, which determine its results; "" without datasets."""
    if not cfg.DATASETS.TEST:
        return ""
    parts = (cfg.TEST.EVALUATE, cfg.TEST.EVALUATOR, *cfg.DATASETS.TEST)
    sizes = (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, cfg.TEST.DETECTIONS_PER_IMAGE, cfg.TEST.AMP)
    return " ".join(map(str, (*parts, *sizes)))


def check_evaluation_keys(cfg: CfgNode) -> None:
    """Refuse unknown values of TEST.EVALUATOR and TEST.EVALUATE.

    Raises:
        ValueError: naming the key and its values.
    """
    if cfg.TEST.EVALUATOR not in ("coco", "cityscapes"):
        raise ValueError(f"TEST.EVALUATOR is coco or cityscapes, not '{cfg.TEST.EVALUATOR}'")
    if cfg.TEST.EVALUATE not in EVALUATED_NETWORKS:
        raise ValueError(f"TEST.EVALUATE is one of {EVALUATED_NETWORKS}, not '{cfg.TEST.EVALUATE}'")


def check_test_data(cfg: CfgNode) -> None:
    """Read the annotations of all DATASETS.TEST, to report mistakes at the start of a run and not at its end.

    Raises:
        ValueError, OSError: a dataset is unknown or cannot be read.
    """
    for name in cfg.DATASETS.TEST:
        load_records([name], filter_empty=False)
