"""Base of the evaluators that compare run-length encoded detections with the annotations of a dataset."""

from __future__ import annotations

import itertools
import json
import logging
import os
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from ..io.files import atomic_open
from .coco_ground_truth import EvaluatedAnnotations, GroundTruth, read_evaluated_annotations, sort_ids
from .coco_results import Result, instances_to_results

RESULTS_FILE = "coco_instances_results.json"
Values = OrderedDict[str, dict[str, float]]


class DetectionEvaluator(DatasetEvaluator):
    """Evaluator that collects the detections of all images and ranks, writes and scores them.

    An image that is predicted twice, as a padded sampler does, counts once. Images without prediction count as missed.

    Attributes:
        mask_format: encoding in which predicted masks are preferred, see ``mask_format`` of the network.
    """

    mask_format = "rle"

    def __init__(self, dataset_name: str, output_dir: str | os.PathLike[str] | None = None, fast: bool = True) -> None:
        """
        Args:
            dataset_name: registered dataset whose metadata name a ``json_file``. The ground truth is read as the
                dataset itself, see ``data.datasets.read_coco_style``.
            output_dir: folder for ``coco_instances_results.json``; None = the file is not written.
            fast: compute COCO AP with faster-coco-eval, which reproduces the values of pycocotools.

        Raises:
            ValueError: a dataset without ``json_file``, or a file that cannot be used.
            FileNotFoundError: the annotations or the images do not exist.
        """
        self.name = dataset_name
        self.evaluated: EvaluatedAnnotations = read_evaluated_annotations(dataset_name)
        self.ground_truth = GroundTruth(self.evaluated, fast=fast)
        self.logger = logging.getLogger(type(self).__module__)
        self._output_dir = None if output_dir is None else Path(output_dir)
        to_contiguous = MetadataCatalog.get(dataset_name).get("thing_dataset_id_to_contiguous_id")
        self._category_ids = _list_category_ids(to_contiguous, self.ground_truth)
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
            if image_id not in self.ground_truth.image_sizes:
                source = self.ground_truth.source
                raise ValueError(
                    f"the image id {image_id} is not in the ground truth {source} of '{self.name}', or this image "
                    "cannot be used: register the dataset with register_coco_style, or examine it with `depthbox check`"
                )
            results = instances_to_results(output["instances"], image_id, self._category_ids)
            self.check(image_id, results)
            self._predictions[image_id] = results

    def evaluate(self) -> Values:
        """Gather the predictions of all ranks, write and score them.

        Returns:
            On the main rank task -> metric -> value, see ``score``. Empty on other ranks, and if the dataset has no
            annotations.
        """
        gathered = comm.gather(self._predictions, dst=0)
        if not comm.is_main_process():
            return OrderedDict()
        predictions = {image_id: results for part in gathered for image_id, results in part.items()}
        truth = self.ground_truth
        order = (image_id for image_id in truth.image_sizes if image_id in predictions)
        results = list(itertools.chain.from_iterable(predictions[image_id] for image_id in order))
        self._write(results)
        if not truth.has_annotations:
            self.logger.info("%s has no annotations: predictions are written, not evaluated.", truth.source)
            return OrderedDict()
        if len(predictions) < len(truth.image_sizes):
            count = len(predictions), len(truth.image_sizes), self.name
            self.logger.warning("Only %d of %d images of %s were predicted; the rest count as missed.", *count)
        return self.score(results)

    def check(self, image_id: Any, results: Sequence[Result]) -> None:
        """Check the predictions of one image; a subclass raises ValueError if they cannot be scored."""

    @abstractmethod
    def score(self, results: Sequence[Result]) -> Values:
        """Score the predictions of all images, in the order of the dataset; called on the main rank."""

    def _write(self, results: Sequence[Result]) -> None:
        """Write the predictions with the ids of the user's file."""
        if self._output_dir is None:
            return
        images, categories = self.ground_truth.original_images, self.ground_truth.original_categories
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
        self.logger.info("Predictions are written to %s", self._output_dir / RESULTS_FILE)


def _list_category_ids(to_contiguous: Mapping[Any, int] | None, truth: GroundTruth) -> list[Any]:
    """Return the category id of each class, in the order of the dataset loader."""
    if to_contiguous is None:
        return sort_ids(truth.categories)
    return [category for category, _ in sorted(to_contiguous.items(), key=lambda item: item[1])]
