"""Networks, schedule and plan of both stages."""

import dataclasses
import json
from pathlib import Path

import pytest

from depthbox import add_depthbox_config
from depthbox.config import ConfigError, load_config
from depthbox.custom_data.plan import OwnRequest, OwnTraining
from depthbox.custom_data.points.networks import choose_labeler, choose_segmentor, is_labeler
from depthbox.custom_data.points.plan import configure_segmentor, configure_stages
from depthbox.custom_data.points.recipe import CPU, GPU, make_point_recipe, point_input_keys
from depthbox.custom_data.points.table import format_staged_plan
from depthbox.custom_data.prepare import PreparedData
from depthbox.custom_data.recipe import Facts, choose_sizes, format_overrides
from depthbox.custom_data.sources import OwnData, OwnDataError
from depthbox.custom_data.split import KindCounts, Split

NUCLEI = Facts(images=96, val_images=0, short_side=128, device="cpu", batch=4, cores=2)
VOC = Facts(images=10_582, val_images=1449, short_side=375, device="cuda", batch=8, cores=16)


POINTS = KindCounts(point=300)


def request(tmp_path, kinds=POINTS, val=None, overrides=(), **options):
    """Make a request without reading data."""
    own = OwnData(Path("points.json"), **{key: options.pop(key) for key in ("depth", "class_maps") if key in options})
    output = str(tmp_path / "mine")
    training = OwnTraining(own, output, **{"model": "tiny", "device": "cpu", **options})
    train = Split(tmp_path / "mine" / "data" / "train.json", tmp_path, {}, 20, 20, kinds)
    data = PreparedData(train, val, ("cat", "dog"), 128, 0.0)
    return OwnRequest(training, tuple(overrides), data, training.device, "p2seg", output)


def test_stage_a_uses_the_backbone_of_the_model_with_a_level_at_stride_4():
    labeler = choose_labeler("R_50", "cuda")
    assert labeler.keys["MODEL.META_ARCHITECTURE"] == "P2Seg" and labeler.keys["MODEL.RESNETS.DEPTH"] == 50
    assert (
        labeler.keys["MODEL.FPN.IN_FEATURES"][0] == "res2"
        and labeler.weights == choose_segmentor("R_50", "cuda").weights
    )
    small = choose_labeler("", "cpu")
    assert small.keys["MODEL.TIMM.NAME"] == "tf_efficientnet_lite0" and small.keys["MODEL.TIMM.FINEST_STRIDE"] == 4
    assert choose_labeler("", "cuda").name == "hrnet_w48" and choose_segmentor("", "cuda").name == "R_50"
    assert is_labeler("HRNet-W18") and choose_labeler("HRNet-W18", "cpu").name == "hrnet_w18"
    assert choose_segmentor("hrnet_w18", "cpu").name == "efficientnet_lite0"
    with pytest.raises(ConfigError, match="unknown model 'hrnet_w19'"):
        choose_labeler("hrnet_w19", "cpu")
    for name in ("R_50", "Swin_T", "tiny", "hrnet_w18"):
        cfg = load_config(add_depthbox_config, overrides=format_overrides(choose_labeler(name, "cuda").keys))
        assert cfg.MODEL.META_ARCHITECTURE == "P2Seg"


def test_the_published_schedule_follows_for_voc_on_a_gpu():
    keys = make_point_recipe(VOC, "files", depth=False)
    cfg = load_config(add_depthbox_config, overrides=format_overrides(keys))
    assert 48_000 < cfg.SOLVER.MAX_ITER < 52_000 and cfg.SOLVER.WARMUP_ITERS == 2000
    assert (cfg.SOLVER.OPTIMIZER, cfg.SOLVER.BASE_LR, cfg.SOLVER.WEIGHT_DECAY) == ("ADAM", 5e-5, 0)
    assert cfg.SOLVER.LR_SCHEDULER_NAME == "WarmupPolyLR" and cfg.MODEL.P2SEG.SEMANTIC.SOURCE == "files"
    half = make_point_recipe(dataclasses.replace(VOC, batch=4), "files", depth=False)
    assert half["SOLVER.BASE_LR"] == 2.5e-5 and half["SOLVER.MAX_ITER"] == pytest.approx(2 * cfg.SOLVER.MAX_ITER, abs=1)


@pytest.mark.parametrize(("rates", "facts"), [(CPU, dataclasses.replace(NUCLEI, short_side=480)), (GPU, VOC)])
def test_crops_have_the_scale_of_the_labeled_images_and_bound_the_cells(rates, facts):
    keys = point_input_keys(facts, rates)
    size = choose_sizes(facts)[0][-1]
    assert keys["INPUT.MIN_SIZE_TEST"] == size > rates.crop and keys["INPUT.CROP.ENABLED"]
    sizes = keys["INPUT.MIN_SIZE_TRAIN"]
    assert keys["INPUT.CROP.SIZE"][0] * size == pytest.approx(rates.crop, abs=0.5)
    assert sizes[0] >= 0.7 * rates.crop and sizes[-1] <= 1.3 * rates.crop and all(side % 32 == 0 for side in sizes)
    small = point_input_keys(dataclasses.replace(facts, short_side=64), rates)
    assert small["INPUT.MIN_SIZE_TEST"] == 128 and not small["INPUT.CROP.ENABLED"]


