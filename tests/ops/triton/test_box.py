"""Triton kernels of the mask losses against the definitions in float64; interpreted on the CPU, compiled on a GPU."""

import math
import os

import pytest
import torch
from torch import Tensor

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
triton = pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu" and isinstance(triton.language.sum, triton.JITFunction):
    pytest.skip("Triton was imported before TRITON_INTERPRET=1 was set", allow_module_level=True)

from depthbox import losses  # noqa: E402
from depthbox.ops import box_extents, color_similarity, pack_edges, unpack_edges  # noqa: E402
from depthbox.ops.triton import box as triton_box  # noqa: E402
from depthbox.ops.triton import depth as triton_depth  # noqa: E402
from depthbox.ops.triton import dice as triton_dice  # noqa: E402
from depthbox.ops.triton import support as triton_support  # noqa: E402

# xyxy in pixels of a stride-4 grid: the whole map, inside, across the borders, one cell, no cell.
BOXES = [[0, 0, 9999, 9999], [8, 4, 30, 21], [-9, 13, 21, 36], [30, 20, 80, 70], [9, 9, 11, 11], [12, 4, 12.5, 30]]
SHAPES = [(9, 11), (1, 6), (7, 1), (17, 66)]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
Scene = tuple[Tensor, list[Tensor], Tensor, Tensor, Tensor]


def make_scene(height: int, width: int, dilation: int, sets: int, copies: int = 1) -> Scene:
    """Return float32 logits (N, 1, H, W), edge sets, image of each instance, rows and columns of the boxes."""
    edges = []
    for _ in range(sets):
        lab, valid = torch.randn(2, 3, height, width, device=DEVICE), torch.rand(2, height, width, device=DEVICE) > 0.15
        edges.append(pack_edges(color_similarity(lab, valid, 3, dilation) >= 0.3))
    count = copies * len(BOXES)
    logits = 3 * torch.randn(count, 1, height, width, device=DEVICE)
    boxes = torch.tensor(BOXES * copies, device=DEVICE)
    image = torch.arange(count, device=DEVICE) * 2 // count
    return logits, edges, image, *box_extents(boxes, height, width, 4)


def compute_plain(
    logits: Tensor, edges: list[Tensor], image: Tensor, rows: Tensor, columns: Tensor, dilation: int
) -> tuple[Tensor, Tensor, Tensor]:
    boxes = rows[:, :, None] & columns[:, None, :]
    nll = losses.pairwise_nll(logits, 3, dilation)
    counted = [unpack_edges(bits, 8)[image] & boxes[:, None] for bits in edges]
    sums = torch.stack([(nll * pairs).sum((1, 2, 3)) for pairs in counted])
    counts = torch.stack([pairs.sum((1, 2, 3)) for pairs in counted])
    return losses.projection_loss_from_logits(logits, rows, columns), sums, counts


def compare_box_losses(case: Scene, dilation: int) -> None:
    logits, *rest = case
    factors = torch.rand(1 + len(rest[0]), len(logits), device=DEVICE)
    results = []
    for function, dtype in ((triton_box.box_losses, torch.float32), (compute_plain, torch.float64)):
        x = logits.detach().clone().to(dtype).requires_grad_()
        projection, sums, counts = function(x, *rest, dilation)
        (projection * factors[0] + (sums * factors[1:]).sum(0)).sum().backward()
        assert x.grad is not None
        results.append((projection.detach().double(), sums.detach().double(), counts.double(), x.grad.double()))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=2e-6, atol=3e-6)


@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize(("dilation", "sets"), [(1, 1), (2, 2)])
def test_box_losses_match_the_definition(height: int, width: int, dilation: int, sets: int) -> None:
    case = make_scene(height, width, dilation, sets)
    assert triton_box.fits(case[0], case[1], 3)
    compare_box_losses(case, dilation)


@needs_gpu
@pytest.mark.parametrize(("dilation", "sets"), [(1, 1), (2, 2)])
def test_box_losses_match_the_definition_at_full_size(dilation: int, sets: int) -> None:
    compare_box_losses(make_scene(200, 336, dilation, sets, copies=22), dilation)


def test_the_first_of_equal_maxima_receives_the_gradient() -> None:
    logits, *rest = make_scene(9, 11, 2, 1)
    compare_box_losses((logits.clamp(-1, 1).round(), *rest), 2)
    compare_box_losses((torch.zeros_like(logits), *rest), 2)


def test_one_channel_of_a_map_and_unused_results_are_supported() -> None:
    case = make_scene(9, 11, 2, 2)
    both = torch.cat((case[0], case[0]), dim=1).requires_grad_()
    logits = both.split(1, dim=1)[1]
    assert not logits.is_contiguous()
    projection, sums, _ = triton_box.box_losses(logits, *case[1:], dilation=2)
    expected, expected_sums, _ = compute_plain(case[0], *case[1:], dilation=2)
    torch.testing.assert_close(projection, expected)
    torch.testing.assert_close(sums, expected_sums)
    sums[0].sum().backward()  # an expanded gradient, and none for the projection
    assert both.grad is not None and not both.grad[:, 0].any() and both.grad[:, 1].any()


