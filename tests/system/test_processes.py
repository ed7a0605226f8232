"""The whole method in two gloo processes and in one, on the same global batch, also without objects in one process."""

import copy
import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from torch.nn.parallel import DistributedDataParallel

from depthbox import add_depthbox_config
from depthbox.distillation import TeacherLabeler

CASES = {"both": (3, 2, 1, 4), "one empty": (3, 2, 0, 0), "no object": (0, 0, 0, 0)}


def config() -> CfgNode:
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.merge_from_file("tests/tiny.yaml")
    cfg.MODEL.FPN.OUT_CHANNELS = 32
    cfg.MODEL.TIMM.FREEZE_NORM = True  # each process has its own statistics of a trained batch norm
    cfg.INPUT.DEPTH.ENABLED = cfg.MODEL.DEPTH.LAYER = cfg.MODEL.DEPTH.CONSISTENCY = True
    cfg.MODEL.DISTILL.ENABLED = cfg.MODEL.DISTILL.SOFT_MASKS = True  # binary masks could flip with the last digit
    cfg.MODEL.DISTILL.SCORE_THRESH = cfg.MODEL.FCOS.INFERENCE_TH = 0.0
    return cfg


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(config()).double()  # only the summation order differs


def labeler(model: torch.nn.Module) -> TeacherLabeler:
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    teacher.controller.bias[232] = 1.0  # its masks are not empty
    return TeacherLabeler(config(), teacher)


def batch(counts: tuple[int, ...]) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(sum(counts))
    inputs = []
    for count in counts:
        instances = Instances((64, 96))
        low = torch.rand((count, 2), generator=generator) * torch.tensor([48.0, 32.0])
        instances.gt_boxes = Boxes(torch.cat((low, low + 12 + 20 * torch.rand((count, 2), generator=generator)), 1))
        instances.gt_classes = torch.randint(0, 8, (count,), generator=generator)
        image = torch.randint(0, 256, (3, 64, 96), generator=generator).byte()
        depth = torch.rand((1, 64, 96), generator=generator)
        inputs.append({"image": image, "depth": depth, "height": 64, "width": 96, "instances": instances})
    return inputs


def step(
    model: torch.nn.Module, label: TeacherLabeler, inputs: list[dict[str, Any]]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    model.zero_grad()
    losses = model(label(inputs))
    sum(losses.values()).backward()
    grads = {name.removeprefix("module."): p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    return {name: loss.detach() for name, loss in losses.items()}, grads


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    model = DistributedDataParallel(network(), broadcast_buffers=False)
    label = labeler(model.module)
    results = {}
    for name, counts in CASES.items():
        losses, grads = step(model, label, batch(counts)[2 * rank : 2 * rank + 2])
        for loss in losses.values():
            dist.all_reduce(loss)
        results[name] = ({key: loss / 2 for key, loss in losses.items()}, grads)
    if rank == 0:
        torch.save(results, f"{folder}/results.pth")
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    mp.start_processes(worker, args=(os.fspath(tmp_path),), nprocs=2, start_method="spawn")
    results = torch.load(tmp_path / "results.pth", weights_only=True)
    model = network()
    label = labeler(model)
    for name, counts in CASES.items():
        losses, grads = step(model, label, batch(counts))
        their_losses, their_grads = results[name]
        assert their_losses.keys() == losses.keys() and their_grads.keys() == grads.keys()
        for key in losses:
            torch.testing.assert_close(
                their_losses[key], losses[key], atol=1e-5, rtol=1e-5, msg=lambda m, k=f"{name} {key}": f"{k}: {m}"
            )
        for key in grads:
            torch.testing.assert_close(
                their_grads[key], grads[key], atol=1e-5, rtol=1e-4, msg=lambda m, k=key: f"{k}: {m}"
            )
        if any(counts):
            assert grads["controller.weight"].abs().sum() > 0
            for key in ("projection", "color_pairwise", "depth_consistency", "depth", "pseudo_mask"):
                assert losses[f"loss_{key}"] > 0, key
