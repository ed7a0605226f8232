"""Boxes, polygons, ellipses and masks of the readers, against independent computations."""

import math

import numpy as np
import pycocotools.mask as mask_util
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from depthbox.io.annotations.readers.shapes import (
    ObjectShape,
    box_shape,
    ellipse_shape,
    mask_shape,
    polygon_shape,
    rotated_box_shape,
)

COORDINATES = st.integers(-2000, 2000).map(lambda value: value / 8)  # exact in three decimals
SIDES = st.integers(1, 4000).map(lambda value: value / 8)


def points_of(shape):
    (polygon,) = shape.segmentation
    return np.array(polygon).reshape(-1, 2)


def decode(shape):
    rle = mask_util.frPyObjects(dict(shape.segmentation), *shape.segmentation["size"])
    return mask_util.decode(rle).astype(bool)


@settings(max_examples=50, deadline=None)
@given(COORDINATES, COORDINATES, SIDES, SIDES)
def test_a_box_is_the_same_from_each_pair_of_opposite_corners(x, y, width, height):
    right, bottom = x + width, y + height
    expected = ObjectShape((x, y, width, height), None, round(width * height, 3))
    for corners in ((x, y, right, bottom), (right, bottom, x, y), (right, y, x, bottom), (x, bottom, right, y)):
        assert box_shape(*corners) == expected


@settings(max_examples=50, deadline=None)
@given(COORDINATES, COORDINATES, SIDES, SIDES, st.integers(1, 8), st.integers(1, 8))
def test_scaling_there_and_back_restores_box_and_polygon(x, y, width, height, across, down):
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    for shape in (box_shape(x, y, x + width, y + height), polygon_shape(corners)):
        large = shape.scaled(across, down)
        assert large.area == pytest.approx(shape.area * across * down, abs=1e-2)
        assert large.bbox == pytest.approx([x * across, y * down, width * across, height * down])
        back = large.scaled(1 / across, 1 / down)
        assert back.bbox == pytest.approx(shape.bbox, abs=2e-3)
        assert (back.segmentation is None) == (shape.segmentation is None)


def test_scaling_uses_x_and_y_of_a_polygon_alternately():
    shape = polygon_shape([(1, 2), (3, 2), (3, 6)], [(10, 20), (30, 20), (30, 60)]).scaled(2, 10)
    assert shape.segmentation == [[2, 20, 6, 20, 6, 60], [20, 200, 60, 200, 60, 600]]
    assert shape.bbox == (2, 20, 58, 580)


def test_the_area_of_a_polygon_does_not_depend_on_its_direction_or_its_first_point():
    points = [(0, 0), (10, 0), (10, 4), (6, 8), (0, 4)]
    expected = 10 * 4 + 10 * 4 / 2
    for start in range(len(points)):
        turned = points[start:] + points[:start]
        assert polygon_shape(turned).area == polygon_shape(turned[::-1]).area == expected
        assert polygon_shape(turned).bbox == (0, 0, 10, 8)


def test_several_polygons_have_one_box_and_the_sum_of_their_areas():
    first, second = [(0, 0), (2, 0), (2, 2), (0, 2)], [(10, 5), (14, 5), (14, 9)]
    shape = polygon_shape(first, second)
    assert shape.bbox == (0, 0, 14, 9) and shape.area == 4 + 8 and len(shape.segmentation) == 2
    assert shape.area == polygon_shape(first).area + polygon_shape(second).area and not shape.is_rle


@pytest.mark.parametrize("degrees", [0, 360, -720])
def test_a_box_turned_by_whole_turns_has_no_outline(degrees):
    assert rotated_box_shape((1, 2, 30, 40), degrees, (16, 22)) == box_shape(1, 2, 31, 42)


def test_a_quarter_turn_is_clockwise_in_the_image():
    shape = rotated_box_shape((0, 0, 4, 2), 90, (0, 0))  # the x axis turns into the downward y axis
    assert points_of(shape).tolist() == [[0, 0], [0, 4], [-2, 4], [-2, 0]]
    assert shape.bbox == (-2, 0, 2, 4) and shape.area == 8


