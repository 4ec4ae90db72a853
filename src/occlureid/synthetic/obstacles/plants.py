"""Trees, hedges and shrubs. Leaves are clumps with a leafy grain; where each clump sits follows from the placement."""

from __future__ import annotations

import numpy as np

from occlureid.synthetic.obstacles.kit import Kit, Placement, darker
from occlureid.synthetic.primitives import Array, Primitives, material

__all__ = ["clipped_hedge", "maple_bough", "old_tree", "shrubs", "weeping_willow", "young_tree"]


def _leaves(colour: Array, bright: float = 1.0) -> Array:
    return material(np.clip(np.asarray(colour) * bright, 0.02, 0.95), grain=0.95)


def _bark(colour: Array, *, rings: bool) -> Array:
    if rings:  # birch and cherry: dark dashes across
        return material(
            colour,
            second=darker(colour, 0.42),
            wave=(0.0, 5.1, 0.0, 0.2),
            cross=(2.3, 11.0, 3.1, 0.1),
            duty=0.90,
            grain=0.22,
        )
    return material(
        colour,
        second=darker(colour, 0.52),
        wave=(17.0, 1.1, 13.0, 0.0),
        cross=(9.0, 2.7, -11.0, 0.2),
        duty=0.68,
        grain=0.40,
    )


def _scatter(place: Placement, count: int, salt: int) -> Array:
    """(count, 4) numbers in [0, 1) that look random and belong to the placement."""
    start = place.chance * 97.0 + salt * 0.37
    steps = np.arange(count)[:, None] * np.array([0.7548777, 0.5698403, 0.3247180, 0.8566749]) + start * np.array(
        [1.0, 1.7, 2.9, 4.1]
    )
    return np.asarray(steps - np.floor(steps))


def young_tree(place: Placement, amount: float) -> Primitives:
    """A slender street tree with its stakes, and leaves that begin above head height or hang lower."""
    kit, radius = Kit(), (0.065 + 0.055 * place.chance) * place.size
    bark = _bark(place.colour, rings=True)
    wood = material((0.52, 0.40, 0.26), second=(0.42, 0.31, 0.19), wave=(19.0, 0.6, 0, 0.0), duty=0.7)
    kit.rod((0.0, 0.0, 0.0), (0.0, 1.3, 0.0), radius * 1.15, bark, end=radius)
    kit.rod((0.0, 1.3, 0.0), (0.05, 3.6, 0.0), radius, bark, end=radius * 0.6)
    kit.rod((0.0, 2.3, 0.0), (0.55, 3.1, 0.1), radius * 0.45, bark, end=0.02)
    for x in (-0.24, 0.24):
        kit.rod((x, 0.0, 0.12), (x, 1.55, 0.12), 0.038, wood)
    kit.box((0.0, 1.35, 0.13), (0.26, 0.05, 0.012), material((0.30, 0.24, 0.18), grain=0.1))
    for n in range(3):
        kit.box(
            (0.0, 0.05 + 0.1 * n, 0.0),
            (0.30 - 0.02 * n, 0.05, 0.30 - 0.02 * n),
            material((0.28, 0.23, 0.18), grain=0.5),
        )
    return kit.at(place, (1.0 - amount) * (radius + 0.60))


def old_tree(place: Placement, amount: float) -> Primitives:
    """A thick trunk with deep bark, roots and a low bough."""
    kit, radius = Kit(), (0.17 + 0.13 * place.chance) * place.size
    bark = _bark(place.colour, rings=False)
    kit.rod((0.0, 0.35, 0.0), (0.06, 2.2, 0.0), radius * 1.04, bark, end=radius * 0.88)
    kit.rod((0.06, 2.2, 0.0), (-0.10, 4.2, 0.0), radius * 0.9, bark, end=radius * 0.6)
    kit.rod((0.0, 0.0, 0.0), (0.0, 0.55, 0.0), radius * 1.35, bark, end=radius)
    for x, z in ((-1.0, 0.5), (0.9, 0.8), (0.3, -1.0), (-0.4, 1.1)):
        kit.rod(
            (x * radius * 0.7, 0.16, z * radius * 0.7),
            (x * radius * 1.9, 0.0, z * radius * 1.9),
            radius * 0.42,
            bark,
            end=0.04,
        )
    bough = 1.0 if place.pick(2) else -1.0
    kit.rod((0.0, 1.9, 0.0), (bough * 0.9, 2.9, 0.2), radius * 0.5, bark, end=radius * 0.25)
    kit.ball((bough * -radius * 0.55, 1.25, radius * 0.62), 0.10, bark, squeeze=(0.9, 0.5))
    return kit.at(place, (1.0 - amount) * (radius + 0.50))


