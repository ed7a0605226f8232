"""Focal loss of class indices against torchvision's focal loss of a one-hot matrix."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from depthbox.losses import focal
from depthbox.losses.focal import focal_loss

SIZES = (35, 12, 1)


def make_case(classes: int = 7, images: int = 3, scale: float = 3.0) -> tuple[list[Tensor], Tensor]:
    """Return logits of three levels, and labels of which about a third are background."""
    levels = [scale * torch.randn(images, classes, n, dtype=torch.float64) for n in SIZES]
    labels = torch.randint(0, classes, (images, sum(SIZES)))
    return levels, labels.masked_fill(torch.rand(labels.shape) < 0.3, classes)


def reference(levels: list[Tensor], labels: Tensor, alpha: float, gamma: float) -> Tensor:
    logits = torch.cat(levels, 2).transpose(1, 2).flatten(0, 1)
    one_hot = F.one_hot(labels.flatten(), logits.shape[1] + 1)[:, :-1].to(logits.dtype)
    return sigmoid_focal_loss(logits, one_hot, alpha=alpha, gamma=gamma, reduction="sum")


def value_and_gradients(loss: Tensor, levels: list[Tensor]) -> list[Tensor]:
    return [loss.detach(), *torch.autograd.grad(loss * 1.7, levels)]


@pytest.mark.parametrize("alpha", [0.25, 0.3, 1.0, -1.0])
@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
def test_value_and_gradient_match_torchvision(alpha: float, gamma: float) -> None:
    levels, labels = make_case()
    levels = [x.requires_grad_() for x in levels]
    expected = value_and_gradients(reference(levels, labels, alpha, gamma), levels)
    for found, wanted in zip(
        value_and_gradients(focal_loss(levels, labels, alpha, gamma), levels), expected, strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("chunk", [1, 7 * 5, 7 * 12 * 2, 10**9])
@pytest.mark.parametrize("last", [False, True])
def test_results_do_not_depend_on_chunks_and_memory_format(
    chunk: int, last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels, labels = make_case()
    if last:  # (B, C, P) as a channels-last convolution leaves it
        levels = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in levels]
    levels = [x.requires_grad_() for x in levels]
    expected = value_and_gradients(reference(levels, labels, 0.25, 2.0), levels)
    monkeypatch.setattr(focal, "_CPU_CHUNK", chunk)
    for found, wanted in zip(value_and_gradients(focal_loss(levels, labels), levels), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)


def test_gradient_passes_gradcheck() -> None:
    levels, labels = make_case(classes=3, images=2)
    for x in levels:
        x.requires_grad_()
    assert torch.autograd.gradcheck(lambda *x: focal_loss(x, labels, 0.3, 1.5), levels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_large_logits_and_half_precision_stay_exact(dtype: torch.dtype) -> None:
    levels, labels = make_case(scale=50.0)
    levels[0][0, :, :2] = torch.tensor([100.0, -100.0])
    low = [x.clamp(-100, 100).to(dtype).requires_grad_() for x in levels]
    exact = [x.detach().double().requires_grad_() for x in low]
    loss = focal_loss(low, labels)
    assert loss.dtype == torch.float32
    expected, *gradients = value_and_gradients(reference(exact, labels, 0.25, 2.0), exact)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)
    for found, wanted in zip(torch.autograd.grad(loss * 1.7, low), gradients, strict=True):
        assert found.dtype == dtype
        torch.testing.assert_close(found, wanted.to(dtype), atol=1e-5, rtol=max(1e-5, torch.finfo(dtype).eps))


def test_easy_negatives_keep_their_gradient_in_float16() -> None:
    # Slopes near 1e-8 are 0 in float16: the scale of a gradient scaler has to be applied before rounding.
    logits, labels = torch.full((1, 2, 4), -8.0, dtype=torch.float16, requires_grad=True), torch.full((1, 4), 2)
    (gradient,) = torch.autograd.grad(focal_loss([logits], labels) * 2.0**16, logits)
    exact = logits.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(reference([exact], labels, 0.25, 2.0) * 2.0**16, exact)
    assert expected.abs().max() < 2.0**16 * 6e-8  # without the scale, below the smallest float16
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-2, atol=0)


def test_background_only_and_logits_without_gradient_are_accepted() -> None:
    levels, labels = make_case()
    labels = torch.full_like(labels, 7)
    torch.testing.assert_close(focal_loss(levels, labels), reference(levels, labels, 0.25, 2.0))
    assert not focal_loss(levels, labels).requires_grad


def test_one_gradient_is_all_that_is_saved_for_backward() -> None:
    levels, labels = make_case(classes=40, images=2)
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        focal_loss([x.float().requires_grad_() for x in levels], labels)
    assert sum(x.nbytes for x in saved) == 4 * sum(x.numel() for x in levels)
