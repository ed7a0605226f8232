"""Learning rate and weight decay of each parameter; gradient clipping."""

import pytest
import torch
from detectron2.config import get_cfg
from torch import nn

from depthbox.config.defaults import add_depthbox_config
from depthbox.engine.optimizer import build_clipper, build_optimizer, group_parameters


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.backbone_like = nn.Linear(2, 2, bias=False)
        self.head = nn.Linear(4, 2)
        self.norm = nn.GroupNorm(1, 4)
        self.frozen = nn.Parameter(torch.zeros(2), requires_grad=False)
        self.tied = self.head


def config(**solver):
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.SOLVER.update({"BASE_LR": 0.1, "WEIGHT_DECAY": 0.01, **solver})
    return cfg


def settings_of(net, cfg):
    names = {parameter: name for name, parameter in net.named_parameters()}
    return {names[p]: (g["lr"], g["weight_decay"]) for g in group_parameters(cfg, net) for p in g["params"]}


def test_each_parameter_has_its_learning_rate_and_decay():
    net = Net()
    cfg = config(WEIGHT_DECAY_NORM=0.0, WEIGHT_DECAY_BIAS=0.0, BIAS_LR_FACTOR=2.0, BACKBONE_MULTIPLIER=0.5)
    assert settings_of(net, cfg) == {
        "backbone.0.weight": (0.05, 0.01),
        "backbone.0.bias": (0.1, 0.0),
        "backbone.1.weight": (0.05, 0.0),
        "backbone.1.bias": (0.05, 0.0),
        "backbone_like.weight": (0.1, 0.01),
        "head.weight": (0.1, 0.01),
        "head.bias": (0.2, 0.0),
        "norm.weight": (0.1, 0.0),
        "norm.bias": (0.1, 0.0),
    }


def test_groups_are_few_and_do_not_depend_on_values_of_the_config():
    net = Net()
    first, second = (group_parameters(config(WEIGHT_DECAY_NORM=decay), net) for decay in (0.0, 0.01))
    assert len(first) == 6
    assert [group["params"] for group in first] == [group["params"] for group in second]


def test_bias_decay_defaults_to_that_of_weights():
    assert settings_of(Net(), config(WEIGHT_DECAY_BIAS=None))["head.bias"] == (0.1, 0.01)


def test_optimizers():
    sgd = build_optimizer(config(MOMENTUM=0.8, NESTEROV=True), Net())
    assert isinstance(sgd, torch.optim.SGD) and sgd.defaults["momentum"] == 0.8 and sgd.defaults["nesterov"]
    assert isinstance(build_optimizer(config(OPTIMIZER="ADAMW"), Net()), torch.optim.AdamW)
    assert type(build_optimizer(config(OPTIMIZER="ADAM"), Net())) is torch.optim.Adam
    with pytest.raises(ValueError, match="not 'LAMB'"):
        build_optimizer(config(OPTIMIZER="LAMB"), Net())
    with pytest.raises(ValueError, match="no trainable parameter"):
        build_optimizer(config(), Net().requires_grad_(False))


def clipped(kind, value=1.0):
    cfg = config()
    cfg.SOLVER.CLIP_GRADIENTS.update({"ENABLED": True, "CLIP_TYPE": kind, "CLIP_VALUE": value})
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, -4.0]), torch.tensor([12.0])
    build_clipper(cfg)(parameters)
    return [value for p in parameters for value in p.grad.tolist()]


def test_clipping():
    assert clipped("value") == pytest.approx([1.0, -1.0, 1.0])
    assert clipped("norm") == pytest.approx([0.6, -0.8, 1.0], rel=1e-4)
    assert clipped("full_model", 6.5) == pytest.approx([1.5, -2.0, 6.0], rel=1e-4)
    assert clipped("full_model", 100.0) == pytest.approx([3.0, -4.0, 12.0])


def test_clipping_off_or_unknown():
    assert build_clipper(config()) is None
    with pytest.raises(ValueError, match="not 'all'"):
        clipped("all")
