"""COCO evaluation: box AP, mask AP and, for comparison, the mask AP of filled boxes."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence

from detectron2.utils.logger import create_small_table

from .coco_results import Result, fill_boxes
from .detections import RESULTS_FILE, DetectionEvaluator, Values

__all__ = ["METRICS", "RESULTS_FILE", "TASKS", "CocoEvaluator"]
TASKS = ("bbox", "segm")
METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


class CocoEvaluator(DetectionEvaluator):
    """COCO AP at up to 100 detections per image, in percent, over all ranks.

    A value is NaN if the ground truth has no object for it (no large objects, for instance). Classes without objects
    do not enter the mean. Without ground-truth masks only the box AP is computed. Objects without a mask among
    others with one are ignored regions for the mask AP.
    """

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
        super().__init__(dataset_name, output_dir, fast)
        self._tasks = tasks
        self._filled_box = filled_box

    def score(self, results: Sequence[Result]) -> Values:
        """Compute AP.

        Returns:
            ``{"bbox": {...}, "segm": {...}, "boxfill": {...}}``, each with AP, AP50, AP75, APs, APm, APl and
            AP-<class> in percent; tasks that do not apply are left out.
        """
        return OrderedDict((task, self._evaluate_task(task, results)) for task in self._select_tasks(results))

    def _select_tasks(self, results: Sequence[Result]) -> list[str]:
        tasks = list(self._tasks or TASKS) + (["boxfill"] if self._filled_box else [])
        source = self.ground_truth.source
        if not self.ground_truth.has_objects:
            self.logger.warning("%s has no objects other than crowds: every AP is nan.", source)
            return tasks
        if not self.ground_truth.has_masks and tasks != ["bbox"]:
            self.logger.info("%s has no masks: only the box AP is computed.", source)
            return ["bbox"] if "bbox" in tasks else []
        if "segm" in tasks and results and not any("segmentation" in result for result in results):
            self.logger.info("The predictions have no masks: no mask AP is computed.")
            tasks.remove("segm")
        return tasks

    def _evaluate_task(self, task: str, results: Sequence[Result]) -> dict[str, float]:
        if task == "boxfill":
            results = fill_boxes(results, self.ground_truth.image_sizes)
        precision = self.ground_truth.average_precision(results, "bbox" if task == "bbox" else "segm")
        values = dict(zip(METRICS, precision.summary, strict=True))
        self.logger.info("%s of %s:\n%s", task, self.name, create_small_table(values))
        return values | {f"AP-{name}": value for name, value in precision.by_class.items()}
