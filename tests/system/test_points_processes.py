"""P2Seg in two gloo processes and in one, on the same global batch, also without objects in one process."""

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from points_toy import points_network, points_sample
from torch.nn.parallel import DistributedDataParallel

CASES = {"both": (3, 2, 1, 3), "one empty": (3, 2, 0, 0), "no object": (0, 0, 0, 0)}
OPTIONS = {
    "MODEL__P2SEG__SEMANTIC__SOURCE": "points",
    "MODEL__P2SEG__CENTER_WEIGHT": 1.0,
    "MODEL__P2SEG__DIRECT_WEIGHT": 1.0,
}


def batch(counts: tuple[int, ...]) -> list[dict[str, Any]]:
    sizes = ((48, 64), (40, 64), (44, 60), (48, 64))
    return [points_sample(n, size=size, seed=i) for i, (n, size) in enumerate(zip(counts, sizes, strict=True))]


def step(model: torch.nn.Module, inputs: list[dict[str, Any]]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    model.zero_grad()
    losses = model(inputs)
    sum(losses.values()).backward()
    grads = {name.removeprefix("module."): p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    return {name: loss.detach() for name, loss in losses.items()}, grads


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    model = DistributedDataParallel(points_network(**OPTIONS), broadcast_buffers=False)
    results = {}
    for name, counts in CASES.items():
        losses, grads = step(model, batch(counts)[2 * rank : 2 * rank + 2])
        for loss in losses.values():
            dist.all_reduce(loss)
        results[name] = ({key: loss / 2 for key, loss in losses.items()}, grads)
    if rank == 0:
        torch.save(results, f"{folder}/results.pth")
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    mp.start_processes(worker, args=(os.fspath(tmp_path),), nprocs=2, start_method="spawn")
    results = torch.load(tmp_path / "results.pth", weights_only=True)
    model = points_network(**OPTIONS)
    for name, counts in CASES.items():
        losses, grads = step(model, batch(counts))
        their_losses, their_grads = results[name]
        assert their_losses.keys() == losses.keys() and their_grads.keys() == grads.keys()
        for key in losses:
            torch.testing.assert_close(their_losses[key], losses[key], atol=1e-5, rtol=1e-4, msg=f"{name} {key}")
        for key in grads:
            bound = 1e-4 * float(grads[key].abs().max()) + 1e-6
            assert (their_grads[key] - grads[key]).abs().max() <= bound, (name, key)
        if any(counts):
            assert all(loss > 0 for loss in losses.values())
