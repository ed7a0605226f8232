"""Instances of predicted point masks: squares of points without a mask."""

import numpy as np
import torch

from depthbox.modeling.points import PointMasks
from depthbox.modeling.points.answers import FALLBACK_SIDE, fallback_sides, make_instances


def test_side_of_the_square_is_the_median_of_its_class() -> None:
    areas, classes = np.array([16, 100, 36, 0, 0]), np.array([0, 0, 0, 0, 1])
    assert fallback_sides(areas, classes) == [6.0, 6.0, 6.0, 6.0, FALLBACK_SIDE]
    assert fallback_sides(areas, classes, side=10) == 5 * [10.0]


def test_square_is_cut_at_the_border_and_marked() -> None:
    owner = torch.zeros(20, 30, dtype=torch.int64)
    owner[2:6, 3:9] = 1
    masks = PointMasks(owner, torch.tensor([0.8, 0.5]), torch.tensor([24, 0]))
    found = make_instances(
        masks, torch.tensor([[5.0, 4.0], [1.5, 18.5]]), torch.tensor([0, 0]), None, rle=False, side=6
    )
    assert found.fallback.tolist() == [False, True]
    assert found.pred_boxes.tensor.tolist() == [[3, 2, 9, 6], [0, 15, 5, 20]]
    assert found.pred_masks[0].sum() == 24 and found.pred_masks[1].sum() == 25


def test_point_outside_the_image_has_an_empty_mask() -> None:
    masks = PointMasks(torch.zeros(8, 8, dtype=torch.int64), torch.tensor([0.5]), torch.tensor([0]))
    found = make_instances(masks, torch.tensor([[100.0, 100.0]]), torch.tensor([0]), None, rle=False, side=4)
    assert found.pred_boxes.tensor.tolist() == [[0, 0, 0, 0]] and not found.pred_masks.any()
