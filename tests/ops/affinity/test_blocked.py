"""Memory of the tiles, and the choice between them and the plain form."""

import subprocess
import sys

import pytest
import torch

from depthbox.ops.affinity import propagate_and_compare, segments_at_stride, segments_from_masks, step
from depthbox.ops.affinity.plan import make_plan

SCRIPT = """
import sys
import torch
from depthbox.benchmark.memory import PeakMemory
from depthbox.ops.affinity import propagate_and_compare, segments_at_stride

torch.set_num_threads(1)
side = int(sys.argv[1])
owner = torch.arange(1, 101).reshape(10, 10).repeat_interleave(42, 0).repeat_interleave(42, 1)[: 4 * side, : 4 * side]
sets = [segments_at_stride(owner), segments_at_stride(owner.flip(0))]
features = (torch.randn(64, side * side) / 4).requires_grad_()
values = torch.randn(21, side * side).softmax(0).requires_grad_()
(torch.randn(300, 300) @ torch.randn(300, 300)).sigmoid().sum()  # libraries allocate their own buffers on first use
peak = PeakMemory(torch.device("cpu"))
peak.start()
result = propagate_and_compare(features, values, sets)
(result.propagated.square().sum() + result.pair_means.sum()).backward()
print(peak.stop())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(("side", "share"), [(64, 0.7), pytest.param(104, 0.2, marks=pytest.mark.slow)])
def test_the_step_needs_less_memory_than_a_part_of_one_matrix_of_pairs(side: int, share: float) -> None:
    words = [sys.executable, "-c", SCRIPT, str(side)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300)
    assert 0 < int(done.stdout) < share * 4 * side**4  # bytes of a matrix in float32


@pytest.mark.parametrize(("cells", "tiled"), [(16, False), (17, True)])
def test_tiles_are_used_for_more_cells_than_a_tile_has_rows(
    cells: int, tiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    run = step.run_blocked
    monkeypatch.setattr(step, "run_blocked", lambda *args: calls.append(1) or run(*args))
    propagate_and_compare(torch.randn(3, cells), torch.rand(2, cells), [], rows=16)
    assert bool(calls) == tiled


def test_cells_of_a_segment_are_neighbors_in_the_order_of_the_tiles() -> None:
    owner = torch.arange(1, 17).reshape(4, 4).repeat_interleave(5, 0).repeat_interleave(5, 1)
    segments = segments_at_stride(owner, stride=1)
    plan = make_plan([segments], torch.zeros(1, 400), scale=1.0, power=1.0, background="ignore", rows=50)
    assert sorted(plan.order.tolist()) == list(range(400))
    assert all(len(groups[0].sizes) <= 3 for groups in plan.groups)  # 25 cells of each segment in blocks of 50
    assert sum(float(groups[0].sizes.sum()) for groups in plan.groups) == 400


def test_the_graph_keeps_no_matrix_of_pairs() -> None:
    kept = []
    features = torch.randn(4, 300, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        propagate_and_compare(features, torch.rand(3, 300), [segments_from_masks(torch.rand(5, 300) > 0.5)], rows=64)
    assert kept and max(kept) <= 4 * 300
