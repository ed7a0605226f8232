"""Every config with tiny images: two iterations, the second one with its teacher, and an evaluation."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from PIL import Image
from pycocotools import mask as coco_mask

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.data.cityscapes.instances import CLASSES
from depthbox.data.class_maps.ground_truth import write_class_maps
from depthbox.data.datasets import register_from_config
from depthbox.data.synthetic.write import write_dataset
from depthbox.distillation.labelers import teacher_start
from depthbox.engine import Trainer
from depthbox.evaluation.coco_ground_truth import read_annotations_alone

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if not path.name.startswith("Base"))
LABELS = dict(enumerate(CLASSES, start=1))  # category of the JSON file -> label of Cityscapes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two scenes with depth in the folders of Cityscapes, for both evaluators."""
    root = tmp_path_factory.mktemp("tiny")
    data = json.loads(write_dataset(root / "scenes", 2, height=64, width=80, split="val").read_text())
    for number, image in enumerate(data["images"]):
        name = f"val/tiny/tiny_000000_{number:06d}_leftImg8bit.png"
        ids = np.zeros((64, 80), dtype=np.uint16)
        for row in data["annotations"]:
            if row["image_id"] == image["id"]:
                ids[coco_mask.decode(row["segmentation"]) > 0] = LABELS[row["category_id"]] * 1000 + row["id"]
        truth = root / "gtFine" / name.replace("leftImg8bit", "gtFine_instanceIds")
        for target in (root / "leftImg8bit" / name, root / "depth" / name, truth):
            target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "scenes" / "val" / image["file_name"], root / "leftImg8bit" / name)
        shutil.copy(root / "scenes" / "depth_val" / image["file_name"], root / "depth" / name)
        Image.fromarray(ids).save(truth)
        image["file_name"] = name
    (root / "instances.json").write_text(json.dumps(data))
    return root


def tiny_data(folder: Path, num_classes: int) -> str:
    """Return DATASETS.COCO_STYLE with the scenes as ``tiny_<num_classes>``, their objects spread over the classes.

    ``tiny_maps_<num_classes>`` also has class maps of the ground truth.
    """
    data = json.loads((folder / "instances.json").read_text())
    names = list(CLASSES.values()) if num_classes == len(CLASSES) else [f"class {n}" for n in range(num_classes)]
    data["categories"] = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    for row in data["annotations"]:
        row["category_id"] = (row["category_id"] - 1) % num_classes + 1
    target = folder / f"instances_{num_classes}.json"
    target.write_text(json.dumps(data))
    write_class_maps(read_annotations_alone(target).annotations, folder / f"class_maps_{num_classes}")
    entry = [str(target), f"{folder}/leftImg8bit", f"{folder}/depth"]
    maps = [f"tiny_maps_{num_classes}", *entry, f"{folder}/class_maps_{num_classes}"]
    return repr([[f"tiny_{num_classes}", *entry], maps])


def shrunk(path: Path, folder: Path, output: Path) -> CfgNode:
    """Load a config with its architecture, losses, optimizer and evaluator, for tiny images and two iterations."""
    cfg = load_config(add_depthbox_config, str(path))
    mask_rcnn = cfg.MODEL.META_ARCHITECTURE == "GeneralizedRCNN"
    nodes = {"GeneralizedRCNN": cfg.MODEL.ROI_HEADS, "P2Seg": cfg.MODEL.P2SEG}
    classes = nodes.get(cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.FCOS).NUM_CLASSES
    teacher_size = 96 if cfg.MODEL.DISTILL.TEACHER_MIN_SIZE > 0 else 0
    overrides = {
        "MODEL.DEVICE": "cpu",
        "MODEL.WEIGHTS": "",
        # Activations of a deep ResNet with random weights overflow without normalization.
        "MODEL.RESNETS.NORM": "BN" if mask_rcnn else cfg.MODEL.RESNETS.NORM,
        "MODEL.TIMM.PRETRAINED": False,
        "MODEL.TIMM.WEIGHTS": "",
        "MODEL.FCOS.INFERENCE_TH": 0.0005,  # the scores of an untrained network are low
        "MODEL.P2SEG.SEMANTIC.SOURCE": "geodesic",  # the scenes have no files of class maps
        "MODEL.DISTILL.START_ITER": 1,
        "MODEL.DISTILL.TEACHER_MIN_SIZE": teacher_size,
        "MODEL.DISTILL.SCORE_THRESH": 0.0,
        "MODEL.P2SEG.SEMANTIC.WARMUP_ITERS": 1,
        "DATASETS.COCO_STYLE": tiny_data(folder, classes),
        "DATASETS.TRAIN": (
            f"tiny_maps_{classes}" if cfg.MODEL.P2SEG.SEMANTIC.SOURCE == "files" else f"tiny_{classes}",
        ),
        "DATASETS.TEST": (f"tiny_{classes}",),
        "DATALOADER.NUM_WORKERS": 0,
        "INPUT.MIN_SIZE_TRAIN": (64, 64),
        "INPUT.MAX_SIZE_TRAIN": 96,
        "INPUT.MIN_SIZE_TEST": 64,
        "INPUT.MAX_SIZE_TEST": 96,
        "SOLVER.IMS_PER_BATCH": 2,
        "SOLVER.REFERENCE_BATCH_SIZE": 0,
        "SOLVER.ACCUMULATION_STEPS": 1,
        "SOLVER.AMP.ENABLED": False,
        "SOLVER.STEPS": (1,),
        "SOLVER.MAX_ITER": 2,
        "SEED": 1,
        "OUTPUT_DIR": output,
    }
    words = [str(word) for pair in overrides.items() for word in pair]
    return load_config(add_depthbox_config, str(path), words)


