"""What a forward pass tells of its health, and when it is written."""

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import Tensor

from depthbox.engine.step import LossMonitor
from depthbox.modeling.training_stats import HostCopy, log_training, write_signs
from depthbox.structures import MaskTargets, Queries

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


def log(logits: Tensor, *targets: int, loss: float = 0.5) -> None:
    losses = {"loss_projection": torch.tensor(loss, requires_grad=True), "loss_color_pairwise": torch.tensor(2.0)}
    log_training(losses, {"loss_color_pairwise": 0.25}, logits, queries(*targets), MaskTargets(BOXES), 4)


def test_what_is_written() -> None:
    logits = torch.randn(3, 1, 8, 8)
    with EventStorage(5) as storage:
        log(logits, 0, 1, 2)
        write_signs()
        found = {name: value for name, (value, _) in storage.latest().items()}
    fractions = []
    for row, (x0, y0, x1, y1) in zip(logits[:2, 0], BOXES[:2].tolist(), strict=True):
        cells = [(y, x) for y in range(8) for x in range(8) if x0 <= 4 * x + 2 <= x1 and y0 <= 4 * y + 2 <= y1]
        fractions.append(sum(float(row[cell]) > 0 for cell in cells) / len(cells))
    assert found.pop("health/mask_fill") == pytest.approx(sum(fractions) / 2)
    assert found == {
        "health/positives_per_image": 3.5,
        "health/queries_per_image": 1.5,
        "warmup/color_pairwise": 0.25,
        "raw/projection": 0.5,
        "raw/color_pairwise": 2.0,
    }


def test_no_mask_fill_where_no_box_is_visible() -> None:
    with EventStorage(0) as storage:
        log(torch.randn(1, 1, 8, 8), 2)
        write_signs()
        log(torch.randn(0, 1, 8, 8))
        write_signs()
        assert "health/mask_fill" not in storage.latest() and "raw/projection" in storage.latest()


def test_the_monitor_has_them_written_in_their_own_step() -> None:
    with EventStorage(3) as storage:
        monitor = LossMonitor()
        for number in range(2):  # two micro-batches
            log(torch.randn(1, 1, 8, 8), 0, loss=float(number))
            monitor.add({"loss": torch.tensor(1.0)}, [])
        assert storage.latest() == {}
        monitor.send()
        monitor.receive(3, None)
        assert storage.latest()["raw/projection"] == (1.0, 3)
        assert [value for value, _ in storage.history("raw/projection").values()] == [0.0, 1.0]
        write_signs()
        assert len(storage.history("raw/projection").values()) == 2  # once


def test_without_a_monitor_the_next_step_writes_them() -> None:
    with EventStorage(0) as storage:
        log(torch.randn(1, 1, 8, 8), 0, loss=1.0)
        storage.step()
        log(torch.randn(1, 1, 8, 8), 0, loss=2.0)
        assert storage.latest()["raw/projection"][0] == 1.0
    with EventStorage(0) as other:
        write_signs()
        assert other.latest() == {}  # each loop its own


def test_outside_a_training_loop_nothing_is_noted() -> None:
    log(torch.randn(1, 1, 8, 8), 0)
    write_signs()
    with EventStorage(0) as storage:
        write_signs()
        assert storage.latest() == {}


def test_host_copy() -> None:
    assert HostCopy(torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)).numbers() == [[1.0, 2.0], [3.0, 4.0]]
