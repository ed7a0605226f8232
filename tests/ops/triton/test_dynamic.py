"""The dynamic head's Triton kernels against the head in float64; interpreted on the CPU, compiled on a GPU."""

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

from depthbox.modeling.mask_head import DynamicMaskHead  # noqa: E402
from depthbox.ops.triton import dynamic as triton_dynamic  # noqa: E402
from depthbox.structures import Queries  # noqa: E402

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def make_queries(counts: tuple[int, ...], height: int, width: int) -> Queries:
    total = sum(counts)
    cells = torch.zeros(total, dtype=torch.int64, device=DEVICE)
    image = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).to(DEVICE)
    locations = torch.rand(total, 2, device=DEVICE) * torch.tensor([8 * width, 8 * height], device=DEVICE)
    level = torch.arange(total, device=DEVICE) % 5
    return Queries(image, level, cells, cells, locations, cells, counts)


def run_kernels(head: DynamicMaskHead, features: Tensor, params: Tensor, queries: Queries) -> Tensor:
    assert triton_dynamic.fits(features, params, head.layer_shapes)
    stride, channels = head.feature_stride, head.layer_shapes[0][0]
    return triton_dynamic.coarse_logits(
        features,
        params,
        queries.image_index,
        queries.level,
        queries.locations,
        head.sizes_of_interest,
        max_queries=max(queries.counts),
        stride=stride,
        channels=channels,
        depth_layer=head.depth_layer,
    )


def make_case(inputs: int, depth_layer: bool, counts: tuple[int, ...], height: int, width: int) -> tuple:  # type: ignore[type-arg]
    """Return a head, features, parameters small enough for logits of moderate size, and queries."""
    head = DynamicMaskHead(in_channels=inputs, depth_layer=depth_layer).to(DEVICE)
    features = torch.randn(len(counts), inputs, height, width, device=DEVICE)
    params = 0.5 * torch.randn(sum(counts), head.num_params, device=DEVICE)
    return head, features, params, make_queries(counts, height, width)


@pytest.mark.parametrize(("inputs", "depth_layer"), [(8, False), (16, True)])
@pytest.mark.parametrize(
    ("counts", "height", "width"),
    [
        ((2, 0, 1), 4, 5),
        ((9, 1), 10, 13),
        pytest.param((64, 64), 100, 168, marks=needs_gpu),
        pytest.param((300, 0, 1), 50, 84, marks=needs_gpu),
    ],
)
def test_values_and_gradients_match_the_head(
    inputs: int, depth_layer: bool, counts: tuple[int, ...], height: int, width: int
) -> None:
    head, features, params, queries = make_case(inputs, depth_layer, counts, height, width)
    factors = torch.randn(len(queries), 1 + depth_layer, height, width, device=DEVICE)
    results = []
    for dtype, function in ((torch.float32, run_kernels), (torch.float64, DynamicMaskHead.coarse_logits)):
        f, p = (x.detach().clone().to(dtype).requires_grad_() for x in (features, params))
        outputs = function(head, f, p, queries)
        (outputs * factors).sum().backward()
        assert f.grad is not None and p.grad is not None
        results.append((outputs.detach().double(), f.grad.double(), p.grad.double()))
    for ours, expected in zip(*results, strict=True):
        assert ours.shape == expected.shape
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=2e-6 * float(expected.abs().max()))
    assert results[0][1].flatten(1).any(1).tolist() == [count > 0 for count in counts]


def test_the_dtype_is_that_of_the_plain_head() -> None:
    head, features, params, queries = make_case(8, True, (2, 1), 4, 5)
    for autocast, features_type, params_type in [
        (None, torch.float32, torch.float32),
        (None, torch.bfloat16, torch.bfloat16),
        (torch.bfloat16, torch.bfloat16, torch.bfloat16),
        (torch.bfloat16, torch.float32, torch.bfloat16),
    ]:
        f = features.clone().to(features_type).requires_grad_()
        p = params.clone().to(params_type).requires_grad_()
        with torch.autocast(DEVICE, dtype=autocast, enabled=autocast is not None):
            ours, plain = run_kernels(head, f, p, queries), head.coarse_logits(f.detach(), p.detach(), queries)
        assert ours.dtype == plain.dtype
        ours.float().sum().backward()
        assert f.grad is not None and f.grad.dtype == features_type
        assert p.grad is not None and p.grad.dtype == params_type
        exact = head.coarse_logits(f.detach().double(), p.detach().double(), queries)
        tolerance = 0.01 if ours.dtype == torch.bfloat16 else 1e-5
        torch.testing.assert_close(ours.detach().double(), exact, rtol=tolerance, atol=tolerance)


def test_channels_last_features_and_a_strided_gradient_are_supported() -> None:
    head, features, params, queries = make_case(8, True, (2, 1), 4, 5)
    last = features.to(memory_format=torch.channels_last)
    x, p = last.clone(memory_format=torch.preserve_format).requires_grad_(), params.clone().requires_grad_()
    outputs = run_kernels(head, x, p, queries)
    torch.testing.assert_close(outputs, head.coarse_logits(features, params, queries), rtol=1e-4, atol=1e-5)
    outputs[:, :1].sum().backward()
    plain = features.clone().requires_grad_()
    head.coarse_logits(plain, params, queries)[:, :1].sum().backward()
    torch.testing.assert_close(x.grad, plain.grad, rtol=1e-4, atol=1e-4)


def test_unsupported_arguments_do_not_fit() -> None:
    head, features, params, _ = make_case(8, True, (2, 1), 4, 5)
    shapes = head.layer_shapes
    assert not triton_dynamic.fits(features.double(), params.double(), shapes)
    assert not triton_dynamic.fits(features, params[:0], shapes)
    for other in (DynamicMaskHead(in_channels=8, num_layers=2), DynamicMaskHead(in_channels=5)):
        assert not triton_dynamic.fits(features, params, other.layer_shapes)


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_kernels_are_used_on_a_gpu_without_host_synchronization(dtype: torch.dtype) -> None:
    head, features, params, queries = make_case(16, True, (5, 0, 9), 20, 30)
    f, p = features.to(dtype).requires_grad_(), params.to(dtype).requires_grad_()
    head.coarse_logits(f, p, queries).float().sum().backward()  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        outputs = head.coarse_logits(f, p, queries)
        outputs.float().sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert type(outputs.grad_fn).__name__ == "_DynamicHeadBackward"
