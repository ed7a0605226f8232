"""The rules for a schedule, and the networks that they are for."""

import dataclasses
from pathlib import Path

import pytest
import torch

from depthbox import add_depthbox_config
from depthbox.config import ConfigError, load_config
from depthbox.custom_data.models import MODELS, choose_model, weight_keys
from depthbox.custom_data.recipe import (
    Facts,
    choose_batch,
    choose_iterations,
    choose_sizes,
    choose_workers,
    choose_zoom,
    depth_warmup,
    evaluation_period,
    format_overrides,
    make_recipe,
    pairwise_warmup,
)

CONFIGS = Path(__file__).parents[2] / "configs"
COCO = Facts(images=117_266, val_images=5000, short_side=480, device="cuda", batch=16)
NUCLEI = Facts(images=96, val_images=32, short_side=256, device="cpu", batch=4, cores=2)


def config(keys):
    return load_config(add_depthbox_config, overrides=format_overrides(keys))


@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("R_50", "coco/depthbox_R_50_1x"),
        ("R_101", "coco/depthbox_R_101_1x"),
        ("Swin_B", "coco/depthbox_Swin_B_1x"),
    ],
)
def test_for_coco_the_rules_give_the_published_recipe(model, file):
    choice = choose_model(model, "cuda")
    keys = {**choice.keys, **make_recipe(COCO, choice, depth=True), **weight_keys(choice, "")}
    ours, published = config(keys), load_config(add_depthbox_config, str(CONFIGS / f"{file}.yaml"))
    for key in ("MAX_ITER", "STEPS", "WARMUP_ITERS", "BASE_LR", "OPTIMIZER", "WEIGHT_DECAY", "IMS_PER_BATCH"):
        assert ours.SOLVER[key] == published.SOLVER[key], key
    for key in ("MIN_SIZE_TRAIN", "MAX_SIZE_TRAIN", "MIN_SIZE_TEST", "MAX_SIZE_TEST", "FORMAT", "DEPTH"):
        assert ours.INPUT[key] == published.INPUT[key], key
    assert ours.TEST.EVAL_PERIOD == published.TEST.EVAL_PERIOD
    ours, published = ours.MODEL.clone(), published.MODEL.clone()
    ours.defrost()
    published.defrost()
    ours.BOXINST.BOTTOM_PIXELS_REMOVED = published.BOXINST.BOTTOM_PIXELS_REMOVED  # COCO's border alone
    assert ours.DISTILL.START_ITER == 65000 and ours.DISTILL.EMA_MOMENTUM == 0.999
    ignored = {"RESNETS", "FPN"} if choice.is_timm else set()  # keys that nothing reads
    assert all(ours[key] == published[key] for key in ours if key not in ignored)


@pytest.mark.parametrize(("model", "file"), [("R_101_DCN", "coco/boxinst_R_101_DCN_3x"), ("Swin_T", "")])
def test_the_other_networks_are_those_of_the_configs(model, file):
    file = file or "cityscapes/depthbox_Swin_T"
    choice = choose_model(model, "cuda")
    ours = config({**choice.keys, **weight_keys(choice, "")}).MODEL
    published = load_config(add_depthbox_config, str(CONFIGS / f"{file}.yaml")).MODEL
    if choice.is_timm:  # keys that nothing reads
        ours, published = ({**part, "RESNETS": 0, "FPN": part.FPN.OUT_CHANNELS} for part in (ours, published))
    for key in ("WEIGHTS", "RESNETS", "TIMM", "BACKBONE", "FPN", "PIXEL_MEAN", "PIXEL_STD", "CONDINST"):
        assert ours[key] == published[key], key


