"""Pasting of masks against its definition, as bools and as RLEs, and its memory."""

import subprocess
import sys

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from torch.nn import functional as F

from depthbox.modeling.mask_head import mean_depth, paste_masks
from depthbox.modeling.mask_head.rle import paste_rles
from depthbox.ops import aligned_upsample


def dense_scores(logits, stride, image_size, output_size):
    """Compute all masks (N, height, width) at full size, as probabilities."""
    scores = aligned_upsample(logits.float().sigmoid(), stride)[:, :, : image_size[0], : image_size[1]]
    return F.interpolate(scores, size=output_size, mode="bilinear", align_corners=False)[:, 0]


def encode(masks):
    """Encode whole masks (N, height, width) with pycocotools."""
    rles = [mask_util.encode(np.asfortranarray(mask.numpy().astype(np.uint8))) for mask in masks]
    return [{"size": rle["size"], "counts": rle["counts"].decode()} for rle in rles]


def blobs(n, height, width, generator, steepness=2.0):
    """Return logits (N, 1, H, W) of discs, some of which extend beyond the grid."""
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    center = torch.rand((n, 2), generator=generator) * torch.tensor([height, width])
    radius = torch.rand(n, generator=generator) * max(height, width) / 2
    distance = ((y - center[:, :1, None]) ** 2 + (x - center[:, 1:, None]) ** 2).sqrt()
    return (radius[:, None, None] - distance)[:, None] * steepness


def assert_as_defined(logits, stride, image_size, output_size, threshold=0.5, **options):
    """Assert that masks equal the definition except for scores within 1e-6 of the threshold, and RLEs the masks."""
    masks = paste_masks(logits, stride, image_size, output_size, threshold=threshold, **options)
    scores = dense_scores(logits, stride, image_size, output_size)
    clear = (scores - threshold).abs() > 1e-6
    assert masks.dtype == torch.bool and masks.shape == scores.shape
    assert torch.equal(masks[clear], (scores > threshold)[clear])
    assert paste_rles(logits, stride, image_size, output_size, threshold=threshold, **options) == encode(masks)
    return masks


@pytest.mark.parametrize("output_size", [(60, 90), (37, 53), (120, 200)])
def test_chunks_equal_pasting_at_once(output_size):
    torch.manual_seed(0)
    logits = torch.randn(7, 1, 16, 24)
    dense = dense_scores(logits, 4, (60, 90), output_size) > 0.5
    for chunk_pixels in (1, 20_000, 2**24):
        assert torch.equal(assert_as_defined(logits, 4, (60, 90), output_size, chunk_pixels=chunk_pixels), dense)
    assert 0.2 < dense.float().mean() < 0.8


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("threshold", [0.5, 0.3, 0.9])
def test_any_geometry(stride, threshold):
    rng = np.random.default_rng(stride)
    generator = torch.Generator().manual_seed(stride)
    filled = 0
    for round_ in range(12):
        grid = [int(v) for v in rng.integers(1, 30, 2)]
        logits = blobs(int(rng.integers(1, 5)), *grid, generator, steepness=float(rng.choice([0.3, 2, 20])))
        if round_ % 3 == 0:
            logits += torch.randn(logits.shape, generator=generator) * 3
        image_size = tuple(int(rng.integers((n * stride + 1) // 2, n * stride + 1)) for n in grid)
        output_size = image_size if round_ % 4 == 0 else tuple(int(v) for v in rng.integers(1, 200, 2))
        filled += assert_as_defined(logits, stride, image_size, output_size, threshold).sum().item()
    assert filled > 2000


@pytest.mark.parametrize("output_size", [(64, 96), (100, 131), (31, 47)])
def test_borders_and_single_cells(output_size):
    logits = torch.full((10, 1, 16, 24), -4.0)
    logits[0] = 4
    logits[1, :, :1], logits[2, :, -1:], logits[3, ..., :1], logits[4, ..., -1:] = 4, 4, 4, 4
    logits[5, :, 0, 0] = logits[6, :, -1, -1] = logits[7, :, 7, 11] = 4
    logits[8, :, :, ::3] = (
        4  # whole columns: a run ends at the bottom of a column and none starts at the top of the next
    )
    masks = assert_as_defined(logits, 4, (64, 96), output_size)
    assert (
        masks[0].all() and masks[1, 0].all() and masks[2, -1].all() and masks[3, :, 0].all() and masks[4, :, -1].all()
    )
    assert masks[5, 0, 0] and masks[6, -1, -1] and masks[7].any() and not masks[9].any()


def test_a_run_over_the_foot_of_a_column_is_one():
    logits = torch.full((1, 1, 8, 8), 4.0)
    logits[0, 0, 3:5] = -4
    (rle,) = paste_rles(logits, 4, (32, 32), (32, 32))
    masks = paste_masks(logits, 4, (32, 32), (32, 32))
    assert masks[0, 0].all() and masks[0, -1].all() and [rle] == encode(masks)


def test_mask_in_the_padding_only():
    logits = torch.full((1, 1, 16, 16), -4.0)
    logits[..., 14:] = 4
    assert not assert_as_defined(logits, 4, (64, 40), (70, 50)).any()


def test_no_mask():
    assert paste_masks(torch.zeros(0, 1, 4, 4), 4, (16, 16), (20, 30)).shape == (0, 20, 30)
    assert paste_rles(torch.zeros(0, 1, 4, 4), 4, (16, 16), (20, 30)) == []


def test_half_precision():
    logits = blobs(4, 16, 24, torch.Generator().manual_seed(0)).bfloat16()
    assert assert_as_defined(logits, 4, (60, 90), (111, 170)).any()


PEAK = """
import resource, torch
from depthbox.modeling.mask_head.rle import paste_rles
torch.set_num_threads(1)
logits = torch.full((100, 1, 200, 272), -4.0)
logits[:, :, 50:70, 60:90] = 4
logits[0] = 4
start = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
rles = paste_rles(logits, 4, (800, 1066), (3000, 4000))
# not ru_maxrss, which a process inherits from the one that started it
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
assert len(rles) == 100 and all(rle["size"] == [3000, 4000] for rle in rles)
print((peak - start) / 1e6)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the process's memory from /proc")
def test_memory_of_many_masks_on_a_large_image():
    run = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 300


def test_mean_depth_is_that_of_the_masks_cells_and_continuous():
    torch.manual_seed(0)
    logits, depths = torch.randn(3, 1, 4, 5) * 3, torch.randn(3, 1, 4, 5)
    logits[2] = -logits[2].abs()
    expected = []
    for mask, depth in zip(logits[:2].double().sigmoid(), depths[:2].double().sigmoid(), strict=True):
        cells = [(float(p) - 0.5, float(d)) for p, d in zip(mask.flatten(), depth.flatten(), strict=True) if p > 0.5]
        expected.append(sum(weight * d for weight, d in cells) / sum(weight for weight, _ in cells))
    found = mean_depth(logits, depths)
    assert found.tolist() == pytest.approx([*expected, 0], abs=1e-6)
    # A cell that is rounded to either side of the mask's border has no influence.
    near = logits.clone()
    near[:, :, 0, 0] = 1e-6
    other = near.clone()
    other[:, :, 0, 0] = -1e-6
    torch.testing.assert_close(mean_depth(near, depths)[:2], mean_depth(other, depths)[:2], rtol=0, atol=1e-6)
    constant = torch.full_like(depths, 0.3)
    torch.testing.assert_close(mean_depth(logits, constant)[:2], torch.tensor([0.3, 0.3]).sigmoid())
