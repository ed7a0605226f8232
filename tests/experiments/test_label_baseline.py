"""Baseline of box labeling: detection, matching and cropping."""

import itertools

import numpy as np
import torch
from detectron2.structures import Boxes, Instances

from depthbox.experiments.label_baseline import MIN_IOU, match, match_labeler
from depthbox.labeling.prompts import Prompts

SIZE = (40, 60)


def test_the_matching_has_the_largest_sum_of_ious() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        ious = random.uniform(0.4, 1, (3, 4)).astype(np.float32)
        best = max(
            itertools.permutations(range(4), 3), key=lambda places: sum(ious[i, p] for i, p in enumerate(places))
        )
        assert match(ious) == [place if ious[row, place] >= MIN_IOU else None for row, place in enumerate(best)]
    assert match(np.zeros((2, 0), dtype=np.float32)) == [None, None]


def test_masks_are_cropped_and_boxes_without_an_object_filled() -> None:
    # The first object matches the second box; the third box has no object, the fourth reaches beyond the image.
    found = Instances(SIZE)
    found.pred_boxes = Boxes(torch.tensor([[30.0, 5, 50, 25], [2, 3, 22, 15]]))
    found.pred_masks = torch.zeros(2, *SIZE, dtype=torch.bool)
    found.pred_masks[0, 10:30, 35:60] = True
    found.pred_masks[1, :9, :12] = True
    boxes = np.array([[2.0, 3, 22, 15], [31, 5, 50, 25], [5.4, 30.6, 8.6, 33.4], [50, 30, 60, 40]])
    label = match_labeler(lambda images: [found for _ in images])
    masks = label({}, np.zeros((*SIZE, 3), np.uint8), Prompts(boxes))
    whole = np.zeros((4, *SIZE), dtype=bool)
    for result, part in zip(whole, masks, strict=True):
        rows, columns = part.mask.shape
        result[part.top : part.top + rows, part.left : part.left + columns] = part.mask.numpy()
    expected = np.zeros_like(whole)
    expected[0, 3:9, 2:12] = expected[1, 10:25, 35:50] = expected[2, 31:33, 5:9] = expected[3, 30:, 50:] = True
    np.testing.assert_array_equal(whole, expected)
    assert masks[0].score == 1 and 0.9 < masks[1].score < 1 and masks[2].score == masks[3].score == 0
