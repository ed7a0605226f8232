"""Mask AP of PASCAL VOC at the IoU thresholds 0.25, 0.5, 0.7 and 0.75."""

from __future__ import annotations

import math
import os
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from detectron2.utils.logger import create_small_table
from numpy.typing import NDArray

from ..io.coco_masks import segmentation_to_rle
from .coco_results import Result
from .detections import DetectionEvaluator, Values
from .voc_average_precision import THRESHOLDS, ImageMasks, Rle, compute_voc_ap


class VocMaskEvaluator(DetectionEvaluator):
    """VOC's mask AP in percent, over all ranks.

    For each class the AP is the area under the precision curve, made monotone. A prediction is compared with the one
    object of its class that it overlaps most, also if an earlier prediction found this object. mAP is the mean over the
    classes with objects. All predictions of an image are evaluated, in the order of their scores. Unlike in COCO, there
    are no ignored regions: a prediction on a crowd or on an object without a mask counts as false.
    """

    def __init__(self, dataset_name: str, output_dir: str | os.PathLike[str] | None = None) -> None:
        """
        Args:
            dataset_name: registered dataset whose metadata name a ``json_file``, such as one that
                ``tools/convert_voc.py`` writes.
            output_dir: folder for ``coco_instances_results.json``; None = the file is not written.

        Raises:
            ValueError: a dataset without ``json_file`` or without masks, or a file that cannot be used.
            FileNotFoundError: the annotations or the images do not exist.
        """
        super().__init__(dataset_name, output_dir)
        self._objects: dict[Any, list[tuple[Any, Rle]]] = defaultdict(list)
        left_out = self._read_objects()
        truth = self.ground_truth
        if truth.has_objects and not truth.has_masks:
            raise ValueError(
                f"{truth.source} has no masks, which TEST.EVALUATOR voc_masks compares: convert the dataset with "
                "tools/convert_voc.py, or compute the box AP with TEST.EVALUATOR coco"
            )
        if left_out:
            self.logger.warning(
                "%s: %d crowds and objects without a mask are not evaluated; predictions on them count as false.",
                truth.source, left_out,
            )  # fmt: skip

    def check(self, image_id: Any, results: Sequence[Result]) -> None:
        """Check the masks of one image.

        Raises:
            ValueError: predictions without masks, or masks of another size than the image.
        """
        size = list(self.ground_truth.image_sizes[image_id])
        for result in results:
            if "segmentation" not in result:
                raise ValueError(
                    f"image {image_id}: the predictions have no masks, which TEST.EVALUATOR voc_masks compares: "
                    "compute the box AP with TEST.EVALUATOR coco"
                )
            if list(result["segmentation"]["size"]) != size:
                raise ValueError(
                    f"image {image_id}: masks of {list(result['segmentation']['size'])} (height, width), but the image "
                    f"has {size}: predict at the size of the original image"
                )

    def score(self, results: Sequence[Result]) -> Values:
        """Compute AP.

        Returns:
            ``{"segm": {...}}`` with mAP25, mAP50, mAP70, mAP75 and, for each class, AP25-<class> to AP75-<class>, in
            percent; NaN for a class without objects.
        """
        unordered = sum(not math.isfinite(result["score"]) for result in results)
        if unordered:
            self.logger.warning("%s: %d predictions have scores that are not finite.", self.name, unordered)
        names = list(self.ground_truth.categories.values())
        table = 100 * compute_voc_ap(self._iterate_images(results), len(names))
        words = [f"{100 * threshold:.0f}" for threshold in THRESHOLDS]
        means = {f"mAP{word}": _mean(row) for word, row in zip(words, table, strict=True)}
        self.logger.info("VOC segm of %s:\n%s", self.name, create_small_table(means))
        classes = {
            f"AP{word}-{name}": float(value)
            for word, row in zip(words, table, strict=True)
            for name, value in zip(names, row, strict=True)
        }
        return OrderedDict(segm=means | classes)

    def _read_objects(self) -> int:
        """Collect the masks by image; returns the number of objects that are left out."""
        content, ids = self.evaluated.annotations.content, self.evaluated.ids
        left_out = 0
        for entry in content["annotations"]:
            if entry["iscrowd"] or "segmentation" not in entry:
                left_out += 1
                continue
            image = ids.images[entry["image_id"]]
            rle = segmentation_to_rle(entry["segmentation"], self.ground_truth.image_sizes[image])
            self._objects[image].append((ids.categories[entry["category_id"]], rle))
        return left_out

    def _iterate_images(self, results: Sequence[Result]) -> Iterator[ImageMasks]:
        """Yield the masks of each image in the order of the dataset."""
        numbers = {category: number for number, category in enumerate(self.ground_truth.categories)}
        by_image: dict[Any, list[Result]] = defaultdict(list)
        for result in results:
            if result["category_id"] in numbers:
                by_image[result["image_id"]].append(result)
        for image in self.ground_truth.image_sizes:
            found, objects = by_image.get(image, []), self._objects.get(image, [])
            yield ImageMasks(
                [result["segmentation"] for result in found],
                [numbers[result["category_id"]] for result in found],
                [result["score"] for result in found],
                [rle for _, rle in objects],
                [numbers[category] for category, _ in objects],
            )


def _mean(values: NDArray[np.float64]) -> float:
    """Return the mean of the values that are not NaN; NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