@settings(max_examples=50, deadline=None)
@given(COORDINATES, COORDINATES, SIDES, SIDES, st.floats(-400, 400))
def test_turning_keeps_area_center_and_distances(x, y, width, height, degrees):
    assume(degrees % 360 > 0.01)
    center = (x + width / 2, y + height / 2)
    shape = rotated_box_shape((x, y, width, height), degrees, center)
    points = points_of(shape)
    assert np.allclose(points.mean(0), center, atol=2e-3)
    sides = np.linalg.norm(np.roll(points, -1, 0) - points, axis=1)
    assert np.allclose(sides, [width, height, width, height], atol=3e-3)
    assert shape.area == pytest.approx(width * height, abs=2e-3 * (1 + width * height))
    angle = math.atan2(points[1, 1] - points[0, 1], points[1, 0] - points[0, 0])
    assert abs(width * math.sin(angle - math.radians(degrees))) < 5e-3, "the upper side has the angle"


@pytest.mark.parametrize("degrees", [0, 30, 90, 215])
def test_points_of_an_ellipse_satisfy_its_equation(degrees):
    center, radii = (50.0, 40.0), (20.0, 8.0)
    points = points_of(ellipse_shape(center, radii, degrees)) - center
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    along = points[:, 0] * cosine + points[:, 1] * sine
    across = points[:, 1] * cosine - points[:, 0] * sine
    assert np.allclose((along / radii[0]) ** 2 + (across / radii[1]) ** 2, 1, atol=1e-3)


def test_the_area_of_an_ellipse_is_exact_within_a_percent_and_a_circle_does_not_turn():
    ellipse = ellipse_shape((50, 40), (20, 8))
    assert math.pi * 20 * 8 * 0.99 < ellipse.area < math.pi * 20 * 8, "an inscribed polygon"
    assert ellipse.bbox == pytest.approx((30, 32, 40, 16))
    circle, turned = (ellipse_shape((50, 40), (20, 20), degrees) for degrees in (0, 90))
    assert circle.bbox == turned.bbox and circle.area == pytest.approx(turned.area, abs=0.01)


MASK = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]], bool)


def test_a_mask_is_placed_in_its_image():
    shape = mask_shape(MASK, 5, 3, 10, 12)
    expected = np.zeros((10, 12), bool)
    expected[3:6, 5:9] = MASK
    assert shape.is_rle and shape.segmentation["size"] == [10, 12]
    assert (decode(shape) == expected).all() and shape.area == 3
    assert shape.bbox == (6, 4, 2, 2), "the box around the pixels, not around the array"


@pytest.mark.parametrize(("left", "top"), [(-1, -1), (10, 8), (-2, 9), (11, -2), (-1, 8)])
def test_a_mask_that_passes_the_border_is_cropped(left, top):
    expected = np.zeros((14, 18), bool)
    expected[2 + top : 5 + top, 3 + left : 7 + left] = MASK
    expected = expected[2:12, 3:15]
    shape = mask_shape(MASK, left, top, 10, 12)
    if not expected.any():
        assert shape is None
        return
    assert (decode(shape) == expected).all() and shape.area == expected.sum()
    rows, columns = np.nonzero(expected)
    box = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert shape.bbox == box


@pytest.mark.parametrize(("left", "top"), [(12, 0), (0, 10), (-4, 0), (0, -3), (-50, 0), (500, 500)])
def test_a_mask_outside_its_image_is_nothing(left, top):
    assert mask_shape(np.ones((3, 4), bool), left, top, 10, 12) is None


def test_an_empty_mask_is_nothing():
    assert mask_shape(np.zeros((3, 4), bool), 0, 0, 10, 12) is None


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_run_lengths_are_those_of_pycocotools(height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    shape = mask_shape(mask, 0, 0, height, width)
    if not mask.any():
        assert shape is None
        return
    assert sum(shape.segmentation["counts"]) == height * width
    encoded = mask_util.encode(np.asfortranarray(mask, dtype=np.uint8))
    assert mask_util.frPyObjects(dict(shape.segmentation), height, width)["counts"] == encoded["counts"]
    assert shape.bbox == tuple(mask_util.toBbox(encoded)) and shape.area == mask_util.area(encoded)


def test_a_mask_that_covers_the_first_pixel_begins_with_a_run_of_zero():
    counts = mask_shape(np.ones((2, 2), bool), 0, 0, 2, 3).segmentation["counts"]
    assert counts == [0, 4, 2]
