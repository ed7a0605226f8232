"""From the probabilities of a box to its mask: the threshold, mirrored views, and the stretch towards the box."""

import pytest
import torch
from torch import Tensor

from depthbox.labeling.box_labeler import BoxLabeler, BoxMask, View

SIZE = (64, 96)
WHOLE = torch.tensor([[0.0, 0, 96, 64]])


def label(teacher, monkeypatch, probabilities: Tensor, mirrored: bool = False, fit: float = 0.0) -> BoxMask:
    """Return the mask of the whole image for a map (16, 24) of probabilities in a view."""
    labeler = BoxLabeler(teacher, fit=fit)
    monkeypatch.setattr(labeler, "_mean_maps", lambda *_: probabilities[None])
    (found,) = labeler([View(torch.zeros(3, *SIZE).byte(), mirrored)], WHOLE, SIZE)
    return found


def columns(first: int, last: int) -> Tensor:
    """Return a map that is 1 in some of its 24 columns of 4 pixels."""
    return ((torch.arange(24) >= first) & (torch.arange(24) < last)).float().expand(16, 24)


@pytest.mark.parametrize(("value", "inside"), [(0.42, False), (0.49, False), (0.51, True)])
def test_masks_are_binarized_at_one_half(teacher, monkeypatch, value: float, inside: bool) -> None:
    found = label(teacher, monkeypatch, torch.full((16, 24), value))
    assert found.mask.shape == SIZE and found.mask.all() == found.mask.any() == inside


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_mask_of_a_mirrored_view_is_mirrored_back(teacher, monkeypatch, mirrored: bool) -> None:
    mask = label(teacher, monkeypatch, columns(0, 8), mirrored).mask  # the left third of the view
    left, right = mask[:, :24], mask[:, -24:]
    assert (right if mirrored else left).all() and not (left if mirrored else right).any()


@pytest.mark.parametrize(("first", "last", "stretched"), [(6, 18, True), (10, 14, False)])
def test_a_mask_is_stretched_to_its_box_unless_it_fills_too_little_of_it(
    teacher, monkeypatch, first: int, last: int, stretched: bool
) -> None:
    """Half of the box is an IoU of 0.5, a sixth one of 0.17: below 0.3 the extent says nothing about the object."""
    mask = label(teacher, monkeypatch, columns(first, last), fit=1.0).mask
    share = float(mask.float().mean())
    assert share == pytest.approx(1.0 if stretched else (last - first) / 24, abs=0.06)