@pytest.mark.parametrize(("a", "b"), [(100.0, -100.0), (100.0, 100.0), (-100.0, -100.0), (90.0, -40.0), (0.0, 100.0)])
def test_large_logits_do_not_cancel(a: float, b: float) -> None:
    logits = torch.tensor([[[[a, b]]]], device=DEVICE, requires_grad=True)
    edges = torch.tensor([[[1 << 4, 1 << 3]]], dtype=torch.uint8, device=DEVICE)  # right neighbor, left neighbor
    rows, columns = torch.ones(1, 1, dtype=torch.bool, device=DEVICE), torch.ones(1, 2, dtype=torch.bool, device=DEVICE)
    image = torch.zeros(1, dtype=torch.int64, device=DEVICE)
    _, sums, _ = triton_box.box_losses(logits, [edges], image, rows, columns, 1)
    sums.sum().backward()

    def softplus(x: float) -> float:
        return max(x, 0) + math.log1p(math.exp(-abs(x)))

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    assert float(sums.detach()) == pytest.approx(2 * (softplus(a) + softplus(b) - softplus(a + b)), rel=1e-6, abs=1e-12)
    expected = [2 * (sigmoid(a) - sigmoid(a + b)), 2 * (sigmoid(b) - sigmoid(a + b))]
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def compare(ours: Tensor, expected: Tensor, x: Tensor, y: Tensor) -> None:
    """Compare the values, and the gradients of x and y."""
    factors = torch.rand(len(ours), device=DEVICE)
    (ours * factors).sum().backward()
    (expected * factors).sum().backward()
    assert x.grad is not None and y.grad is not None and bool(y.grad.any())
    torch.testing.assert_close(ours.detach().double(), expected.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(x.grad.double(), y.grad, rtol=2e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("height", "width", "copies"), [*[(h, w, 1) for h, w in SHAPES], pytest.param(200, 336, 22, marks=needs_gpu)]
)
def test_instance_depth_loss_matches_the_definition(height: int, width: int, copies: int) -> None:
    logits, _, *rest = make_scene(height, width, 1, 1, copies)
    depth = torch.rand(2, height, width, device=DEVICE)
    x, y = logits.clone().requires_grad_(), logits.double().requires_grad_()
    assert triton_depth.fits(x)
    ours = triton_depth.instance_depth_loss(x, depth, *rest)
    compare(ours, losses.instance_depth_loss(y.sigmoid(), depth, *rest), x, y)


@pytest.mark.parametrize("kind", [torch.bool, torch.float32])
@pytest.mark.parametrize(
    ("height", "width", "copies"), [*[(h, w, 1) for h, w in SHAPES], pytest.param(200, 336, 22, marks=needs_gpu)]
)
def test_dice_loss_matches_the_definition(kind: torch.dtype, height: int, width: int, copies: int) -> None:
    logits = make_scene(height, width, 1, 1, copies)[0]
    scores = torch.rand(5, height, width, device=DEVICE)
    targets = scores > 0.5 if kind == torch.bool else scores
    index = torch.randint(0, 5, (len(logits),), device=DEVICE)
    x, y = logits.clone().requires_grad_(), logits.double().requires_grad_()
    assert triton_dice.fits(x)
    ours = triton_dice.dice_loss_from_logits(x, targets, index, 1e-5)
    compare(ours, losses.dice_loss(y.sigmoid(), targets[index][:, None].double()), x, y)


def test_repeated_runs_give_the_same_bits() -> None:
    logits, *rest = make_scene(9, 11, 2, 2)
    gradients = []
    for _ in range(2):
        x = logits.clone().requires_grad_()
        projection, sums, _ = triton_box.box_losses(x, *rest, dilation=2)
        (projection.sum() + sums.sum()).backward()
        gradients.append((x.grad, projection.detach(), sums.detach()))
    for first, second in zip(*gradients, strict=True):
        assert first is not None and torch.equal(first, second)


def test_unsupported_arguments_do_not_fit() -> None:
    logits, edges, *_ = make_scene(9, 11, 1, 1)
    assert triton_box.fits(logits, edges * 2, 3) and not triton_box.fits(logits, edges * 3, 3)
    assert not triton_box.fits(logits, edges, 5) and not triton_box.fits(logits.double(), edges, 3)
    assert not triton_box.fits(logits[:0], edges, 3) and not triton_box.fits(
        logits.expand(-1, -1, 9, 11)[..., :0], edges, 3
    )
    assert not triton_depth.fits(logits.double()) and not triton_dice.fits(logits[:0])


def test_kernels_are_not_available_on_the_cpu() -> None:
    assert not triton_support.is_available(torch.device("cpu"))
    assert [triton_support.next_power_of_two(n) for n in (0, 1, 2, 3, 64, 65)] == [1, 1, 2, 4, 64, 128]
    assert [triton_support.ceil_div(n, 4) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]


@needs_gpu
def test_kernels_are_used_on_a_gpu_with_equal_results() -> None:
    logits, *rest = make_scene(40, 60, 2, 2)
    assert triton_support.is_available(logits.device)
    gradients = []
    for use in (True, False):
        x = logits.clone().requires_grad_()
        projection, sums, _ = losses.box_losses(x, *rest, triton=use)
        (projection.sum() + sums.sum()).backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


@needs_gpu
def test_a_step_needs_no_host_synchronization() -> None:
    logits, edges, image, rows, columns = make_scene(40, 60, 2, 2)
    depth, masks = torch.rand(2, 40, 60, device=DEVICE), torch.rand(2, 40, 60, device=DEVICE) > 0.5

    def step() -> None:
        x = logits.clone().requires_grad_()
        projection, sums, _ = losses.box_losses(x, edges, image, rows, columns)
        total = projection.sum() + sums.sum() + losses.dice_loss_from_logits(x, masks, image).sum()
        (total + losses.instance_depth_loss_from_logits(x, depth, image, rows, columns).sum()).backward()

    step()  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
