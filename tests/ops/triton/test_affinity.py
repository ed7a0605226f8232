"""Triton kernels of the affinity against the plain form in float64; interpreted on the CPU, compiled on a GPU."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
triton = pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu" and isinstance(triton.language.sum, triton.JITFunction):
    pytest.skip("Triton was imported before TRITON_INTERPRET=1 was set", allow_module_level=True)

from depthbox.ops.affinity import CellSegments, segments_from_masks  # noqa: E402
from depthbox.ops.affinity.plain import run_plain  # noqa: E402
from depthbox.ops.triton import affinity as triton_affinity  # noqa: E402
from depthbox.ops.triton.affinity import AffinityOptions  # noqa: E402


def make_sets(count: int, cells: int) -> list[CellSegments]:
    """Return sets of segments with cells in none, in one and in two."""
    sets = []
    for _ in range(count):
        masks = torch.rand(7, cells, device=DEVICE) > 0.7
        masks &= masks.long().cumsum(0) <= 3
        sets.append(segments_from_masks(masks))
    return sets


@pytest.mark.parametrize("cells", [5, 32, 75])
@pytest.mark.parametrize(
    ("sets", "channels", "power", "background"),
    [(0, 3, 1.0, "ignore"), (1, 0, 1.0, "negative"), (2, 21, 1.0, "ignore"), (2, 2, 3.0, "negative")],
)
def test_results_and_gradients_equal_the_plain_form(
    cells: int, sets: int, channels: int, power: float, background: str
) -> None:
    features = torch.randn(6, cells, device=DEVICE) / 1.5
    values = torch.randn(channels, cells, device=DEVICE).softmax(0)
    segments = make_sets(sets, cells)
    cotangents = torch.randn(channels, cells, device=DEVICE), torch.randn(sets, 2, device=DEVICE)
    options = AffinityOptions(0.7, power, (background == "negative",) * sets)
    found = []
    for dtype in (torch.float32, torch.float64):
        leaves = [features.to(dtype).requires_grad_(), values.to(dtype).requires_grad_()]
        if dtype == torch.float32:
            members = [s.members for s in segments]
            assert triton_affinity.fits(*leaves, members)
            results = triton_affinity.propagate_and_compare(*leaves, members, options)
        else:
            result = run_plain(*leaves, segments, scale=0.7, power=power, background=background)
            results = result.propagated, result.pair_means
        total = sum((x * g.to(dtype)).sum() for x, g in zip(results, cotangents, strict=True))
        found.append([*results, *torch.autograd.grad(total, leaves, allow_unused=channels == 0)])
    for actual, expected in zip(*found, strict=True):
        if expected is not None:
            assert actual.dtype == torch.float32
            torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("features", "channels", "members"),
    [(300, 3, [1]), (6, 32, [1]), (6, 3, [1, 1, 1]), (6, 3, [9])],
)
def test_larger_problems_are_left_to_the_tiles(features: int, channels: int, members: list[int]) -> None:
    segments = [torch.zeros(10, count, dtype=torch.long) for count in members]
    assert not triton_affinity.fits(torch.zeros(features, 10), torch.zeros(channels, 10), segments)
    assert not triton_affinity.fits(torch.zeros(6, 10).double(), torch.zeros(3, 10).double(), [])
