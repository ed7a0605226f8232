"""Loading of trained networks, and masks of annotated boxes at the size of the original image."""

from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.data.datasets import register_from_config
from depthbox.data.loader import load_records
from depthbox.data.synthetic.write import write_dataset
from depthbox.inference.predictor import find_config, load_network, load_pseudo_labeler


@pytest.fixture(scope="module")
def cfg(tmp_path_factory: pytest.TempPathFactory) -> CfgNode:
    """Two scenes of 96 x 128 pixels, resized to 64 for the network."""
    data = tmp_path_factory.mktemp("label")
    write_dataset(data, 2, height=96, width=128, split="train")
    entry = [["label_two", f"{data}/instances_train.json", f"{data}/train", f"{data}/depth_train"]]
    words = [
        *("DATASETS.COCO_STYLE", repr(entry), "DATASETS.TRAIN", "('label_two',)", "MODEL.FPN.OUT_CHANNELS", "32"),
        *("MODEL.FCOS.INFERENCE_TH", "0.0", "INPUT.MIN_SIZE_TEST", "64", "INPUT.DEPTH.ENABLED", "True"),
    ]
    cfg = load_config(add_depthbox_config, "tests/tiny.yaml", words)
    register_from_config(cfg)
    return cfg


def weights(cfg: CfgNode, folder: Path, bias: float, teacher_bias: float | None = None) -> str:
    """Write a checkpoint of a random network with a bias of its masks, optionally with a teacher."""
    torch.manual_seed(0)
    state = build_model(cfg).state_dict()
    where = 232  # bias of the masks' last layer
    state["controller.bias"][where] = bias
    state["proposal_generator.fcos_head.bbox_pred.bias"][:] = 1.0  # boxes of two strides
    checkpoint = {"model": state, "optimizer": {}, "trainer": {"iteration": 0}}
    if teacher_bias is not None:
        taught = {name: value.clone() for name, value in state.items()}
        taught["controller.bias"][where] = teacher_bias
        checkpoint["trainer"]["hooks"] = {"SelfDistillation": {"teacher": taught}}
    torch.save(checkpoint, folder / "model.pth")
    return str(folder / "model.pth")


def test_each_box_gets_a_mask_inside_it(cfg: CfgNode, tmp_path: Path) -> None:
    label = load_pseudo_labeler(cfg, weights(cfg, tmp_path, bias=3.0))
    for record in load_records(["label_two"], filter_empty=True):
        result = label(record)
        assert len(result) == len(record["annotations"]) > 0
        assert result.pred_masks.shape == (len(result), 96, 128) and result.pred_masks.dtype == torch.bool
        assert result.scores.max() > 0  # a random network finds no candidate for some
        for annotation, box, mask in zip(
            record["annotations"], result.pred_boxes.tensor, result.pred_masks, strict=True
        ):
            x, y, width, height = annotation["bbox"]
            torch.testing.assert_close(
                box, torch.tensor([x, y, x + width, y + height], dtype=torch.float32), atol=1.0, rtol=0
            )
            outside = mask.clone()
            margin = 6  # a cell of the mask grid is 4 pixels of an input at two thirds of the size
            rows = slice(max(int(y) - margin, 0), int(y + height) + margin)
            outside[rows, max(int(x) - margin, 0) : int(x + width) + margin] = False
            assert not outside.any()
        assert result.pred_masks.any()


def test_the_teacher_of_a_checkpoint_is_taken(cfg: CfgNode, tmp_path: Path) -> None:
    record = load_records(["label_two"], filter_empty=True)[0]
    student = load_pseudo_labeler(cfg, weights(cfg, tmp_path, bias=-3.0))(record)
    assert not student.pred_masks.any()
    teacher = load_pseudo_labeler(cfg, weights(cfg, tmp_path, bias=-3.0, teacher_bias=3.0))(record)
    assert teacher.pred_masks.any()


def test_a_network_is_loaded_with_or_without_its_teacher(cfg: CfgNode, tmp_path: Path) -> None:
    path = weights(cfg, tmp_path, bias=-3.0, teacher_bias=3.0)
    for use_teacher, bias in ((False, -3.0), (True, 3.0)):
        network = load_network(cfg, path, use_teacher=use_teacher)
        assert not network.training and network.controller.bias[232].item() == bias
    alone = weights(cfg, tmp_path, bias=-3.0)
    assert load_network(cfg, alone, use_teacher=True).controller.bias[232].item() == -3.0


def test_a_teacher_of_another_network_is_named(cfg: CfgNode, tmp_path: Path) -> None:
    path = weights(cfg, tmp_path, bias=0.0, teacher_bias=0.0)
    checkpoint = torch.load(path)
    del checkpoint["trainer"]["hooks"]["SelfDistillation"]["teacher"]["controller.bias"]
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r"model\.pth: its .teacher. does not fit the network"):
        load_network(cfg, path, use_teacher=True)


def test_a_broken_checkpoint_is_never_taken_for_one_without_a_teacher(cfg: CfgNode, tmp_path: Path) -> None:
    path = Path(weights(cfg, tmp_path, bias=0.0, teacher_bias=0.0))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"model\.pth"):
        load_network(cfg, str(path), use_teacher=True)
    with pytest.raises(ValueError, match="--weights"):
        load_network(cfg, "")


def test_the_config_beside_the_weights_is_found(tmp_path: Path) -> None:
    weights = tmp_path / "model_final.pth"
    with pytest.raises(FileNotFoundError, match=r"the checkpoint .*model_final.pth does not exist"):
        find_config(str(weights))
    weights.touch()
    with pytest.raises(FileNotFoundError, match=r"config.yaml does not exist.*--config-file"):
        find_config(str(weights))
    (tmp_path / "config.yaml").touch()
    assert find_config(str(weights)) == str(tmp_path / "config.yaml")
    assert find_config(str(weights), "mine.yaml") == "mine.yaml"
    with pytest.raises(FileNotFoundError, match="--config-file"):
        find_config("https://host/model.pth")
