"""Colors and solid textures of the synthetic dataset. Colors are linear RGB in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

Array = np.ndarray
KINDS = ("plain", "gradient", "stripes", "checker", "noise", "marble", "speckle")
_TILE = 1024


@lru_cache(maxsize=1)
def _noise_tile() -> Array:
    """Return a fixed periodic tile (1024, 1024) of fractal noise, roughly uniform in [0, 1]."""
    rng = np.random.default_rng(20240301)
    frequency = np.hypot(np.fft.fftfreq(_TILE)[:, None], np.fft.fftfreq(_TILE)[None]) * _TILE
    spectrum = np.fft.fft2(rng.standard_normal((_TILE, _TILE))) / np.maximum(frequency, 4.0) ** 1.3
    noise = np.fft.ifft2(spectrum).real
    return (0.5 + 0.5 * np.tanh(0.8 * (noise - noise.mean()) / noise.std())).astype(np.float32)


def random_color(rng: np.random.Generator) -> Array:
    """Draw a color (3,), more often muted than vivid."""
    hue, saturation, value = rng.random(), rng.beta(1.6, 1.8), rng.uniform(0.3, 0.95)
    ramp = np.clip(np.abs((hue * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    return ((value * (1 - saturation + saturation * ramp)) ** 2).astype(np.float32)


@dataclass(frozen=True)
class Texture:
    """Texture in space: the color at a point is a mix of two colors.

    Attributes:
        kind: pattern that determines the mix, one of ``KINDS``.
        first, second: colors, (3,).
        frame: rotation of points into the axes of the pattern, (3, 3).
        frequency: cycles per length unit.
        phase: shift of the pattern, (3,).
        grain: strength of additional fine noise.
    """

    kind: str
    first: Array
    second: Array
    frame: Array
    frequency: float
    phase: Array
    grain: float

    def color(self, points: Array) -> Array:
        """Return colors (3, N) at points (3, N)."""
        x, y, z = (
            self.frame[i, 0] * points[0] + self.frame[i, 1] * points[1] + self.frame[i, 2] * points[2] + self.phase[i]
            for i in range(3)
        )
        mix = self._pattern(x, y, z)
        colors = self.first[:, None] + (self.second - self.first)[:, None] * mix
        if self.grain:
            colors *= 1 + self.grain * (2 * _noise(x + z, y - z, 160.0) - 1)
        return colors

    def _pattern(self, x: Array, y: Array, z: Array) -> Array:
        turn = np.float32(2 * np.pi * self.frequency)
        if self.kind == "gradient":
            return 0.5 + 0.5 * np.sin(turn * 0.25 * x)
        if self.kind == "stripes":
            return np.clip(0.5 + 4 * np.sin(turn * x), 0, 1)
        if self.kind == "checker":
            cells = np.floor(2 * self.frequency * np.stack([x, y, z])).astype(np.int32)
            return (cells.sum(0) & 1).astype(np.float32)
        if self.kind == "noise":
            return _noise(x + 0.5 * z, y - 0.5 * z, 90.0)
        if self.kind == "marble":
            return 0.5 + 0.5 * np.sin(turn * x + 6 * _noise(x + z, y, 70.0))
        if self.kind == "speckle":
            return (_noise(x - z, y + z, 150.0) > 0.66).astype(np.float32)
        return np.zeros_like(x)


def _noise(u: Array, v: Array, scale: float) -> Array:
    """Sample the noise tile, with ``scale`` texels per length unit, at (u, v)."""
    column, row = (u * np.float32(scale)).astype(np.int32), (v * np.float32(scale)).astype(np.int32)
    return _noise_tile()[row & (_TILE - 1), column & (_TILE - 1)]


def random_texture(rng: np.random.Generator, color: Array | None = None, flat: bool = False) -> Texture:
    """Draw a texture with ``color`` (3,) as its first color; ``flat`` keeps the axes of the pattern on z = 0."""
    first = random_color(rng) if color is None else color
    contrast = rng.choice([0.08, 0.25, 1.0], p=[0.4, 0.4, 0.2])
    second = first + contrast * (random_color(rng) - first)
    kind = str(rng.choice(KINDS, p=[0.3, 0.14, 0.12, 0.1, 0.16, 0.1, 0.08]))
    return Texture(
        kind,
        first,
        second.astype(np.float32),
        random_rotation(rng, flat),
        float(np.exp(rng.uniform(np.log(0.8), np.log(4.5)))),
        rng.uniform(5, 9, 3).astype(np.float32),
        float(rng.choice([0.0, 0.05, 0.15], p=[0.4, 0.35, 0.25])),
    )


def disguise(rng: np.random.Generator, texture: Texture, exact: bool) -> Texture:
    """Draw a texture with nearly the colors of the given one; with ``exact``, also with its pattern."""
    if exact:
        return replace(texture, phase=rng.uniform(5, 9, 3).astype(np.float32), frame=random_rotation(rng, False))
    color = texture.first if rng.random() < 0.7 else texture.second
    color = color * rng.uniform(1.0, 1.25) * rng.uniform(0.97, 1.03, 3)
    return random_texture(rng, np.clip(color, 0.01, 1).astype(np.float32))


def random_rotation(rng: np.random.Generator, flat: bool = False) -> Array:
    """Draw a rotation (3, 3): uniform, or about z only if ``flat``."""
    if flat:
        return rotation_about_z(rng.uniform(0, 2 * np.pi))
    w, x, y, z = (q := rng.standard_normal(4)) / np.sqrt((q**2).sum())
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ],
        np.float32,
    )


def rotation_about_z(angle: float) -> Array:
    """Return the rotation (3, 3) by ``angle`` radians about z."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
