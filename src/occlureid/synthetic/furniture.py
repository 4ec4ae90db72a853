"""What stands in a street: benches, bins, lamp posts, signs, bollards, planters, shrubs, parked cars and bicycles."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from occlureid.synthetic.background import Backdrop
from occlureid.synthetic.primitives import Array, Primitives, boxes, material, round_cones

__all__ = ["draw_furniture"]

_OWNER = -2
_METAL = (0.32, 0.33, 0.35)
_COLOURS = (
    (0.70, 0.68, 0.62), (0.25, 0.27, 0.30), (0.18, 0.30, 0.20), (0.48, 0.20, 0.17), (0.20, 0.27, 0.40), (0.58, 0.50, 0.28),
    (0.85, 0.85, 0.83), (0.35, 0.26, 0.19), (0.12, 0.12, 0.13), (0.55, 0.56, 0.58),
)  # fmt: skip
_LEAVES = {"wave": (7.0, 5.0, 6.0, 0.1), "cross": (-6.0, 8.0, 5.0, 0.4), "duty": 0.66, "grain": 0.6}

Maker = Callable[[np.random.Generator, float, float, float], Primitives]
"""Builds one thing at x, z with a turn about the vertical."""


def _spot(x: float, z: float, turn: float, right: float, up: float, front: float) -> Array:
    """A point given from the thing's own middle: to its right, up, and to its front."""
    cos, sin = np.cos(turn), np.sin(turn)
    return np.array([x + cos * right + sin * front, up, z - sin * right + cos * front])


def _block(spot: Array, half: tuple[float, float, float], turn: float, paint: Array) -> Primitives:
    return boxes(spot[None], np.array([half]), np.array([turn]), materials=paint[None], owner=_OWNER)


def _rod(start: Array, end: Array, radii: tuple[float, float], paint: Array, squeeze: float = 1.0) -> Primitives:
    hint = np.array([[0.0, 0.0, 1.0]]) if abs(end[1] - start[1]) > 0.3 else np.array([[0.0, 1.0, 0.0]])
    return round_cones(
        start[None], end[None], np.array([radii[0]]), np.array([radii[1]]), hint=hint,
        squeeze=np.array([[squeeze, squeeze]]), materials=paint[None], owner=_OWNER,
    )  # fmt: skip


def _colour(random: np.random.Generator) -> Array:
    chosen = np.asarray(_COLOURS[int(random.integers(len(_COLOURS)))])
    return np.clip(chosen * random.uniform(0.8, 1.2) + random.normal(0, 0.02, 3), 0.03, 0.95)


def _bench(random: np.random.Generator, x: float, z: float, turn: float) -> Primitives:
    wood = material(_colour(random) * 0.9, grain=0.1)
    leg, back = material(_METAL), random.random() < 0.7
    parts = [_block(_spot(x, z, turn, 0, 0.45, 0), (0.8, 0.03, 0.2), turn, wood)]
    parts += [_block(_spot(x, z, turn, side, 0.22, 0), (0.04, 0.22, 0.18), turn, leg) for side in (-0.65, 0.65)]
    if back:
        parts.append(_block(_spot(x, z, turn, 0, 0.75, -0.2), (0.8, 0.14, 0.02), turn, wood))
    return Primitives.cat(parts)


def _bin(random: np.random.Generator, x: float, z: float, turn: float) -> Primitives:
    colour, wide = _colour(random), random.uniform(0.2, 0.3)
    body = _rod(np.array([x, wide, z]), np.array([x, 0.85, z]), (wide, wide * 1.1), material(colour))
    lid = _block(np.array([x, 1.05, z]), (wide, 0.06, wide), turn, material(colour * 0.5))
    return Primitives.cat([body, lid])


def _lamp(random: np.random.Generator, x: float, z: float, turn: float) -> Primitives:
    paint, high = material(np.asarray(_METAL) * random.uniform(0.5, 1.5)), random.uniform(3.0, 6.0)
    foot = _rod(np.array([x, 0.0, z]), np.array([x, 0.9, z]), (0.11, 0.09), paint)
    return Primitives.cat([foot, _rod(np.array([x, 0.9, z]), np.array([x, high, z]), (0.06, 0.04), paint)])


def _sign(random: np.random.Generator, x: float, z: float, turn: float) -> Primitives:
    high = random.uniform(1.8, 2.6)
    half = (random.uniform(0.2, 0.45), random.uniform(0.2, 0.4), 0.015)
    face = material(_colour(random), second=(0.88, 0.88, 0.86), wave=(0, random.uniform(1, 4), 0, 0.3), duty=0.7)
    post = _rod(np.array([x, 0.0, z]), np.array([x, high, z]), (0.035, 0.035), material(_METAL))
    return Primitives.cat([post, _block(_spot(x, z, turn, 0, high - half[1], 0.05), half, turn, face)])


def _bollards(random: np.random.Generator, x: float, z: float, turn: float) -> Primitives:
    paint = material(_colour(random), second=(0.9, 0.9, 0.88), wave=(0, 1.0, 0, 0.45), duty=random.choice((0.85, 1.0)))
    spots = [_spot(x, z, turn, 1.3 * k, 0.0, 0.0) for k in range(int(random.integers(1, 4)))]
    return Primitives.cat([_rod(spot, spot + np.array([0.0, 0.85, 0.0]), (0.09, 0.08), paint) for spot in spots])


def _planter(random: np.random.Generator, x: float, z: float, turn: float) -> Primitives:
    half = random.uniform((0.3, 0.2, 0.25), (0.9, 0.35, 0.4))
    pot = _block(np.array([x, half[1], z]), (half[0], half[1], half[2]), turn, material(_colour(random), grain=0.15))
    return Primitives.cat([pot, *(_bush(random, x, z, turn, k * half[0], 2 * half[1]) for k in (-0.6, 0.0, 0.6))])


