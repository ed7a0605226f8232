"""Class maps by geodesic distance."""

import heapq

import numpy as np
import pytest
from class_map_toy import SIZE, draw_discs, make_points

from depthbox.data.class_maps.geodesic import GeodesicClassMaps, build_steps, edge_cost, find_flat, find_nearest


def test_nearest_seeds_equal_a_loop() -> None:
    rng = np.random.default_rng(1)
    cost = 1 + rng.random((7, 9)) * 5
    labels = np.zeros((7, 9), dtype=np.int64)
    labels[1, 2], labels[5, 7], labels[6, 0] = 3, 1, 2
    found = find_nearest(build_steps(cost), labels)
    best = np.full(cost.shape, np.inf)
    owner = np.zeros(cost.shape, dtype=np.int64)
    queue = [(0.0, int(y), int(x), int(labels[y, x])) for y, x in zip(*np.nonzero(labels), strict=True)]
    while queue:
        distance, y, x, label = heapq.heappop(queue)
        if distance >= best[y, x]:
            continue
        best[y, x], owner[y, x] = distance, label
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                v, u = y + dy, x + dx
                if (dy or dx) and 0 <= v < 7 and 0 <= u < 9:
                    step = np.hypot(dy, dx) * (cost[y, x] + cost[v, u]) / 2
                    heapq.heappush(queue, (distance + step, v, u, label))
    assert np.allclose(found.distance, best) and (found.label == owner).all()


def test_object_ends_at_the_edge_of_color() -> None:
    objects = draw_discs([(30, 40)], 14)
    image = np.where(objects[:, :, None], [200, 40, 40], [40, 90, 200]).astype(np.uint8)
    class_map = GeodesicClassMaps()({}, image, make_points([(38.5, 46.5)], [2]), None)
    assert ((class_map == 3) & objects).sum() / ((class_map == 3) | objects).sum() > 0.9


def test_depth_separates_what_color_does_not() -> None:
    objects = draw_discs([(28, 40), (72, 40)], 12)
    image = np.full((*SIZE, 3), 120, dtype=np.uint8)
    floor = np.linspace(0.1, 0.5, SIZE[0], dtype=np.float32)[:, None].repeat(SIZE[1], axis=1)
    depth = np.where(objects, floor + 0.15, floor).astype(np.float32)
    points = make_points([(28.5, 44.5), (72.5, 36.5)], [0, 1])
    with_depth = GeodesicClassMaps()({}, image, points, depth)
    left, right = draw_discs([(28, 40)], 12), draw_discs([(72, 40)], 12)
    assert ((with_depth == 1) & left).sum() / ((with_depth == 1) | left).sum() > 0.85
    assert ((with_depth == 2) & right).sum() / ((with_depth == 2) | right).sum() > 0.85
    without = GeodesicClassMaps()({}, image, points, None)
    assert ((without == 1) & left).sum() / ((without == 1) | left).sum() < 0.7


def test_slanted_plane_is_flat_and_an_object_on_it_is_not() -> None:
    plane = np.linspace(0, 1, SIZE[1], dtype=np.float32)[None, :].repeat(SIZE[0], axis=0)
    assert find_flat(plane)[3:-3, 3:-3].all()
    objects = draw_discs([(50, 40)], 10)
    flat = find_flat(np.where(objects, plane + 0.1, plane).astype(np.float32))
    assert not flat[objects].any() and flat[5:15, 5:95].all()


def test_pixels_between_two_equally_near_seeds_are_unknown() -> None:
    image = np.full((*SIZE, 3), 120, dtype=np.uint8)
    points = make_points([(20.5, 40.5)], [0], background=np.array([[80.5, 40.5]]))
    class_map = GeodesicClassMaps()({}, image, points, None)
    assert class_map[40, 20] == 1 and class_map[40, 80] == 0 and (class_map == 255).any()


@pytest.mark.parametrize("size", [(80, 100), (1, 50), (50, 1), (1, 1)])
def test_cost_is_at_least_one_at_any_size(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
    cost = edge_cost(image, rng.random(size, dtype=np.float32))
    assert cost.shape == size and (cost >= 1).all()
    assert find_nearest(build_steps(cost), np.ones(size, dtype=np.int64)).distance.max() == 0


def test_image_without_points_is_unknown() -> None:
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    assert (GeodesicClassMaps()({}, image, make_points([], []), None) == 255).all()
