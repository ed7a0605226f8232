"""COCO evaluation: box AP, mask AP and, for comparison, the mask AP of filled boxes."""

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
from .coco_ground_truth import GroundTruth, read_evaluated_annotations, sort_ids
from .coco_results import Result, fill_boxes, instances_to_results

TASKS = ("bbox", "segm")
METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
RESULTS_FILE = "coco_instances_results.json"


class CocoEvaluator(DatasetEvaluator):
    """COCO AP at up to 100 detections per image, in percent, over all ranks.

    A value is NaN if the ground truth has no object for it (no large objects, for instance). Classes without objects
    do not enter the mean. Without ground-truth masks only the box AP is computed. Objects without a mask among
    others with one are ignored regions for the mask AP.

    Attributes:
        mask_format: encoding in which predicted masks are preferred, see ``mask_format`` of the network.
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
            dataset_name: registered dataset whose metadata name a ``json_file``. The ground truth is read as the
                dataset itself, see ``data.datasets.read_coco_style``.
            tasks: subset of "bbox" and "segm"; None = both, "segm" only if predictions have masks.
            output_dir: folder for ``coco_instances_results.json``; None = the file is not written.
            fast: compute AP with faster-coco-eval, which reproduces the values of pycocotools; False = pycocotools.
            filled_box: add the task "boxfill": the mask AP of each prediction's filled box.

        Raises:
            ValueError: an unknown task, a dataset without ``json_file``, or a file that cannot be used.
            FileNotFoundError: the annotations or the images do not exist.
        """
        unknown = sorted(set(tasks or ()) - set(TASKS))
        if unknown:
            raise ValueError(
                f"unknown evaluation tasks {unknown}; known are {TASKS}, and filled_box=True for 'boxfill'"
            )
        self._name = dataset_name
        self._tasks = tasks
        self._output_dir = None if output_dir is None else Path(output_dir)
        self._filled_box = filled_box
        self._ground_truth = GroundTruth(read_evaluated_annotations(dataset_name), fast=fast)
        to_contiguous = MetadataCatalog.get(dataset_name).get("thing_dataset_id_to_contiguous_id")
        self._category_ids = _list_category_ids(to_contiguous, self._ground_truth)
        self._logger = logging.getLogger(__name__)
        self.reset()

    def reset(self) -> None:
        """Discard all predictions."""
        self._predictions: dict[Any, list[Result]] = {}

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Add the predictions of a batch; masks are run-length encoded here to save memory.

        Args:
            inputs: dicts with ``image_id``.
            outputs: dicts with ``instances``: pred_boxes, scores, pred_classes and optionally
                pred_masks (N, H, W) bool at the original image's size or pred_masks_rle, N COCO RLEs of them.

        Raises:
            ValueError: an image or class that the dataset does not have.
            TypeError: masks that are not bool.
        """
        for image, output in zip(inputs, outputs, strict=True):
            image_id = image["image_id"]
            if image_id not in self._ground_truth.image_sizes:
                source = self._ground_truth.source
                raise ValueError(
                    f"the image id {image_id} is not in the ground truth {source} of '{self._name}', or this image "
                    "cannot be used: register the dataset with register_coco_style, or examine it with `depthbox check`"
                )
            self._predictions[image_id] = instances_to_results(output["instances"], image_id, self._category_ids)

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        """Gather the predictions of all ranks and compute AP.

        Returns:
            On the main rank ``{"bbox": {...}, "segm": {...}, "boxfill": {...}}``, each with AP, AP50, AP75,
            APs, APm, APl and AP-<class> in percent; tasks that do not apply are left out. Empty on other ranks.
        """
        gathered = comm.gather(self._predictions, dst=0)
        if not comm.is_main_process():
            return OrderedDict()
        predictions = {image_id: results for part in gathered for image_id, results in part.items()}
        truth = self._ground_truth
        order = (image_id for image_id in truth.image_sizes if image_id in predictions)
        results = list(itertools.chain.from_iterable(predictions[image_id] for image_id in order))
        self._write(results)
        if not truth.has_annotations:
            self._logger.info("%s has no annotations: predictions are written, not evaluated.", truth.source)
            return OrderedDict()
        if len(predictions) < len(truth.image_sizes):
            count = len(predictions), len(truth.image_sizes), self._name
            self._logger.warning("Only %d of %d images of %s were predicted; the rest count as missed.", *count)
        return OrderedDict((task, self._evaluate_task(task, results)) for task in self._select_tasks(results))

    def _select_tasks(self, results: Sequence[Result]) -> list[str]:
        tasks = list(self._tasks or TASKS) + (["boxfill"] if self._filled_box else [])
        source = self._ground_truth.source
        if not self._ground_truth.has_objects:
            self._logger.warning("%s has no objects other than crowds: every AP is nan.", source)
            return tasks
        if not self._ground_truth.has_masks and tasks != ["bbox"]:
            self._logger.info("%s has no masks: only the box AP is computed.", source)
            return ["bbox"] if "bbox" in tasks else []
        if "segm" in tasks and results and not any("segmentation" in result for result in results):
            self._logger.info("The predictions have no masks: no mask AP is computed.")
            tasks.remove("segm")
        return tasks

    def _evaluate_task(self, task: str, results: Sequence[Result]) -> dict[str, float]:
        if task == "boxfill":
            results = fill_boxes(results, self._ground_truth.image_sizes)
        precision = self._ground_truth.average_precision(results, "bbox" if task == "bbox" else "segm")
        values = dict(zip(METRICS, precision.summary, strict=True))
        self._logger.info("%s of %s:\n%s", task, self._name, create_small_table(values))
        return values | {f"AP-{name}": value for name, value in precision.by_class.items()}

    def _write(self, results: Sequence[Result]) -> None:
        """Write the predictions with the ids of the user's file."""
        if self._output_dir is None:
            return
        images, categories = self._ground_truth.original_images, self._ground_truth.original_categories
        original = [
            {
                **result,
                "image_id": images[result["image_id"]],
                "category_id": categories.get(result["category_id"], result["category_id"]),
            }
            for result in results
        ]
        with atomic_open(self._output_dir / RESULTS_FILE, tidy=True) as file:
            file.write(json.dumps(original).encode())
        self._logger.info("Predictions are written to %s", self._output_dir / RESULTS_FILE)


def _list_category_ids(to_contiguous: Mapping[Any, int] | None, truth: GroundTruth) -> list[Any]:
    """Return the category id of each class, in the order of the dataset loader."""
    if to_contiguous is None:
        return sort_ids(truth.categories)
    return [category for category, _ in sorted(to_contiguous.items(), key=lambda item: item[1])]
