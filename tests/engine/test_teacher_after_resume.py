"""Evaluation right after a resume: the teacher is scored, and the best file holds the network that was scored."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.data import register_from_config
from depthbox.data.synthetic.write import write_dataset
from depthbox.engine import Trainer
from depthbox.engine.evaluation import find_scored_network
from depthbox.engine.resume import check_length
from depthbox.engine.run import run


def make_cfg(folder: Path, evaluate: str, *more: str) -> CfgNode:
    if not (folder / "train").exists():
        write_dataset(folder, 4, height=64, width=96, split="train")
    name = f"few_{folder.name}"
    entry = [[name, f"{folder}/instances_train.json", f"{folder}/train", f"{folder}/depth_train"]]
    words = [
        *("DATASETS.COCO_STYLE", repr(entry), "DATASETS.TRAIN", f"('{name}',)", "DATASETS.TEST", f"('{name}',)"),
        *("MODEL.FPN.OUT_CHANNELS", "32", "SEED", "1", "OUTPUT_DIR", str(folder / "run"), "SOLVER.BASE_LR", "0.05"),
        *("MODEL.DISTILL.ENABLED", "True", "MODEL.DISTILL.BETA", "0.0", "MODEL.DISTILL.START_ITER", "1"),
        *("MODEL.DISTILL.TEACHER_MIN_SIZE", "0", "TEST.EVALUATE", evaluate, "INPUT.MIN_SIZE_TRAIN", "(64,)"),
        *("SOLVER.IMS_PER_BATCH", "2", "SOLVER.MAX_ITER", "3", "SOLVER.STEPS", "(2,)", "SOLVER.WARMUP_ITERS", "0"),
    ]
    return load_config(add_depthbox_config, "tests/tiny.yaml", [*words, *more])


def score(weights: dict[str, Tensor]) -> float:
    return float(weights["controller.weight"].double().sum()) * 1000


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the evaluation of a network by a number that depends on its weights; return the list of the numbers."""
    scores: list[float] = []

    def evaluate(cfg: CfgNode, model: nn.Module) -> OrderedDict[str, Any]:
        if scores == [-1.0]:
            raise KeyboardInterrupt
        scores.append(score(model.state_dict()))
        return OrderedDict(segm={"AP": scores[-1]})

    monkeypatch.setattr("depthbox.engine.evaluation.evaluate_network", evaluate)
    return scores


def train(cfg: CfgNode, resume: bool) -> Trainer:
    register_from_config(cfg)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    trainer.train()
    return trainer


def read(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def read_networks(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    state = read(folder / "run" / "model_final.pth")
    return state["model"], state["trainer"]["hooks"]["SelfDistillation"]["teacher"]


@pytest.mark.parametrize("killed", [False, True], ids=["finished", "killed in the last evaluation"])
def test_the_teacher_is_evaluated_right_after_a_resume(tmp_path: Path, evaluations: list[float], killed: bool) -> None:
    cfg = make_cfg(tmp_path, "teacher")
    if killed:
        evaluations.append(-1.0)
        with pytest.raises(KeyboardInterrupt):
            train(cfg, resume=False)
    else:
        train(make_cfg(tmp_path, "student"), resume=False)
    evaluations.clear()
    (tmp_path / "run" / "model_best.pth").unlink(missing_ok=True)
    resumed = train(cfg, resume=True)
    student, teacher = read_networks(tmp_path)
    assert score(student) != score(teacher)
    assert evaluations == [score(teacher)] and resumed.results["segm"]["AP"] == score(teacher)
    best = read(tmp_path / "run" / "model_best.pth")
    assert best["best"]["network"] == "teacher" and best["best"]["value"] == score(best["model"]) == score(teacher)
    evaluations.clear()
    assert train(cfg, resume=True).results["segm"]["AP"] == score(teacher) and not evaluations


@pytest.mark.parametrize(("metric", "network"), [("segm/AP", "student"), ("teacher_segm/AP", "teacher")])
def test_the_best_file_holds_the_network_of_the_metric(
    tmp_path: Path, evaluations: list[float], metric: str, network: str
) -> None:
    cfg = make_cfg(tmp_path, "both", "TEST.BEST_METRIC", metric)
    results = train(cfg, resume=False).results
    student, teacher = read_networks(tmp_path)
    assert (results["segm"]["AP"], results["teacher_segm"]["AP"]) == (score(student), score(teacher))
    best = read(tmp_path / "run" / "model_best.pth")
    expected = {"student": student, "teacher": teacher}[network]
    assert best["best"]["network"] == network and best["best"]["metric"] == metric
    assert all(torch.equal(best["model"][name], value) for name, value in expected.items())


def test_evaluation_of_the_best_file_evaluates_its_network(
    tmp_path: Path, evaluations: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = make_cfg(tmp_path, "teacher")
    train(cfg, resume=False)
    _, teacher = read_networks(tmp_path)
    monkeypatch.setattr(
        "depthbox.engine.run.evaluate_network", lambda cfg, model: {"segm": {"AP": score(model.state_dict())}}
    )
    for choice in ("teacher", "both", "student"):
        again = make_cfg(
            *(tmp_path, choice, "MODEL.WEIGHTS", str(tmp_path / "run/model_best.pth")),
            *("OUTPUT_DIR", str(tmp_path / "eval")),
        )
        assert run(again, eval_only=True) == {"segm": {"AP": score(teacher)}}


def test_networks_of_metrics() -> None:
    student, teacher = nn.Linear(1, 1), nn.Linear(1, 1)
    for choice, metric, name in (
        ("student", "segm/AP", "student"),
        ("teacher", "segm/AP", "teacher"),
        ("both", "segm/AP", "student"),
        ("both", "teacher_bbox/AP", "teacher"),
        ("both", "teacher_cars/segm/AP", "teacher"),
    ):
        found = find_scored_network(metric, student, teacher, choice)
        assert found.name == name and found.network is {"student": student, "teacher": teacher}[name]
        assert find_scored_network(metric, student, None, choice).network is student


def test_a_checkpoint_beyond_the_end_of_the_run_is_refused_in_words(tmp_path: Path) -> None:
    check_length(5, 5, tmp_path / "model_final.pth")
    with pytest.raises(ValueError, match=r"model_final\.pth has 6 iterations.*after 5 .*raise SOLVER\.MAX_ITER.*eval"):
        check_length(6, 5, tmp_path / "model_final.pth")
