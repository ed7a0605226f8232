"""Failures of a construction: a value of the config is named, and a bug keeps its exception."""

import time
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from torch import nn

from depthbox import add_depthbox_config
from depthbox.config import ConfigError, load_config
from depthbox.config.blame import build_from_config, find_responsible_key, list_suspects

SANE = ["MODEL.DEVICE", "cpu", "MODEL.FPN.OUT_CHANNELS", "64", "MODEL.FCOS.NUM_CLASSES", "8", "SOLVER.MAX_ITER", "100"]


def config(*overrides: str) -> CfgNode:
    """Return a config on the CPU with a few values of its own."""
    return load_config(add_depthbox_config, overrides=[*SANE, *overrides])


def build(cfg: CfgNode) -> nn.Module:
    """Build layers that need channels in groups of 32, and a fitting name."""
    channels = cfg.MODEL.FPN.OUT_CHANNELS
    layer = nn.Sequential(nn.Conv2d(3, channels, 1), nn.GroupNorm(32, channels))
    if cfg.MODEL.TIMM.NAME.startswith("odd"):
        raise KeyError(cfg.MODEL.TIMM.NAME)
    return layer.to(cfg.MODEL.DEVICE)


def test_a_sane_config_is_built_once() -> None:
    calls: list[CfgNode] = []
    assert build_from_config(config(), lambda cfg: calls.append(cfg) or 7) == 7
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.FPN.OUT_CHANNELS", "63"], "MODEL.FPN.OUT_CHANNELS is 63, with which .*divisible.*the default, 256"),
        (["MODEL.TIMM.NAME", "odd_net"], "MODEL.TIMM.NAME is 'odd_net', with which .*KeyError"),
    ],
)
def test_the_value_that_lets_the_construction_fail_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build_from_config(config(*overrides), build)
    assert caught.value.__cause__ is not None and not isinstance(caught.value.__cause__, ConfigError)


@pytest.mark.parametrize("error", [RuntimeError("planted"), AssertionError(), ZeroDivisionError("x"), KeyError("k")])
def test_a_bug_keeps_its_exception(error: Exception) -> None:
    def broken(cfg: CfgNode) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        build_from_config(config(), broken)
    assert caught.value is error and caught.value.__cause__ is None


def test_a_bug_behind_a_switch_or_a_word_is_not_blamed_on_the_config() -> None:
    def broken(cfg: CfgNode) -> None:
        if cfg.MODEL.DEPTH.LAYER or cfg.MODEL.FCOS.BOX_QUALITY == "iou":
            raise RuntimeError("planted")

    for words in (["MODEL.DEPTH.LAYER", "True"], ["MODEL.FCOS.BOX_QUALITY", "iou"]):
        with pytest.raises(RuntimeError, match="planted"):
            build_from_config(config(*words), broken)


def test_two_causes_keep_the_exception() -> None:
    with pytest.raises(ValueError, match="divisible"):
        build_from_config(config("MODEL.FPN.OUT_CHANNELS", "63", "MODEL.TIMM.NAME", "odd"), build)


@pytest.mark.parametrize(
    "error", [OSError("disk"), ImportError("no timm"), ConfigError("x"), ValueError("MODEL.FCOS.NORM is wrong")]
)
def test_errors_that_name_their_cause_are_passed_on_at_once(error: Exception) -> None:
    calls: list[Any] = []

    def broken(cfg: CfgNode) -> None:
        calls.append(cfg)
        raise error

    with pytest.raises(type(error)):
        build_from_config(config(), broken)
    assert len(calls) == 1


def test_a_failure_of_the_device_is_not_blamed_on_the_config() -> None:
    def broken(cfg: CfgNode) -> torch.Tensor:
        if cfg.MODEL.DEVICE != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.zeros(1)

    with pytest.raises(torch.OutOfMemoryError):
        build_from_config(config("MODEL.DEVICE", "cuda"), broken)


def test_the_search_is_bounded_in_time() -> None:
    def slow(cfg: CfgNode) -> None:
        time.sleep(0.05)
        raise RuntimeError("planted")

    begin = time.monotonic()
    assert find_responsible_key(config(), slow, seconds=0.1) is None
    assert time.monotonic() - begin < 2


def test_suspects_are_values_that_differ_and_may_be_nonsense() -> None:
    suspects = list_suspects(config("MODEL.DEPTH.LAYER", "True", "MODEL.FCOS.NORM", "BN", "OUTPUT_DIR", "x"))
    assert suspects == ["MODEL.FPN.OUT_CHANNELS", "MODEL.FCOS.NUM_CLASSES", "SOLVER.MAX_ITER"]
