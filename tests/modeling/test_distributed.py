"""Batch normalization over several processes, in real processes on gloo."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from depthbox.modeling.distributed import GlobalBatchNorm, build_norm

WORKER = """
import sys
import torch
import torch.distributed as dist
from depthbox.modeling.distributed import GlobalBatchNorm

rank, folder, precision = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
given = torch.load(f"{folder}/given.pth")
norm = GlobalBatchNorm(given["x"].shape[1])
norm.load_state_dict(given["state"])
x = given["x"].chunk(2)[rank].to(getattr(torch, precision)).requires_grad_()
with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
    y = norm(x)
(y.double() * given["grad"].chunk(2)[rank]).sum().backward()
result = {"y": y.detach(), "x_grad": x.grad, "weight": norm.weight.grad, "bias": norm.bias.grad}
torch.save({**result, **dict(norm.named_buffers())}, f"{folder}/{rank}.pth")
"""


def run_two(folder: Path, x: torch.Tensor, grad: torch.Tensor, precision: str) -> dict[str, torch.Tensor]:
    """Normalize the two halves of a batch in two processes; gradients of parameters are summed."""
    norm = GlobalBatchNorm(x.shape[1])
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    torch.save({"x": x, "grad": grad, "state": norm.state_dict()}, folder / "given.pth")
    words = [[sys.executable, "-c", WORKER, str(rank), str(folder), precision] for rank in range(2)]
    processes = [subprocess.Popen(word, stderr=subprocess.PIPE, text=True) for word in words]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    parts = [torch.load(folder / f"{rank}.pth") for rank in range(2)]
    assert all(torch.equal(parts[0][name], parts[1][name]) for name in ("running_mean", "running_var"))
    return {
        "y": torch.cat([part["y"] for part in parts]),
        "x_grad": torch.cat([part["x_grad"] for part in parts]),
        **{name: parts[0][name] + parts[1][name] for name in ("weight", "bias")},
        **{name: parts[0][name] for name in ("running_mean", "running_var", "num_batches_tracked")},
    }


def run_one(folder: Path, x: torch.Tensor, grad: torch.Tensor) -> dict[str, torch.Tensor]:
    """Normalize the whole batch in float64 by PyTorch."""
    norm = nn.BatchNorm2d(x.shape[1]).double()
    norm.load_state_dict(torch.load(folder / "given.pth")["state"])
    leaf = x.double().requires_grad_()
    y = norm(leaf)
    (y * grad).sum().backward()
    found: dict[str, Any] = {"y": y.detach(), "x_grad": leaf.grad, "weight": norm.weight.grad, "bias": norm.bias.grad}
    return {**found, **dict(norm.named_buffers())}


@pytest.mark.parametrize(("ratio", "tolerance"), [(0.5, 1e-5), (100.0, 2e-4)])
def test_two_processes_normalize_like_one(ratio: float, tolerance: float, tmp_path: Path) -> None:
    x, grad = torch.randn(4, 3, 6, 5) + ratio, torch.randn(4, 3, 6, 5)
    x[:2] += 0.3  # the means of the processes differ
    found = run_two(tmp_path, x, grad, "float32")
    for name, value in run_one(tmp_path, x, grad).items():
        torch.testing.assert_close(found[name].double(), value.double(), rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.parametrize("ratio", [3.0, 30.0])
def test_bfloat16_keeps_the_variance_of_features_with_a_large_mean(ratio: float, tmp_path: Path) -> None:
    """The difference of mean square and squared mean in bfloat16 has no correct digit here."""
    x = (torch.randn(4, 3, 16, 16) + ratio).bfloat16().float()
    found = run_two(tmp_path, x, torch.ones_like(x), "bfloat16")
    expected = run_one(tmp_path, x, torch.ones_like(x))
    assert found["y"].dtype is torch.bfloat16
    torch.testing.assert_close(found["y"].double(), expected["y"], rtol=0.01, atol=0.02)
    torch.testing.assert_close(found["running_var"].double(), expected["running_var"], rtol=1e-3, atol=1e-3)


def test_one_process_and_evaluation_are_those_of_pytorch() -> None:
    ours, theirs, x = GlobalBatchNorm(3), nn.BatchNorm2d(3), torch.randn(2, 3, 4, 5)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_var, theirs.running_var)
    assert torch.equal(ours.eval()(x), theirs.eval()(x))
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_norms_by_name() -> None:
    assert isinstance(build_norm("naiveSyncBN", 8), GlobalBatchNorm)
    assert isinstance(build_norm("GN", 32), nn.GroupNorm)
    assert build_norm("", 8) is None
