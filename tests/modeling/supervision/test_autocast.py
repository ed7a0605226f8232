"""Mask targets and losses under autocast: equal to those in float32, bit for bit."""

import pytest
import torch
from torch import Tensor

from depthbox.losses import box_losses
from depthbox.modeling.supervision import MaskCriterion
from depthbox.modeling.supervision.annotations import AnnotationReader
from depthbox.structures import MaskPredictions, Queries

DEPTH = {
    "INPUT__DEPTH__ENABLED": True,
    "MODEL__DEPTH__LAYER": True,
    "MODEL__DEPTH__CONSISTENCY": True,
    "MODEL__MASK_SUPERVISION": "mixed",
}


def photo(height: int, width: int) -> Tensor:
    """Make an image of smooth color, in which bfloat16 changes many decisions about similar pairs."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    channels = [100 + 60 * torch.sin(x / (70.0 + 5 * c)) + 40 * torch.cos(y / (80.0 - 5 * c)) for c in range(3)]
    return torch.stack(channels).round().clamp(0, 255)


def make_queries(objects: int) -> Queries:
    index = torch.arange(objects)
    return Queries(
        image_index=torch.zeros_like(index),
        level=torch.zeros_like(index),
        row=index,
        column=index,
        locations=torch.full((objects, 2), 20.0),
        target_index=index,
        counts=(objects,),
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_targets_and_losses_do_not_depend_on_autocast(make_cfg, make_input, dtype: torch.dtype) -> None:
    criterion = MaskCriterion(make_cfg(**DEPTH))
    image = photo(64, 96)[None]
    batch = [make_input(3, 1, has_mask=[True, False, False])]
    annotations = AnnotationReader(criterion.fields, criterion.optional_fields)(batch, torch.device("cpu"))
    logits, depth = 4 * torch.randn(3, 1, 16, 24), torch.randn(3, 1, 16, 24)
    predictions = MaskPredictions(logits.to(dtype), depth.to(dtype))
    found = []
    for enabled in (True, False):
        with torch.autocast("cpu", dtype, enabled=enabled):
            targets = criterion.targets(image, [(64, 96)], annotations)
            losses = criterion(predictions, make_queries(3), targets)
        found.append((targets, losses))
    (mixed, mixed_losses), (full, full_losses) = found
    index = next(i for i, t in enumerate(full) if hasattr(t.targets, "edges"))
    color = [t.targets.edges["loss_color_pairwise"] for t in (mixed[index], full[index])]
    assert torch.equal(*color) and color[0].count_nonzero() > 100
    assert mixed_losses.keys() == full_losses.keys() and len(full_losses) == 5
    for name, loss in full_losses.items():
        assert loss.dtype is torch.float32 and torch.equal(mixed_losses[name], loss), name


def test_the_losses_of_a_large_object_are_finite_in_float16() -> None:
    """Sums over a mask that fills an image of 800 x 1333 pixels exceed the largest float16."""
    logits = torch.full((1, 1, 200, 334), -4.0)
    rows, columns = torch.ones(1, 200, dtype=torch.bool), torch.ones(1, 334, dtype=torch.bool)
    edges = torch.full((1, 200, 334), 255, dtype=torch.uint8)
    with torch.autocast("cpu", torch.float16):
        projection, sums, counts = box_losses(logits, [edges], torch.tensor([0]), rows, columns, 3, 2, triton=False)
    assert torch.isfinite(projection).all() and torch.isfinite(sums).all() and counts.item() > 65504
