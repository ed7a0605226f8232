"""Weights of a run's folder, runs that are set aside and restored, diverged weights, and the report of loading."""

from pathlib import Path

import pytest
import torch

from depthbox.checkpoint.divergence import check_finite, format_divergence_advice
from depthbox.checkpoint.earlier_runs import complete_set_aside, follow_weights, is_run, restore_run, set_aside_run
from depthbox.checkpoint.load_report import LoadReport
from depthbox.checkpoint.run_weights import find_weights
from depthbox.checkpoint.store import CheckpointStore
from depthbox.checkpoint.training_state import find_teacher


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every file in a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write_run(folder: Path) -> None:
    """Write the files of a small run with its own annotations, and a note of the user."""
    for name in ("model_0000004.pth", "model_final.pth", "last_checkpoint", "metrics.json", "inference/coco/a.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    (folder / "data").mkdir()
    (folder / "data" / "train.json").write_text("{}")
    entry = f"[[own, {folder}/data/train.json, images, '']]"
    (folder / "config.yaml").write_text(f"DATASETS:\n  COCO_STYLE: {entry}\nOUTPUT_DIR: {folder}\n")
    (folder / "notes.txt").write_text("of the user")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((), None),
        (("model_0000099.pth", "last_checkpoint"), None),
        (("model_final.pth",), "model_final.pth"),
        (("model_final.pth", "model_best.pth"), "model_best.pth"),
        (("model_best.pth", "model_0000099.pth"), "model_best.pth"),
    ],
)
def test_the_best_weights_come_before_the_final_ones(tmp_path: Path, files: tuple[str, ...], expected: str) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    found = find_weights(tmp_path)
    assert found == (tmp_path / expected if expected else None)
    assert find_weights(str(tmp_path)) == found


def test_folders_and_missing_runs_are_not_weights(tmp_path: Path) -> None:
    (tmp_path / "model_best.pth").mkdir()
    assert find_weights(tmp_path) is None
    assert find_weights(tmp_path / "missing") is None


def test_a_run_that_was_set_aside_is_restored_byte_for_byte(tmp_path: Path) -> None:
    write_run(tmp_path)
    before = contents(tmp_path)
    aside = set_aside_run(tmp_path)
    assert aside == tmp_path / "earlier_1" and not is_run(tmp_path) and is_run(aside)
    assert (tmp_path / "notes.txt").is_file()
    restore_run(tmp_path, aside, {"config.yaml": before["config.yaml"]})
    assert contents(tmp_path) == before and not aside.exists()


def test_a_run_without_a_config_is_restored(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "config.yaml").unlink()
    before = contents(tmp_path)
    aside = set_aside_run(tmp_path)
    restore_run(tmp_path, aside, {})
    assert contents(tmp_path) == before


def test_earlier_runs_stay_when_a_later_one_is_restored(tmp_path: Path) -> None:
    write_run(tmp_path)
    first = set_aside_run(tmp_path)
    kept = contents(first)
    (tmp_path / "model_final.pth").write_bytes(b"second")
    second = set_aside_run(tmp_path)
    assert second == tmp_path / "earlier_2"
    restore_run(tmp_path, second, {})
    assert (tmp_path / "model_final.pth").read_bytes() == b"second" and contents(first) == kept


def test_nothing_is_set_aside_or_completed_without_a_run(tmp_path: Path) -> None:
    assert set_aside_run(tmp_path) is None and complete_set_aside(tmp_path) is None
    assert set_aside_run(tmp_path / "missing") is None and not (tmp_path / "missing").exists()
    (tmp_path / "log.txt").write_text("an evaluation")
    assert set_aside_run(tmp_path) is None and (tmp_path / "log.txt").is_file()


