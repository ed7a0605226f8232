"""Evaluation in the mask format of the evaluator and the requested precision; choice of a metric."""

from typing import Any

import pytest
import torch
from coco_evaluation_toy import HEIGHT, WIDTH, instances, make_truth
from detectron2.config import get_cfg
from detectron2.evaluation import DatasetEvaluator
from PIL import Image
from torch import nn

from depthbox.data import BoxDepthMapper, register_coco_style
from depthbox.data.loader import build_test_loader
from depthbox.evaluation import CocoEvaluator
from depthbox.evaluation.run import evaluate_dataset, find_metric


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mask_format = "bitmask"

    def forward(self, batch: list[Any]) -> list[str]:
        return [self.mask_format for _ in batch]


class Evaluator(DatasetEvaluator):
    def reset(self) -> None:
        self.outputs: list[str] = []

    def process(self, inputs: list[Any], outputs: list[str]) -> None:
        self.outputs += outputs

    def evaluate(self) -> dict[str, Any]:
        return {"outputs": self.outputs}


class Failing(Evaluator):
    mask_format = "rle"

    def process(self, inputs: list[Any], outputs: list[str]) -> None:
        raise RuntimeError("broken")


@pytest.mark.parametrize("mask_format", [None, "rle"])
def test_the_evaluator_chooses_the_mask_format(mask_format: str | None) -> None:
    network, evaluator = Network(), Evaluator()
    if mask_format:
        evaluator.mask_format = mask_format
    assert evaluate_dataset(network, [[1, 2], [3]], evaluator) == {"outputs": [mask_format or "bitmask"] * 3}
    assert network.mask_format == "bitmask"


def test_the_mask_format_is_restored_after_a_failure() -> None:
    network = Network()
    with pytest.raises(RuntimeError, match="broken"):
        evaluate_dataset(network, [[1]], Failing())
    assert network.mask_format == "bitmask"


def test_evaluation_in_half_precision() -> None:
    class Product(Network):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, batch: list[Any]) -> list[str]:
            return [str(self.layer(torch.zeros(1, 2)).dtype) for _ in batch]

    assert evaluate_dataset(Product(), [[1]], Evaluator(), "bfloat16") == {"outputs": ["torch.bfloat16"]}
    assert evaluate_dataset(Product(), [[1]], Evaluator()) == {"outputs": ["torch.float32"]}
    with pytest.raises(ValueError, match=r"TEST\.AMP"):
        evaluate_dataset(Product(), [[1]], Evaluator(), "float8")


def test_a_metric_is_found_in_any_dataset_and_replaced_by_box_ap() -> None:
    assert find_metric({"segm/AP": 1.0, "bbox/AP": 2.0}, "segm/AP") == "segm/AP"
    assert find_metric({"bbox/AP": 2.0}, "segm/AP") == "bbox/AP"
    assert find_metric({"a/bbox/AP": 1.0, "a/segm/AP": 2.0, "b/segm/AP": 3.0}, "segm/AP") == "a/segm/AP"
    assert find_metric({"bbox/AP50": 2.0}, "segm/AP") is None


class PerfectDetector(nn.Module):
    """Network that returns the ground truth of an image id."""

    def __init__(self, truth):
        super().__init__()
        self.truth = truth

    def forward(self, inputs):
        return [{"instances": instances(*self.truth[image["image_id"]])} for image in inputs]


@pytest.mark.parametrize("batch", [1, 4])
def test_unreadable_test_images_count_as_missed(tmp_path, caplog, batch):
    name, json_file = f"run {tmp_path}", tmp_path / "truth.json"
    truth = make_truth(json_file)
    for number in truth:
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / f"{number}.png", format="JPEG")
    damaged = tmp_path / "1.png"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    register_coco_style(name, json_file, tmp_path)
    cfg = get_cfg()
    cfg.DATALOADER.NUM_WORKERS, cfg.TEST.IMS_PER_BATCH, cfg.MODEL.DEVICE = 0, batch, "cpu"
    loader = build_test_loader(cfg, name, BoxDepthMapper(False, augmentations=[], image_format="BGR"))
    results = evaluate_dataset(PerfectDetector(truth), loader, CocoEvaluator(name))
    assert 50 < results["segm"]["AP"] < 99
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(lines) == 2 and "1.png is truncated or damaged" in lines[0]
    assert lines[1].startswith("Only 5 of 6 images of")


def test_voc_ap_replaces_a_metric_that_is_not_computed() -> None:
    assert find_metric({"segm/mAP25": 1.0, "segm/mAP50": 2.0}, "segm/AP") == "segm/mAP50"
    assert find_metric({"segm/mAP25": 1.0, "v/segm/mAP50": 2.0}, "segm/mAP25") == "segm/mAP25"
