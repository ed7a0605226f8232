"""Dynamic mask head with its depth layer (eq. 1) against one small network per instance, in loops."""

import pytest
import torch
from torch import Tensor

from depthbox.modeling.mask_head import DynamicMaskHead
from depthbox.ops import aligned_upsample
from depthbox.structures import Queries

CHANNELS, WIDTH = 5, 8


def queries(counts: tuple[int, ...]) -> Queries:
    total = sum(counts)
    return Queries(
        image_index=torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)),
        level=torch.arange(total) % 5,
        row=torch.zeros(total, dtype=torch.int64),
        column=torch.zeros(total, dtype=torch.int64),
        locations=torch.rand(total, 2) * 40,
        target_index=torch.zeros(total, dtype=torch.int64),
        counts=counts,
    )


def reference(
    head: DynamicMaskHead, features: Tensor, params: Tensor, asked: Queries, depth_layer: bool
) -> tuple[Tensor, Tensor]:
    """Compute the mask logit M_m(F1) * P_depth and the depth logit M_d(F1) cell by cell and instance by instance."""
    _, _, height, width = features.shape
    masks = torch.zeros(len(params), 1, height, width, dtype=features.dtype)
    depths = torch.zeros_like(masks)
    sizes = (64, 128, 256, 512, 1024)
    for q, numbers in enumerate(params):
        first, middle, last = numbers[:56].view(8, 7), numbers[56:120].view(8, 8), numbers[120:128].view(1, 8)
        b0, b1, b2 = numbers[128:136], numbers[136:144], numbers[144:145]
        for y in range(height):
            for x in range(width):
                pixel = torch.tensor([x * 8 + 4, y * 8 + 4], dtype=features.dtype)
                relative = (asked.locations[q].to(features.dtype) - pixel) / sizes[int(asked.level[q])]
                f0 = torch.cat((relative, features[asked.image_index[q], :, y, x]))
                f1 = (middle @ (first @ f0 + b0).relu() + b1).relu()
                masks[q, 0, y, x] = (last @ f1 + b2)[0]
                if depth_layer:
                    depths[q, 0, y, x] = numbers[145:153] @ f1 + numbers[153]
                    masks[q, 0, y, x] *= depths[q, 0, y, x].sigmoid()
    return masks, depths


@pytest.mark.parametrize("depth_layer", [False, True])
def test_equals_one_network_per_instance(depth_layer: bool) -> None:
    head = DynamicMaskHead(in_channels=CHANNELS, channels=WIDTH, depth_layer=depth_layer)
    assert head.num_params == (154 if depth_layer else 145)
    asked = queries((2, 0, 1))
    features = torch.randn(3, CHANNELS, 4, 5, dtype=torch.float64)
    params = torch.randn(3, head.num_params, dtype=torch.float64)
    masks, depths = reference(head, features, params, asked, depth_layer)
    result = head(features, params, asked)
    torch.testing.assert_close(result.logits, aligned_upsample(masks, 2))
    if depth_layer:
        torch.testing.assert_close(result.depth_logits, aligned_upsample(depths, 2))
    else:
        assert result.depth_logits is None


def test_numbers_of_published_sizes() -> None:
    sizes = [(16, False), (16, True), (8, False), (8, True)]
    found = [DynamicMaskHead(in_channels=n, depth_layer=depth).num_params for n, depth in sizes]
    assert found == [233, 242, 169, 178]


def test_gradient_with_the_depth_layer() -> None:
    head = DynamicMaskHead(in_channels=2, channels=2, depth_layer=True)
    asked = queries((1, 1))
    features = torch.randn(2, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    params = torch.randn(2, head.num_params, dtype=torch.float64, requires_grad=True)

    def outputs(f: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        result = head(f, p, asked)
        assert result.depth_logits is not None
        return result.logits, result.depth_logits

    assert torch.autograd.gradcheck(outputs, (features, params))


def test_no_queries_stay_on_the_graph() -> None:
    head = DynamicMaskHead(in_channels=CHANNELS, depth_layer=True)
    params = torch.zeros(0, head.num_params, requires_grad=True)
    result = head(torch.randn(1, CHANNELS, 4, 5), params, queries((0,)))
    assert result.depth_logits is not None and result.logits.shape == (0, 1, 8, 10)
    (result.logits.sum() + result.depth_logits.sum()).backward()
    assert params.grad is not None


@pytest.mark.parametrize("cached", [1, 2 * WIDTH * 4 * 5, 10**6])
def test_the_cpu_form_equals_one_product_per_layer(cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    head = DynamicMaskHead(in_channels=CHANNELS, channels=WIDTH, depth_layer=True)
    asked = queries((3, 0, 4, 1))
    inputs = torch.randn(4, CHANNELS, 4, 5, dtype=torch.float64), torch.randn(8, head.num_params, dtype=torch.float64)
    weights = torch.randn(8, 2, 4, 5, dtype=torch.float64)
    results = []
    monkeypatch.setattr("depthbox.modeling.mask_head.layers._CACHED", cached)
    for function in (head._logits, head.coarse_logits):
        features, params = (x.clone().requires_grad_() for x in inputs)
        logits = function(features, params, asked)
        (logits * weights).sum().backward()
        results.append((logits.detach(), features.grad, params.grad))
    for once, in_parts in zip(*results, strict=True):
        torch.testing.assert_close(in_parts, once)


def test_hidden_units_are_not_kept_for_backward() -> None:
    head = DynamicMaskHead(in_channels=CHANNELS, channels=WIDTH, depth_layer=True)
    features = torch.randn(1, CHANNELS, 40, 50, requires_grad=True)
    params = torch.randn(12, head.num_params, requires_grad=True)
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    sizes = []
    for function in (head._logits, head.coarse_logits):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            function(features, params, queries((12,)))
        sizes.append(sum(kept.values()))
    assert sizes[1] < sizes[0] / 4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_relative_coordinates_are_exact_under_autocast(dtype: torch.dtype) -> None:
    """Half precision resolves 8 pixels (bfloat16) or 1 pixel (float16) at the right side of a large image."""
    head = DynamicMaskHead(in_channels=CHANNELS, channels=WIDTH, triton=False)
    width = 168  # 1344 pixels
    asked = queries((1,))
    asked.locations[0], asked.level[0] = torch.tensor([1300.0, 12.0]), 0
    params = torch.zeros(1, head.num_params)
    params[0, 0] = 1.0  # first unit of the first layer: relative x
    params[0, 1 * 7] = -1.0  # second unit: its negative
    params[0, 56] = params[0, 57] = 1.0  # the middle layer adds both: |relative x|
    params[0, 120] = 1.0
    features = torch.zeros(1, CHANNELS, 3, width)
    exact = (1300 - (torch.arange(width) * 8.0 + 4)).abs() / 64
    with torch.autocast("cpu", dtype):
        logits = head.coarse_logits(features, params.to(dtype), asked)
    near = exact < 1
    assert near.sum() > 10
    torch.testing.assert_close(logits[0, 0, 1, near].float(), exact[near], rtol=2**-7, atol=0)
