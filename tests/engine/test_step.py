"""Parts of a step: random numbers, precision, losses and statistics."""

import random

import numpy as np
import pytest
import torch
from detectron2.utils.events import EventStorage
from engine_toy import add_toy_config

from depthbox.config import load_config
from depthbox.engine.step import HostCopy, LossMonitor, StepNumbers, resolve_seed, seed_everything, select_amp_dtype


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_seed_depends_on_every_number():
    drawn = []
    for entropy in [(1, 2, 3), (1, 2, 3), (1, 2, 4), (1, 3, 3), (2, 2, 3)]:
        seed_everything(*entropy)
        drawn.append(draw())
    assert drawn[0] == drawn[1]
    assert len({value for numbers in drawn[1:] for value in numbers}) == 12


def test_negative_seed_is_drawn():
    assert resolve_seed(5) == 5
    assert resolve_seed(-1) >= 0
    assert resolve_seed(-1) != resolve_seed(-1)


@pytest.mark.parametrize(
    ("device", "enabled", "expected"),
    [
        ("cpu", False, None),
        ("cuda", False, None),
        ("cpu", True, torch.bfloat16),
        ("cuda", True, torch.float16),
    ],
)
def test_amp_dtype(device, enabled, expected):
    overrides = ["MODEL.DEVICE", device, "SOLVER.AMP.ENABLED", str(enabled)]
    assert select_amp_dtype(load_config(add_toy_config, overrides=overrides)) is expected


def batch(*ids):
    return [{"image_id": number, "file_name": f"{number}.png"} for number in ids]


def test_monitor_averages_micro_batches_and_scales_nothing():
    monitor = LossMonitor()
    monitor.add({"a": torch.tensor(1.0), "b": torch.tensor([4.0], dtype=torch.float16)}, batch(1))
    monitor.add({"a": torch.tensor(2.0), "b": torch.tensor([8.0], dtype=torch.float16)}, batch(2))
    monitor.send()
    assert monitor.receive() == StepNumbers({"a": 1.5, "b": 6.0}, [{}, {}])


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -float("inf")])
def test_monitor_names_losses_that_are_not_finite(value, tmp_path):
    monitor = LossMonitor()
    monitor.add({"good": torch.tensor(1.0), "bad": torch.tensor(1.0)}, batch(1, 2))
    monitor.add({"good": torch.tensor(1.0), "bad": torch.tensor(value)}, batch(3, 4))
    monitor.send()
    with pytest.raises(FloatingPointError) as info:
        monitor.check_finite(monitor.receive().losses, 7, lambda: "The last good checkpoint is model_0000005.pth.")
    message = str(info.value)
    assert f"iteration 7: bad = {value} on image 3 (3.png), image 4 (4.png)." in message
    assert "good" not in message.split(".")[0] and "model_0000005.pth" in message


def test_statistics_come_with_the_losses_for_each_micro_batch():
    monitor = LossMonitor()
    statistics = {"health/mask_fill": torch.tensor(0.5), "warmup/a": 0.25, "raw/a": torch.tensor([3.0]).half()}
    monitor.add({"a": torch.tensor(1.0, requires_grad=True)}, batch(1), statistics)
    monitor.add({"a": torch.tensor(2.0)}, batch(2), {"warmup/a": 0.75})
    monitor.send()
    numbers = monitor.receive()
    assert numbers.losses == {"a": 1.5}
    assert numbers.statistics == [{"health/mask_fill": 0.5, "warmup/a": 0.25, "raw/a": 3.0}, {"warmup/a": 0.75}]


def test_undefined_health_is_skipped_and_a_loss_that_is_not_finite_is_written():
    nan = float("nan")
    numbers = StepNumbers({}, [{"health/mask_fill": 0.25, "raw/a": 1.0}, {"health/mask_fill": nan, "raw/a": nan}])
    with EventStorage(0) as storage:
        numbers.write_statistics(storage)
    assert [value for value, _ in storage.history("health/mask_fill").values()] == [0.25]
    assert [value for value, _ in storage.history("raw/a").values()] == pytest.approx([1.0, nan], nan_ok=True)


def test_host_copy_keeps_the_shape():
    assert HostCopy(torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)).numbers() == [[1.0, 2.0], [3.0, 4.0]]
