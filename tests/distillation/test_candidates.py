"""Candidates of the teacher against a search through all locations and classes."""

import torch
from torch import Tensor
from torchvision.ops import box_iou

from depthbox.distillation import find_candidates
from depthbox.modeling.fcos.head import HeadOutputs
from depthbox.modeling.fcos.targets import pyramid_locations

STRIDES, CLASSES = [8, 16], 3
SIZES = [(4, 5), (2, 3)]


def dense(batch: int = 2) -> HeadOutputs:
    def maps(channels: int) -> list[Tensor]:
        return [torch.randn(batch, channels, *size) for size in SIZES]

    return HeadOutputs(maps(CLASSES), [x.abs() * 2 for x in maps(4)], maps(1), maps(6))


def search(outputs: HeadOutputs, image: int, box: Tensor, label: int, per_box: int, threshold: float) -> set[tuple]:
    """Return (level, row, column) of the predictions of a class with the highest IoU with a box, found in loops."""
    found = []
    for level, stride in enumerate(STRIDES):
        for row in range(SIZES[level][0]):
            for column in range(SIZES[level][1]):
                score = outputs.logits[level][image, label, row, column].sigmoid()
                score = score * outputs.quality[level][image, 0, row, column].sigmoid()
                x, y = column * stride + stride // 2, row * stride + stride // 2
                left, top, right, bottom = (outputs.deltas[level][image, :, row, column] * stride).tolist()
                corners = torch.tensor([[x - left, y - top, x + right, y + bottom]])
                iou = float(box_iou(corners, box[None]))
                if float(score) > threshold and iou > 0:
                    found.append((iou, (level, row, column)))
    return {place for _, place in sorted(found, reverse=True)[:per_box]}


def test_equals_a_search() -> None:
    outputs = dense()
    locations = pyramid_locations(SIZES, STRIDES, [64], "cpu")
    boxes = [torch.tensor([[2.0, 2, 30, 28], [8, 0, 40, 20]]), torch.tensor([[5.0, 5, 20, 20]])]
    labels = [torch.tensor([1, 1]), torch.tensor([2])]
    result = find_candidates(outputs, locations, boxes, labels, per_box=4, score_threshold=0.2)
    for image, found in enumerate(result):
        expected = set()
        for box, label in zip(boxes[image], labels[image].tolist(), strict=True):
            expected |= search(outputs, image, box, label, 4, 0.2)
        places = list(zip(found.level.tolist(), found.row.tolist(), found.column.tolist(), strict=True))
        assert len(places) == len(set(places)) and set(places) == expected and expected
        assert set(found.classes.tolist()) == set(labels[image].tolist())


def test_fields_of_the_candidates() -> None:
    outputs = dense(1)
    locations = pyramid_locations(SIZES, STRIDES, [64], "cpu")
    found = find_candidates(outputs, locations, [torch.tensor([[0.0, 0, 40, 32]])], [torch.tensor([0])], per_box=3)[0]
    for n, (level, row, column) in enumerate(zip(found.level, found.row, found.column, strict=True)):
        stride = STRIDES[level]
        location = torch.tensor([column * stride + stride // 2, row * stride + stride // 2], dtype=torch.float32)
        sides = outputs.deltas[level][0, :, row, column] * stride
        torch.testing.assert_close(found.locations[n], location)
        torch.testing.assert_close(found.boxes[n], torch.cat((location - sides[:2], location + sides[2:])))
        score = outputs.logits[level][0, 0, row, column].sigmoid() * outputs.quality[level][0, 0, row, column].sigmoid()
        torch.testing.assert_close(found.scores[n], score.sqrt())


def test_none_without_boxes_or_without_predictions_of_the_class() -> None:
    outputs = dense(2)
    for logits in outputs.logits:
        logits[1] = -20
    locations = pyramid_locations(SIZES, STRIDES, [64], "cpu")
    boxes = [torch.zeros(0, 4), torch.tensor([[0.0, 0, 30, 30]])]
    labels = [torch.zeros(0, dtype=torch.int64), torch.tensor([1])]
    assert [len(found.scores) for found in find_candidates(outputs, locations, boxes, labels)] == [0, 0]