def test_given_lengths_and_depth_are_used():
    keys = make_point_recipe(dataclasses.replace(NUCLEI, iterations=77), "auto", depth=True)
    assert keys["SOLVER.MAX_ITER"] == 77 and keys["INPUT.DEPTH.ENABLED"] and keys["MODEL.P2SEG.SEMANTIC.DEPTH"]
    assert make_point_recipe(dataclasses.replace(NUCLEI, epochs=2), "auto", depth=False)["SOLVER.MAX_ITER"] == 48
    assert make_point_recipe(NUCLEI, "auto", depth=False)["SOLVER.MAX_ITER"] * 4 in range(CPU.seen[0], CPU.seen[1] + 1)


def test_both_configs_name_their_data(tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    run = configure_stages(request(tmp_path, class_maps=maps, depth=tmp_path / "depth", overrides=["A.SEED", "5"]))
    a, b = run.labeler.cfg, run.segmentor.cfg
    train, labels = str(tmp_path / "mine" / "data" / "train.json"), str(tmp_path / "mine" / "labels.json")
    depth = str(tmp_path / "depth")
    assert [["mine_points", train, str(tmp_path), depth, str(maps)]] == a.DATASETS.COCO_STYLE
    assert [["mine_train", labels, str(tmp_path), depth]] == b.DATASETS.COCO_STYLE
    assert (a.DATASETS.TRAIN, b.DATASETS.TRAIN) == (("mine_points",), ("mine_train",))
    assert a.MODEL.P2SEG.SEMANTIC.SOURCE == "files" and a.MODEL.P2SEG.NUM_CLASSES == b.MODEL.FCOS.NUM_CLASSES == 2
    assert (str(tmp_path / "mine" / "A"), str(tmp_path / "mine" / "B")) == (a.OUTPUT_DIR, b.OUTPUT_DIR)
    assert (a.SEED, b.SEED) == (5, 0) and a.MODEL.P2SEG.SEMANTIC.DEPTH and b.MODEL.DEPTH.CONSISTENCY
    assert not (tmp_path / "mine").exists()


def test_boxes_beside_points_make_stage_b_mixed(tmp_path):
    supervision = {
        kinds: configure_stages(request(tmp_path, kinds)).segmentor.cfg.MODEL.MASK_SUPERVISION
        for kinds in (KindCounts(point=3), KindCounts(point=3, mask=2), KindCounts(point=3, box=1))
    }
    assert list(supervision.values()) == ["mask", "mask", "mixed"]


@pytest.mark.parametrize(("kinds", "tested"), [(KindCounts(mask=9), True), (KindCounts(mask=8, box=1), False)])
def test_pseudo_masks_are_evaluated_where_every_object_has_a_mask(tmp_path, kinds, tested):
    val = Split(tmp_path / "val.json", tmp_path, {}, 4, 4, kinds)
    run = configure_stages(request(tmp_path, val=val))
    assert (("mine_val",) if tested else ()) == run.labeler.cfg.DATASETS.TEST
    assert run.segmentor.cfg.DATASETS.TEST == ("mine_val",)


def test_the_masks_of_stage_a_decide_on_the_crops_of_stage_b(tmp_path):
    asked = request(tmp_path)
    before = configure_segmentor(asked, None)
    assert before.data.object_share == 0 and not before.cfg.INPUT.CROP.ENABLED and before.data.train.objects == 300
    images = [{"id": 1, "file_name": "a.png", "height": 128, "width": 128}]
    entry = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [3, 4, 8, 8], "area": 64, "score": 0.5}
    entry["segmentation"] = [[3, 4, 11, 4, 11, 12, 3, 12]]
    content = {
        "images": images,
        "annotations": [entry],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    labels = tmp_path / "mine" / "labels.json"
    labels.parent.mkdir()
    labels.write_text(json.dumps(content))
    after = configure_segmentor(asked, labels)
    assert after.data.object_share == 8 / 128 and after.cfg.INPUT.CROP.ENABLED and after.data.train.objects == 1
    labels.write_text(json.dumps({**content, "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "cow"}]}))
    with pytest.raises(OwnDataError, match=r"labels.json has the classes cat, cow, but the data have cat, dog"):
        configure_segmentor(asked, labels)


def test_the_plan_names_both_stages_in_80_columns(tmp_path):
    text = format_staged_plan(configure_stages(request(tmp_path, iterations=40)))
    assert max(map(len, text.splitlines())) <= 79
    starts = [line[:10].strip() for line in text.splitlines()]
    kept = [name for name in starts if name in ("class map", "stage A", "labels", "stage B", "length", "output")]
    assert kept == ["stage A", "class map", "length", "output", "labels", "stage B", "length", "output"]
    joined = " ".join(" ".join(line[10:52] for line in text.splitlines()).split())
    for part in ("20 images with 300 objects: 300 points", "threshold or geodesic", "300 masks in"):
        assert part in joined
    assert joined.count("40 iterations, 8.0 epochs") == 2, "4 of 20 images per iteration"
    only_b = dataclasses.replace(configure_stages(request(tmp_path)), has_labels=True)
    only_b = dataclasses.replace(
        only_b,
        request=dataclasses.replace(only_b.request, training=dataclasses.replace(only_b.request.training, stage="b")),
    )
    text = format_staged_plan(only_b)
    assert "stage A" not in text and "read from" in text and "crops, if" not in text


def test_wrong_stages_and_missing_masks_are_named(tmp_path):
    with pytest.raises(ConfigError, match="--stage is a or b, not 'c'"):
        configure_stages(request(tmp_path, stage="c"))
    with pytest.raises(FileNotFoundError, match=r"labels.json does not exist .*run --stage a first"):
        configure_stages(request(tmp_path, stage="b"))
    with pytest.raises(FileNotFoundError, match="correct --class-maps"):
        configure_stages(request(tmp_path, class_maps=tmp_path / "gone"))
