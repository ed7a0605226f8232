"""A trained network as a function from a data set's image to objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.structures import Instances

from ..data.mapper import BoxDepthMapper
from .trainer import Trainer
from .weights import load_weights


def load_predictor(cfg: CfgNode, weights: str) -> Callable[[Mapping[str, Any]], Instances]:
    """Build the network of a config and load its weights.

    Args:
        cfg: of the training.
        weights: path or URL, see ``weights.load_weights``.

    Returns:
        A function from a data set dict to its Instances, on the CPU, at the original image's size.

    Raises:
        FileNotFoundError: there is no such file.
    """
    model = Trainer.build_model(cfg)
    load_weights(model, weights)
    model.eval()
    mapper = BoxDepthMapper(cfg, is_train=False)

    def predict(record: Mapping[str, Any]) -> Instances:
        with torch.no_grad():
            return model([mapper(record)])[0]["instances"].to("cpu")

    return predict
