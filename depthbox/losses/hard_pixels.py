"""Cross entropy of the hardest pixels of a batch (P2Seg; L_seg)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

UNKNOWN = 255  # value of a class map at pixels whose class is not known
_SMALLEST = 1e-6  # lower bound of a probability before the logarithm
_BINS = 2**16


@dataclass(frozen=True)
class HardThreshold:
    """Selection of the largest values: all above a threshold, and a share of each value equal to it.

    Attributes:
        value: 0-dim, the smallest selected value.
        tie_weight: 0-dim in (0, 1], weight of the values equal to the threshold: the selected number of them is spread
            over all of them, so that the result does not depend on their order.
    """

    value: Tensor
    tie_weight: Tensor


def hard_cross_entropy(probabilities: Tensor, class_map: Tensor, share: float = 0.2) -> Tensor:
    """Compute the mean of the largest floor(share B H W) values of -log max(P_S(p)(p), 1e-6) (P2Seg; L_seg).

    Unknown pixels count in the number B H W, with the value 0. At least one value is selected.

    Args:
        probabilities: (B, K + 1, H, W) float in [0, 1], background first.
        class_map: (B, H, W) integers: 0 background, class + 1, 255 unknown.
        share: share of the pixels that is selected, in (0, 1].

    Returns:
        0-dim >= 0, float32 or wider; 0 with zero gradients if all pixels are unknown.

    Raises:
        ValueError: the share is not in (0, 1], or the shapes do not match.

    Example:
        >>> import torch
        >>> probabilities = torch.tensor([[0.5, 0.1], [0.5, 0.9]]).reshape(1, 2, 1, 2)
        >>> round(float(hard_cross_entropy(probabilities, torch.tensor([[[0, 1]]]), share=0.5)), 4)
        0.6931
    """
    values = pixel_cross_entropy(probabilities, class_map)
    count = selected_count(values.numel(), share)
    return sum_hard(values, find_threshold(values.detach(), count)) / count


def pixel_cross_entropy(probabilities: Tensor, class_map: Tensor) -> Tensor:
    """Compute -log max(P_S(p)(p), 1e-6) of each pixel, 0 where the class is unknown.

    Args:
        probabilities, class_map: as in ``hard_cross_entropy``.

    Returns:
        (B, H, W) >= 0, float32 or wider.

    Raises:
        ValueError: the shapes do not match.
    """
    if probabilities.dim() != 4 or class_map.shape != probabilities[:, 0].shape:
        shapes = tuple(probabilities.shape), tuple(class_map.shape)
        raise ValueError("probabilities must be (B, K + 1, H, W), class_map (B, H, W); got {} and {}".format(*shapes))
    probabilities = probabilities.float() if probabilities.dtype.itemsize < 4 else probabilities
    labels = class_map.long()
    unknown = labels == UNKNOWN
    own = probabilities.gather(1, labels.masked_fill(unknown, 0)[:, None])[:, 0]
    return -torch.where(unknown, 1, own).clamp(_SMALLEST, 1).log()


def selected_count(pixels: int, share: float) -> int:
    """Return the number of selected pixels, floor(share pixels), at least 1.

    Raises:
        ValueError: the share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of hard pixels must be in (0, 1], got {share}")
    return max(int(share * pixels + 1e-6), 1)  # 0.29 * 100 is 28.999999999999996


def find_threshold(values: Tensor, count: int, reduce: Callable[[Tensor], Tensor] | None = None) -> HardThreshold:
    """Find the threshold of the ``count`` largest values, exactly, also of values on several processes.

    Args:
        values: float tensor of any shape, >= 0 and finite, without gradient; float32 if ``reduce`` is given.
        count: number of values to select, of all processes, at least 1.
        reduce: function that returns the sum of an int64 tensor over all processes; None for one process. It is called
            twice with 65,536 counts: first by the upper half of the bits of the values, then by the lower half.

    Returns:
        Threshold and weight of ties, the same on all processes.
    """
    values = values.flatten()
    if reduce is None:
        value = values.kthvalue(values.numel() - count + 1).values
        above, equal = (values > value).sum(), (values == value).sum()
        return HardThreshold(value, ((count - above) / equal).to(values.dtype))
    bits = (values + 0).contiguous().view(torch.int32).long()  # of non-negative floats, in order; + 0 for -0.0
    upper = _pick_bin(bits // _BINS, count, reduce)
    lower = _pick_bin(bits[bits // _BINS == upper.index] % _BINS, upper.remaining, reduce)
    value = (upper.index * _BINS + lower.index).to(torch.int32).view(torch.float32)
    return HardThreshold(value, (lower.remaining / lower.count).to(values.dtype))


def sum_hard(values: Tensor, threshold: HardThreshold) -> Tensor:
    """Sum the selected values of a process; the sum over processes divided by the selected number is the loss.

    Args:
        values: float tensor of any shape.
        threshold: selection by ``find_threshold``.

    Returns:
        0-dim, differentiable by the values.
    """
    weight = (values > threshold.value).to(values.dtype)
    weight = torch.where(values == threshold.value, threshold.tie_weight, weight)
    return (values * weight).sum()


@dataclass(frozen=True)
class _Bin:
    index: Tensor
    count: Tensor
    remaining: Tensor  # number of values that are selected from this bin


def _pick_bin(numbers: Tensor, count: int | Tensor, reduce: Callable[[Tensor], Tensor]) -> _Bin:
    """Find the bin of the count-th largest of integers in 0.._BINS - 1."""
    histogram = reduce(torch.bincount(numbers, minlength=_BINS))
    at_least = histogram.flip(0).cumsum(0).flip(0)
    index = (at_least >= count).sum() - 1
    return _Bin(index, histogram[index], count - (at_least[index] - histogram[index]))
