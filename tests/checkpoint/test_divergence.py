"""Checkpoints of a diverging run: they are recognized, set aside, and the last sound one is kept and resumed."""

from pathlib import Path
from typing import Any

import pytest
import torch

from depthbox.checkpoint.divergence import Vitals, find_divergence
from depthbox.checkpoint.store import CheckpointStore


def state(iteration: int, weight: float = 1.0, losses: list[float] | None = None, momentum: float = 0.0) -> Any:
    hooks = {"LossHistory": {"losses": losses}} if losses else {}
    return {
        "model": {"w": torch.tensor([weight, -0.5]), "norm.running_var": torch.tensor([1e12]), "n": torch.tensor(3)},
        "optimizer": {"state": {0: {"momentum_buffer": torch.tensor([momentum]), "step": torch.tensor(1e9)}}},
        "trainer": {"iteration": iteration, "hooks": hooks},
    }


def save(store: CheckpointStore, iteration: int, **keys: Any) -> Path:
    return store.save(f"model_{iteration:07d}", state(iteration, **keys))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("model_"))


CALM = [2.0, 1.8, 2.1, 1.9, 2.2, 1.7, 2.0]


@pytest.mark.parametrize(
    ("vitals", "older", "next_loss", "reason"),
    [
        (Vitals(9, tuple(CALM), 1.0), None, None, None),
        (Vitals(9, (*CALM, 19.0), 1.0), None, None, None),
        (Vitals(9, (*CALM, 21.0), 1.0), None, None, "its loss rose to 21, the median before is 2"),
        (Vitals(9, tuple(CALM), 1.0), None, 25.0, "its loss rose to 25"),
        (Vitals(9, (3.0, 90.0), 1.0), None, None, None),  # too few for a median
        (Vitals(9, (), 99.0), Vitals(4, (), 1.0), None, None),
        (Vitals(9, (), 101.0), Vitals(4, (), 1.0), None, "its largest weight is 1e"),
        (Vitals(9, (), 50.0), Vitals(4, (), 0.01), None, None),
    ],
)
def test_signs_of_divergence(vitals: Vitals, older: Any, next_loss: Any, reason: str | None) -> None:
    found = find_divergence(vitals, older, next_loss)
    assert (found is None) if reason is None else reason in str(found)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"weight": 1e30}, "the weight w is not finite or too large .1e.30"),
        ({"weight": float("nan")}, "the weight w is not finite"),
        ({"momentum": float("inf")}, "the momentum momentum_buffer_of_parameter_0 is not finite"),
        ({"momentum": 1e9}, "the momentum momentum_buffer_of_parameter_0 is not finite or too large"),
    ],
)
def test_insane_states_are_not_written(tmp_path: Path, keys: dict[str, float], message: str) -> None:
    store = CheckpointStore(tmp_path)
    save(store, 4)
    with pytest.raises(FloatingPointError, match=rf"{message}.*no checkpoint is written.*is .*model_0000004\.pth\."):
        save(store, 9, **keys)
    assert names(tmp_path) == ["model_0000004.pth"]


def test_checkpoints_of_the_divergence_are_set_aside_and_the_sound_one_is_resumed(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=0)
    save(store, 4, losses=CALM)
    save(store, 9, losses=[*CALM, 1.9])
    save(store, 14, losses=[*CALM, 1.9, 60.0])
    save(store, 19, losses=CALM, weight=3e5)
    advice = store.set_aside_diverged()
    assert "model_0000019.pth.diverged, model_0000014.pth.diverged" in advice
    assert f"The last good checkpoint is {tmp_path / 'model_0000009.pth'}." in advice and "SOLVER.BASE_LR" in advice
    assert names(tmp_path) == [
        "model_0000004.pth", "model_0000009.pth", "model_0000014.pth.diverged", "model_0000019.pth.diverged"
    ]  # fmt: skip
    found = CheckpointStore(tmp_path).load_latest()
    assert found is not None and found["trainer"]["iteration"] == 9
    assert store.last_good == tmp_path / "model_0000009.pth"


def test_the_loss_after_a_checkpoint_counts_and_a_bad_image_alone_does_not(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=0)
    save(store, 4, losses=CALM)
    save(store, 9, losses=CALM)
    assert "set aside" not in store.set_aside_diverged(lambda iteration: 2.5 if iteration == 10 else None)
    assert names(tmp_path) == ["model_0000004.pth", "model_0000009.pth"]
    assert "model_0000009.pth.diverged" in store.set_aside_diverged(lambda iteration: 500.0 if iteration == 10 else 2.0)
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000004.pth"


def test_without_a_sound_checkpoint_this_is_said(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    save(store, 14, losses=[*CALM, 60.0])
    assert "No sound checkpoint is left: start again without --resume" in store.set_aside_diverged()
    assert names(tmp_path) == ["model_0000014.pth.diverged"] and CheckpointStore(tmp_path).load_latest() is None


@pytest.mark.parametrize("keep", [1, 2])
def test_the_last_sound_checkpoint_is_not_deleted_for_suspicious_ones(tmp_path: Path, keep: int) -> None:
    store = CheckpointStore(tmp_path, keep)
    save(store, 4, losses=CALM)
    for iteration in (9, 14, 19):
        save(store, iteration, losses=[*CALM, 60.0])
    assert "model_0000004.pth" in names(tmp_path) and len(names(tmp_path)) == keep + 1
    save(store, 24, losses=CALM)  # it has recovered
    assert "model_0000004.pth" not in names(tmp_path) and len(names(tmp_path)) == keep


def test_an_old_checkpoint_with_insane_weights_is_not_resumed(tmp_path: Path, caplog: Any) -> None:
    save(CheckpointStore(tmp_path), 4)
    torch.save(state(9, weight=1e30), tmp_path / "model_0000009.pth")  # of a version that wrote it
    (tmp_path / "last_checkpoint").write_text("model_0000009.pth")
    found = CheckpointStore(tmp_path).load_latest()
    assert found is not None and found["trainer"]["iteration"] == 4
    assert "model_0000009.pth has diverged: the weight w" in caplog.text
    assert names(tmp_path) == ["model_0000004.pth", "model_0000009.pth.diverged"]


def test_files_that_were_set_aside_are_not_replaced(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    (tmp_path / "model_0000014.pth.diverged").write_text("of an earlier attempt")
    save(store, 14, losses=[*CALM, 60.0])
    store.set_aside_diverged()
    assert (tmp_path / "model_0000014.pth.diverged").read_text() == "of an earlier attempt"
    assert (tmp_path / "model_0000014.pth.diverged_2").exists()
