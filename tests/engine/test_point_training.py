"""Training of P2Seg: resumed bit for bit, with a learned class map and its teacher, and with known masks."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from torch import Tensor

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.data.datasets import register_from_config
from depthbox.data.synthetic.write import write_dataset
from depthbox.engine import Trainer


def write_points(folder: Path, kinds: tuple[str, ...] = ("point",)) -> Path:
    """Write four scenes whose objects have a point, a box or a mask in turn."""
    source = write_dataset(folder, 4, height=64, width=96, split="train")
    content = json.loads(source.read_text())
    for number, entry in enumerate(content["annotations"]):
        x, y, width, height = entry["bbox"]
        kind = kinds[number % len(kinds)]
        entry |= {"point_coords": [[x + width / 2, y + height / 2]], "point_labels": [1]}
        for key in {"point": ("bbox", "segmentation"), "box": ("segmentation",), "mask": ()}[kind]:
            del entry[key]
    target = folder / "points.json"
    target.write_text(json.dumps(content))
    return target


def config(folder: Path, output: str, json_file: Path, *more: str) -> CfgNode:
    name = f"points_{folder.parent.name}_{folder.name}"
    entry = [[name, str(json_file), f"{folder}/train", f"{folder}/depth_train"]]
    words = [
        *("MODEL.META_ARCHITECTURE", "P2Seg", "MODEL.FPN.TOP_LEVELS", "False", "MODEL.TIMM.FINEST_STRIDE", "4"),
        *("MODEL.FPN.OUT_CHANNELS", "16", "MODEL.TIMM.FREEZE_NORM", "True", "MODEL.P2SEG.NUM_CLASSES", "8"),
        *("MODEL.P2SEG.HEAD_CHANNELS", "16", "MODEL.P2SEG.AFFINITY_CHANNELS", "8", "MODEL.P2SEG.MIN_AREA", "10"),
        *("DATASETS.COCO_STYLE", repr(entry), "DATASETS.TRAIN", f"('{name}',)", "DATASETS.TEST", "()"),
        *("INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.CROP.ENABLED", "True", "INPUT.CROP.SIZE", "[0.8, 0.8]"),
        *("SOLVER.IMS_PER_BATCH", "2", "SOLVER.MAX_ITER", "6", "SOLVER.WARMUP_ITERS", "2", "SOLVER.STEPS", "()"),
        *("SOLVER.CHECKPOINT_PERIOD", "4", "SEED", "5", "OUTPUT_DIR", str(folder / output)),
        *("MODEL.P2SEG.SEMANTIC.SOURCE", "geodesic"),
    ]
    return load_config(add_depthbox_config, "tests/tiny.yaml", [*words, *more])


def train(cfg: CfgNode, resume: bool = False) -> Trainer:
    register_from_config(cfg)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    trainer.train()
    return trainer


def tensors(folder: Path) -> dict[str, Tensor]:
    state: dict[str, Any] = torch.load(folder / "model_final.pth", weights_only=True)
    teacher = state["trainer"]["hooks"].get("SelfDistillation", {}).get("teacher", {})
    return {**state["model"], **{f"teacher {name}": value for name, value in teacher.items()}}


LEARNED = (
    *("MODEL.P2SEG.SEMANTIC.SOURCE", "points", "MODEL.P2SEG.SEMANTIC.WARMUP_ITERS", "2"),
    *("MODEL.P2SEG.SEMANTIC.DEPTH", "True", "INPUT.DEPTH.ENABLED", "True", "MODEL.DISTILL.EMA_MOMENTUM", "0.5"),
)


@pytest.mark.parametrize(
    "more",
    [("SOLVER.ACCUMULATION_STEPS", "2"), (*LEARNED, "SOLVER.AMP.ENABLED", "True")],
    ids=["given, accumulated", "learned, bfloat16"],
)
def test_resumed_run_is_equal_bit_for_bit(tmp_path: Path, more: tuple[str, ...]) -> None:
    data = write_points(tmp_path)
    whole = train(config(tmp_path, "whole", data, *more))
    assert (whole.distillation is not None) == ("points" in more)
    cfg = config(tmp_path, "parts", data, *more)
    register_from_config(cfg)
    first = Trainer(cfg)
    first.resume_or_load(False)
    first.before_step = stop_after(first, 4)  # type: ignore[method-assign]
    with pytest.raises(KeyError):
        first.train()
    train(cfg, resume=True)
    expected, found = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def stop_after(trainer: Trainer, iterations: int) -> Any:
    step = trainer.before_step

    def before_step() -> None:
        if trainer.iter == iterations:
            raise KeyError("stopped by the test")
        step()

    return before_step


def test_mixed_annotations_train(tmp_path: Path) -> None:
    trainer = train(config(tmp_path, "run", write_points(tmp_path, ("mask", "box", "point"))))
    latest = trainer.storage.latest()
    assert {name for name in latest if name.startswith("loss_")} == {"loss_seg", "loss_offset", "loss_affinity"}
    assert all(value == value for name, (value, _) in latest.items() if name.startswith("loss_"))
    assert latest["raw/affinity_initial"][0] > 0


def test_losses_of_a_learned_class_map_are_logged(tmp_path: Path) -> None:
    trainer = train(config(tmp_path, "run", write_points(tmp_path), *LEARNED))
    latest = trainer.storage.latest()
    assert {"loss_seeds", "loss_class_color", "loss_class_depth", "semantic/replaced", "semantic/known"} <= set(latest)
    assert 0 <= latest["semantic/replaced"][0] <= 1 and latest["semantic/known"][0] > 0
    assert trainer.distillation is not None and trainer.distillation.teacher is not None
