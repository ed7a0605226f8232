"""Solids of the synthetic dataset: intersection with rays, and distance of points.

All functions are vectorized over rays. A ray is ``origin + t * direction`` in the frame of the solid. Origins and
directions are float32, (3, N), or (3, 1) if they are equal for all rays. A ray without intersection has t = inf.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
_TINY = np.float32(1e-9)


@dataclass(frozen=True)
class Solid:
    """A solid inside of the convex hull of balls.

    Attributes:
        hull: centers of the balls, (M, 3).
        pad: radius of the balls.
        hit: ``hit(origin, direction) -> t (N,)``.
        distance: signed ``distance(points) -> (N,)``.
    """

    hull: Array
    pad: float
    hit: Callable[[Array, Array], Array]
    distance: Callable[[Array], Array]

    @property
    def radius(self) -> float:
        """Return the radius of a ball around the origin that contains the solid."""
        return float(np.sqrt((self.hull**2).sum(1).max()) + self.pad)


def surface_normals(solid: Solid, points: Array) -> Array:
    """Compute unit outward normals (3, N) at surface points (3, N): the numerical gradient of the distance."""
    corners = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], np.float32)
    step = np.float32(2e-3 * solid.radius)
    gradient = np.zeros_like(points)
    for corner in corners:
        gradient += corner[:, None] * solid.distance(points + step * corner[:, None])
    return gradient / np.maximum(np.sqrt((gradient**2).sum(0)), _TINY)


def _dot(a: Array, b: Array) -> Array:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _roots(a: Array, half_b: Array, c: Array) -> tuple[Array, Array, Array]:
    """Return both roots of a t^2 + 2 half_b t + c = 0, and whether they are real."""
    discriminant = half_b * half_b - a * c
    root = np.sqrt(np.maximum(discriminant, 0))
    a = np.where(np.abs(a) < _TINY, _TINY, a)
    return (-half_b - root) / a, (-half_b + root) / a, discriminant >= 0


def _keep(t: Array, valid: Array) -> Array:
    return np.where(valid & (t > 1e-4), t, np.float32(np.inf))


def _ball_hit(origin: Array, direction: Array, radius: float) -> Array:
    c = _dot(origin, origin) - radius**2
    near, _, real = _roots(_dot(direction, direction), _dot(origin, direction), c)
    return _keep(near, real)


def _slab_hit(origin: Array, direction: Array, half: Array) -> Array:
    inverse = 1 / np.where(np.abs(direction) < _TINY, _TINY, direction)
    middle, reach = -origin * inverse, np.abs(half[:, None] * inverse)
    near, far = (middle - reach).max(0), (middle + reach).min(0)
    return _keep(near, near <= far)


def _side_hit(origin: Array, direction: Array, mid: float, slope: float, low: float, high: float) -> Array:
    """Return the first hit of the side x^2 + y^2 = (mid + slope z)^2 between the heights low and high."""
    (x, y, z), (dx, dy, dz) = origin, direction
    r = mid + slope * z
    a = dx * dx + dy * dy - slope**2 * dz * dz
    t0, t1, real = _roots(a, x * dx + y * dy - slope * dz * r, x * x + y * y - r * r)
    best = np.full(np.shape(a), np.inf, np.float32)
    for t in (t0, t1):
        height = z + t * dz
        on_side = real & (height >= low) & (height <= high) & (mid + slope * height >= 0)
        best = np.minimum(best, _keep(t, on_side))
    return best


def _disc_hit(origin: Array, direction: Array, height: float, outer: float, inner: float = 0.0) -> Array:
    dz = np.where(np.abs(direction[2]) < _TINY, _TINY, direction[2])
    t = (height - origin[2]) / dz
    r2 = (origin[0] + t * direction[0]) ** 2 + (origin[1] + t * direction[1]) ** 2
    return _keep(t, (r2 <= outer**2) & (r2 >= inner**2))


def _capsule_hit(origin: Array, direction: Array, half: float, radius: float) -> Array:
    end = np.array([[0], [0], [half]], np.float32)
    side = _side_hit(origin, direction, radius, 0.0, -half, half)
    ends = (_ball_hit(origin - end, direction, radius), _ball_hit(origin + end, direction, radius))
    return np.minimum(side, np.minimum(*ends))


def _march(distance: Callable[[Array], Array], origin: Array, direction: Array, center: Array, radius: float) -> Array:
    """Return the first hit by sphere tracing, inside the ball (center, radius) that contains the surface."""
    length = np.sqrt(_dot(direction, direction))
    unit, start = direction / length, np.broadcast_to(origin, direction.shape)
    offset = origin - center[:, None]
    enter, leave, real = _roots(np.ones_like(length), _dot(offset, unit), _dot(offset, offset) - radius**2)
    result = np.full(length.shape, np.inf, np.float32)
    index = np.flatnonzero(real & (leave > 0))
    unit, start, leave, s = unit[:, index], start[:, index], leave[index], np.maximum(enter[index], 0)
    tolerance = np.float32(1.5e-3 * radius)
    for step in range(60):
        gap = distance(start + unit * s)
        s = s + gap
        if step % 5 == 4:
            found = gap < tolerance
            result[index[found]] = s[found]
            alive = ~found & (s < leave)
            if not alive.any():
                break
            index, unit, start, leave, s = (
                index[alive],
                unit[:, alive],
                start[:, alive],
                leave[alive],
                s[alive],
            )
    return result / length


def _round_distance(points: Array, mid: float, slope: float, half: float) -> Array:
    """Return the distance to a capped cone frustum around z (a lower bound away from the surface)."""
    side = (np.hypot(points[0], points[1]) - mid - slope * points[2]) / np.float32(np.sqrt(1 + slope**2))
    return np.maximum(side, np.abs(points[2]) - half)


def _circle(radius: float, height: float, count: int = 16) -> Array:
    angle = np.arange(count) * (2 * np.pi / count)
    radius = radius / np.cos(np.pi / count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(count, height)], 1).astype(np.float32)


def ball(radius: float) -> Solid:
    """Build a ball."""
    return Solid(
        np.zeros((1, 3), np.float32),
        radius,
        lambda o, d: _ball_hit(o, d, radius),
        lambda p: np.sqrt(_dot(p, p)) - radius,
    )


def cuboid(half: Array) -> Solid:
    """Build a box with half side lengths ``half`` (3,)."""
    half = np.asarray(half, np.float32)
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)

    def distance(points: Array) -> Array:
        return (np.abs(points) - half[:, None]).max(0)

    return Solid(signs * half, 0.0, lambda o, d: _slab_hit(o, d, half), distance)


def frustum(bottom: float, top: float, half: float) -> Solid:
    """Build a capped cylinder or cone around z with radius ``bottom`` at z = -half and ``top`` at z = half."""
    mid, slope = (bottom + top) / 2, (top - bottom) / (2 * half)

    def hit(origin: Array, direction: Array) -> Array:
        caps = np.minimum(_disc_hit(origin, direction, -half, bottom), _disc_hit(origin, direction, half, top))
        return np.minimum(caps, _side_hit(origin, direction, mid, slope, -half, half))

    hull = np.concatenate([_circle(bottom, -half), _circle(top, half)])
    return Solid(hull, 0.0, hit, lambda p: _round_distance(p, mid, slope, half))


def torus(ring: float, tube: float) -> Solid:
    """Build a torus around z: a tube of radius ``tube`` along a circle of radius ``ring``."""

    def distance(points: Array) -> Array:
        across = np.sqrt(points[0] ** 2 + points[1] ** 2) - ring
        return np.sqrt(across * across + points[2] ** 2) - tube

    center = np.zeros(3, np.float32)
    return Solid(_circle(ring, 0.0), tube, lambda o, d: _march(distance, o, d, center, ring + tube), distance)


def capsule(half: float, radius: float) -> Solid:
    """Build a round bar along z: all points within ``radius`` of the segment from -half to half."""

    def distance(points: Array) -> Array:
        past = np.maximum(np.abs(points[2]) - half, 0)
        return np.sqrt(points[0] ** 2 + points[1] ** 2 + past * past) - radius

    hull = np.array([[0, 0, -half], [0, 0, half]], np.float32)
    return Solid(hull, radius, lambda o, d: _capsule_hit(o, d, half, radius), distance)


def jack(half: float, radius: float) -> Solid:
    """Build three round bars that cross at right angles, the shape of a toy jack."""
    bar = capsule(half, radius)
    turns = ([0, 1, 2], [1, 2, 0], [2, 0, 1])

    def hit(origin: Array, direction: Array) -> Array:
        return np.minimum.reduce([bar.hit(origin[turn], direction[turn]) for turn in turns])

    def distance(points: Array) -> Array:
        return np.minimum.reduce([bar.distance(points[turn]) for turn in turns])

    return Solid(np.concatenate([bar.hull[:, turn] for turn in turns]), radius, hit, distance)


def mug(radius: float, half: float, wall: float, ring: float, tube: float) -> Solid:
    """Build an open cup around z, with walls of thickness ``wall`` and half a torus (``ring``, ``tube``) as handle."""
    inner, floor, grip = radius - wall, -half + wall, np.array([radius, 0, 0], np.float32)

    def handle(points: Array) -> Array:
        x, y, z = points
        across = np.sqrt((x - radius) ** 2 + z * z) - ring
        return np.maximum(np.sqrt(across * across + y * y) - tube, inner + wall / 2 - np.sqrt(x * x + y * y))

    def hit(origin: Array, direction: Array) -> Array:
        parts = [
            _side_hit(origin, direction, radius, 0.0, -half, half),
            _disc_hit(origin, direction, -half, radius),
            _side_hit(origin, direction, inner, 0.0, floor, half),
            _disc_hit(origin, direction, floor, inner),
            _disc_hit(origin, direction, half, radius, inner),
            _march(handle, origin, direction, grip, ring + tube),
        ]
        return np.minimum.reduce(parts)

    def distance(points: Array) -> Array:
        outside = _round_distance(points, radius, 0.0, half)
        hollow = np.maximum(np.hypot(points[0], points[1]) - inner, floor - points[2])
        return np.minimum(np.maximum(outside, -hollow), handle(points))

    angle, reach = np.linspace(-np.pi / 2, np.pi / 2, 9), (ring + tube) * 1.02
    arc = np.stack([radius + reach * np.cos(angle), np.full(9, tube), reach * np.sin(angle)], 1)
    hull = [_circle(radius, -half), _circle(radius, half), arc, arc * [1, -1, 1]]
    return Solid(np.concatenate(hull).astype(np.float32), 0.0, hit, distance)
