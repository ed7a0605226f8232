"""Requests to stop: recorded during steps, raised in evaluations, agreed by all processes."""

import os
import signal

import pytest
import torch

from depthbox.engine.signals import StopSignals
from depthbox.errors import Stopped
from depthbox.io.processes import STOP_SIGNALS


def test_a_signal_waits_for_the_end_of_the_step():
    signals, steps = StopSignals(), []
    with pytest.raises(Stopped, match="SIGTERM"), signals.deferred():
        signals.stop_if_requested()
        os.kill(os.getpid(), signal.SIGTERM)
        steps.append("finished")
        signals.stop_if_requested()
        steps.append("next")
    assert steps == ["finished"]


def test_a_signal_interrupts_an_evaluation():
    signals = StopSignals()
    with pytest.raises(Stopped, match="SIGHUP") as stop, signals.deferred(), signals.immediate():
        os.kill(os.getpid(), signal.SIGHUP)
        pytest.fail("the evaluation continued")
    assert stop.value.status == 129
    with pytest.raises(Stopped), signals.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        with signals.immediate():
            pytest.fail("the evaluation began after the signal")


def test_a_signal_after_the_last_step_is_not_lost():
    signals = StopSignals()
    with pytest.raises(Stopped), signals.deferred():
        os.kill(os.getpid(), signal.SIGINT)
    with signals.deferred():  # a later run starts anew
        signals.stop_if_requested()


def test_processes_agree_on_the_signal_of_any_of_them(monkeypatch):
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
    one, other = StopSignals(), StopSignals()
    with one.deferred():
        assert one.flags(torch.device("cpu")).tolist() == [0.0] * len(STOP_SIGNALS)
        with pytest.raises(Stopped), other.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            sums = other.flags(torch.device("cpu")) + one.flags(torch.device("cpu"))
            other.stop_if_requested()  # not before all processes know
            for signals in (one, other):
                signals.agree((sums / 2).tolist())
                with pytest.raises(Stopped, match="SIGINT"):
                    signals.stop_if_requested()
            assert one.agreed == signal.SIGINT


def test_a_single_process_exchanges_nothing():
    assert StopSignals().flags(torch.device("cpu")) is None
