"""Camera, background and objects of the synthetic dataset: z is up, the camera points along +y and down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .shapes import Solid, ball, capsule, cuboid, frustum, jack, mug, torus
from .textures import Texture, disguise, random_color, random_rotation, random_texture, rotation_about_z

Array = np.ndarray
CLASS_NAMES = ("sphere", "box", "cylinder", "cone", "torus", "bar", "mug", "jack")
FAR = 30.0
_CLASS_ODDS = np.array([0.8, 1.0, 1.0, 1.1, 1.2, 1.2, 1.1, 0.9]) / 8.3
_UPRIGHT_ODDS = (0.0, 0.4, 0.35, 0.45, 0.2, 0.05, 0.55, 0.2)
Rect = tuple[slice, slice]


@dataclass(frozen=True)
class Camera:
    """Pinhole camera.

    Attributes:
        origin: position, (3,).
        frame: directions right, down and forward, (3, 3).
        focal: focal length in pixels.
        height, width: size of the image in pixels.
    """

    origin: Array
    frame: Array
    focal: float
    height: int
    width: int

    @property
    def whole(self) -> Rect:
        """Return the rectangle of all pixels."""
        return slice(0, self.height), slice(0, self.width)

    def rays(self, rect: Rect) -> Array:
        """Return directions (3, h, w) through pixel centers, for which t is the distance along the optical axis."""
        rows, columns = (np.arange(s.start, s.stop, dtype=np.float32) + 0.5 for s in rect)
        down = self.frame[1, :, None] * ((rows - self.height / 2) / self.focal).astype(np.float32)
        right = self.frame[0, :, None] * ((columns - self.width / 2) / self.focal).astype(np.float32)
        return (self.frame[2, :, None] + down)[:, :, None] + right[:, None, :]

    def bounds(self, points: Array, pad: float) -> Rect | None:
        """Return the pixels that balls of radius ``pad`` at points (M, 3) cover; None if too close or out of view."""
        x, y, z = self.frame @ (points - self.origin).T
        if z.min() < pad + 0.4:
            return None
        spans = []
        for offset, size in ((y, self.height), (x, self.width)):
            reach = pad * np.sqrt(offset**2 + z**2 - pad**2)
            low, high = ((offset * z + sign * reach) / (z**2 - pad**2) * self.focal + size / 2 for sign in (-1, 1))
            start, stop = max(int(np.floor(low.min())), 0), min(int(np.ceil(high.max())) + 1, size)
            if start >= stop:
                return None
            spans.append(slice(start, stop))
        return spans[0], spans[1]


@dataclass(frozen=True)
class Plane:
    """Flat surface of the points p with normal . p = offset.

    Attributes:
        normal: unit normal, (3,).
        offset: distance from the origin along the normal.
        axes: in-plane axes, (2, 3).
        texture: texture of the surface.
    """

    normal: Array
    offset: float
    axes: Array
    texture: Texture

    def hit(self, origin: Array, directions: Array) -> Array:
        """Return ray parameters (...) at the plane for directions (3, ...), FAR without a hit of its front."""
        facing = np.tensordot(self.normal, directions, 1)
        distance = np.float32(self.offset - self.normal @ origin)
        return np.where(facing < -1e-4, distance / np.minimum(facing, -1e-4), np.float32(FAR))


@dataclass(frozen=True)
class SceneObject:
    """Placed object.

    Attributes:
        label: index into ``CLASS_NAMES``.
        solid: shape.
        rotation: from the frame of the solid to the world, (3, 3).
        position: position in the world, (3,).
        texture: texture of the surface.
        gloss: strength of highlights.
    """

    label: int
    solid: Solid
    rotation: Array
    position: Array
    texture: Texture
    gloss: float

    def to_local(self, points: Array) -> Array:
        """Transform points (3, N) from the world to the frame of the solid."""
        return self.rotate_to_local(points - self.position[:, None])

    def rotate_to_local(self, vectors: Array) -> Array:
        """Rotate vectors (3, ...) from the world to the frame of the solid."""
        return np.einsum("ji,j...->i...", self.rotation, vectors)

    def bounds(self, camera: Camera) -> Rect | None:
        """Return the pixels that the object can cover."""
        return camera.bounds(self.solid.hull @ self.rotation.T + self.position, self.solid.pad)


def random_camera(rng: np.random.Generator, height: int, width: int) -> Camera:
    """Draw a camera 3.2 to 5.2 units from the center of the scene, tilted down by 8 to 45 degrees."""
    pitch, yaw, roll = (
        np.radians(rng.uniform(8, 45)),
        np.radians(rng.uniform(-8, 8)),
        np.radians(rng.normal(0, 2.5)),
    )
    forward = np.array([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), -np.sin(pitch)])
    right = np.array([np.cos(yaw), -np.sin(yaw), 0.0])
    down = np.cross(forward, right)
    right, down = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
    target = np.array([0, 0, rng.uniform(0.2, 0.5)])
    origin = target - rng.uniform(3.2, 5.2) * forward
    focal = rng.uniform(1.05, 1.5) * max(height, 0.75 * width)
    frame = np.stack([right, down, forward]).astype(np.float32)
    return Camera(origin.astype(np.float32), frame, float(focal), height, width)


def random_background(rng: np.random.Generator, camera: Camera) -> list[Plane]:
    """Draw the ground, and none, one or two walls at right angles, at a distance from the camera."""
    up = np.array([0, 0, 1], np.float32)
    turn = rotation_about_z(np.radians(rng.uniform(-35, 35)))
    ground = Plane(up, 0.0, turn[:2], random_texture(rng, flat=True))
    planes, side = [ground], rng.choice([-1.0, 1.0])
    walls = [(turn @ [0, -1, 0], rng.uniform(0.9, 3.5)), (turn @ [side, 0, 0], rng.uniform(1.6, 3.5))]
    for normal, distance in walls[: int(rng.choice(3, p=[0.2, 0.5, 0.3]))]:
        if normal @ camera.origin + distance < 1:
            continue
        alike = rng.random() < 0.3
        texture = disguise(rng, ground.texture, rng.random() < 0.3) if alike else random_texture(rng, flat=True)
        axes = np.stack([np.cross(up, normal), up]).astype(np.float32)
        planes.append(Plane(normal.astype(np.float32), float(-distance), axes, texture))
    return planes


def trace_background(planes: list[Plane], camera: Camera) -> tuple[Array, Array]:
    """Return depth (h, w) and index of the plane (h, w), -1 for the sky."""
    rays = camera.rays(camera.whole)
    depth = np.full(rays.shape[1:], FAR, np.float32)
    surface = np.full(rays.shape[1:], -1, np.int32)
    for index, plane in enumerate(planes):
        t = plane.hit(camera.origin, rays)
        nearer = t < depth
        depth[nearer], surface[nearer] = t[nearer], index
    return depth, surface


def random_solid(rng: np.random.Generator, label: int) -> Solid:
    """Draw a solid of a class with a diameter of 0.6 to 1.3 units."""
    size, ratio = rng.uniform(0.36, 0.66), rng.uniform(0, 1)
    name = CLASS_NAMES[label]
    if name == "sphere":
        return ball(size * 0.85)
    if name == "box":
        return cuboid(size * rng.uniform(0.3, 0.85, 3))
    if name == "cylinder":
        return frustum(size * (0.3 + 0.3 * ratio), size * (0.3 + 0.3 * ratio), size * rng.uniform(0.5, 0.95))
    if name == "cone":
        return frustum(size * (0.45 + 0.35 * ratio), 0.0, size * rng.uniform(0.7, 1.0))
    if name == "torus":
        return torus(size * 0.75, size * (0.12 + 0.16 * ratio))
    if name == "bar":
        thick = size * (0.09 + 0.1 * ratio)
        length = size * rng.uniform(1.0, 1.3)
        return (
            capsule(length, thick)
            if rng.random() < 0.5
            else cuboid(np.array([thick, thick * rng.uniform(0.6, 1), length]))
        )
    if name == "mug":
        radius, half = size * (0.45 + 0.15 * ratio), size * rng.uniform(0.5, 0.75)
        return mug(radius, half, 0.12 * radius + 0.015, half * rng.uniform(0.5, 0.62), size * rng.uniform(0.07, 0.1))
    return jack(size * 0.85, size * (0.13 + 0.1 * ratio))


def propose_object(
    rng: np.random.Generator, camera: Camera, planes: list[Plane], items: list[SceneObject]
) -> SceneObject | None:
    """Draw an object that rests on the ground or a wall, often behind an earlier one of the same class."""
    partner = items[rng.integers(len(items))] if items and rng.random() < 0.5 else None
    label = int(rng.choice(len(CLASS_NAMES), p=_CLASS_ODDS))
    if partner and rng.random() < 0.7:
        label = partner.label
    solid = random_solid(rng, label)
    upright = rng.random() < _UPRIGHT_ODDS[label]
    rotation = random_rotation(rng, upright)
    column, row = rng.uniform(0.1, 0.9) * camera.width, (0.15 + 0.8 * rng.beta(2, 1.6)) * camera.height
    if partner is None:
        rect = slice(int(row), int(row) + 1), slice(int(column), int(column) + 1)
        ray = camera.rays(rect)[:, 0, 0]
        depths = [plane.hit(camera.origin, ray[:, None])[0] for plane in planes]
        spot, surface = camera.origin + min(depths) * ray, int(np.argmin(depths))
        if min(depths) > 7.5:
            return None
    else:
        spot, surface = _behind(rng, camera, partner), 0
    if surface and rng.random() < 0.5:
        spot, surface = spot + planes[surface].normal * solid.radius, 0
    lift = [-(solid.hull @ (plane.normal @ rotation)).min() + solid.pad for plane in planes]
    position = np.array(spot, np.float32)
    for index, plane in enumerate(planes):
        gap = float(plane.normal @ position - plane.offset)
        if index == surface or gap < lift[index]:
            position += plane.normal * (lift[index] - gap)
    if any(np.linalg.norm(position - i.position) < 0.62 * (solid.radius + i.solid.radius) for i in items):
        return None
    texture = _pick_texture(rng, planes, surface, partner or (items[-1] if items else None))
    gloss = float(rng.choice([0.0, 0.15, 0.4], p=[0.5, 0.3, 0.2]))
    return SceneObject(label, solid, rotation, position.astype(np.float32), texture, gloss)


def _behind(rng: np.random.Generator, camera: Camera, partner: SceneObject) -> Array:
    """Draw a spot on the ground behind the partner, or sometimes before it, and slightly to the side."""
    view = partner.position[:2] - camera.origin[:2]
    view = view / np.linalg.norm(view)
    away = partner.solid.radius * rng.uniform(1.2, 3.2) * rng.choice([1, -1], p=[0.7, 0.3])
    aside = partner.solid.radius * rng.uniform(-1.1, 1.1)
    return np.append(partner.position[:2] + view * away + np.array([view[1], -view[0]]) * aside, 0.0)


def _pick_texture(rng: np.random.Generator, planes: list[Plane], surface: int, other: SceneObject | None) -> Texture:
    """Draw an independent texture, or one similar to the surface behind or to another object."""
    chance = rng.random()
    if chance < 0.5:
        behind = planes[-1] if surface == 0 and rng.random() < 0.4 else planes[surface]
        return disguise(rng, behind.texture, rng.random() < 0.5)
    if chance < 0.7 and other is not None:
        return disguise(rng, other.texture, rng.random() < 0.5)
    return random_texture(rng, random_color(rng))
