"""Images of the batch: their content, their way into TensorBoard, and unchanged training results."""

import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.data.datasets import register_from_config
from depthbox.data.loader import build_train_loader
from depthbox.data.mapper import BoxDepthMapper
from depthbox.data.synthetic.write import write_dataset
from depthbox.engine import image_logging
from depthbox.engine.image_logging import ImageLogging, predict
from depthbox.engine.run import run
from depthbox.modeling.build import build_network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("panels")
    write_dataset(path, 4, height=64, width=96, split="train")
    return path


def config(folder: Path, output: Path, *more: str) -> CfgNode:
    entry = [[f"panels-{folder}", f"{folder}/instances_train.json", f"{folder}/train", f"{folder}/depth_train"]]
    words = [
        *("DATASETS.COCO_STYLE", repr(entry), "DATASETS.TRAIN", f"('{entry[0][0]}',)", "DATASETS.TEST", "()"),
        *("MODEL.FPN.OUT_CHANNELS", "32", "SEED", "1", "OUTPUT_DIR", str(output), "INPUT.DEPTH.ENABLED", "True"),
        *("MODEL.DEPTH.LAYER", "True", "MODEL.DISTILL.ENABLED", "True", "MODEL.DISTILL.START_ITER", "1"),
        *("MODEL.DISTILL.TEACHER_MIN_SIZE", "96", "MODEL.DISTILL.SCORE_THRESH", "0.0", "REPORT.ENABLED", "False"),
        *("SOLVER.IMS_PER_BATCH", "4", "SOLVER.ACCUMULATION_STEPS", "2", "SOLVER.MAX_ITER", "3"),
        *("SOLVER.STEPS", "(2,)", "INPUT.MIN_SIZE_TRAIN", "(64,)", "SOLVER.CHECKPOINT_PERIOD", "2"),
    ]  # fmt: skip
    return load_config(add_depthbox_config, "tests/tiny.yaml", [*words, *more])


def weights(output: Path) -> dict[str, torch.Tensor]:
    state = torch.load(output / "model_final.pth", weights_only=True)
    teacher = state["trainer"]["hooks"]["SelfDistillation"]["teacher"]
    return {**state["model"], **{f"teacher.{name}": value for name, value in teacher.items()}}


def test_images_are_in_tensorboard_and_training_results_are_unchanged(folder, tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    captions: list[str] = []
    original = image_logging.make_sheet

    def record(tiles, *arguments):
        captions.extend(tile.caption for tile in tiles)
        return original(tiles, *arguments)

    monkeypatch.setattr(image_logging, "make_sheet", record)
    run(config(folder, tmp_path / "without"))
    assert captions == []
    run(config(folder, tmp_path / "with", "VIS_PERIOD", "2"))
    plain, drawn = weights(tmp_path / "without"), weights(tmp_path / "with")
    assert plain.keys() == drawn.keys() and any(name.startswith("teacher.") for name in plain)
    for name, value in plain.items():
        assert torch.equal(value, drawn[name]), name

    events = EventAccumulator(str(tmp_path / "with"), size_guidance={"images": 0}).Reload()
    assert events.Tags()["images"] == ["panels/image_0", "panels/image_1"]
    for name in events.Tags()["images"]:
        images = events.Images(name)
        assert [image.step for image in images] == [1]  # VIS_PERIOD 2, 3 iterations
        assert images[0].width > 1000 and images[0].height > 400  # three tiles side by side, two rows
        assert images[0].encoded_image_string.startswith(b"\x89PNG")
    assert len(captions) == 10
    for part in ("annotated boxes", "best predicted masks", "teacher: ", "pseudo depth", "predicted instance depth"):
        assert sum(part in caption for caption in captions) == 2, part


def test_drawing_changes_neither_random_state_nor_network(folder, tmp_path):
    cfg = config(folder, tmp_path, "VIS_PERIOD", "1")
    register_from_config(cfg)
    network = build_network(cfg).train()
    batch = next(iter(build_train_loader(cfg, BoxDepthMapper(cfg, is_train=True))))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    hook = ImageLogging(cfg)
    with EventStorage() as storage:
        hook.trainer = SimpleNamespace(network=network, iter=0, storage=storage)
        states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        hook.before_step()
        hook._keep(network, (batch,))
        hook.after_step()
    assert len(hook.latest) == 2 and hook.latest[0].image.dtype == np.uint8
    assert torch.equal(states[0], torch.get_rng_state()) and random.getstate() == states[2]
    assert (np.random.get_state()[1] == states[1]).all()
    assert network.training and all(m.training for m in network.mask_branch.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not network._forward_pre_hooks


def test_predictions_are_those_of_the_network(folder, tmp_path):
    cfg = config(folder, tmp_path)
    register_from_config(cfg)
    network = build_network(cfg)
    batch = next(iter(build_train_loader(cfg, BoxDepthMapper(cfg, is_train=True))))[:1]
    with torch.no_grad():  # scores above the threshold
        next(m for n, m in network.named_modules() if n.endswith("cls_logits")).bias.fill_(1.0)
        network.eval()
        size = batch[0]["image"].shape[1:]
        expected = network([{"image": batch[0]["image"], "height": size[0], "width": size[1]}])[0]["instances"]
    found = predict(network, batch)[0]
    count = len(batch[0]["instances"])
    assert len(found.scores) == count > 0
    np.testing.assert_allclose(found.scores, expected.scores[:count].numpy(), rtol=1e-5)
    assert (found.masks == expected.pred_masks[:count].numpy()).all()
    assert found.depth.shape == size and (found.depth[~found.masks.any(0)] == 0).all()
    best = found.masks[0]
    if best.any():
        assert found.depth[best].min() > 0 and found.depth.max() <= 1


def test_error_is_a_warning(tmp_path, folder, caplog):
    hook = ImageLogging(config(folder, tmp_path, "VIS_PERIOD", "1"))
    hook.trainer = SimpleNamespace(network=torch.nn.Linear(1, 1), iter=0, storage=None)
    hook.before_step()
    hook._keep(hook.trainer.network, ([{"image": "nonsense"}],))
    hook.after_step()
    assert "Images of the batch cannot be drawn" in caplog.text and hook.latest == []
    hook.before_step()
    assert not hook.trainer.network._forward_pre_hooks