def _bush(
    random: np.random.Generator, x: float, z: float, turn: float, right: float = 0.0, up: float = 0.1
) -> Primitives:
    green = np.array([0.20, 0.27, 0.14]) * random.uniform(0.7, 1.3)
    radius = random.uniform(0.18, 0.4)
    spot = _spot(x, z, turn, right, up + radius * 0.5, 0)
    lean = random.uniform((-0.15, 0.1, -0.15), (0.15, 0.5, 0.15))
    paint = material(green, second=green * 0.5, **_LEAVES)  # type: ignore[arg-type]
    return _rod(spot, spot + lean, (radius, radius * random.uniform(0.6, 1.0)), paint)


def _shrub(random: np.random.Generator, x: float, z: float, turn: float) -> Primitives:
    return Primitives.cat([_bush(random, x, z, turn, random.uniform(-0.6, 0.6), k * 0.15) for k in range(4)])


def _tree(random: np.random.Generator, x: float, z: float, turn: float) -> Primitives:
    bark = material((0.33, 0.27, 0.21), second=(0.22, 0.17, 0.13), wave=(9, 0.8, 7, 0), duty=0.7, grain=0.3)
    trunk = _rod(np.array([x, 0.0, z]), np.array([x, 2.6, z]), (random.uniform(0.1, 0.22), 0.09), bark)
    return Primitives.cat(
        [trunk, *(_bush(random, x, z, turn, random.uniform(-0.7, 0.7), 2.5 + 0.3 * k) for k in range(3))]
    )


def _car(random: np.random.Generator, x: float, z: float, turn: float) -> Primitives:
    paint = material(_colour(random))
    glass = material((0.15, 0.18, 0.20), second=(0.5, 0.55, 0.6), wave=(0, 1.3, 0, 0.2), duty=0.85)
    tyre = material((0.07, 0.07, 0.08))
    turn = turn * 0.3
    parts = [
        _block(_spot(x, z, turn, 0, 0.58, 0), (2.1, 0.28, 0.82), turn, paint),
        _block(_spot(x, z, turn, 0.15, 1.08, 0), (1.2, 0.24, 0.70), turn, glass),
        _block(_spot(x, z, turn, 0.15, 1.36, 0), (1.05, 0.05, 0.66), turn, paint),
    ]
    across = _spot(0, 0, turn, 0, 0, 1.0)[None]
    for side in (-1.3, 1.3):
        hub = _spot(x, z, turn, side, 0.31, 0.78)[None]
        # A ball squeezed along the axle: a round cone of no length has no flat ends.
        parts.append(
            round_cones(
                hub, hub + np.array([[0.0, 0.01, 0.0]]), np.array([0.31]), np.array([0.31]), hint=across,
                squeeze=np.array([[1.0, 0.3]]), materials=tyre[None], owner=_OWNER,
            )
        )  # fmt: skip
    return Primitives.cat(parts)


def _bicycle(random: np.random.Generator, x: float, z: float, turn: float) -> Primitives:
    paint, tyre = material(_colour(random)), material((0.08, 0.08, 0.09))

    def at(right: float, up: float) -> Array:
        return _spot(x, z, turn, right, up, 0.0)

    bars = [
        ((-0.5, 0.33), (-0.15, 0.8)),
        ((-0.15, 0.8), (0.45, 0.85)),
        ((0.45, 0.95), (0.52, 0.33)),
        ((-0.1, 0.35), (0.45, 0.85)),
    ]
    parts = [_rod(at(*start), at(*end), (0.022, 0.022), paint) for start, end in bars]
    # Wheels of spokes let the street through; two thin rings of rods would cost too much, so a few chords stand for each.
    for hub in (-0.5, 0.52):
        rim = [(hub + 0.33 * np.cos(a), 0.34 + 0.33 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 7)]
        parts += [_rod(at(*a), at(*b), (0.018, 0.018), tyre) for a, b in pairwise(rim)]
    return Primitives.cat(parts)


_MAKERS: tuple[tuple[Maker, float], ...] = (
    (_bench, 0.12), (_bin, 0.10), (_lamp, 0.12), (_sign, 0.10), (_bollards, 0.12), (_planter, 0.07), (_shrub, 0.09),
    (_tree, 0.08), (_car, 0.10), (_bicycle, 0.10),
)  # fmt: skip


def draw_furniture(
    random: np.random.Generator, near: float, far: float, backdrop: Backdrop, amount: float
) -> Primitives:
    """The things of one camera's place, in the world: most beyond the walked strip, a few at its sides.

    Args:
        random: the generator of this camera's scenery.
        near: where the strip begins in which people walk, metres from the camera.
        far: where it ends.
        backdrop: whose wall stands behind.
        amount: share of the greatest number of things, in [0, 1].
    """
    shares = np.array([share for _, share in _MAKERS])
    parts = [_block(np.array([0.0, -9.0, -backdrop.distance]), (0.01, 0.01, 0.01), 0.0, material((0.5, 0.5, 0.5)))]
    for _ in range(round(amount * int(random.integers(12, 26)))):
        maker = _MAKERS[int(random.choice(len(_MAKERS), p=shares / shares.sum()))][0]
        distance = random.uniform(far + 0.6, backdrop.distance + 3.0)
        across = random.uniform(-0.5, 0.5) * distance
        if random.random() < 0.2:
            distance = random.uniform(near, far)
            across = random.choice((-1.0, 1.0)) * random.uniform(0.46, 0.7) * distance
        across, away = backdrop.before_wall(across, -distance)
        parts.append(maker(random, across, away, random.uniform(-np.pi, np.pi)))
    return Primitives.cat(parts)