def test_weights_elsewhere_are_not_followed(tmp_path: Path) -> None:
    write_run(tmp_path)
    aside = set_aside_run(tmp_path)
    inside = str(tmp_path / "model_final.pth")
    assert follow_weights(inside, aside) == str(aside / "model_final.pth")
    assert follow_weights(inside, None) == inside
    for other in ("", str(tmp_path / "unknown.pth"), str(tmp_path.parent / "model_final.pth"), "detectron2://R-50.pkl"):
        assert follow_weights(other, aside) == other


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_the_first_weight_that_diverged_is_named(tmp_path: Path, value: float) -> None:
    good = {"a": torch.zeros(3), "steps": torch.tensor(7), "b": torch.ones(2, 2)}
    assert check_finite(good, "") == 1.0
    assert check_finite({}, "") == 0.0
    bad = {**good, "b": torch.tensor([1.0, value]), "c": torch.tensor(value)}
    with pytest.raises(FloatingPointError, match=r"the weight b is not finite.*No checkpoint was written yet"):
        check_finite(bad, format_divergence_advice(None))
    with pytest.raises(FloatingPointError, match=r"The last good checkpoint is .*model_0000004.pth"):
        check_finite(bad, format_divergence_advice(tmp_path / "model_0000004.pth"))
    assert "a lower SOLVER.BASE_LR" in format_divergence_advice(None)


def test_a_store_refuses_diverged_weights_and_keeps_the_good_ones(tmp_path: Path) -> None:
    store, state = CheckpointStore(tmp_path), {"optimizer": {}, "trainer": {"iteration": 1}}
    store.save("model_0000001", {"model": {"w": torch.zeros(2)}, **state})
    before = contents(tmp_path)
    with pytest.raises(FloatingPointError, match=r"model_0000001.pth"):
        store.save("model_0000002", {"model": {"w": torch.tensor([0.0, float("nan")])}, **state})
    assert contents(tmp_path) == before
    assert store.last_good == tmp_path / "model_0000001.pth"


@pytest.mark.parametrize("state", [{}, {"trainer": None}, {"trainer": {"hooks": []}}, {"trainer": {"hooks": {}}}])
def test_states_of_any_form_without_a_teacher_give_none(state: dict) -> None:
    assert find_teacher(state) is None
    assert find_teacher({"trainer": {"hooks": {"SelfDistillation": {}}}}) is None


def report(**names: object) -> LoadReport:
    lists = ("loaded", "missing", "implied", "unexpected", "not_needed", "added")
    keys = {"source": "a.pth", "layout": "", "wrong_shape": {}, **{name: [] for name in lists}, **names}
    return LoadReport(**keys)  # type: ignore[arg-type]


def test_a_complete_report_is_two_lines() -> None:
    complete = report(loaded=["backbone.a", "backbone.b", "head.c"])
    assert complete.complete and str(complete) == "3 of 3 tensors loaded\n  from a.pth"
    assert complete.share("backbone.") == (2, 2) and complete.share() == (3, 3) and complete.share("x.") == (0, 0)


def test_an_incomplete_report_names_what_is_left_out() -> None:
    found = report(
        layout="torchvision",
        loaded=["backbone.a"],
        missing=["head.c", "head.d"],
        wrong_shape={"head.e": ((80, 256), (8, 256)), "head.scale": ((), (1,))},
        unexpected=["fc.weight"],
    )
    assert not found.complete and found.share("head.") == (0, 4)
    text = str(found)
    assert text.startswith("1 of 5 tensors loaded, with the names of torchvision")
    assert "80 x 256 in the file, 8 x 256 here" in text and "scalar in the file, 1 here" in text
    assert "not in the file, at initial values: 2" in text and "in the file, unknown here: 1" in text


def test_many_names_are_grouped_and_counted() -> None:
    names = [f"block{block}.layer{layer}.weight" for block in range(3) for layer in range(20)]
    text = str(report(loaded=["a"], missing=names))
    assert "block0.* (20)" in text and "block2.* (20)" in text and len(text.splitlines()) < 8
    shapes = {f"head{n}.w": ((2,), (3,)) for n in range(11)}
    assert "and 3 more" in str(report(loaded=["a"], wrong_shape=shapes))
    assert "and 4 more" in " ".join(str(report(loaded=["a"], missing=[f"m{n}.w" for n in range(12)])).split())
