"""EMA teacher in the training loop: start, update, evaluation and checkpoints."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.utils.events import EventStorage
from torch import nn

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.data.synthetic.write import write_dataset
from depthbox.engine.distillation import SelfDistillation, load_teacher
from depthbox.engine.evaluation import check_evaluation_keys, evaluate_networks
from depthbox.engine.run import run
from depthbox.engine.step import Batch


class Recorder:
    """Replacement of the trainer: a network that a step changes, and the labeler of its batches."""

    def __init__(self, cfg: CfgNode) -> None:
        from detectron2.modeling import build_model

        self.network = build_model(cfg)
        self.iter = 0
        self.labeler: Any = None
        self.storage = EventStorage()


def tiny_cfg() -> CfgNode:
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.merge_from_file("tests/tiny.yaml")
    cfg.merge_from_list(["MODEL.FPN.OUT_CHANNELS", 32, "MODEL.CONDINST.MASK_BRANCH.CHANNELS", 16])
    cfg.merge_from_list(["MODEL.DISTILL.ENABLED", True, "MODEL.DISTILL.BETA", 0.0, "MODEL.DISTILL.START_ITER", 2])
    cfg.MODEL.DISTILL.EMA_MOMENTUM = 0.75
    return cfg


def batch() -> Batch:
    from detectron2.structures import Boxes, Instances

    instances = Instances((64, 64))
    instances.gt_boxes = Boxes(torch.tensor([[8.0, 8, 50, 50]]))
    instances.gt_classes = torch.tensor([1])
    image = torch.randint(0, 256, (3, 64, 64)).byte()
    return [{"image": image, "height": 64, "width": 64, "instances": instances}]


def steps(hook: SelfDistillation, trainer: Recorder, count: int) -> None:
    for _ in range(count):
        hook.before_step()
        if trainer.labeler is not None:
            assert trainer.labeler(batch())[0]["instances"].has("pseudo_masks")
        with torch.no_grad():
            trainer.network.controller.weight += 1
        hook.after_step()
        trainer.iter += 1


def test_teacher_starts_at_start_iter_and_follows_the_student() -> None:
    hook, trainer = SelfDistillation(tiny_cfg()), Recorder(tiny_cfg())
    hook.trainer = trainer
    steps(hook, trainer, 2)
    assert hook.teacher is None and trainer.labeler is None and hook.state_dict() == {}
    initial = trainer.network.controller.weight.clone()
    steps(hook, trainer, 2)
    # w + 0.25, then 0.75 (w + 0.25) + 0.25 (w + 2)
    torch.testing.assert_close(hook.teacher.controller.weight, initial + 0.75 * 0.25 + 0.5)
    assert not hook.teacher.training and not any(p.requires_grad for p in hook.teacher.parameters())
    assert set(trainer.storage.latest()) >= {"teacher_time", "distill/reliable", "distill/matched"}


def test_teacher_is_resumed_from_a_checkpoint_and_a_missing_one_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    first, trainer = SelfDistillation(tiny_cfg()), Recorder(tiny_cfg())
    first.trainer = trainer
    steps(first, trainer, 4)
    second, again = SelfDistillation(tiny_cfg()), Recorder(tiny_cfg())
    second.trainer, again.iter = again, 4
    second.load_state_dict(first.state_dict())
    second.before_step()
    for name, value in first.teacher.state_dict().items():
        assert torch.equal(second.teacher.state_dict()[name], value), name
    third, delayed = SelfDistillation(tiny_cfg()), Recorder(tiny_cfg())
    third.trainer, delayed.iter = delayed, 4
    with caplog.at_level("WARNING"):
        third.before_step()
    assert "the teacher starts at iteration 4, as a copy of the student" in caplog.text


def test_evaluated_networks() -> None:
    student, teacher = nn.Linear(1, 1), nn.Linear(1, 1)
    asked = []

    def check(network: nn.Module) -> OrderedDict[str, Any]:
        asked.append(network)
        return OrderedDict(segm={"AP": float(len(asked))})

    assert evaluate_networks(check, student, teacher, "student") == {"segm": {"AP": 1.0}}
    assert evaluate_networks(check, student, teacher, "teacher") == {"segm": {"AP": 2.0}}
    assert evaluate_networks(check, student, None, "teacher") == {"segm": {"AP": 3.0}}
    both = evaluate_networks(check, student, teacher, "both")
    assert both == {"segm": {"AP": 4.0}, "teacher_segm": {"AP": 5.0}}
    assert asked == [student, teacher, student, student, teacher]


def test_unknown_evaluated_network_is_refused() -> None:
    cfg = tiny_cfg()
    cfg.TEST.EVALUATE = "pupil"
    with pytest.raises(ValueError, match="not 'pupil'"):
        check_evaluation_keys(cfg)


def test_checkpoint_without_teacher_is_named(tmp_path: Path) -> None:
    network = nn.Linear(2, 2)
    state = {
        "trainer": {"hooks": {"SelfDistillation": {"teacher": {k: v + 1 for k, v in network.state_dict().items()}}}}
    }
    expected = network.weight + 1
    load_teacher(network, state, "a.pth")
    assert torch.equal(network.weight, expected)
    with pytest.raises(ValueError, match=r"a.pth holds no teacher"):
        load_teacher(network, {"trainer": {"iteration": 3}}, "a.pth")
    torch.save({"model": network.state_dict()}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights.pth holds no teacher"):
        load_teacher(network, None, str(tmp_path / "weights.pth"))


def test_train_then_evaluate_both(tmp_path: Path) -> None:
    """Train beyond START_ITER, evaluate student and teacher, and evaluate both again from the checkpoint."""
    write_dataset(tmp_path, 4, height=64, width=96, split="train")
    entry = [["few", f"{tmp_path}/instances_train.json", f"{tmp_path}/train", f"{tmp_path}/depth_train"]]
    words = [
        *("DATASETS.COCO_STYLE", repr(entry), "DATASETS.TRAIN", "('few',)", "DATASETS.TEST", "('few',)"),
        *("MODEL.FPN.OUT_CHANNELS", "32", "SEED", "1", "OUTPUT_DIR", str(tmp_path / "run")),
        *("INPUT.DEPTH.ENABLED", "True"),
        *("MODEL.DEPTH.LAYER", "True", "MODEL.DEPTH.CONSISTENCY", "True", "MODEL.DISTILL.ENABLED", "True"),
        *("MODEL.DISTILL.START_ITER", "1", "MODEL.DISTILL.TEACHER_MIN_SIZE", "96", "TEST.EVALUATE", "both"),
        *("SOLVER.IMS_PER_BATCH", "2", "SOLVER.MAX_ITER", "3", "SOLVER.STEPS", "(2,)", "INPUT.MIN_SIZE_TRAIN", "(64,)"),
        *("SOLVER.ACCUMULATION_STEPS", "2", "SOLVER.AMP.ENABLED", "True"),
    ]  # fmt: skip
    cfg = load_config(add_depthbox_config, "tests/tiny.yaml", words)
    trained = run(cfg)
    assert {"bbox", "segm", "teacher_bbox", "teacher_segm"} <= set(trained)
    state = torch.load(tmp_path / "run" / "model_final.pth", weights_only=True)
    assert "SelfDistillation" in state["trainer"]["hooks"]
    again = run(cfg, resume=True, eval_only=True)
    for task in ("segm", "teacher_segm"):
        assert again[task] == pytest.approx(trained[task], nan_ok=True)
