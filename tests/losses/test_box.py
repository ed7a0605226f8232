"""The fused box losses against their readable definitions."""

import math

import pytest
import torch
from torch import Tensor

from depthbox.losses import box_losses, pairwise_nll, projection_loss
from depthbox.losses.crops import box_crops
from depthbox.ops import box_extents, color_similarity, pack_edges, unpack_edges

KERNELS = [(3, 1), (3, 2), (5, 1), (5, 2)]
# xyxy in pixels of a stride-4 grid: the whole map, inside, across the borders, one cell, no cell.
BOXES = [[0, 0, 999, 999], [8, 4, 30, 21], [-9, 13, 21, 36], [30, 20, 80, 70], [9, 9, 11, 11], [12, 4, 12.5, 30]]


def make_scene(
    size: int, dilation: int, height: int, width: int
) -> tuple[Tensor, list[Tensor], Tensor, Tensor, Tensor]:
    """Return logits, two edge sets, image of each instance, rows and columns of the boxes."""
    edges = []
    for _ in range(2):
        lab, valid = torch.randn(2, 3, height, width), torch.rand(2, height, width) > 0.15
        edges.append(pack_edges(color_similarity(lab, valid, size, dilation) >= 0.3))
    logits = 2 * torch.randn(len(BOXES), 1, height, width, dtype=torch.float64)
    image = torch.tensor([0, 0, 1, 1, 0, 1])
    return logits, edges, image, *box_extents(torch.tensor(BOXES), height, width, 4)


def compute_plain(
    logits: Tensor, edges: list[Tensor], image: Tensor, rows: Tensor, columns: Tensor, size: int, dilation: int
) -> tuple[Tensor, Tensor, Tensor]:
    boxes = rows[:, :, None] & columns[:, None, :]
    nll = pairwise_nll(logits, size, dilation)
    counted = [unpack_edges(bits, size * size - 1)[image] & boxes[:, None] for bits in edges]
    sums = torch.stack([(nll * pairs).sum((1, 2, 3)) for pairs in counted])
    counts = torch.stack([pairs.sum((1, 2, 3)) for pairs in counted])
    return projection_loss(logits.sigmoid(), boxes[:, None]), sums, counts


@pytest.mark.parametrize(("size", "dilation"), KERNELS)
@pytest.mark.parametrize(("height", "width"), [(9, 11), (1, 6), (7, 1), (2, 2), (1, 1)])
def test_values_and_gradients_match_the_definitions(size: int, dilation: int, height: int, width: int) -> None:
    logits, *rest = make_scene(size, dilation, height, width)
    factors = torch.rand(3, len(BOXES), dtype=torch.float64)
    results = []
    for function in (box_losses, compute_plain):
        x = logits.clone().requires_grad_()
        projection, sums, counts = function(x, *rest, size, dilation)
        (projection * factors[0] + (sums * factors[1:]).sum(0)).sum().backward()
        results.append((projection.detach(), sums.detach(), counts.double(), x.grad))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected)


def test_gradient_passes_gradcheck() -> None:
    logits, *rest = make_scene(3, 2, 5, 6)
    assert torch.autograd.gradcheck(lambda x: box_losses(x, *rest, 3, 2)[:2], logits.requires_grad_())


def test_a_flipped_scene_gives_the_flipped_gradient() -> None:
    logits = torch.randn(1, 1, 8, 9, dtype=torch.float64)
    lab, valid = torch.randn(1, 3, 8, 9), torch.ones(1, 8, 9)
    rows, columns = torch.arange(8)[None] > 2, torch.arange(9)[None] > 3
    gradients, values = [], []
    for flip in (False, True):
        turn = (lambda t: t.flip(-1)) if flip else (lambda t: t)
        edges = pack_edges(color_similarity(turn(lab), valid, 3, 2) >= 0.3)
        x = turn(logits).clone().requires_grad_()
        projection, sums, _ = box_losses(x, [edges], torch.tensor([0]), rows, turn(columns), 3, 2)
        (projection.sum() + sums.sum()).backward()
        assert x.grad is not None
        gradients.append(turn(x.grad))
        values.append(torch.stack((projection.sum(), sums.sum())))
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(("a", "b"), [(100.0, -100.0), (100.0, 100.0), (-100.0, -100.0), (90.0, -40.0), (0.0, 100.0)])
def test_large_logits_do_not_cancel_in_single_precision(a: float, b: float) -> None:
    logits = torch.tensor([[[[a, b]]]], requires_grad=True)
    edges = torch.tensor([[[1 << 4, 1 << 3]]], dtype=torch.uint8)  # right neighbor, left neighbor
    everything = torch.ones(1, 1, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool)
    _, sums, counts = box_losses(logits, [edges], torch.tensor([0]), *everything, 3, 1)
    sums.sum().backward()

    def softplus(x: float) -> float:
        return max(x, 0) + math.log1p(math.exp(-abs(x)))

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    # the float64 reference loses 1e-14 of 100 by cancellation; float32 may lose its own rounding only
    assert float(sums.detach()) == pytest.approx(2 * (softplus(a) + softplus(b) - softplus(a + b)), rel=1e-6, abs=1e-12)
    assert float(counts) == 2
    expected = [2 * (sigmoid(a) - sigmoid(a + b)), 2 * (sigmoid(b) - sigmoid(a + b))]
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_no_instances_give_empty_results() -> None:
    logits = torch.zeros(0, 1, 4, 5, requires_grad=True)
    edges, none = torch.zeros(1, 4, 5, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)
    rows, columns = torch.zeros(0, 4, dtype=torch.bool), torch.zeros(0, 5, dtype=torch.bool)
    projection, sums, counts = box_losses(logits, [edges, edges], none, rows, columns)
    assert projection.shape == (0,) and sums.shape == counts.shape == (2, 0)
    (projection.sum() + sums.sum()).backward()
    assert logits.grad is not None and logits.grad.shape == logits.shape


def test_only_the_boxes_are_saved_for_backward() -> None:
    logits = torch.randn(8, 1, 100, 100, requires_grad=True)
    edges = [torch.zeros(1, 100, 100, dtype=torch.uint8)] * 2
    boxes = torch.tensor([[40.0, 40.0, 79.0, 79.0]]).expand(8, 4)  # 10 x 10 cells
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        box_losses(logits, edges, torch.zeros(8, dtype=torch.int64), *box_extents(boxes, 100, 100, 4))
    assert sum(saved.values()) < logits.nbytes / 8


def test_crops_contain_the_box_and_its_margin() -> None:
    rows, columns = box_extents(torch.tensor(BOXES), 9, 11, 4)
    crops = box_crops(rows, columns, 2)
    assert [crop.instance for crop in crops] == [0, 1, 2, 3, 4]  # the last box covers no cell
    for crop in crops:
        inside = torch.zeros(9, 11, dtype=torch.bool)
        top, bottom, left, right = crop.box
        inside[crop.index[1:]][top:bottom, left:right] = True
        torch.testing.assert_close(inside, rows[crop.instance][:, None] & columns[crop.instance][None])
