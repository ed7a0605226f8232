"""Predictions in COCO's result format."""

import numpy as np
import pycocotools.mask as mask_util
import torch
from coco_evaluation_toy import HEIGHT, WIDTH

from depthbox.evaluation.coco_results import encode_masks, fill_boxes


def test_masks_are_restored_from_their_encoding():
    masks = torch.rand(40, 13, 17, generator=torch.Generator().manual_seed(0)) > 0.5
    decoded = [mask_util.decode(row) for row in encode_masks(masks)]
    assert np.array_equal(np.stack(decoded), masks.numpy())
    assert encode_masks(masks[:0]) == []


def test_filled_boxes_are_clipped_to_the_image():
    boxes = [[-5, -5, 10, 10], [70, 50, 30, 30], [10, 20, 5, 7], [200, 200, 5, 5], [10, 10, 0, 5]]
    rows = [{"image_id": 1, "category_id": 2, "score": 0.5, "bbox": box} for box in boxes]
    filled = [mask_util.decode(row["segmentation"]) for row in fill_boxes(rows, {1: (HEIGHT, WIDTH)})]
    assert [int(mask.sum()) for mask in filled] == [25, 100, 35, 0, 0]
    assert filled[2][20:27, 10:15].all()
