"""Detectron2's Mask R-CNN in our trainer on a labels.json of pseudo masks: training, evaluation, resuming."""

import json
import math
from pathlib import Path

import pytest
import torch
from pseudo_label_toy import SIZE, write_labels

from depthbox import add_depthbox_config
from depthbox.config import ConfigError, load_config
from depthbox.data import register_from_config
from depthbox.data.mapper import BoxDepthMapper
from depthbox.engine import Trainer
from depthbox.engine.run import run

CONFIG = Path(__file__).parents[2] / "configs" / "p2seg" / "stage_b_mask_rcnn_R_50.yaml"
LOSSES = {"loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc"}


def small(entry, output, **more):
    """Return the config with a small network, for the toy data."""
    keys = {
        "MODEL.DEVICE": "cpu",
        "MODEL.WEIGHTS": "",
        "MODEL.RESNETS.DEPTH": 18,
        "MODEL.RESNETS.RES2_OUT_CHANNELS": 64,
        "MODEL.FPN.OUT_CHANNELS": 16,
        "MODEL.ROI_BOX_HEAD.FC_DIM": 32,
        "MODEL.ROI_MASK_HEAD.CONV_DIM": 16,
        "MODEL.ROI_HEADS.NUM_CLASSES": 2,
        "DATASETS.COCO_STYLE": [entry],
        "DATASETS.TRAIN": (entry[0],),
        "DATASETS.TEST": (entry[0],),
        "DATALOADER.NUM_WORKERS": 0,
        "INPUT.MIN_SIZE_TRAIN": (SIZE[0],),
        "INPUT.MIN_SIZE_TEST": SIZE[0],
        "SOLVER.IMS_PER_BATCH": 2,
        "SOLVER.REFERENCE_BATCH_SIZE": 0,
        "SOLVER.MAX_ITER": 2,
        "SOLVER.STEPS": (1,),
        "SOLVER.CHECKPOINT_PERIOD": 1,
        "TEST.EVAL_PERIOD": 0,
        "SEED": 1,
        "OUTPUT_DIR": str(output),
    }
    keys |= {name.replace("__", "."): value for name, value in more.items()}
    return load_config(add_depthbox_config, str(CONFIG), [str(word) for pair in keys.items() for word in pair])


@pytest.fixture
def entry(tmp_path):
    return write_labels(tmp_path / "data")


def test_the_mapper_provides_the_pseudo_masks(entry, tmp_path):
    cfg = small(entry, tmp_path / "run", INPUT__RANDOM_FLIP="none")
    register_from_config(cfg)
    record = next(iter(Trainer.build_train_loader(cfg)))[0]
    content = json.loads(Path(entry[1]).read_text())["annotations"]
    areas = sorted(a["area"] for a in content if a["image_id"] == record["image_id"])
    instances = record["instances"]
    assert type(instances.gt_masks).__name__ == "BitMasks"
    assert sorted(instances.gt_masks.tensor.sum((1, 2)).tolist()) == areas
    assert not instances.has("gt_has_mask") and BoxDepthMapper(cfg).fields == ("gt_masks",)


@pytest.mark.parametrize("evaluator", ["coco", "voc_masks"])
def test_a_training_step_and_an_evaluation(entry, tmp_path, evaluator):
    keys = {"TEST__EVALUATOR": evaluator, "TEST__BEST_METRIC": "segm/mAP25"}
    # An untrained network has low scores.
    cfg = small(entry, tmp_path / "run", MODEL__ROI_HEADS__SCORE_THRESH_TEST=0.0, **keys)
    results = run(cfg)
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.json").read_text().splitlines()]
    losses = {name: value for name, value in metrics[0].items() if name.startswith("loss_")}
    assert losses.keys() == LOSSES and all(0 < value < 10 for value in losses.values())
    found = json.loads(next((tmp_path / "run" / "inference").rglob("coco_instances_results.json")).read_text())
    assert found and all(row["segmentation"]["size"] == list(SIZE) for row in found)
    key = "mAP50" if evaluator == "voc_masks" else "AP"
    assert 0 <= results["segm"][key] <= 100 and not math.isnan(results["segm"][key])
    best = torch.load(tmp_path / "run" / "model_best.pth", weights_only=False)["best"]
    assert best["metric"] == ("segm/mAP25" if evaluator == "voc_masks" else "bbox/AP")


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(entry, tmp_path):
    keys = {"SOLVER__MAX_ITER": 3, "SOLVER__STEPS": (2,), "DATASETS__TEST": ()}
    run(small(entry, tmp_path / "whole", **keys))
    run(small(entry, tmp_path / "parts", **keys))
    (tmp_path / "parts" / "model_final.pth").unlink()
    (tmp_path / "parts" / "last_checkpoint").write_text("model_0000000.pth")
    run(small(entry, tmp_path / "parts", **keys), resume=True)
    whole, parts = (
        torch.load(tmp_path / name / "model_final.pth", weights_only=False)["model"] for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)
    first = torch.load(tmp_path / "parts" / "model_0000000.pth", weights_only=False)["model"]
    moved = [name for name in whole if not torch.equal(whole[name], first[name])]
    assert any("mask_head" in name for name in moved)


@pytest.mark.parametrize("kind", ["box", "mixed"])
def test_supervision_that_mask_rcnn_cannot_use_is_refused(entry, tmp_path, kind):
    message = f"MODEL.MASK_SUPERVISION is '{kind}', but GeneralizedRCNN with MODEL.MASK_ON True .* write mask"
    with pytest.raises(ConfigError, match=message):
        small(entry, tmp_path, MODEL__MASK_SUPERVISION=kind)
    assert kind == small(entry, tmp_path, MODEL__MASK_SUPERVISION=kind, MODEL__MASK_ON=False).MODEL.MASK_SUPERVISION


def test_too_few_classes_are_refused_before_training(tmp_path):
    entry = write_labels(tmp_path / "data", classes=3)
    message = r"has 3 classes, but MODEL\.ROI_HEADS\.NUM_CLASSES is 2: set it to 3"
    with pytest.raises(ValueError, match=message):
        run(small(entry, tmp_path / "run"))
    assert not (tmp_path / "run" / "metrics.json").exists()