def test_small_data_on_the_cpu():
    recipe = make_recipe(NUCLEI, choose_model("mobilenetv2", "cpu"), depth=False)
    cfg = config(recipe)
    assert cfg.SOLVER.MAX_ITER == 800 and cfg.SOLVER.BASE_LR == 0.0007 and cfg.SOLVER.WARMUP_ITERS == 80
    assert cfg.SOLVER.STEPS == (533, 711) and cfg.MODEL.BOXINST.PAIRWISE.WARMUP_ITERS == 266
    assert cfg.INPUT.MIN_SIZE_TRAIN == (320, 352, 384) and cfg.MODEL.DEVICE == "cpu" and cfg.MODEL.CHANNELS_LAST
    assert not cfg.MODEL.DEPTH.LAYER and not cfg.MODEL.DISTILL.ENABLED and not cfg.INPUT.DEPTH.ENABLED
    assert cfg.SOLVER.REFERENCE_BATCH_SIZE == cfg.SOLVER.IMS_PER_BATCH == 4, "nothing is rescaled after the rules"


@pytest.mark.parametrize("batch", [1, 2, 8, 32])
def test_the_rate_is_linear_in_the_batch(batch):
    facts = dataclasses.replace(COCO, batch=batch)
    assert make_recipe(facts, choose_model("R_50", "cuda"), False)["SOLVER.BASE_LR"] == pytest.approx(0.01 * batch / 16)


@pytest.mark.parametrize(
    ("facts", "iterations"),
    [
        (dataclasses.replace(COCO, images=10), 3000),
        (dataclasses.replace(COCO, images=10_000), 15_000),
        (dataclasses.replace(COCO, images=10**7), 90_000),
        (dataclasses.replace(COCO, images=10, batch=128), 500),
        (dataclasses.replace(NUCLEI, images=10), 800),
        (dataclasses.replace(NUCLEI, images=400), 2400),
        (dataclasses.replace(NUCLEI, images=10**6), 4000),
        (dataclasses.replace(NUCLEI, epochs=1.5), 36),
        (dataclasses.replace(NUCLEI, iterations=7, epochs=3), 7),
    ],
)
def test_iterations_are_24_epochs_within_bounds(facts, iterations):
    assert choose_iterations(facts) == iterations


@pytest.mark.parametrize(("total", "steps"), [(1, (1, 1)), (2, (1, 1)), (3, (2, 2)), (900, (600, 800))])
def test_the_shortest_schedules_are_valid(total, steps):
    facts = dataclasses.replace(NUCLEI, iterations=total)
    cfg = config(make_recipe(facts, choose_model("tiny", "cpu"), depth=True))
    assert steps == cfg.SOLVER.STEPS and 0 < cfg.MODEL.DISTILL.START_ITER <= total
    assert 0.9 <= cfg.MODEL.DISTILL.EMA_MOMENTUM < 1 and cfg.SOLVER.CHECKPOINT_PERIOD >= 1
    assert cfg.TEST.EVAL_PERIOD in (0, *range(1, total))


@pytest.mark.parametrize("total", [10, 300, 900, 5000, 30_000, 90_000, 270_000])
def test_warmups_end_and_that_of_depth_is_the_longest(total):
    assert 1 <= pairwise_warmup(total) <= depth_warmup(total) <= 2 * total / 3


def test_input_sizes():
    small = dataclasses.replace(NUCLEI, short_side=64)
    assert choose_sizes(small) == ((128,), 213)
    assert choose_sizes(dataclasses.replace(small, size=100)) == ((96, 100), 167)
    assert choose_sizes(dataclasses.replace(small, size=50)) == ((50,), 83)
    assert choose_sizes(dataclasses.replace(COCO, short_side=5)) == ((96,), 160)


def test_small_objects_are_trained_on_crops_and_tested_as_large():
    small = dataclasses.replace(NUCLEI, object_share=0.065)  # 25 pixels of 384
    assert choose_zoom(small, 384) == pytest.approx(32 / (0.065 * 384))
    cfg = config(make_recipe(dataclasses.replace(small, object_share=0.03), choose_model("tiny", "cpu"), depth=True))
    assert cfg.INPUT.CROP.ENABLED and cfg.INPUT.CROP.SIZE == [0.71, 0.71] and cfg.INPUT.CROP.TYPE == "relative"
    assert (cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST) == ((320, 352, 384), 544)
    assert cfg.MODEL.DISTILL.TEACHER_MIN_SIZE == 384 and cfg.INPUT.MAX_SIZE_TEST > 544 > cfg.INPUT.MAX_SIZE_TRAIN // 2
    for facts in (NUCLEI, COCO, dataclasses.replace(COCO, object_share=0.12)):
        assert not config(make_recipe(facts, choose_model("tiny", "cpu"), depth=False)).INPUT.CROP.ENABLED
    assert choose_zoom(dataclasses.replace(small, size=384), 384) == 1, "a size that is named is kept"
    assert choose_zoom(dataclasses.replace(small, object_share=0.08), 384) == 1, "a little is not worth it"
    assert evaluation_period(dataclasses.replace(COCO, val_images=1000), 900, 0.75) == 371