def maple_bough(place: Placement, amount: float) -> Primitives:
    """Leafy boughs that hang into the picture from above, lower on one side: clumps of leaves on twigs."""
    kit, clump = Kit(), 0.15
    twig = material((0.26, 0.20, 0.14), grain=0.3)
    low = place.line(place.tall * (1.06 - 0.80 * amount))
    for k, (across, down, depth, shade) in enumerate(_scatter(place, 62, 3)):
        # A ragged curtain: lowest on the side that it comes from.
        x = (across - 0.5) * 2.3
        edge = low + 0.30 * (0.5 - 0.5 * np.sin(5.0 * x + 6.0 * place.chance)) - 0.22 * x * place.side
        y = edge + clump + down * down * 1.9
        size = clump * (0.7 + 0.6 * shade)
        squeeze = (1.3, 0.8) if k % 2 else (0.8, 1.2)
        kit.ball((x, y, (depth - 0.5) * 0.5), size, _leaves(place.colour, 0.72 + 0.6 * shade), squeeze=squeeze)
        if k % 3 == 0:
            kit.rod((x, y, 0.0), (x * 0.8 + 0.5 * place.side, y + 0.9, -0.1), 0.012, twig)
    return kit.at(place, 0.0)


def weeping_willow(place: Placement, amount: float) -> Primitives:
    """A willow's hair: thin leafy strands that hang straight down, some of them lower than others."""
    kit = Kit()
    low = place.line(place.tall * (1.04 - 0.90 * amount))
    for across, down, depth, shade in _scatter(place, 56, 3):
        x, z = (across - 0.5) * 2.2, (depth - 0.5) * 0.5
        foot = low + 0.55 * down * down
        sway = 0.10 * (shade - 0.5)
        radius = 0.035 + 0.03 * shade
        paint = _leaves(place.colour, 0.7 + 0.6 * shade)
        kit.rod((x, foot, z), (x + sway, foot + 0.85, z), radius * 0.4, paint, end=radius, squeeze=(1.2, 0.7))
        kit.rod((x + sway, foot + 0.85, z), (x + sway, foot + 2.6, z), radius, paint, squeeze=(1.2, 0.7))
    return kit.at(place, 0.0)


def clipped_hedge(place: Placement, amount: float) -> Primitives:
    """A clipped hedge: flat, with leaves that stand out of its edges."""
    high = max(place.line(0.84 * place.tall * amount), 0.12)
    kit = Kit()
    kit.box((0.0, high / 2, 0.0), (4.0, high / 2, 0.26), _leaves(place.colour, 0.92))
    kit.box((0.0, high - 0.01, 0.0), (4.0, 0.03, 0.24), _leaves(place.colour, 1.18))
    for x, y, _, shade in _scatter(place, 22, 5):
        size = 0.045 + 0.035 * shade
        paint = _leaves(place.colour, 0.85 + 0.4 * shade)
        kit.ball(((x - 0.5) * 2.6, high - 0.02 + 0.02 * y, 0.22 * (y - 0.3)), size, paint, squeeze=(1.6, 1.0))
    for x, y, _, shade in _scatter(place, 12, 8):
        kit.ball(
            ((x - 0.5) * 2.4, high * (0.1 + 0.85 * y), 0.25),
            0.07,
            _leaves(place.colour, 0.75 + 0.4 * shade),
            squeeze=(1.3, 0.5),
        )
    return kit.at(place, 0.0)


def shrubs(place: Placement, amount: float) -> Primitives:
    """A row of bushes grown wild: round heads of different heights."""
    high = max(place.line(0.92 * place.tall * amount), 0.15)
    kit = Kit()
    for k, (x, y, depth, shade) in enumerate(_scatter(place, 16, 11)):
        size = (0.26 + 0.16 * y) * min(1.0, high)
        tops = high * (0.80 + 0.20 * shade) - size
        middle = ((k - 7.5) * 0.165 + 0.1 * (x - 0.5), max(tops, 0.05), (depth - 0.5) * 0.3)
        kit.ball(middle, size, _leaves(place.colour, 0.75 + 0.5 * shade), squeeze=(0.95, 0.8))
        kit.rod(
            (middle[0], 0.05, 0.0),
            (middle[0], max(tops, 0.1), 0.0),
            size * 0.95,
            _leaves(place.colour, 0.7),
            squeeze=(1.0, 0.7),
        )
    return kit.at(place, 0.0)
