"""Rendering of one scene of the synthetic dataset: image, masks, exact depth and pseudo depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .shapes import surface_normals
from .textures import random_color, random_texture, rotation_about_z
from .world import Camera, Plane, Rect, SceneObject, propose_object, random_background, random_camera, trace_background

Array = np.ndarray
# Raised if the pixels of any scene change. Scenes are never tuned in favor of a method.
GENERATOR_VERSION = 1
MIN_VISIBLE_AREA = 60 / (240 * 320)  # of the image
MIN_VISIBLE_FRACTION = 0.3  # of the pixels that an object would cover without other objects


@dataclass(frozen=True)
class Scene:
    """One rendered scene.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        instance_map: (H, W) int32; 0 = background, k = visible mask of the k-th instance.
        classes: (K,) int64, indices into ``CLASS_NAMES``.
        depth: (H, W) float32, distance along the optical axis in scene units.
        pseudo_depth: (H, W) float32 in [0, 1], 1 = near, with the errors of a depth estimator.
    """

    image: Array
    instance_map: Array
    classes: Array
    depth: Array
    pseudo_depth: Array


def render_scene(index: int, seed: int = 0, height: int = 240, width: int = 320) -> Scene:
    """Render scene ``index`` (>= 0) of the stream ``seed`` (>= 0); equal arguments give equal bytes."""
    if min(height, width) < 32:
        raise ValueError(f"a scene of {height}x{width} pixels is too small: height and width must be at least 32")
    rng = np.random.default_rng([seed, index, GENERATOR_VERSION])
    camera = random_camera(rng, height, width)
    planes = random_background(rng, camera)
    background_depth, surface = trace_background(planes, camera)
    items, rects, depth, instance_map = _place(rng, camera, planes, background_depth)
    light = _random_light(rng)
    image = _paint_background(rng, camera, planes, surface, background_depth, light)
    image *= _shadows(camera, surface, background_depth, items, light)
    for number, (item, rect) in enumerate(zip(items, rects, strict=True), 1):
        _paint_item(image, camera, item, instance_map == number, rect, depth, light)
    pixels = _expose(rng, image)
    pseudo = _pseudo_depth(rng, depth, instance_map, pixels)
    return Scene(pixels, instance_map, np.array([item.label for item in items], np.int64), depth, pseudo)


def _place(
    rng: np.random.Generator, camera: Camera, planes: list[Plane], background_depth: Array
) -> tuple[list[SceneObject], list[Rect], Array, Array]:
    """Add objects one by one, without those that would be nearly invisible or hide another object."""
    items: list[SceneObject] = []
    rects: list[Rect] = []
    depth, instance_map = background_depth.copy(), np.zeros(background_depth.shape, np.int32)
    wanted, alone, visible = int(rng.integers(3, 9)), [0], [0]
    least = max(MIN_VISIBLE_AREA * background_depth.size, 12)
    for _ in range(6 * wanted):
        item = propose_object(rng, camera, planes, items)
        rect = item.bounds(camera) if item else None
        if item is None or rect is None:
            continue
        rays = item.rotate_to_local(camera.rays(rect)).reshape(3, -1)
        t = item.solid.hit(item.to_local(camera.origin[:, None]), rays).reshape(depth[rect].shape)
        nearer = t < depth[rect]
        lost = np.bincount(instance_map[rect][nearer], minlength=len(items) + 1)
        counts = np.append(np.array(visible) - lost, nearer.sum())
        totals = np.append(alone, np.isfinite(t).sum())
        if (counts[1:] < np.maximum(MIN_VISIBLE_FRACTION * totals[1:], least)).any():
            continue
        items.append(item)
        rects.append(rect)
        alone, visible = list(totals), list(counts)
        depth[rect][nearer] = t[nearer]
        instance_map[rect][nearer] = len(items)
        if len(items) == wanted:
            break
    return items, rects, depth, instance_map


@dataclass(frozen=True)
class _Light:
    """Light of a lamp in direction ``towards`` (3,) with strength ``direct``, and ambient light."""

    towards: Array
    direct: float
    ambient: float

    def shade(self, normals: Array) -> Array:
        """Return the brightness (N,) of surfaces with unit normals (3, N)."""
        return self.ambient * (0.82 + 0.18 * normals[2]) + self.direct * np.clip(self.towards @ normals, 0, 1)


def _random_light(rng: np.random.Generator) -> _Light:
    """Draw a light from above and mostly from the side of the camera, from overcast to a hard lamp."""
    towards = np.array([rng.uniform(-1, 1), rng.uniform(-1.0, 0.25), rng.uniform(0.7, 1.6)], np.float32)
    direct = rng.uniform(0.1, 0.7)
    return _Light(towards / np.linalg.norm(towards), direct, 0.95 - 0.65 * direct)


def _paint_background(
    rng: np.random.Generator, camera: Camera, planes: list[Plane], surface: Array, depth: Array, light: _Light
) -> Array:
    """Return colors (3, H, W) of ground, walls and sky, with flat patches on them."""
    rows = np.linspace(0, 1, surface.shape[0], dtype=np.float32)[:, None]
    sky, haze = np.sqrt(random_color(rng)), random_color(rng)
    image = np.ascontiguousarray(
        np.broadcast_to((haze[:, None, None] * rows + sky[:, None, None] * (1 - rows)), (3, *surface.shape))
    )
    rays = camera.rays(camera.whole).reshape(3, -1)
    spots = rng.random((int(rng.integers(0, 7)), 2))
    where = [int(r * camera.height) * camera.width + int(c * camera.width) for r, c in spots]
    surface, depth = surface.reshape(-1), depth.reshape(-1)
    for index, plane in enumerate(planes):
        inside = np.flatnonzero(surface == index)
        if not inside.size:
            continue
        distance = depth[inside]
        points = camera.origin[:, None] + rays.take(inside, 1) * distance
        flat = np.concatenate([plane.axes @ points, np.zeros((1, inside.size), np.float32)])
        colors = plane.texture.color(flat)
        for pixel in where:
            if surface[pixel] == index:
                _add_patch(rng, colors, flat, plane.axes @ (camera.origin + rays[:, pixel] * depth[pixel]))
        # Patterns fade with distance to avoid aliasing.
        fade, mean = 1 / (1 + 0.002 * distance**2), colors.mean(1, keepdims=True)
        colors = light.shade(plane.normal[:, None]) * (mean + (colors - mean) * fade)
        for channel in range(3):
            image[channel].reshape(-1)[inside] = colors[channel]
    return image


def _add_patch(rng: np.random.Generator, colors: Array, flat: Array, spot: Array) -> None:
    """Paint a rectangle, ellipse or ring around ``spot`` (2,) over colors (3, N) at in-plane points (3, N)."""
    texture, size = random_texture(rng, flat=True), rng.uniform(0.15, 0.9, 2)
    offset = flat[:2] - spot[:, None]
    near = np.flatnonzero((offset**2).sum(0) < 2 * size.max() ** 2)
    u, v = (rotation_about_z(rng.uniform(0, np.pi))[:2, :2] @ offset[:, near]) / size[:, None].astype(np.float32)
    shape, radius = rng.integers(3), u * u + v * v
    inside = np.maximum(np.abs(u), np.abs(v)) < 1 if shape == 0 else (radius < 1) & (radius > 0.5 * (shape - 1))
    colors[:, near[inside]] = texture.color(flat[:, near[inside]])


def _shadows(camera: Camera, surface: Array, depth: Array, items: list[SceneObject], light: _Light) -> Array:
    """Return the brightness (H, W) of ground and walls under the shadows of objects, traced at half size."""
    surface, depth = surface[::2, ::2], depth[::2, ::2]
    points = camera.origin[:, None] + camera.rays(camera.whole)[:, ::2, ::2].reshape(3, -1) * depth.reshape(-1)
    lit = np.ones(depth.size, np.float32)
    shaded = light.ambient / (light.ambient + light.direct * light.towards[2])
    for item in items:
        towards = item.position[:, None] - points
        along = light.towards @ towards
        near = np.flatnonzero((along > 0) & ((towards**2).sum(0) - along**2 < item.solid.radius**2))
        rays = np.broadcast_to(item.rotate_to_local(light.towards)[:, None], (3, near.size))
        if near.size:
            lit[near[np.isfinite(item.solid.hit(item.to_local(points[:, near]), rays))]] = shaded
    lit[surface.reshape(-1) < 0] = 1
    soft = ndimage.uniform_filter(lit.reshape(depth.shape), 3, mode="nearest")
    return ndimage.uniform_filter(soft.repeat(2, 0).repeat(2, 1)[: camera.height, : camera.width], 3, mode="nearest")


def _paint_item(
    image: Array, camera: Camera, item: SceneObject, mask: Array, rect: Rect, depth: Array, light: _Light
) -> None:
    """Paint the visible pixels of one object: texture and light, darker near the ground."""
    inside = mask[rect]
    rays = camera.rays(rect)[:, inside]
    points = camera.origin[:, None] + rays * depth[rect][inside]
    local = item.to_local(points)
    normals = item.rotation @ surface_normals(item.solid, local)
    below = np.clip(points[2] / (0.5 * item.solid.radius), 0, 1)
    colors = item.texture.color(local) * (light.shade(normals) * (0.75 + 0.25 * below))
    if item.gloss:
        half = light.towards[:, None] - rays / np.sqrt((rays**2).sum(0))
        half /= np.sqrt((half**2).sum(0))
        colors += item.gloss * np.clip((half * normals).sum(0), 0, 1) ** 32
    image[:, rect[0], rect[1]][:, inside] = colors


def _expose(rng: np.random.Generator, image: Array) -> Array:
    """Convert linear colors (3, H, W) to pixels (H, W, 3) uint8: vignetting, lens blur, noise, gamma."""
    image = image * (np.float32(rng.uniform(0.9, 1.15)) * (1 + 0.15 * _smooth_field(rng, image.shape[1:])))
    image = np.sqrt(np.clip(image, 0, 1, out=image), out=image)
    image = _soften(image, rng.uniform(0.08, 0.24))
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise *= np.float32(rng.uniform(0.2, 2.5))
    noise += image * 255 + np.float32(0.5)
    return np.ascontiguousarray(np.clip(noise, 0, 255, out=noise).astype(np.uint8).transpose(1, 2, 0))


def _soften(image: Array, weight: float) -> Array:
    """Blur (3, H, W) in place with a 3 x 3 kernel; ``weight`` is that of the neighbors along each axis."""
    for axis in (1, 2):
        rows = image if axis == 1 else image.transpose(0, 2, 1)
        around = np.empty_like(rows)
        around[:, 1:-1] = rows[:, :-2] + rows[:, 2:]
        around[:, 0], around[:, -1] = rows[:, 0] + rows[:, 1], rows[:, -1] + rows[:, -2]
        rows *= np.float32(1 - 2 * weight)
        rows += around * np.float32(weight)
    return image


def _smooth_field(rng: np.random.Generator, shape: tuple[int, int], cells: int = 4) -> Array:
    """Return a slowly varying random field (H, W) float32 in [-1, 1]."""
    grid = rng.uniform(-1, 1, (cells, cells + 1))
    for axis, size in enumerate(shape):
        at = np.linspace(0, grid.shape[axis] - 1 - 1e-6, size)
        low, part = at.astype(int), at % 1
        part = part * part * (3 - 2 * part)
        part = part[:, None] if axis == 0 else part[None]
        grid = grid.take(low, axis) * (1 - part) + grid.take(low + 1, axis) * part
    return grid.astype(np.float32)


def _pseudo_depth(rng: np.random.Generator, depth: Array, instance_map: Array, image: Array) -> Array:
    """Simulate a monocular depth estimator: inverse depth (H, W) with another scale and curve, blur and errors."""
    unit = depth.shape[0] / 240
    inverse = 1 / depth
    inverse = (inverse - inverse.min()) / (inverse.max() - inverse.min())
    # Each object is slightly too near or too far, and the texture of the image has a weak influence.
    offset = np.append(0, rng.uniform(-0.03, 0.03, instance_map.max())).astype(np.float32)
    luma = image[..., 1].astype(np.float32) / 255
    inverse = inverse + offset[instance_map] + rng.uniform(0, 0.03) * luma
    knots = np.linspace(0, 1, 7)
    curve = np.append(0, np.cumsum(rng.uniform(0.35, 1.65, 6))) ** rng.uniform(0.8, 1.3)
    inverse = np.interp(np.clip(inverse, 0, 1), knots, curve / curve[-1]).astype(np.float32)
    inverse = ndimage.gaussian_filter(inverse, rng.uniform(0.7, 1.8) * unit, mode="nearest", truncate=2.5)
    shift = rng.uniform(0.5, 1.6) * unit
    rows, columns = np.indices(depth.shape, dtype=np.float32)
    sampled = [
        rows + shift * _smooth_field(rng, depth.shape, 6),
        columns + shift * _smooth_field(rng, depth.shape, 6),
    ]
    moved = ndimage.map_coordinates(inverse, sampled, order=1, mode="nearest")
    moved = moved * (1 + 0.12 * _smooth_field(rng, depth.shape)) + 0.05 * _smooth_field(rng, depth.shape)
    return ((moved - moved.min()) / (moved.max() - moved.min())).astype(np.float32)
