"""Learning rate compared with Detectron2's scheduler; rescaling to another batch size."""

import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.solver import build_lr_scheduler

from depthbox.config.defaults import add_depthbox_config
from depthbox.engine.schedule import build_lr_multiplier, scale_schedule


def config(**solver):
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.SOLVER.update({"BASE_LR": 0.02, "MAX_ITER": 60, "STEPS": (30, 50), "WARMUP_ITERS": 10, **solver})
    return cfg


@pytest.mark.parametrize(
    "solver",
    [
        {},
        {"WARMUP_METHOD": "constant"},
        {"WARMUP_ITERS": 0},
        {"STEPS": (5, 30)},
        {"LR_SCHEDULER_NAME": "WarmupCosineLR"},
    ],
    ids=str,
)
def test_equals_detectron2(solver):
    cfg = config(**solver)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.SOLVER.BASE_LR)
    scheduler = build_lr_scheduler(cfg, optimizer)
    multiplier = build_lr_multiplier(cfg)
    for iteration in range(cfg.SOLVER.MAX_ITER):
        assert cfg.SOLVER.BASE_LR * multiplier(iteration) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        scheduler.step()


def test_poly_schedule_falls_to_zero():
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.SOLVER.LR_SCHEDULER_NAME, cfg.SOLVER.MAX_ITER, cfg.SOLVER.WARMUP_ITERS = "WarmupPolyLR", 100, 10
    cfg.SOLVER.WARMUP_FACTOR = 0.1
    factor = build_lr_multiplier(cfg)
    assert factor(0) == pytest.approx(0.1) and factor(50) == pytest.approx(0.5**0.9)
    assert factor(10) == pytest.approx(0.9**0.9) and factor(99) == pytest.approx(0.01**0.9)
    assert factor(5) == pytest.approx((0.1 + 0.9**0.9) / 2) and factor(100) == 0


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="not 'Fancy'"):
        build_lr_multiplier(config(LR_SCHEDULER_NAME="Fancy"))
    with pytest.raises(ValueError, match="not 'slow'"):
        build_lr_multiplier(config(WARMUP_METHOD="slow"))


def test_half_the_batch_size_doubles_the_iterations(caplog):
    cfg = config(IMS_PER_BATCH=8, REFERENCE_BATCH_SIZE=16, CHECKPOINT_PERIOD=5)
    cfg.TEST.EVAL_PERIOD = 0
    before = cfg.dump()
    with caplog.at_level("INFO"):
        scaled = scale_schedule(cfg)
    solver = scaled.SOLVER
    assert pytest.approx(0.01) == solver.BASE_LR
    assert (solver.MAX_ITER, solver.STEPS, solver.WARMUP_ITERS, solver.CHECKPOINT_PERIOD) == (
        120,
        (60, 100),
        20,
        10,
    )
    assert scaled.TEST.EVAL_PERIOD == 0
    assert cfg.dump() == before
    assert "SOLVER.MAX_ITER" in caplog.text and "60 -> 120" in caplog.text
    assert scale_schedule(scaled).dump() == scaled.dump()


def test_larger_batch_size_never_scales_to_zero():
    scaled = scale_schedule(config(IMS_PER_BATCH=160, REFERENCE_BATCH_SIZE=4, CHECKPOINT_PERIOD=3))
    assert scaled.SOLVER.CHECKPOINT_PERIOD == 1
    assert pytest.approx(0.8) == scaled.SOLVER.BASE_LR


def test_keys_of_the_model_are_scaled_if_they_exist():
    cfg = config(IMS_PER_BATCH=8, REFERENCE_BATCH_SIZE=16)
    cfg.MODEL.DISTILL = CfgNode({"START_ITER": 100})
    assert scale_schedule(cfg).MODEL.DISTILL.START_ITER == 200


@pytest.mark.parametrize("reference", [0, 16])
def test_unchanged_schedule(reference):
    cfg = config(IMS_PER_BATCH=16, REFERENCE_BATCH_SIZE=reference)
    assert scale_schedule(cfg).dump() == cfg.dump()


def test_frozen_stays_frozen():
    cfg = config(IMS_PER_BATCH=8, REFERENCE_BATCH_SIZE=16)
    cfg.freeze()
    assert scale_schedule(cfg).is_frozen()


def test_bad_batch_size_is_named():
    with pytest.raises(ValueError, match="IMS_PER_BATCH = 0"):
        scale_schedule(config(IMS_PER_BATCH=0))
