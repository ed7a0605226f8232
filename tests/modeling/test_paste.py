"""Pasting of masks: chunks change nothing, and each mask lands where it was."""

import pytest
import torch
from torch.nn import functional as F

from depthbox.modeling.mask_head import paste_masks
from depthbox.ops import aligned_upsample


@pytest.mark.parametrize("output_size", [(60, 90), (37, 53), (120, 200)])
def test_chunks_equal_pasting_at_once(output_size):
    torch.manual_seed(0)
    logits = torch.randn(7, 1, 16, 24)
    whole = aligned_upsample(logits.sigmoid(), 4)[:, :, :60, :90]
    dense = F.interpolate(whole, size=output_size, mode="bilinear", align_corners=False)[:, 0] > 0.5
    for chunk_pixels in (1, 20_000, 2**24):
        masks = paste_masks(logits, 4, (60, 90), output_size, chunk_pixels=chunk_pixels)
        assert masks.dtype == torch.bool and torch.equal(masks, dense)
    assert 0.2 < dense.float().mean() < 0.8


def test_no_mask():
    assert paste_masks(torch.zeros(0, 1, 4, 4), 4, (16, 16), (20, 30)).shape == (0, 20, 30)
