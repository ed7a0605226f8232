"""EMA update of the teacher, and its shared statistics."""

import pytest
import torch
from torch import nn

from depthbox.distillation import ema_update, share_statistics


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))


def test_floats_move_integers_are_copied() -> None:
    teacher, student = network(), network()
    student(torch.randn(2, 2, 4, 4))
    old = {name: value.clone() for name, value in teacher.state_dict().items()}
    ema_update(teacher, student, 0.9)
    new, target = teacher.state_dict(), student.state_dict()
    for name, value in old.items():
        if value.is_floating_point():
            torch.testing.assert_close(new[name], 0.9 * value + 0.1 * target[name])
        else:
            assert int(new[name]) == int(target[name]) == 1, name
    assert not torch.equal(new["1.running_mean"], old["1.running_mean"])


def test_the_student_stays() -> None:
    teacher, student = network(), network()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    ema_update(teacher, student, 0.5)
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())


@pytest.mark.parametrize(("momentum", "source"), [(1.0, "teacher"), (0.0, "student")])
def test_extremes(momentum: float, source: str) -> None:
    teacher, student = network(), network()
    expected = {name: v.clone() for name, v in (teacher if source == "teacher" else student).state_dict().items()}
    ema_update(teacher, student, momentum)
    for name, value in teacher.state_dict().items():
        torch.testing.assert_close(value, expected[name])


def test_tensors_meet_by_name() -> None:
    with pytest.raises(ValueError, match=r"teacher and student differ: \['2.bias', '2.weight'\]"):
        ema_update(nn.Sequential(*network(), nn.Linear(2, 2)), network(), 0.9)
    with pytest.raises(ValueError, match="must lie in"):
        ema_update(network(), network(), 1.5)


def test_sharing_statistics_in_one_process_changes_nothing() -> None:
    teacher = network()
    teacher(torch.randn(2, 2, 4, 4))
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    share_statistics(teacher)
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert before["1.running_mean"].abs().sum() > 0
