"""Inputs of the benchmark: sizes as in COCO, reproducible."""

import torch

from depthbox.benchmark import inputs
from depthbox.benchmark.inputs import Setting

CPU = torch.device("cpu")


def test_boxes_have_the_sizes_of_coco():
    setting = Setting(objects=500)
    boxes = inputs.make_boxes(setting, CPU)
    assert torch.equal(boxes[1], inputs.make_boxes(setting, CPU)[1]) and not torch.equal(boxes[0], boxes[1])
    low, high = torch.cat(boxes).split(2, dim=1)
    assert (low >= 0).all() and (high <= torch.tensor([1344, 800])).all() and (high - low > 8).all()
    share = (high - low).prod(1) / (800 * 1344)
    assert 0.035 < share.mean() < 0.08 and share.median() < 0.015


def test_queries_lie_in_their_images_and_levels():
    setting = Setting(objects=7)
    boxes = inputs.make_boxes(setting, CPU)
    queries = inputs.make_queries(setting, boxes)
    assert queries.counts == (64, 64) and queries.image_index.tolist() == [0] * 64 + [1] * 64
    assert queries.target_index.unique().tolist() == list(range(14))
    assert torch.equal(queries.target_index // 7, queries.image_index)
    stride = torch.tensor(inputs.STRIDES)[queries.level]
    assert torch.equal(queries.locations[:, 0], (queries.column * stride + stride // 2).float())
    rows, columns = torch.tensor(setting.levels)[queries.level].T
    assert (queries.row < rows).all() and (queries.column < columns).all() and len(queries.level.unique()) > 2


def test_levels_have_the_sizes_of_the_pyramid():
    assert Setting().levels == [(100, 168), (50, 84), (25, 42), (13, 21), (7, 11)]
    assert inputs.make_depth(Setting(height=64, width=96), CPU).shape == (2, 16, 24)
