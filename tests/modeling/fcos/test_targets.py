"""Target assignment against a dense comparison of every location with every object."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from depthbox.modeling.fcos import smallest_object
from depthbox.modeling.fcos.locations import Locations, level_locations, pyramid_locations
from depthbox.modeling.fcos.targets import Assignment, assign_targets
from depthbox.ops import integer_box_centers

HEIGHT, WIDTH, CLASSES = 160, 224, 5
STRIDES, SIZES = (8, 16, 32, 64, 128), (32, 64, 128, 256)
LOCATIONS = pyramid_locations([(math.ceil(HEIGHT / s), math.ceil(WIDTH / s)) for s in STRIDES], STRIDES, SIZES, "cpu")
# center_sample, radius, mass_center_size
WAYS = {
    "box": (True, 1.5, None),
    "mass": (True, 1.5, (HEIGHT, WIDTH)),
    "half": (True, 0.5, None),
    "odd": (True, 1.3, None),
    "far": (True, 6.0, None),  # larger than the coarse levels: compared with all locations
    "anywhere": (False, 1.5, None),
}


def dense(locations: Locations, boxes: Tensor, classes: Tensor, way: tuple) -> tuple[Tensor, Tensor, Tensor]:
    """Return labels, objects and distances in strides of one image, computed location by location."""
    center_sample, radius, mass = way
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 if mass is None else integer_box_centers(boxes, *mass)
    xy = locations.xy
    sides = torch.cat((xy[:, None] - boxes[None, :, :2], boxes[None, :, 2:] - xy[:, None]), dim=-1)
    accepts = sides.amin(-1) > 0
    if center_sample:
        accepts &= ((xy[:, None] - centers).abs() < radius * locations.stride[:, None, None]).all(-1)
    largest, bounds = sides.amax(-1), locations.size_range
    accepts &= (largest >= bounds[:, :1]) & (largest <= bounds[:, 1:])
    areas = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).tolist()
    labels, owners = torch.full((len(xy),), CLASSES), torch.zeros(len(xy), dtype=torch.int64)
    deltas = torch.zeros(len(xy), 4)
    for location, row in enumerate(accepts):
        found = row.nonzero().flatten().tolist()
        if found and min(areas[n] for n in found) < math.inf:
            owner = min(found, key=lambda n: (areas[n], n))
            labels[location], owners[location] = classes[owner], owner
            deltas[location] = sides[location, owner] / locations.stride[location]
    return labels, owners, deltas


def check(boxes: Sequence[Tensor], way: tuple, locations: Locations = LOCATIONS) -> Assignment:
    """Compare the assignment with the dense reference bit by bit, and return it."""
    classes = [torch.randint(0, CLASSES, (len(x),)) for x in boxes]
    center_sample, radius, mass = way
    result = assign_targets(
        locations, boxes, classes, CLASSES, center_sample=center_sample, radius=radius, mass_center_size=mass
    )
    before = 0
    for b, (image_boxes, image_classes) in enumerate(zip(boxes, classes, strict=True)):
        labels, owners, deltas = dense(locations, image_boxes, image_classes, way)
        assert torch.equal(result.labels[b], labels)
        assert torch.equal(result.target_index[b], (owners + before).masked_fill(labels == CLASSES, 0))
        assert torch.equal(result.deltas[b], deltas)
        before += len(image_boxes)
    return result


def random_boxes(count: int, whole: bool = False) -> Tensor:
    """Return boxes (count, 4) of all sizes, some thin or beyond the border."""
    low = torch.rand(count, 2) * torch.tensor([WIDTH + 20.0, HEIGHT + 20.0]) - 20
    size = torch.exp(torch.rand(count, 2) * 5.5)
    boxes = torch.cat((low, low + size), 1)
    return boxes.round() if whole else boxes


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("whole", [False, True])
def test_crowded_images(way: str, whole: bool) -> None:
    result = check([random_boxes(80, whole), random_boxes(3, whole), random_boxes(40, whole)], WAYS[way])
    assert ((result.labels < CLASSES).sum(1) > 0).all()


@pytest.mark.parametrize("way", list(WAYS))
def test_of_equal_areas_the_first_object_wins(way: str) -> None:
    box = torch.tensor([[40.0, 40.0, 72.0, 64.0]])
    turned = torch.tensor([[44.0, 36.0, 68.0, 68.0]])  # 24 x 32 instead of 32 x 24
    result = check([torch.cat((turned, box, box, turned)), torch.cat((box, turned, box))], WAYS[way])
    assert set(result.target_index[0][result.labels[0] < CLASSES].tolist()) <= {0, 1}
    repeated = random_boxes(20).repeat(3, 1)
    owners = check([repeated], WAYS[way])
    assert owners.target_index.max() < 20


@pytest.mark.parametrize("way", list(WAYS))
def test_strange_boxes(way: str) -> None:
    strange = torch.tensor(
        [
            [50.0, 50.0, 50.0, 50.0],  # no area
            [50.0, 30.0, 50.0, 90.0],
            [90.0, 80.0, 60.0, 40.0],  # turned inside out
            [-300.0, -200.0, -100.0, -50.0],  # outside
            [900.0, 900.0, 1100.0, 1000.0],
            [-1e6, -1e6, 1e6, 1e6],
            [-1e20, -1e20, 1e20, 1e20],  # an area beyond float32
            [1e9, 1e9, 3e9, 3e9],
            [0.0, 0.0, math.inf, math.inf],
            [math.nan, 0.0, 50.0, 50.0],
            [100.0, 100.0, 112.0, 112.0],
        ]
    )
    result = check([strange, strange.flip(0)], WAYS[way])
    assert (result.labels < CLASSES).any()


@pytest.mark.parametrize("way", list(WAYS))
def test_centers_on_the_edge_of_the_radius(way: str) -> None:
    # Cells lie exactly 1.5 (and 0.5) strides from these centers: just outside, whatever the rounding.
    center = torch.tensor([[x, y] for x in (56.0, 60.0, 64.0) for y in (48.0, 52.0, 60.0)])
    half = torch.tensor([20.0, 24.0])
    edges = torch.cat((center - half, center + half), 1)
    check([edges, edges + torch.tensor(1e-5), edges + 1 / 3], WAYS[way])


@pytest.mark.parametrize("way", list(WAYS))
def test_images_without_objects(way: str) -> None:
    empty = torch.zeros(0, 4)
    check([empty, random_boxes(9), empty], WAYS[way])
    result = check([empty, empty], WAYS[way])
    assert result.labels.shape == (2, len(LOCATIONS)) and (result.labels == CLASSES).all()


def test_a_few_objects_at_a_time_are_all_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [random_boxes(25), random_boxes(7)]
    for comparisons in (1, 3 * 2 * len(LOCATIONS), 10**9):
        monkeypatch.setattr(smallest_object, "COMPARISONS", comparisons)
        check(boxes, WAYS["anywhere"])
        check(boxes, WAYS["far"])


def test_odd_strides_and_levels_smaller_than_the_radius() -> None:
    locations = pyramid_locations([(21, 30), (7, 10), (1, 1)], [5, 15, 105], (30, 60), "cpu")
    for radius in (0.7, 1.5, 2.5):
        check([random_boxes(30), random_boxes(30, whole=True)], (True, radius, None), locations)


def test_locations_are_level_major_then_row_major() -> None:
    locations = pyramid_locations([(2, 3), (1, 2)], [8, 16], (64,), "cpu")
    assert locations.level.tolist() == [0] * 6 + [1] * 2
    assert locations.row.tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    assert locations.column.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert locations.stride.tolist() == [8.0] * 6 + [16.0] * 2
    assert torch.equal(locations.xy[:6], level_locations(2, 3, 8))
    assert torch.equal(locations.xy[6:], torch.tensor([[8.0, 8.0], [24.0, 8.0]]))
    assert locations.size_range[0].tolist() == [-1.0, 64.0]
    assert locations.size_range[7].tolist() == pytest.approx([64.0, 1e8])
    assert locations.sizes == ((2, 3), (1, 2)) and locations.strides == (8, 16) and len(locations) == 8


class Largest(TorchDispatchMode):
    """Bytes of the largest tensor that any operator returns."""

    nbytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor) and value.numel():
                self.nbytes = max(self.nbytes, value.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("way", ["box", "mass", "anywhere"])
def test_a_crowded_large_image_needs_little_memory(way: str) -> None:
    locations = pyramid_locations([(math.ceil(800 / s), math.ceil(1344 / s)) for s in STRIDES], STRIDES, SIZES, "cpu")
    boxes = [random_boxes(300) * 6 for _ in range(2)]
    center_sample, radius, _ = WAYS[way]
    with Largest() as largest:
        assign_targets(
            *(locations, boxes, [torch.zeros(300, dtype=torch.int64)] * 2, 1),
            center_sample=center_sample,
            radius=radius,
            mass_center_size=(800, 1344) if way == "mass" else None,
        )
    # A float32 for every location and object would take 54 MB for both images.
    assert largest.nbytes <= (2**24 if way == "anywhere" else 2**20)
