"""Evaluation asks the network for masks in the form that the evaluator reads."""

from typing import Any

import pytest
import torch
from detectron2.evaluation import DatasetEvaluator
from torch import nn

from depthbox.evaluation.run import evaluate_dataset


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mask_format = "bitmask"

    def forward(self, batch: list[Any]) -> list[str]:
        return [self.mask_format for _ in batch]


class Evaluator(DatasetEvaluator):
    def reset(self) -> None:
        self.seen: list[str] = []

    def process(self, inputs: list[Any], outputs: list[str]) -> None:
        self.seen += outputs

    def evaluate(self) -> dict[str, Any]:
        return {"seen": self.seen}


class Failing(Evaluator):
    mask_format = "rle"

    def process(self, inputs: list[Any], outputs: list[str]) -> None:
        raise RuntimeError("broken")


@pytest.mark.parametrize("wish", [None, "rle"])
def test_the_evaluator_chooses_the_form(wish: str | None) -> None:
    network, evaluator = Network(), Evaluator()
    if wish:
        evaluator.mask_format = wish
    assert evaluate_dataset(network, [[1, 2], [3]], evaluator) == {"seen": [wish or "bitmask"] * 3}
    assert network.mask_format == "bitmask"


def test_the_form_is_given_back_after_a_failure() -> None:
    network = Network()
    with pytest.raises(RuntimeError, match="broken"):
        evaluate_dataset(network, [[1]], Failing())
    assert network.mask_format == "bitmask"


def test_autocast_in_evaluation() -> None:
    class Product(Network):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, batch: list[Any]) -> list[str]:
            return [str(self.layer(torch.zeros(1, 2)).dtype) for _ in batch]

    assert evaluate_dataset(Product(), [[1]], Evaluator(), "bfloat16") == {"seen": ["torch.bfloat16"]}
    assert evaluate_dataset(Product(), [[1]], Evaluator()) == {"seen": ["torch.float32"]}
    with pytest.raises(ValueError, match=r"TEST\.AMP"):
        evaluate_dataset(Product(), [[1]], Evaluator(), "float8")
