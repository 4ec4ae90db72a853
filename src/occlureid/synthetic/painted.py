"""Painted surfaces: what grounds and walls look like, as images in metres, made of smooth noise, joints and patches.

Every painter takes a generator and the coordinates of its texels in metres, and returns (h, w, 3) colours in [0, 1] as a
screen shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["GROUNDS", "WALLS", "Painter", "foliage", "noise"]

Picture = NDArray[np.float32]
Painter = Callable[[np.random.Generator, Picture, Picture], Picture]


def _rgb(values: Sequence[float]) -> Picture:
    return np.asarray(values, dtype=np.float32)


def noise(random: np.random.Generator, shape: tuple[int, int], texels: float, across: float = 1.0) -> Picture:
    """Smooth noise of mean 0 and deviation about 1.

    Args:
        random: a generator.
        shape: (h, w) of the result.
        texels: about how wide a blotch is, in texels; 1 is no smoothing at all.
        across: how much longer than tall the blotches are.
    """
    height, width = shape
    small = (max(2, round(height / texels)), max(2, round(width / (texels * across))))
    values = random.standard_normal(small, dtype=np.float32)
    if small == shape:
        return values
    picture = Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture, dtype=np.float32) * np.float32(1.3)


def clouds(random: np.random.Generator, shape: tuple[int, int], *texels: float) -> Picture:
    """A sum of ``noise`` of several widths, of mean 0 and deviation about 1."""
    total = np.zeros(shape, dtype=np.float32)
    for width in texels:
        total += noise(random, shape, width)
    return total / np.float32(np.sqrt(len(texels)))


def _tone(random: np.random.Generator, low: float, high: float, colour: float = 0.02) -> Picture:
    """A grey between low and high with a slight hue."""
    return np.clip(random.uniform(low, high) * (1.0 + random.normal(0.0, colour, 3)), 0.02, 0.98).astype(np.float32)


def _fill(base: Picture, bright: Picture) -> Picture:
    return base[None, None, :] * bright[..., None]


def _over(picture: Picture, mask: NDArray[np.bool_] | Picture, colour: Picture) -> Picture:
    """Paints a colour where the mask is, or as far as it says."""
    weight = np.asarray(mask, dtype=np.float32)[..., None]
    return picture + weight * (colour - picture)


def _turned(random: np.random.Generator, x: Picture, y: Picture, angle: float) -> tuple[Picture, Picture]:
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cos + y * sin + np.float32(random.uniform(0, 9)), y * cos - x * sin + np.float32(random.uniform(0, 9))


def _cells(
    random: np.random.Generator, x: Picture, y: Picture, size: tuple[float, float], joint: float, spread: float
) -> tuple[Picture, NDArray[np.bool_]]:
    """A tone about 1 for each slab, every other row moved by half a slab or not, and where the joints are."""
    row = np.floor(y / size[1])
    moved = x / size[0] + 0.5 * (row % 2) * float(random.random() < 0.6)
    column = np.floor(moved)
    table = (1.0 + random.normal(0.0, spread, (64, 64))).astype(np.float32)
    tone = table[row.astype(np.int64) % 64, column.astype(np.int64) % 64]
    off_x, off_y = (moved - column) * size[0], y - row * size[1]
    return tone, (off_x < joint) | (off_y < joint)


def asphalt(random: np.random.Generator, x: Picture, y: Picture) -> Picture:
    """Grey and speckled, with patches, cracks, stains and sometimes painted lines."""
    shape = (x.shape[0], x.shape[1])
    bright = 1.0 + 0.05 * clouds(random, shape, 90, 28, 9) + 0.045 * noise(random, shape, 1)
    picture = _fill(_tone(random, 0.34, 0.58), bright)
    for _ in range(int(random.integers(2, 6))):
        turned = _turned(random, x, y, random.choice((0.0, random.uniform(-0.6, 0.6))))
        a, b = (t - random.choice(t.ravel()) for t in turned)
        half = random.uniform((0.3, 0.3), (2.0, 2.5))
        picture[(np.abs(a) < half[0]) & (np.abs(b) < half[1])] *= np.float32(random.uniform(0.72, 1.12))
    picture[np.abs(clouds(random, shape, 55, 22, 8)) < 0.018] *= np.float32(0.62)
    picture *= (1.0 - 0.22 * np.clip(noise(random, shape, 24) - 1.5, 0, 1))[..., None]
    if random.random() < 0.6:
        white = _tone(random, 0.72, 0.9) if random.random() < 0.75 else _rgb((0.80, 0.66, 0.20))
        worn = np.clip(0.8 + 0.5 * clouds(random, shape, 12, 3), 0, 1)
        a, b = _turned(random, x, y, random.uniform(-0.5, 0.5) + random.choice((0.0, np.pi / 2)))
        zebra = random.random() < 0.35
        line = ((a % 1.0) < 0.5) & (np.abs(b - b.mean()) < 2.2) if zebra else (b % random.uniform(3.2, 5.0)) < 0.14
        if not zebra and random.random() < 0.5:
            line &= (a % 3.0) < 1.7
        picture = _over(picture, line * worn, white)
    return picture


def slabs(random: np.random.Generator, x: Picture, y: Picture) -> Picture:
    """Paving slabs, each of its own tone, with dark joints and trodden dirt."""
    shape = (x.shape[0], x.shape[1])
    a, b = _turned(random, x, y, random.uniform(-0.8, 0.8))
    wide = random.uniform(0.3, 0.9)
    tone, joint = _cells(random, a, b, (wide, wide * random.uniform(0.5, 1.0)), 0.035, random.uniform(0.02, 0.08))
    bright = tone * (1.0 + 0.05 * clouds(random, shape, 70, 20, 6) + 0.03 * noise(random, shape, 1))
    picture = _fill(_tone(random, 0.48, 0.74, 0.045), bright)
    picture[joint] *= np.float32(random.uniform(0.66, 0.85))
    dirt = np.clip(noise(random, shape, 18) - 1.4, 0, 1)
    return np.asarray(picture * (1.0 - 0.15 * dirt)[..., None], dtype=np.float32)


def pavers(random: np.random.Generator, x: Picture, y: Picture) -> Picture:
    """Small red, brown or grey bricks."""
    shape = (x.shape[0], x.shape[1])
    a, b = _turned(random, x, y, random.uniform(-0.9, 0.9))
    tone, joint = _cells(random, a, b, (0.24, 0.13), 0.03, 0.11)
    base = _rgb(((0.56, 0.38, 0.32), (0.50, 0.44, 0.38), (0.52, 0.51, 0.50))[int(random.integers(3))])
    picture = _fill(base * np.float32(random.uniform(0.8, 1.15)), tone * (1.0 + 0.07 * clouds(random, shape, 60, 16)))
    picture[joint] *= np.float32(0.78)
    return picture


def grass(random: np.random.Generator, x: Picture, y: Picture) -> Picture:
    """A lawn with bare and dry spots."""
    shape = (x.shape[0], x.shape[1])
    green = _rgb((0.30, 0.37, 0.17)) * np.float32(random.uniform(0.75, 1.2))
    picture = _fill(green, 1.0 + 0.16 * clouds(random, shape, 40, 9, 3) + 0.13 * noise(random, shape, 1))
    bare = np.clip(0.8 * clouds(random, shape, 60, 18, 6) - random.uniform(0.2, 1.2), 0, 1)
    return _over(picture, bare, _rgb((0.47, 0.41, 0.29)) * np.float32(random.uniform(0.8, 1.1)))


def tiles(random: np.random.Generator, x: Picture, y: Picture) -> Picture:
    """A polished floor: large light tiles, thin joints, streaks of reflected windows."""
    shape = (x.shape[0], x.shape[1])
    a, b = _turned(random, x, y, random.choice((0.0, np.pi / 4, 0.1)))
    wide = random.uniform(0.5, 0.95)
    tone, joint = _cells(random, a, b, (wide, wide), 0.03, 0.02)
    picture = _fill(_tone(random, 0.60, 0.82, 0.03), tone * (1.0 + 0.02 * clouds(random, shape, 50, 12)))
    picture[joint] *= np.float32(0.84)
    gleam = np.clip(noise(random, (shape[0], shape[1]), 46), 0, 2) * np.float32(0.09)
    return picture + gleam[..., None]


GROUNDS: tuple[Painter, ...] = (asphalt, slabs, pavers, grass, tiles)
"""Painters of the ground; x to the right, y away from the camera."""


def foliage(random: np.random.Generator, shape: tuple[int, int], bright: float) -> Picture:
    """Leaves: clumps, leaves and gaps between them in three greens."""
    coarse, fine = clouds(random, shape, 26, 11), clouds(random, shape, 5, 2.4)
    value = 0.55 * coarse + 0.75 * fine + 0.25 * noise(random, shape, 1)
    green = _rgb(((0.20, 0.29, 0.13), (0.26, 0.31, 0.17), (0.17, 0.25, 0.16))[int(random.integers(3))])
    picture = _fill(green * np.float32(bright), np.clip(1.0 + 0.42 * value, 0.18, 2.4))
    return _over(picture, np.clip(fine - 1.3, 0, 1) * 0.6, _rgb((0.55, 0.60, 0.38)) * np.float32(bright))


def _windows(random: np.random.Generator, picture: Picture, x: Picture, y: Picture) -> Picture:
    """Rows of windows with frames, some lit, some with blinds, each with the sky in it."""
    pitch, wide = random.uniform(1.6, 3.4), random.uniform(0.7, 1.3)
    low, tall = random.uniform(0.6, 1.3), random.uniform(1.1, 1.9)
    column = np.floor(x / pitch)
    off, up = x - column * pitch - (pitch - wide) / 2, (y - low) % 3.1
    inside = (off > 0) & (off < wide) & (up < tall) & (y > low)
    frame = inside & ((off < 0.09) | (off > wide - 0.09) | (up < 0.09) | (up > tall - 0.09))
    floor = np.floor((y - low) / 3.1)
    table = random.uniform(0.10, 0.42, (32, 8)).astype(np.float32)
    glass = table[column.astype(np.int64) % 32, floor.astype(np.int64) % 8] + 0.12 * up / np.float32(tall)
    glass = glass[..., None] * _rgb((0.92, 1.0, 1.08))
    picture = np.where(inside[..., None], glass, picture)
    return _over(picture, frame, _tone(random, 0.5, 0.9) if random.random() < 0.6 else _tone(random, 0.1, 0.3))


def brick_wall(random: np.random.Generator, x: Picture, y: Picture) -> Picture:
    """Brickwork, with or without windows."""
    shape = (x.shape[0], x.shape[1])
    tone, joint = _cells(random, x, y, (0.26, 0.11), 0.03, 0.10)
    base = _rgb(((0.55, 0.32, 0.25), (0.62, 0.50, 0.38), (0.45, 0.30, 0.27))[int(random.integers(3))])
    picture = _fill(base * np.float32(random.uniform(0.8, 1.1)), tone * (1.0 + 0.06 * clouds(random, shape, 60, 12)))
    picture = _over(picture, joint * np.float32(0.5), _rgb((0.66, 0.63, 0.58)))
    return _windows(random, picture, x, y) if random.random() < 0.6 else picture


def plaster(random: np.random.Generator, x: Picture, y: Picture) -> Picture:
    """Plaster with a darker plinth, stains that run down, windows."""
    shape = (x.shape[0], x.shape[1])
    stain = np.clip(noise(random, shape, 34, 0.25), -1, 2)
    picture = _fill(_tone(random, 0.5, 0.86, 0.06), 1.0 + 0.05 * clouds(random, shape, 80, 20) - 0.05 * stain)
    picture = _over(picture, y < random.uniform(0.2, 0.9), _tone(random, 0.28, 0.5))
    return _windows(random, picture, x, y) if random.random() < 0.8 else picture


def glass_front(random: np.random.Generator, x: Picture, y: Picture) -> Picture:
    """A front of glass: a grid of frames, panes that mirror clouds and show what stands inside."""
    shape = (x.shape[0], x.shape[1])
    tone, frame = _cells(random, x, y, (random.uniform(0.9, 1.8), random.uniform(1.2, 2.6)), 0.07, 0.16)
    mirrored = np.clip(0.30 + 0.12 * clouds(random, shape, 110, 40) + 0.05 * noise(random, shape, 14, 0.3), 0.05, 0.9)
    picture = _fill(_rgb((0.85, 0.98, 1.08)) * np.float32(random.uniform(0.6, 1.3)), tone * mirrored)
    return _over(picture, frame, _tone(random, 0.12, 0.75))


def shop_front(random: np.random.Generator, x: Picture, y: Picture) -> Picture:
    """Shop windows full of coloured things, doors, and a band of signs above."""
    shape = (x.shape[0], x.shape[1])
    picture = _fill(_tone(random, 0.3, 0.75, 0.06), 1.0 + 0.05 * clouds(random, shape, 50, 14))
    pitch = random.uniform(2.4, 4.2)
    column = np.floor(x / pitch)
    off = x - column * pitch
    goods = np.stack([noise(random, shape, random.uniform(7, 16), 0.6) for _ in range(3)], axis=-1)
    shown = np.clip(0.26 + 0.05 * goods + 0.10 * noise(random, shape, 12)[..., None], 0.04, 0.9)
    picture = np.where(((off > 0.25) & (y > 0.4) & (y < 2.5))[..., None], shown, picture)
    signs = np.clip(random.normal(0.45, 0.16, (32, 3)), 0.05, 0.95).astype(np.float32)
    band = (y > 2.65) & (y < 3.3)
    picture = np.where(band[..., None], signs[column.astype(np.int64) % 32], picture)
    letters = (
        band & (np.abs(y - 2.97) < 0.15) & (noise(random, shape, 4, 0.5) > 0.2) & (off > 0.5) & (off < pitch - 0.5)
    )
    return _over(picture, letters, _tone(random, 0.75, 0.95))


def concrete(random: np.random.Generator, x: Picture, y: Picture) -> Picture:
    """Concrete slabs with seams and stains; posters and scrawls."""
    shape = (x.shape[0], x.shape[1])
    tone, seam = _cells(random, x, y, (random.uniform(1.2, 3.0), random.uniform(0.8, 2.4)), 0.05, 0.05)
    bright = tone * (
        1.0 + 0.07 * clouds(random, shape, 90, 26, 7) - 0.06 * np.clip(noise(random, shape, 20, 0.2), 0, 2)
    )
    picture = _fill(_tone(random, 0.42, 0.7), bright)
    picture[seam] *= np.float32(0.7)
    for _ in range(int(random.integers(0, 9))):
        left, low = random.uniform(x.min(), x.max()), random.uniform(0.6, 1.6)
        wide, tall = random.uniform((0.4, 0.5), (1.2, 1.3))
        colour = np.clip(random.normal(0.5, 0.15, 3), 0.05, 0.95).astype(np.float32)
        poster = (x > left) & (x < left + wide) & (y > low) & (y < low + tall)
        picture = _over(picture, poster, colour)
        picture = _over(picture, poster & (noise(random, shape, 6) > 0.7), _tone(random, 0.1, 0.9))
    return picture


def hedge(random: np.random.Generator, x: Picture, y: Picture) -> Picture:
    """A hedge with a fence before it or not, and sky or houses above."""
    shape = (x.shape[0], x.shape[1])
    picture = plaster(random, x, y) if random.random() < 0.5 else np.full((*shape, 3), 0.93, dtype=np.float32)
    crest = random.uniform(1.0, 3.4) + 0.22 * noise(random, (2, shape[1]), 22)[:1]
    picture = np.where((y < crest)[..., None], foliage(random, shape, random.uniform(0.7, 1.2)), picture)
    if random.random() < 0.5:
        high = random.uniform(0.9, 1.9)
        bars = ((x % random.uniform(0.13, 0.4)) < 0.05) | (np.abs(y - high) < 0.05) | (np.abs(y - 0.15) < 0.04)
        picture = _over(picture, bars & (y < high), _tone(random, 0.08, 0.75))
    return picture


def street(random: np.random.Generator, x: Picture, y: Picture) -> Picture:
    """A view down a street, out of focus: houses, trees, the roofs and windows of cars."""
    shape = (x.shape[0], x.shape[1])
    picture = np.full((*shape, 3), 0.95, dtype=np.float32)
    column = np.floor(x / random.uniform(3.0, 6.0)).astype(np.int64) % 32
    roofs = random.uniform(2.2, 6.5, 32).astype(np.float32)[column]
    houses = np.clip(random.normal(0.55, 0.13, (32, 1)) + random.normal(0, 0.05, (32, 3)), 0.1, 0.9).astype(np.float32)
    picture = np.where((y < roofs)[..., None], _windows(random, houses[column], x, y), picture)
    tree = clouds(random, shape, 60, 24, 9) + np.clip(1.0 - np.abs(y - 2.6) / 1.6, -1, 1) > random.uniform(0.9, 1.6)
    picture = np.where(tree[..., None], foliage(random, shape, random.uniform(0.8, 1.3)), picture)
    pitch = random.uniform(4.4, 6.5)
    cell = np.floor(x / pitch)
    off = x - cell * pitch - 0.4
    car = (off > 0) & (off < 3.9) & (y > 0.2) & (y < 0.85)
    cabin = (off > 0.8) & (off < 3.2) & (y >= 0.85) & (y < 1.4)
    paints = np.clip(random.normal(0.4, 0.26, (32, 1)) + random.normal(0, 0.08, (32, 3)), 0.04, 0.95).astype(np.float32)
    picture = np.where(car[..., None], paints[cell.astype(np.int64) % 32], picture)
    picture = _over(picture, cabin, _rgb((0.16, 0.19, 0.22)))
    wheel = ((off - 0.8) ** 2 + (y - 0.3) ** 2 < 0.1) | ((off - 3.1) ** 2 + (y - 0.3) ** 2 < 0.1)
    return _over(picture, wheel | (y < 0.12), _rgb((0.10, 0.10, 0.11)))


WALLS: tuple[Painter, ...] = (brick_wall, plaster, glass_front, shop_front, concrete, hedge, street)
"""Painters of what stands behind; x to the right, y up from the ground."""
