"""Outlines of objects."""

import math
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import pytest

from depthbox.io.annotations.canonical.outlines import box_of_outline, is_polygon, polygons_area, read_outline

HEIGHT, WIDTH = 40, 60
TRIANGLE = [5, 5, 20, 5, 5, 20]
OTHER = [30.5, 5, 40, 5, 30, 20]


@pytest.mark.parametrize("segmentation", [None, [], {}, [[]], [[], []], [None], ""])
def test_empty_values_are_no_outline(segmentation: Any) -> None:
    outline = read_outline(segmentation, HEIGHT, WIDTH)
    assert (outline.value, outline.rules) == (None, ())


def test_polygons_are_kept_as_they_are() -> None:
    segmentation = [TRIANGLE, OTHER]
    outline = read_outline(segmentation, HEIGHT, WIDTH)
    assert outline.value is segmentation
    assert outline.rules == ()


@pytest.mark.parametrize(
    "segmentation",
    [
        TRIANGLE,
        [str(value) for value in TRIANGLE],
        [[str(value) for value in TRIANGLE]],
        [[5, 5], [20, 5], [5, 20]],
        [[[5, 5], [20, 5], [5, 20]]],
    ],
)
def test_other_spellings_of_a_polygon_are_converted(segmentation: Any) -> None:
    outline = read_outline(segmentation, HEIGHT, WIDTH)
    assert (outline.value, outline.rules) == ([TRIANGLE], ("outline_repaired",))


BAD_POLYGONS: list[Any] = [
    [5, 5, 20, 20],
    [5, 5, 20, 5, 5],
    [5, 5, 20, 5, math.nan, 20],
    [5, 5, math.inf, 5, 5, 20],
    [math.nan, 5, 20, 5, 5, 10**400],
    [5, 5, 20, 5, 5, True],
    [5, 5, 20, 5, 5, None],
    [5, 5, 20, 5, 5, "x"],
    [5, 5, 5, 9, 5, 20],
    [5, 5, 9, 5, 20, 5],
    [65, 5, 80, 5, 65, 20],
    [-20, 5, -5, 5, -20, 20],
    [5, 45, 20, 45, 5, 60],
    [5, -20, 20, -5, 5, -6],
    [5, 5, 1e9, 5, 5, 20],
    "polygon",
    7,
    {},
]


@pytest.mark.parametrize("polygon", BAD_POLYGONS)
def test_bad_polygons_are_dropped_alone(polygon: Any) -> None:
    assert not is_polygon(polygon, HEIGHT, WIDTH)
    outline = read_outline([polygon, TRIANGLE], HEIGHT, WIDTH)
    assert (outline.value, outline.rules) == ([TRIANGLE], ("polygon_bad",))
    outline = read_outline([polygon], HEIGHT, WIDTH)
    assert (outline.value, outline.rules) == (None, ("outline_bad",))


@pytest.mark.parametrize("segmentation", [3, True, "RLE", [1, 2, 3], [[1, 2], [3, 4]], [3, [4]]])
def test_other_values_are_bad_outlines(segmentation: Any) -> None:
    assert read_outline(segmentation, HEIGHT, WIDTH).rules == ("outline_bad",)


def test_polygons_may_pass_the_border() -> None:
    assert is_polygon([-5, -5, 70, -5, 70, 50], HEIGHT, WIDTH)


def rle(**changes: Any) -> dict[str, Any]:
    return {"size": [HEIGHT, WIDTH], "counts": [100, 50, HEIGHT * WIDTH - 150]} | changes


def test_rles_of_the_size_of_the_image_are_kept() -> None:
    for counts, unchecked in ([100, 50, HEIGHT * WIDTH - 150], False), ("abc", True):
        value = rle(counts=counts)
        outline = read_outline(value, HEIGHT, WIDTH)
        assert outline.value is value
        assert (outline.rules, outline.unchecked) == ((), unchecked)
    assert read_outline(rle(size=["40", 60.0]), HEIGHT, WIDTH).value["size"] == [HEIGHT, WIDTH]


@pytest.mark.parametrize("size", [[WIDTH, HEIGHT], [80, 120], [math.nan, 1]])
def test_rles_of_another_size_are_a_contradiction(size: list[Any]) -> None:
    outline = read_outline(rle(size=size), HEIGHT, WIDTH)
    assert (outline.value, outline.rules) == (None, ("outline_other_size",))


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": [100, 50]},
        {"counts": [HEIGHT * WIDTH]},
        {"counts": [-100, 200, HEIGHT * WIDTH - 100]},
        {"counts": [100.0, 50, HEIGHT * WIDTH - 150]},
        {"counts": []},
        {"counts": None},
        {"counts": {}},
        {"size": None},
        {"size": [HEIGHT]},
        {"size": ["x", WIDTH]},
    ],
)
def test_broken_rles_are_bad_outlines(changes: dict[str, Any]) -> None:
    outline = read_outline(rle(**changes), HEIGHT, WIDTH)
    assert (outline.value, outline.rules) == (None, ("outline_bad",))


def test_an_rle_without_keys_is_a_bad_outline() -> None:
    assert read_outline({"points": []}, HEIGHT, WIDTH).rules == ("outline_bad",)


def test_boxes_of_outlines() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[5:15, 8:28] = 1
    compressed = mask_util.encode(mask)
    flat = mask.reshape(-1, order="F")
    counts = np.diff(np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1], [True]]))).tolist()
    assert box_of_outline([TRIANGLE, OTHER]) == [5, 5, 35, 15]
    assert box_of_outline(compressed) == [8, 5, 20, 10]
    assert box_of_outline({"size": [HEIGHT, WIDTH], "counts": counts}) == [8, 5, 20, 10]


def test_area_of_polygons_does_not_depend_on_their_direction() -> None:
    assert polygons_area([TRIANGLE]) == polygons_area([[5, 20, 20, 5, 5, 5]]) == 112.5
