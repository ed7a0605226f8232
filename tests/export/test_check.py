"""Comparison of exported results: tolerances and failures."""

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from depthbox.export.check import ExportMismatchError, ExportReport, compare, require_equal


def found(count: int = 3) -> Instances:
    result = Instances((40, 60))
    result.pred_boxes = Boxes(torch.tensor([[i * 10.0, 5, i * 10 + 18, 30] for i in range(count)]).view(-1, 4))
    result.pred_classes = torch.arange(count)
    result.scores = 0.9 - torch.arange(count) * 0.1
    result.pred_masks = torch.zeros((count, 40, 60), dtype=torch.bool)
    for i in range(count):
        result.pred_masks[i, 5:30, i * 10 : i * 10 + 18] = True
    result.pred_depths = torch.linspace(0.2, 0.8, count)
    return result


def outputs(of: Instances) -> dict[str, np.ndarray]:
    names = ("pred_boxes", "pred_classes", "scores", "pred_masks", "pred_depths")
    values = [of.pred_boxes.tensor if name == "pred_boxes" else of.get(name) for name in names]
    keys = ("boxes", "classes", "scores", "masks", "depths")
    return {key: value.numpy().copy() for key, value in zip(keys, values, strict=True)}


def report(given: dict[str, np.ndarray], limit: float = 0.05) -> ExportReport:
    return compare("a.jpg", found(), given, box_tolerance=0.1, limit=limit)


def test_equal_results_pass_in_any_order() -> None:
    given = {name: values[[2, 0, 1]] for name, values in outputs(found()).items()}
    result = report(given)
    assert (result.failures, result.unmatched, result.mask_iou, result.detections) == ((), 0, 1.0, 3)
    require_equal(result)


def test_no_detections_of_both_networks() -> None:
    result = compare("a.jpg", found(0), outputs(found(0)), box_tolerance=0.1, limit=0.05)
    assert (result.detections, result.unmatched, result.failures) == (0, 0, ())


@pytest.mark.parametrize("name", ["boxes", "classes", "scores", "masks", "depths"])
def test_every_difference_fails(name: str) -> None:
    given = outputs(found())
    if name == "masks":
        given["masks"][1, 20, 10:15] = False
    else:
        given[name][1] += 1 if name in ("boxes", "classes") else 0.05
    result = report(given)
    assert len(result.failures) == 1 and "a.jpg" in result.failures[0]
    with pytest.raises(ExportMismatchError, match="no file is written"):
        require_equal(result)


def test_a_missing_detection_fails_unless_it_is_at_the_threshold() -> None:
    given = {name: values[:2] for name, values in outputs(found()).items()}
    assert report(given).failures
    lenient = report(given, limit=0.7)
    assert (lenient.unmatched, lenient.borderline, lenient.failures) == (1, 1, ())


def test_report_has_the_largest_differences() -> None:
    given = outputs(found())
    given["boxes"][1] += 0.05
    given["masks"][2, 5, 20] = False
    result = report(given)
    assert result.box == pytest.approx(0.05, abs=1e-5)
    assert result.mask_iou == pytest.approx(1 - 1 / (25 * 18)) and result.changed == 1 < result.pixels
    assert not result.failures  # one pixel of a small mask
    both = result + report(outputs(found()))
    assert (both.images, both.detections, both.mask_iou) == (2, 6, result.mask_iou)
    assert (both.changed, both.pixels) == (1, 2 * result.pixels) and "1 of " in str(both)
