"""COCO box and mask AP of a detector, and the mask AP of its filled boxes for comparison."""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table

from ..io.files import atomic_open
from .coco_ground_truth import GroundTruth
from .coco_results import Result, fill_boxes, instances_to_results

TASKS = ("bbox", "segm")
METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
RESULTS_FILE = "coco_instances_results.json"


class CocoEvaluator(DatasetEvaluator):
    """COCO AP at up to 100 detections an image, in percent, over all ranks.

    A value is NaN where the ground truth has no object to find (no large ones, say). Where the ground truth
    has no masks only the box AP is computed; objects without a mask among others with one are ignored regions
    for the mask AP.

    Attributes:
        mask_format: in which predicted masks are best given, see the network's ``mask_format``.
    """

    mask_format = "rle"

    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str] | None = None,
        output_dir: str | os.PathLike[str] | None = None,
        fast: bool = True,
        filled_box: bool = False,
    ) -> None:
        """
        Args:
            dataset_name: a registered data set whose metadata name a ``json_file``.
            tasks: of "bbox" and "segm"; None = both, "segm" only where predictions have masks.
            output_dir: folder for ``coco_instances_results.json``; None = not written.
            fast: compute with faster-coco-eval, which gives pycocotools' numbers; False = pycocotools.
            filled_box: add the task "boxfill": the mask AP when each prediction's mask is its filled box.

        Raises:
            ValueError: an unknown task, or a data set without ``json_file``.
            FileNotFoundError: the json is missing.
        """
        unknown = sorted(set(tasks or ()) - set(TASKS))
        if unknown:
            raise ValueError(
                f"unknown evaluation tasks {unknown}; known are {TASKS}, and filled_box=True for 'boxfill'"
            )
        metadata = MetadataCatalog.get(dataset_name)
        if not metadata.get("json_file"):
            raise ValueError(f"data set '{dataset_name}' names no json_file; register it with register_coco_style")
        self._name = dataset_name
        self._tasks = tasks
        self._output_dir = None if output_dir is None else Path(output_dir)
        self._filled_box = filled_box
        self._truth = GroundTruth(metadata.json_file, fast=fast)
        self._category_ids = _category_ids(metadata.get("thing_dataset_id_to_contiguous_id"), self._truth)
        self._logger = logging.getLogger(__name__)
        self.reset()

    def reset(self) -> None:
        """Forget all predictions."""
        self._predictions: dict[int, list[Result]] = {}

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Take in predictions; masks are run-length coded here, so that they need little memory.

        Args:
            inputs: dicts with ``image_id``.
            outputs: dicts with ``instances``: pred_boxes, scores, pred_classes and, where there are masks,
                pred_masks (N, H, W) bool at the original image's size or pred_masks_rle, N COCO RLEs of them.

        Raises:
            ValueError: an image or class that the data set does not have.
            TypeError: masks that are not bool.
        """
        for image, output in zip(inputs, outputs, strict=True):
            image_id = image["image_id"]
            if image_id not in self._truth.image_sizes:
                raise ValueError(f"image id {image_id} is not in {self._truth.json_file}, the truth of '{self._name}'")
            self._predictions[image_id] = instances_to_results(output["instances"], image_id, self._category_ids)

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        """Gather the predictions of all ranks and compute AP.

        Returns:
            On the main rank ``{"bbox": {...}, "segm": {...}, "boxfill": {...}}``, each with AP, AP50, AP75,
            APs, APm, APl and AP-<class> in percent; tasks that do not apply are left out. On other ranks
            nothing.
        """
        gathered = comm.gather(self._predictions, dst=0)
        if not comm.is_main_process():
            return OrderedDict()
        predictions = {image_id: rows for part in gathered for image_id, rows in part.items()}
        results = list(itertools.chain.from_iterable(predictions[image_id] for image_id in sorted(predictions)))
        self._write(results)
        if not self._truth.has_annotations:
            self._logger.info("%s has no annotations: predictions are written, not evaluated.", self._truth.json_file)
            return OrderedDict()
        if len(predictions) < len(self._truth.image_sizes):
            count = len(predictions), len(self._truth.image_sizes), self._name
            self._logger.warning("Only %d of %d images of %s were predicted; the rest count as missed.", *count)
        return OrderedDict((task, self._evaluate_task(task, results)) for task in self._tasks_for(results))

    def _tasks_for(self, results: Sequence[Result]) -> list[str]:
        tasks = list(self._tasks or TASKS) + (["boxfill"] if self._filled_box else [])
        if not self._truth.has_masks and tasks != ["bbox"]:
            self._logger.info("%s has no masks: only the box AP is computed.", self._truth.json_file)
            return ["bbox"] if "bbox" in tasks else []
        if "segm" in tasks and results and not any("segmentation" in row for row in results):
            self._logger.info("The predictions have no masks: no mask AP is computed.")
            tasks.remove("segm")
        return tasks

    def _evaluate_task(self, task: str, results: Sequence[Result]) -> dict[str, float]:
        rows = fill_boxes(results, self._truth.image_sizes) if task == "boxfill" else results
        stats, class_ap = self._truth.average_precision(rows, "bbox" if task == "bbox" else "segm")
        values = dict(zip(METRICS, stats, strict=True))
        self._logger.info("%s of %s:\n%s", task, self._name, create_small_table(values))
        return values | {f"AP-{name}": value for name, value in class_ap.items()}

    def _write(self, results: Sequence[Result]) -> None:
        if self._output_dir is None:
            return
        with atomic_open(self._output_dir / RESULTS_FILE) as file:
            file.write(json.dumps(results).encode())
        self._logger.info("Predictions are written to %s", self._output_dir / RESULTS_FILE)


def _category_ids(to_contiguous: Mapping[int, int] | None, truth: GroundTruth) -> list[int]:
    """The json's category id of each class, as the data set's loader numbers or would number them."""
    if to_contiguous is None:
        return list(truth.categories)
    return [category for category, _ in sorted(to_contiguous.items(), key=lambda item: item[1])]