def test_batch_follows_memory_and_data():
    model = choose_model("R_50", "cuda")
    assert choose_batch(model, "cuda", 24, 1, 1000) == 8 and choose_batch(model, "cuda", 6, 1, 1000) == 2
    assert choose_batch(model, "cuda", 80, 1, 1000) == 16 and choose_batch(model, "cuda", 1, 1, 1000) == 1
    assert choose_batch(model, "cuda", 24, 4, 1000) == 32 and choose_batch(model, "cuda", 24, 4, 9) == 8
    assert choose_batch(model, "cpu", 0, 1, 1000) == 4 and choose_batch(model, "cpu", 0, 3, 1000) == 3
    assert choose_batch(model, "cpu", 0, 1, 2) == 2


def test_evaluation_costs_a_tenth_at_most():
    assert evaluation_period(dataclasses.replace(COCO, val_images=0), 90_000) == 0
    assert evaluation_period(dataclasses.replace(COCO, val_images=96), 900) == 100
    assert evaluation_period(dataclasses.replace(COCO, val_images=1000), 900) == 209
    assert evaluation_period(COCO, 900) == 0, "at the end alone"


def test_number_of_loader_workers():
    assert [choose_workers(dataclasses.replace(COCO, cores=n)) for n in (1, 2, 3, 64)] == [0, 0, 2, 4]
    assert choose_workers(dataclasses.replace(COCO, cores=8, processes=4)) == 0


def test_models_by_name(tmp_path):
    assert choose_model("", "cuda").name == "R_50" and choose_model("", "cpu").name == "efficientnet_lite0"
    assert choose_model("swin-t", "cuda").name == "Swin_T"
    with pytest.raises(ConfigError, match="did you mean R_101"):
        choose_model("R101", "cpu")
    for choice in MODELS.values():
        config({**choice.keys, **weight_keys(choice, "")})
        assert config({**choice.keys, **weight_keys(choice, "none")}).MODEL.WEIGHTS == ""


def test_the_kind_of_weights_is_recognized_by_content(tmp_path):
    ours, backbone = tmp_path / "ours.pth", tmp_path / "backbone.pth"
    torch.save({"model": {"backbone.fpn.weight": torch.zeros(2)}}, ours)
    torch.save({"conv_stem.weight": torch.zeros(2)}, backbone)
    small, resnet = choose_model("mobilenetv2", "cpu"), choose_model("R_50", "cpu")
    assert weight_keys(small, str(ours))["MODEL.WEIGHTS"] == str(ours)
    keys = weight_keys(small, str(backbone))
    assert keys["MODEL.TIMM.WEIGHTS"] == str(backbone) and keys["MODEL.TIMM.FREEZE_NORM"] is True
    assert weight_keys(resnet, str(backbone)) == {"MODEL.WEIGHTS": str(backbone)}
    assert weight_keys(small, "timm")["MODEL.TIMM.PRETRAINED"] is True
    assert weight_keys(small, "package:x")["MODEL.TIMM.WEIGHTS"] == "package:x"
    assert weight_keys(small, "none") == {"MODEL.WEIGHTS": ""}, "nothing is frozen at random values"
    with pytest.raises(ConfigError, match="is for timm networks"):
        weight_keys(resnet, "timm")
    with pytest.raises(ConfigError, match=r"the weight file gone\.pth does not exist"):
        weight_keys(resnet, "gone.pth")
