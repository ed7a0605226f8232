"""Masks as run lengths and polygons, compared with the masks drawn from them."""

import numpy as np
import pycocotools.mask as mask_util
import pytest

from depthbox.io.coco_masks import (
    clip_box,
    crop_to_rle,
    filled_box,
    pixels_inside,
    rle_to_polygons,
    segmentation_to_rle,
    to_polygons,
)

SIZE = (60, 80)


def drawn(polygons: list[list[float]], size: tuple[int, int] = SIZE) -> np.ndarray:
    """Draw polygons as CVAT and pycocotools do: all of them, filled."""
    return mask_util.decode(mask_util.merge(mask_util.frPyObjects(polygons, *size))).astype(bool)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


def ring() -> np.ndarray:
    y, x = np.mgrid[:60, :80]
    radius = np.hypot(y - 30, x - 40)
    return (radius < 25) & (radius > 12)


def test_a_crop_is_placed_in_the_image() -> None:
    piece = np.random.default_rng(0).random((7, 9)) > 0.5
    rle = crop_to_rle(piece, left=70, top=50, size=SIZE)
    expected = np.zeros(SIZE, dtype=bool)
    expected[50:57, 70:79] = piece
    np.testing.assert_array_equal(mask_util.decode(rle).astype(bool), expected)
    assert isinstance(rle["counts"], str) and rle["size"] == [60, 80]


def test_polygons_follow_the_mask() -> None:
    y, x = np.mgrid[:60, :80]
    mask = np.hypot((y - 30) / 1.3, x - 40) < 20
    (polygon,) = to_polygons(mask, 0, 0)
    assert iou(drawn([polygon]), mask) > 0.96
    assert len(polygon) < 120, "there must be fewer points than border pixels"


def test_a_square_keeps_its_size() -> None:
    mask = np.ones((10, 20), dtype=bool)
    (polygon,) = to_polygons(mask, 5, 7)
    places = np.array(polygon).reshape(-1, 2)
    np.testing.assert_allclose(places.min(0), (5, 7), atol=0.2)
    np.testing.assert_allclose(places.max(0), (25, 17), atol=0.2)
    expected = np.zeros(SIZE, dtype=bool)
    expected[7:17, 5:25] = True
    assert iou(drawn([polygon]), expected) == 1


def test_a_hole_stays_open() -> None:
    polygons = to_polygons(ring(), 0, 0)
    assert len(polygons) >= 2
    back = drawn(polygons)
    assert not back[30, 40] and iou(back, ring()) > 0.93


def test_the_largest_part_comes_first_and_small_parts_are_dropped() -> None:
    mask = np.zeros(SIZE, dtype=bool)
    mask[5:15, 5:15] = True
    mask[20:50, 20:60] = True
    mask[30, 30] = False  # a hole of one pixel
    mask[0, 79] = mask[58:60, 0:2] = True
    polygons = to_polygons(mask, 0, 0)
    assert len(polygons) == 2
    first, second = (drawn([polygon]).sum() for polygon in polygons)
    assert first == pytest.approx(1200, rel=0.02) and second == pytest.approx(100, rel=0.05)


def test_the_only_part_is_kept() -> None:
    mask = np.zeros((3, 3), dtype=bool)
    mask[1, 1] = True
    (polygon,) = to_polygons(mask, 4, 6)
    places = np.array(polygon).reshape(-1, 2)
    assert ((places > (5, 7)) & (places < (6, 8))).all()
    assert to_polygons(np.zeros((3, 3), dtype=bool), 0, 0) == []


def test_run_lengths_become_polygons_at_their_location() -> None:
    rle = crop_to_rle(ring()[3:58, 10:70], 10, 3, SIZE)
    assert rle_to_polygons(rle) == to_polygons(mask_util.decode(rle).astype(bool)[6:55, 16:65], 16, 6)
    assert iou(drawn(rle_to_polygons(rle)), ring()) > 0.93


def test_random_masks_are_restored() -> None:
    """Polygons of blobs with many holes and parts differ only by what is dropped and by the contours."""
    rng = np.random.default_rng(3)
    for _ in range(5):
        noise = rng.random((12, 16)).repeat(5, 0).repeat(5, 1)
        mask = noise > 0.4
        assert iou(drawn(to_polygons(mask, 0, 0)), mask) > 0.9


def test_every_segmentation_becomes_the_same_rle() -> None:
    polygon = [[5, 7, 25, 7, 25, 17, 5, 17]]
    expected = np.zeros(SIZE, dtype=bool)
    expected[7:17, 5:25] = True
    compressed = crop_to_rle(expected, 0, 0, SIZE)
    runs, pixels = [0], expected.ravel(order="F")
    for value, before in zip(pixels, np.append(False, pixels[:-1]), strict=True):
        if value != before:
            runs.append(0)
        runs[-1] += 1
    for segmentation in (polygon, compressed, {"size": list(SIZE), "counts": runs}):
        np.testing.assert_array_equal(mask_util.decode(segmentation_to_rle(segmentation, SIZE)), expected)


def test_boxes_cover_the_pixels_whose_centers_they_contain() -> None:
    assert pixels_inside([1.5, 2.6, 4.4, 5.5]) == (slice(3, 5), slice(1, 4))
    filled = mask_util.decode(filled_box([70.4, 50.6, 30, 30], SIZE))
    assert filled.sum() == filled[51:, 70:].sum() == 9 * 10


def test_boxes_are_clipped_to_the_image() -> None:
    assert clip_box([-5, 10, 20, 100], SIZE) == [0, 10, 15, 60]
    assert clip_box([79.6, 10, 20, 20], SIZE) is None and clip_box([90, 10, 20, 20], SIZE) is None


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [60, 80], "counts": "zzzz"},
        {"size": [60, 80], "counts": "\x01\x02"},
        {"size": [60, 80], "counts": ""},
        {"size": [60, 80], "counts": [10**9]},
        {"size": [60, 80], "counts": [1, -5, 4804]},
        {"size": [60, 80], "counts": [4800.0]},
        {"size": [60, 80], "counts": ["4800"]},
        {"size": [60, 80], "counts": 5},
        {"size": [60, 80]},
        {"counts": "1"},
        {"size": [100000, 100000], "counts": [0, 10**10]},
        {"size": [-1, -1], "counts": ""},
        {"size": 5, "counts": 5},
        {"size": ["60", "80"], "counts": [4800]},
        [],
        [[]],
        [[1, 2, 3, 4]],
        [[1, 1, 2, 2, 3]],
        [[float("nan")] * 8],
        [[1e300] * 8],
        [[0, 0, 1e9, 0, 1e9, 1e9]],
        [["a"] * 6],
        "text",
        None,
        7,
    ],
)
def test_bad_segmentations_are_an_error_before_pycocotools_reads_them(segmentation: object) -> None:
    with pytest.raises(ValueError, match=r"segmentation|mask|counts"):
        segmentation_to_rle(segmentation, SIZE)


def test_an_empty_mask_is_a_segmentation() -> None:
    empty = mask_util.encode(np.zeros(SIZE, dtype=np.uint8, order="F"))
    assert mask_util.area(segmentation_to_rle(empty, SIZE)) == 0
    assert mask_util.area(segmentation_to_rle({"size": list(SIZE), "counts": [4800]}, SIZE)) == 0
