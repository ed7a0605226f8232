"""Center maps: Gaussian bumps at the points of each class, and their weighted squared error (P2Seg, BESTIE)."""

from __future__ import annotations

import torch
from torch import Tensor


def center_map(points: Tensor, classes: Tensor, num_classes: int, size: tuple[int, int], sigma: float = 6.0) -> Tensor:
    """Draw a Gaussian bump at each point; the largest value of a class wins (P2Seg; first labels).

    M_c(u, v) = max over the points (x, y) of class c of exp(-((u - x)^2 + (v - y)^2) / (2 sigma^2)), with (x, y) the
    pixel of the point. Each bump is cut to a square of 6 sigma + 3 pixels. Points outside the map are left out.

    Args:
        points: (N, 2) float, (x, y) in pixels; NaN for none.
        classes: (N,) int64 in 0..num_classes - 1.
        num_classes: number of classes K.
        size: (height, width) of the map in pixels.
        sigma: standard deviation in pixels, positive.

    Returns:
        (K, H, W) float32 in [0, 1].

    Raises:
        ValueError: the sigma is not positive.

    Example:
        >>> import torch
        >>> bump = center_map(torch.tensor([[1.5, 0.0]]), torch.tensor([0]), num_classes=1, size=(1, 3), sigma=1.0)
        >>> [round(value, 4) for value in bump[0, 0].tolist()]
        [0.6065, 1.0, 0.6065]
    """
    if sigma <= 0:
        raise ValueError(f"sigma must be positive, got {sigma}")
    height, width = size
    radius = int(3 * sigma + 1)
    pixels = points.floor()
    inside = ((pixels >= 0) & (pixels < pixels.new_tensor([width, height]))).all(1)  # False for NaN
    result = torch.zeros((num_classes, height, width), device=points.device)
    rows, columns = torch.arange(height, device=points.device), torch.arange(width, device=points.device)
    for (x, y), c in zip(pixels[inside].long().tolist(), classes[inside].tolist(), strict=True):
        window = slice(max(y - radius, 0), y + radius + 1), slice(max(x - radius, 0), x + radius + 1)
        squares = (rows[window[0]] - y).square()[:, None] + (columns[window[1]] - x).square()[None]
        part = result[c][window]
        torch.maximum(part, torch.exp(squares.float() / (-2 * sigma * sigma)), out=part)
    return result


def center_loss(predictions: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Compute the weighted squared error, summed over classes, per pixel of positive weight.

    Args:
        predictions: (B, K, H, W) float; half precision is converted to float32.
        targets: (B, K, H, W) float in [0, 1].
        weight: (B, H, W) float or bool, >= 0.

    Returns:
        0-dim >= 0; 0 with zero gradients if no pixel has weight.

    Raises:
        ValueError: the shapes do not match.
    """
    if predictions.shape != targets.shape or weight.shape != predictions[:, 0].shape:
        shapes = tuple(predictions.shape), tuple(targets.shape), tuple(weight.shape)
        raise ValueError("predictions, targets: (B, K, H, W), weight: (B, H, W); got {}, {}, {}".format(*shapes))
    predictions = predictions.float() if predictions.dtype.itemsize < 4 else predictions
    errors = (predictions - targets.to(predictions.dtype)).square().sum(1)
    return (errors * weight.to(predictions.dtype)).sum() / (weight > 0).sum().clamp(min=1)