def expected_losses(cfg: CfgNode) -> set[str]:
    """Return the names of the losses of a config."""
    if cfg.MODEL.META_ARCHITECTURE == "GeneralizedRCNN":
        return {"loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc"}
    if cfg.MODEL.META_ARCHITECTURE == "P2Seg":
        node = cfg.MODEL.P2SEG.SEMANTIC
        learned = {"loss_seeds", "loss_class_color", *(["loss_class_depth"] if node.DEPTH else [])}
        direct = {"loss_seg_direct"} if cfg.MODEL.P2SEG.DIRECT_WEIGHT > 0 else set()
        return {"loss_seg", "loss_offset", "loss_affinity"} | direct | (learned if node.SOURCE == "points" else set())
    model = cfg.MODEL
    quality = "ctr" if model.FCOS.BOX_QUALITY == "centerness" else "iou"
    losses = {"loss_fcos_cls", "loss_fcos_loc", f"loss_fcos_{quality}"}
    if model.MASK_SUPERVISION != "mask":
        losses |= {"loss_projection", "loss_color_pairwise"}
    if model.MASK_SUPERVISION != "box":
        losses |= {"loss_mask"}
    if model.DEPTH.CONSISTENCY:
        losses |= {"loss_depth_consistency"}
    if model.DEPTH.LAYER and model.DEPTH.LOSS_WEIGHT > 0:
        losses |= {"loss_depth"}
    if model.DISTILL.ENABLED and model.DISTILL.LOSS_WEIGHT > 0:
        losses |= {"loss_pseudo_mask"}
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_two_iterations_and_an_evaluation(path: Path, folder: Path, tmp_path: Path) -> None:
    cfg = shrunk(path, folder, tmp_path)
    if cfg.TEST.EVALUATOR == "cityscapes":
        pytest.importorskip("cityscapesscripts")
    register_from_config(cfg)
    try:
        trainer = Trainer(cfg)
        trainer.resume_or_load(False)
        before = {name: value.clone() for name, value in trainer.network.named_parameters() if value.requires_grad}
        results = trainer.train()
        files = {file.name for file in tmp_path.iterdir()}
    finally:
        for checkpoint in tmp_path.glob("*.pth"):  # a gigabyte each
            checkpoint.unlink()

    last = {name: value for name, (value, iteration) in trainer.storage.latest().items() if iteration == 1}
    losses = {name: value for name, value in last.items() if name.startswith("loss_")}
    assert losses.keys() == expected_losses(cfg)
    assert all(math.isfinite(value) for value in losses.values())
    assert {"model_final.pth", "metrics.json"} <= files
    moved = {name for name, value in trainer.network.named_parameters() if value.requires_grad}
    moved = {name for name in moved if not torch.equal(before[name], trainer.network.get_parameter(name))}
    assert len(moved) > 0.5 * len(before)
    assert 0 <= results["segm"]["mAP50" if cfg.TEST.EVALUATOR == "voc_masks" else "AP"] <= 100

    teacher = trainer.distillation.teacher if trainer.distillation is not None else None
    assert (teacher is not None) == (teacher_start(cfg) is not None) == ("teacher_time" in last)
    if cfg.MODEL.DISTILL.ENABLED:
        assert last["distill/matched"] > 0
        assert (losses["loss_pseudo_mask"] > 0) == (last["distill/reliable"] > 0)
