"""A tiny meta-architecture and dataset for tests of the engine; also a script like tools/train_net.py."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from PIL import Image
from torch import nn

from depthbox.cli.main import run_tool
from depthbox.config import load_config
from depthbox.config.defaults import add_depthbox_config
from depthbox.engine import launch
from depthbox.engine.run import run

SIZE = (24, 32)


@META_ARCH_REGISTRY.register()
class ToyDetector(nn.Module):
    """Detector of one box per image. Its losses are means over images; a poisoned image makes a loss NaN."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 8, 3, stride=4)
        self.norm = nn.GroupNorm(2, 8)
        self.dropout = nn.Dropout(cfg.TOY.DROPOUT)
        self.head = nn.Linear(8, 5)
        self.poison = cfg.TOY.POISON_ID
        self.nap = cfg.TOY.NAP
        self.bug_rank = cfg.TOY.BUG_RANK

    def forward(self, batch):
        device = self.head.weight.device
        images = torch.stack([item["image"].float() / 255 for item in batch]).to(device)
        outputs = self.head(self.dropout(self.norm(self.backbone(images)).amax(dim=(2, 3)))).float()
        if not self.training:
            return [{"instances": self._detection(o, item)} for o, item in zip(outputs, batch, strict=True)]
        time.sleep(self.nap)
        if self.bug_rank == comm.get_rank():
            raise KeyError("a bug of the toy")
        target = torch.stack([item["instances"].gt_boxes.tensor.mean(0) / SIZE[1] for item in batch]).to(device)
        poisoned = torch.tensor([float("nan") if item["image_id"] == self.poison else 0.0 for item in batch])
        loss_box = (outputs[:, :4] - target).square().mean() + poisoned.sum().to(device)
        return {"loss_box": loss_box, "loss_score": (outputs[:, 4] - 1).square().mean()}

    def _detection(self, output, item):
        result = Instances((item["height"], item["width"]))
        result.pred_boxes = Boxes(output[None, :4] * SIZE[1])
        result.scores = output[4:].sigmoid()
        result.pred_classes = torch.zeros(1, dtype=torch.int64)
        return result


def add_toy_config(cfg: CfgNode) -> None:
    """Add the keys of the project and of the toy network."""
    add_depthbox_config(cfg)
    cfg.TOY = CfgNode({"DROPOUT": 0.2, "POISON_ID": -1, "NAP": 0.0, "BUG_RANK": -1})


def write_dataset(folder: Path, count: int = 7) -> list[str]:
    """Write a COCO-style dataset, and return its entry of DATASETS.COCO_STYLE."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(1, count + 1):
        height, width = SIZE
        pixels = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": height, "width": width})
        x, y = (int(v) for v in rng.integers(0, 12, 2))
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "bbox": [x, y, 10, 8],
                "area": 80,
                "iscrowd": 0,
            }
        )
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (folder / "annotations.json").write_text(json.dumps(content))
    return [f"toy-{folder}", str(folder / "annotations.json"), str(folder / "images"), ""]


def toy_overrides(entry: list[str], output: Path, **more: object) -> list[str]:
    """Return the KEY VALUE pairs of a toy run."""
    keys = {
        "DATASETS.COCO_STYLE": [entry],
        "DATASETS.TRAIN": (entry[0],),
        "MODEL.META_ARCHITECTURE": "ToyDetector",
        "MODEL.DEVICE": "cpu",
        "MODEL.WEIGHTS": "",
        "INPUT.MIN_SIZE_TRAIN": (SIZE[0],),
        "INPUT.MIN_SIZE_TEST": SIZE[0],
        "DATALOADER.NUM_WORKERS": 0,
        "DATALOADER.ASPECT_RATIO_GROUPING": False,
        "SOLVER.IMS_PER_BATCH": 4,
        "SOLVER.REFERENCE_BATCH_SIZE": 0,
        "SOLVER.BASE_LR": 0.004,
        "SOLVER.MAX_ITER": 12,
        "SOLVER.STEPS": (9,),
        "SOLVER.WARMUP_ITERS": 5,
        "SOLVER.CHECKPOINT_PERIOD": 4,
        "SEED": 3,
        "OUTPUT_DIR": str(output),
    }
    keys.update({name.replace("__", "."): value for name, value in more.items()})
    return [word for key, value in keys.items() for word in (key, str(value))]


def toy_config(entry: list[str], output: Path, **more: object) -> CfgNode:
    """Return the config of a toy run; keys of ``more`` have __ instead of dots."""
    return load_config(add_toy_config, overrides=toy_overrides(entry, output, **more))


def main() -> None:
    """Train as tools/train_net.py does: PROCESSES new|resume KEY VALUE ..."""
    torch.set_num_threads(1)
    processes, resume, *overrides = sys.argv[1:]
    cfg = load_config(add_toy_config, overrides=overrides)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    launch(functools.partial(run, cfg, resume=resume == "resume"), num_processes=int(processes), device="cpu")


if __name__ == "__main__":
    sys.exit(run_tool(main))
