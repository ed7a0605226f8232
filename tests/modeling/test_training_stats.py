"""Statistics of a forward pass, and the warm-up of losses."""

import math

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import Tensor

from depthbox.modeling.training_stats import compute_training_stats, warmup_factor
from depthbox.structures import Queries

BOXES = torch.tensor([[4.0, 8.0, 19.0, 23.0], [0.0, 0.0, 31.0, 15.0], [90.0, 90.0, 95.0, 95.0]])  # the last: outside


def queries(*targets: int) -> Queries:
    zeros = torch.zeros(len(targets), dtype=torch.int64)
    return Queries(
        image_index=zeros,
        level=zeros,
        row=zeros,
        column=zeros,
        locations=torch.zeros(len(targets), 2),
        target_index=torch.tensor(targets, dtype=torch.int64),
        counts=(len(targets), 0),
        num_positives=7,
    )


def compute(logits: Tensor, *targets: int) -> dict[str, Tensor | float]:
    losses = {"loss_projection": torch.tensor(0.5, requires_grad=True), "loss_color_pairwise": torch.tensor(2.0)}
    return compute_training_stats(losses, {"loss_color_pairwise": 0.25}, logits, queries(*targets), BOXES, 4)


def test_names_and_values() -> None:
    logits = torch.randn(3, 1, 8, 8, requires_grad=True)
    with EventStorage(5):
        stats = compute(logits, 0, 1, 2)
    tensors = [value for value in stats.values() if isinstance(value, Tensor)]
    assert len(tensors) == 3 and all(x.dim() == 0 and not x.requires_grad for x in tensors)
    found = {name: float(value) for name, value in stats.items()}
    fractions = []
    for mask, (x0, y0, x1, y1) in zip(logits.detach()[:2, 0], BOXES[:2].tolist(), strict=True):
        cells = [(y, x) for y in range(8) for x in range(8) if x0 <= 4 * x + 2 <= x1 and y0 <= 4 * y + 2 <= y1]
        fractions.append(sum(float(mask[cell]) > 0 for cell in cells) / len(cells))
    assert found.pop("health/mask_fill") == pytest.approx(sum(fractions) / 2)
    assert found == {
        "health/positives_per_image": 3.5,
        "health/queries_per_image": 1.5,
        "warmup/color_pairwise": 0.25,
        "raw/projection": 0.5,
        "raw/color_pairwise": 2.0,
    }


def test_mask_fill_is_nan_if_no_box_covers_a_cell() -> None:
    with EventStorage(0):
        assert math.isnan(compute(torch.randn(1, 1, 8, 8), 2)["health/mask_fill"])
        assert math.isnan(compute(torch.randn(0, 1, 8, 8))["health/mask_fill"])


def test_nothing_outside_a_training_loop() -> None:
    assert compute(torch.randn(1, 1, 8, 8), 0) == {}


def test_the_network_keeps_the_statistics_of_its_last_step(make_model, make_input) -> None:
    model = make_model()
    assert model.training_stats == {}
    with EventStorage(99) as storage:
        losses = model([make_input(3), make_input(2, 1)])
        assert storage.latest() == {}  # writing them is the task of the trainer
    stats = model.training_stats
    assert stats["warmup/color_pairwise"] == 0.25
    for name in ("projection", "color_pairwise"):
        factor = stats.get(f"warmup/{name}", 1.0)
        torch.testing.assert_close(stats[f"raw/{name}"] * factor, losses[f"loss_{name}"].detach())
    assert 0 <= float(stats["health/mask_fill"]) <= 1 and stats["health/queries_per_image"] > 1
    with EventStorage(0):
        model([make_input(0)])
    assert model.training_stats["health/queries_per_image"] == 0


def test_warmup_factor_grows_with_the_iteration() -> None:
    assert warmup_factor(10) == 1.0  # outside a training loop
    for iteration, expected in ((0, 0.1), (4, 0.5), (9, 1.0), (50, 1.0)):
        with EventStorage(iteration):
            assert warmup_factor(10) == expected and warmup_factor(0) == 1.0
