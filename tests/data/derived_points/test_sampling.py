"""Points of masks: inside, distributed as defined, farthest from the border, or just off the object."""

import numpy as np
import pytest
from scipy import ndimage

from depthbox.data.derived_points.sampling import POINT_KINDS, choose_point, move_off


def generator() -> np.random.Generator:
    return np.random.default_rng(3)


def make_mask(*pixels: tuple[int, int], size: tuple[int, int] = (6, 8)) -> np.ndarray:
    """Return a mask of pixels (row, column)."""
    mask = np.zeros(size, dtype=bool)
    mask[tuple(np.array(pixels).T)] = True
    return mask


def random_mask(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).random((40, 50))
    return ndimage.gaussian_filter(noise, 3) > 0.5


@pytest.mark.parametrize("kind", POINT_KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_points_are_centers_of_pixels_of_the_mask(kind: str, seed: int) -> None:
    mask = random_mask(seed)
    x, y = choose_point(mask, kind, generator())
    assert (x % 1, y % 1) == (0.5, 0.5) and mask[int(y), int(x)]


@pytest.mark.parametrize("kind", POINT_KINDS)
def test_a_mask_of_one_pixel_has_one_point(kind: str) -> None:
    assert choose_point(make_mask((0, 7)), kind, generator()) == (7.5, 0.5)


def test_random_points_are_uniform_over_the_pixels() -> None:
    mask = make_mask((0, 0), (2, 3), (2, 4), (5, 7))
    draws = generator()
    points = [choose_point(mask, "random", draws) for _ in range(4000)]
    counts = {point: points.count(point) for point in set(points)}
    assert set(counts) == {(0.5, 0.5), (3.5, 2.5), (4.5, 2.5), (7.5, 5.5)}
    assert all(abs(count - 1000) < 120 for count in counts.values()), counts  # four standard deviations


def test_the_center_is_farthest_from_the_border() -> None:
    disc = np.hypot(*(np.mgrid[:21, :31] - np.array([9, 14])[:, None, None])) < 7
    assert choose_point(disc, "center", generator()) == (14.5, 9.5)
    bar = np.zeros((9, 12), dtype=bool)
    bar[1:6, 2:11] = True
    bar[3, 0:2] = True
    assert choose_point(bar, "center", generator()) == (4.5, 3.5), "of equal pixels the first one"


def test_the_border_of_the_image_is_a_border_of_the_mask() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[:9, :9] = True
    assert choose_point(mask, "center", generator()) == (4.5, 4.5)


@pytest.mark.parametrize("seed", range(5))
def test_the_center_has_nearly_the_largest_euclidean_distance(seed: int) -> None:
    mask = random_mask(seed)
    exact = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    x, y = choose_point(mask, "center", generator())
    assert exact[int(y), int(x)] > 0.96 * exact.max()  # the chamfer distance is an approximation


def test_biased_points_follow_the_squared_distance() -> None:
    mask = np.zeros((3, 9), dtype=bool)
    mask[:, 1:8] = True  # distances 1 at the border, 2 in the inner five pixels
    draws = generator()
    points = [choose_point(mask, "biased", draws) for _ in range(4000)]
    inner = sum(y == 1.5 and 2 < x < 7 for x, y in points) / len(points)
    assert abs(inner - 5 * 4 / (5 * 4 + 16)) < 0.032  # four standard deviations


def test_the_center_draws_nothing() -> None:
    draws = generator()
    choose_point(random_mask(0), "center", draws)
    assert draws.random() == generator().random()


@pytest.mark.parametrize("seed", range(5))
def test_a_point_off_the_object_is_the_nearest_pixel_outside(seed: int) -> None:
    mask = random_mask(seed)
    x, y = choose_point(mask, "random", np.random.default_rng(seed))
    other = move_off(mask, (x, y))
    rows, columns = np.nonzero(~mask)
    nearest = np.hypot(columns + 0.5 - x, rows + 0.5 - y).min()
    assert other is not None and not mask[int(other[1]), int(other[0])]
    assert np.hypot(other[0] - x, other[1] - y) == pytest.approx(nearest)


def test_a_mask_of_the_whole_image_has_no_point_off_it() -> None:
    assert move_off(np.ones((4, 5), dtype=bool), (1.5, 1.5)) is None
    half = np.zeros((4, 6), dtype=bool)
    half[:, :3] = True
    assert move_off(half, (0.5, 2.5)) == (3.5, 2.5), "inside the image"


def test_empty_masks_and_unknown_kinds_are_errors() -> None:
    with pytest.raises(ValueError, match="empty mask"):
        choose_point(np.zeros((3, 3), dtype=bool), "center", generator())
    with pytest.raises(ValueError, match="random, center, biased, got 'middle'"):
        choose_point(np.ones((3, 3), dtype=bool), "middle", generator())  # type: ignore[arg-type]
