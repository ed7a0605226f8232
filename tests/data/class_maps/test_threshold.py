"""Class maps by color."""

import numpy as np
import pytest
from class_map_toy import SIZE, draw_discs, make_points
from numpy.typing import NDArray

from depthbox.data.class_maps.threshold import ThresholdClassMaps, find_foreground, measure_threshold
from depthbox.data.points import ImagePoints

Cells = tuple[NDArray[np.uint8], NDArray[np.bool_], ImagePoints]


def overlap(a: NDArray, b: NDArray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("dark", [False, True])
def test_objects_of_different_brightness_are_found_in_either_polarity(cells: Cells, dark: bool) -> None:
    image, objects, points = cells
    found = find_foreground(255 - image if dark else image, points)
    assert overlap(found, objects) > 0.8
    assert measure_threshold(found, points).separates


def test_holes_smaller_than_an_object_are_filled_and_larger_ones_are_not() -> None:
    ring = draw_discs([(50, 40)], 30) & ~draw_discs([(50, 40)], 26)
    dots = draw_discs([(10, 10), (90, 10), (10, 70)], 8) & ~draw_discs([(10, 10)], 3)
    image = np.where((ring | dots)[:, :, None], 220, 20).repeat(3, axis=2).astype(np.uint8)
    points = make_points([(50.5, 12.5), (5.5, 6.5), (90.5, 10.5), (10.5, 70.5)], [0] * 4)
    found = find_foreground(image, points)
    assert found[10, 10] and not found[40, 50]


def test_foreground_has_the_class_of_the_nearest_point(cells: Cells) -> None:
    image, objects, points = cells
    points = make_points(points.coords.tolist(), [0, 1, 2, 0, 1, 2])
    class_map = ThresholdClassMaps()({}, image, points, None)
    for (x, y), label in zip(points.pixels(), points.classes, strict=True):
        assert class_map[y, x - 5] == label + 1
    assert not class_map[~objects & ~draw_discs([(int(x), int(y)) for x, y in points.pixels()], 9)].any()


def test_foreground_that_contradicts_the_points_does_not_separate(cells: Cells) -> None:
    image, _, _ = cells
    elsewhere = make_points([(34.5, 36.5), (5.5, 40.5), (70.5, 38.5), (95.5, 40.5), (40.5, 75.5)], [0] * 5)
    assert not measure_threshold(find_foreground(image, elsewhere), elsewhere).separates


def test_image_without_points_is_unknown_and_constant_image_has_discs_alone() -> None:
    flat = np.full((*SIZE, 3), 90, dtype=np.uint8)
    assert (ThresholdClassMaps()({}, flat, make_points([], []), None) == 255).all()
    class_map = ThresholdClassMaps(radius=2)({}, flat, make_points([(30.5, 30.5)], [4]), None)
    assert set(np.unique(class_map)) <= {0, 5} and class_map[30, 30] == 5 and class_map[30, 32] == 5


@pytest.mark.parametrize("coords", [[(0.0, 0.0), (99.9, 79.9)], [(50.5, 40.5)] * 2, [(-3.0, 500.0)]])
def test_points_at_the_border_on_one_pixel_and_outside_are_accepted(cells: Cells, coords: list) -> None:
    class_map = ThresholdClassMaps()({}, cells[0], make_points(coords, [0] * len(coords)), None)
    assert class_map.shape == SIZE and set(np.unique(class_map)) <= {0, 1}
