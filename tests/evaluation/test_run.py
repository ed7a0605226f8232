"""Evaluation in the mask format of the evaluator and the requested precision; choice of a metric."""

from typing import Any

import pytest
import torch
from detectron2.evaluation import DatasetEvaluator
from torch import nn

from depthbox.evaluation.run import evaluate_dataset, find_metric


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mask_format = "bitmask"

    def forward(self, batch: list[Any]) -> list[str]:
        return [self.mask_format for _ in batch]


class Evaluator(DatasetEvaluator):
    def reset(self) -> None:
        self.outputs: list[str] = []

    def process(self, inputs: list[Any], outputs: list[str]) -> None:
        self.outputs += outputs

    def evaluate(self) -> dict[str, Any]:
        return {"outputs": self.outputs}


class Failing(Evaluator):
    mask_format = "rle"

    def process(self, inputs: list[Any], outputs: list[str]) -> None:
        raise RuntimeError("broken")


@pytest.mark.parametrize("mask_format", [None, "rle"])
def test_the_evaluator_chooses_the_mask_format(mask_format: str | None) -> None:
    network, evaluator = Network(), Evaluator()
    if mask_format:
        evaluator.mask_format = mask_format
    assert evaluate_dataset(network, [[1, 2], [3]], evaluator) == {"outputs": [mask_format or "bitmask"] * 3}
    assert network.mask_format == "bitmask"


def test_the_mask_format_is_restored_after_a_failure() -> None:
    network = Network()
    with pytest.raises(RuntimeError, match="broken"):
        evaluate_dataset(network, [[1]], Failing())
    assert network.mask_format == "bitmask"


def test_evaluation_in_half_precision() -> None:
    class Product(Network):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, batch: list[Any]) -> list[str]:
            return [str(self.layer(torch.zeros(1, 2)).dtype) for _ in batch]

    assert evaluate_dataset(Product(), [[1]], Evaluator(), "bfloat16") == {"outputs": ["torch.bfloat16"]}
    assert evaluate_dataset(Product(), [[1]], Evaluator()) == {"outputs": ["torch.float32"]}
    with pytest.raises(ValueError, match=r"TEST\.AMP"):
        evaluate_dataset(Product(), [[1]], Evaluator(), "float8")


def test_a_metric_is_found_in_any_dataset_and_replaced_by_box_ap() -> None:
    assert find_metric({"segm/AP": 1.0, "bbox/AP": 2.0}, "segm/AP") == "segm/AP"
    assert find_metric({"bbox/AP": 2.0}, "segm/AP") == "bbox/AP"
    assert find_metric({"a/bbox/AP": 1.0, "a/segm/AP": 2.0, "b/segm/AP": 3.0}, "segm/AP") == "a/segm/AP"
    assert find_metric({"bbox/AP50": 2.0}, "segm/AP") is None
