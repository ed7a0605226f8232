"""rgb_to_lab against the standard's formulas, written pixel by pixel in float64."""

import numpy as np
import pytest
import torch

from depthbox.ops import rgb_to_lab


def lab_of_pixel(rgb: np.ndarray) -> list[float]:
    """Convert one sRGB triple by the textbook: linearize, XYZ, divide by white, cube root."""
    linear = [((c + 0.055) / 1.055) ** 2.4 if c > 0.04045 else c / 12.92 for c in rgb]
    primaries = [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
    white = [0.95047, 1.0, 1.08883]
    ratios = [sum(m * c for m, c in zip(row, linear, strict=True)) for row in primaries]
    ratios = [value / reference for value, reference in zip(ratios, white, strict=True)]
    x, y, z = (r ** (1 / 3) if r > 0.008856 else 7.787 * r + 16 / 116 for r in ratios)
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


def test_matches_the_formula_on_every_pixel() -> None:
    # A wrong branch shows at dark values and near the two thresholds.
    rgb = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    rgb[1] *= 0.06
    expected = np.apply_along_axis(lab_of_pixel, 1, rgb.numpy())
    np.testing.assert_allclose(rgb_to_lab(rgb), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(rgb_to_lab(rgb.float()), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((1, 1, 1), (100, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
    ],
)
def test_known_colors(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    result = rgb_to_lab(torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(result, torch.tensor(lab, dtype=torch.float32), rtol=0, atol=0.03)


def test_dtype_is_kept_and_an_empty_batch_is_accepted() -> None:
    assert rgb_to_lab(torch.rand(0, 3, 4, 5)).shape == (0, 3, 4, 5)
    assert rgb_to_lab(torch.rand(1, 3, 2, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 4, 5)])
def test_other_shapes_are_rejected(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"requires floats in \[0, 1\] of shape"):
        rgb_to_lab(torch.rand(shape))


def test_integers_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"got torch.uint8 \(1, 3, 2, 2\)"):
        rgb_to_lab(torch.zeros(1, 3, 2, 2, dtype=torch.uint8))
