"""Depth of predicted instances: the mean of their predicted depth inside their masks."""

from collections.abc import Iterator
from typing import Any

import torch

from depthbox.structures import MaskPredictions

DEPTH = {"MODEL__DEPTH__LAYER": True, "INPUT__DEPTH__ENABLED": True, "MODEL__FCOS__INFERENCE_TH": 0.0}


def test_the_depth_of_an_instance_is_that_inside_its_mask(make_model, make_input, monkeypatch) -> None:
    """The mask covers the left half, where the depth is 0.8; it is 0.1 elsewhere."""
    model = make_model(**DEPTH).eval()
    predict = model.predict_masks

    def halves(*inputs: Any) -> Iterator[MaskPredictions]:
        for masks in predict(*inputs):
            left = torch.arange(masks.logits.shape[3]) < masks.logits.shape[3] // 2
            logits = torch.where(left, 5.0, -5.0).expand(masks.logits.shape)
            yield MaskPredictions(logits, torch.where(left, 0.8, 0.1).logit().expand(masks.logits.shape))

    monkeypatch.setattr(model, "predict_masks", halves)
    with torch.no_grad():
        depths = model([make_input(2)])[0]["instances"].pred_depths
    assert len(depths) > 0
    torch.testing.assert_close(depths, torch.full_like(depths, 0.8))
