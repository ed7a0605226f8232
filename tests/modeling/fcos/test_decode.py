"""Decoding of boxes, and the records of dense predictions and detections."""

import pytest
import torch
from torch import Tensor

from depthbox.modeling.fcos import decode_boxes
from depthbox.modeling.fcos.head import HeadOutputs
from depthbox.modeling.fcos.inference import Detections
from depthbox.modeling.fcos.locations import pyramid_locations
from depthbox.modeling.fcos.targets import assign_targets

SIZES, STRIDES = [(3, 4), (2, 2)], [8, 16]


def test_decoding_inverts_the_targets() -> None:
    locations = pyramid_locations(SIZES, STRIDES, (64,), "cpu")
    boxes = torch.tensor([[1.0, 2.5, 30.0, 20.0]])
    assignment = assign_targets(locations, [boxes], [torch.tensor([0])], 1)
    positive = assignment.labels[0] == 0
    decoded = decode_boxes(locations.xy, assignment.deltas[0], locations.stride)
    assert positive.any()
    torch.testing.assert_close(decoded[positive], boxes.expand(int(positive.sum()), -1))


def test_one_stride_or_one_per_location_and_leading_dimensions() -> None:
    xy, deltas = torch.rand(5, 2) * 50, torch.rand(3, 5, 4)
    one = decode_boxes(xy.expand(3, -1, -1), deltas, 8)
    assert one.shape == (3, 5, 4)
    assert torch.equal(one, decode_boxes(xy.expand(3, -1, -1), deltas, torch.full((5,), 8.0)))
    x, y = xy[4].tolist()
    left, top, right, bottom = (deltas[2, 4] * 8).tolist()
    assert one[2, 4].tolist() == pytest.approx([x - left, y - top, x + right, y + bottom])


def test_flat_outputs_are_ordered_like_the_locations() -> None:
    def maps(channels: int, dtype: torch.dtype) -> list[Tensor]:
        return [torch.randn(2, channels, *size).to(dtype) for size in SIZES]

    for dtype, expected in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        outputs = HeadOutputs(maps(3, dtype), maps(4, dtype), maps(1, dtype), [])
        flat, locations = outputs.flatten(), pyramid_locations(SIZES, STRIDES, (64,), "cpu")
        assert flat.logits.shape == (2, 16, 3) and flat.deltas.shape == (2, 16, 4) and flat.quality.shape == (2, 16)
        assert flat.logits.dtype == flat.quality.dtype == expected
        for p in (0, 7, 13):
            level, row, column = int(locations.level[p]), int(locations.row[p]), int(locations.column[p])
            assert torch.equal(flat.deltas[1, p], outputs.deltas[level][1, :, row, column].to(expected))
            assert flat.quality[0, p] == outputs.quality[level][0, 0, row, column]


def detections(count: int, start: int) -> Detections:
    index = torch.arange(start, start + count)
    return Detections(
        boxes=index[:, None].float().expand(-1, 4),
        scores=index.float() / 10,
        classes=index,
        level=index + 1,
        row=index + 2,
        column=index + 3,
        locations=index[:, None].float().expand(-1, 2),
    )


def test_detections_are_selected_and_concatenated_field_by_field() -> None:
    merged = Detections.cat([detections(2, 0), detections(0, 7), detections(3, 10)])
    assert len(merged) == 5 and merged.classes.tolist() == [0, 1, 10, 11, 12]
    for part in (merged[torch.tensor([4, 0])], merged[merged.classes % 12 == 0][torch.tensor([1, 0])]):
        assert part.classes.tolist() == [12, 0] and part.level.tolist() == [13, 1]
        assert part.row.tolist() == [14, 2] and part.column.tolist() == [15, 3]
        assert part.boxes.tolist() == [[12.0] * 4, [0.0] * 4] and part.locations.shape == (2, 2)
        assert part.scores.tolist() == pytest.approx([1.2, 0.0])
    assert merged[:2].classes.tolist() == [0, 1]
