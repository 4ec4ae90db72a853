"""What people bring along: luggage that stands on the ground, umbrellas and parasols."""

from __future__ import annotations

import numpy as np

from occlureid.synthetic.obstacles.kit import Kit, Placement, Point, darker
from occlureid.synthetic.primitives import Array, Primitives, material

__all__ = ["box_stack", "held_umbrella", "luggage_cart", "parasol", "suitcases"]

_STEEL = material((0.60, 0.62, 0.63), grain=0.04)
_BLACK = material((0.075, 0.075, 0.08))


def _suitcase(
    kit: Kit, x: float, y: float, z: float, half: tuple[float, float, float], colour: Array, *, upright: bool
) -> None:
    """A hard case with ribs, rounded edges, corners and a handle; lying or standing."""
    shell = material(
        colour,
        second=darker(colour, 0.76),
        wave=(9.0, 0, 0, 0.1) if upright else (0, 9.0, 0, 0.1),
        duty=0.66,
        grain=0.03,
    )
    a, b, c = half
    kit.box((x, y, z), (a - 0.03, b - 0.03, c), shell)
    kit.box((x, y, z), (a, b - 0.05, c - 0.03), shell)
    kit.box((x, y, z), (a - 0.05, b, c - 0.03), shell)
    kit.box((x, y, z), (a + 0.003, b + 0.003, 0.008), _BLACK)
    for side in (-1.0, 1.0):
        kit.ball((x + side * (a - 0.05), y + b - 0.05, z + c - 0.02), 0.05, shell, squeeze=(1.0, 0.7))
    if upright:
        for side in (-1.0, 1.0):
            kit.rod(
                (x + side * 0.09, y + b, z - c + 0.05), (x + side * 0.09, y + b + 0.36, z - c + 0.05), 0.012, _STEEL
            )
            kit.ball((x + side * (a - 0.06), 0.03, z), 0.035, _BLACK)
        kit.rod((x - 0.10, y + b + 0.37, z - c + 0.05), (x + 0.10, y + b + 0.37, z - c + 0.05), 0.02, _BLACK)
    kit.rod((x - 0.07, y + b + 0.02, z), (x + 0.07, y + b + 0.02, z), 0.016, _BLACK)


def suitcases(place: Placement, amount: float) -> Primitives:
    """Two or three cases that stand together, a bag on top of one."""
    kit, s = Kit(), place.size
    first, second = place.colour, np.array([0.20, 0.21, 0.22])
    _suitcase(kit, 0.0, 0.42 * s, 0.0, (0.25 * s, 0.37 * s, 0.15), first, upright=True)
    _suitcase(kit, 0.54 * s, 0.36 * s, 0.10, (0.22 * s, 0.31 * s, 0.13), second, upright=True)
    _suitcase(kit, -0.50 * s, 0.31 * s, 0.06, (0.20 * s, 0.26 * s, 0.12), darker(first, 1.25), upright=True)
    cloth = material(second, folds=0.25, grain=0.08)
    kit.rod((-0.17, 0.90 * s, 0.02), (0.17, 0.90 * s, 0.02), 0.13 * s, cloth, squeeze=(1.1, 0.9), hint=(0, 0, 1))
    return kit.at(place, (1.0 - amount) * 1.25)


def luggage_cart(place: Placement, amount: float) -> Primitives:
    """An airport cart with cases laid on one another up to the chest, and its push bar."""
    kit, s = Kit(), place.size
    other = np.array([0.20, 0.21, 0.22])
    y = 0.24
    for k, colour in enumerate((place.colour, other, darker(place.colour, 0.6), darker(other, 1.3))):
        thick = (0.15, 0.13, 0.12, 0.10)[k] * s
        _suitcase(kit, 0.03 * (k % 2), y + thick, 0.02, (0.40 - 0.03 * k, thick, 0.27), colour, upright=False)
        y += 2 * thick + 0.005
    kit.box((0, 0.20, 0), (0.44, 0.025, 0.30), _STEEL)
    for side in (-1.0, 1.0):
        kit.rod((0.46, 0.20, side * 0.26), (0.56, 1.04, side * 0.26), 0.02, _STEEL)
        kit.ball((side * 0.38, 0.09, 0.20), 0.09, _BLACK, squeeze=(1.0, 0.4))
    kit.rod((0.56, 1.05, -0.26), (0.56, 1.05, 0.26), 0.028, material((0.75, 0.10, 0.10)), hint=(0, 1, 0))
    return kit.at(place, (1.0 - amount) * 1.0)


def box_stack(place: Placement, amount: float) -> Primitives:
    """A sack truck with cartons: tape, labels, no two of a size."""
    kit, s, y = Kit(), place.size, 0.10
    for k in range(4):
        half = (0.33 - 0.03 * ((k * 2 + place.pick(3)) % 3), 0.185 - 0.015 * (k % 3), 0.24)
        high, x = half[1] * s, 0.035 * ((k * 3 + place.pick(4)) % 3 - 1)
        tone = darker(place.colour, 0.88 + 0.09 * ((k * 5) % 3))
        kit.box(
            (x, y + high, 0),
            (half[0] * s, high, half[2]),
            material(tone, second=darker(tone, 0.93), wave=(0, 90.0, 0, 0), duty=0.6, grain=0.07),
        )
        kit.box((x, y + high, half[2]), (0.028, high, 0.003), material((0.62, 0.52, 0.38)))
        kit.box(
            (x + 0.17, y + high * 1.2, half[2] + 0.002),
            (0.07, 0.05, 0.003),
            material((0.88, 0.88, 0.85), second=(0.2, 0.2, 0.2), wave=(40.0, 0, 0, 0), duty=0.7),
        )
        y += 2 * high + 0.004
    truck = material((0.16, 0.30, 0.42))
    kit.box((0, 0.085, 0.02), (0.30, 0.012, 0.26), truck)
    for side in (-1.0, 1.0):
        kit.rod((side * 0.20, 0.1, -0.28), (side * 0.20, 1.30, -0.34), 0.018, truck)
        kit.ball((side * 0.27, 0.12, -0.26), 0.12, _BLACK, squeeze=(0.4, 1.0))
    kit.rod((-0.20, 1.31, -0.34), (0.20, 1.31, -0.34), 0.018, truck)
    return kit.at(place, (1.0 - amount) * 0.95)


def _canopy(kit: Kit, rim: Point, top: Point, radius: float, dome: float, cloth: Array, under: Array) -> None:
    """A canopy between the middle of its rim and its top: straight-sided, or with a dome that bulges by a share."""
    axis = np.array(top) - np.array(rim)
    rise = float(np.sqrt((axis * axis).sum()))
    bend = np.array(rim) + axis * (0.5 + 0.5 * dome)
    small = 0.45 * rise  # a cone must be longer than its radii differ: it is made slim, and squeezed wide
    wide = (radius / small, radius / small)
    middle = small * (0.5 + 0.16 * dome)
    corner: Point = (float(bend[0]), float(bend[1]), float(bend[2]))
    kit.rod(rim, corner, small, cloth, end=middle, squeeze=wide, hollow=True)
    kit.rod(corner, top, middle, cloth, end=small * 0.04, squeeze=wide, hollow=True)
    low = np.array(rim) + axis * 0.03
    high = low + axis * 0.02
    kit.rod(
        (float(low[0]), float(low[1]), float(low[2])), (float(high[0]), float(high[1]), float(high[2])), 0.01, under,
        squeeze=(radius * 0.97 / 0.01, radius * 0.97 / 0.01),
    )  # fmt: skip


def _along(start: Point, axis: Point, by: float) -> Point:
    return start[0] + axis[0] * by, start[1] + axis[1] * by, start[2] + axis[2] * by


def _axis(tilt: float, aside: float) -> Point:
    """A unit vector upwards, tilted towards the camera and a little aside."""
    level = float(np.sqrt(1.0 - aside * aside))
    return aside, float(np.cos(tilt)) * level, float(np.sin(tilt)) * level


def held_umbrella(place: Placement, amount: float) -> Primitives:
    """An umbrella that somebody holds against wind and rain: the more it is tilted to the camera, the more it hides."""
    kit, radius = Kit(), 0.60 * place.size
    cloth = material(place.colour, second=darker(place.colour, 0.7), wave=(2.2, 0, 1.3, 0.2), mode="blend", folds=0.10)
    axis = _axis(0.12 + 1.08 * amount, -0.12 * place.side)
    middle = (0.0, place.line(place.tall * (1.10 - 0.36 * amount)), 0.0)
    top = _along(middle, axis, 0.30)
    _canopy(kit, middle, top, radius, 0.5, cloth, material(darker(place.colour, 0.5)))
    kit.rod(top, _along(top, axis, 0.09), 0.009, _BLACK)
    kit.rod(_along(middle, axis, -0.50), _along(middle, axis, 0.02), 0.008, _STEEL)
    kit.rod(_along(middle, axis, -0.60), _along(middle, axis, -0.48), 0.016, _BLACK)
    return kit.at(place, (1.0 - amount) * 0.15)


def parasol(place: Placement, amount: float) -> Primitives:
    """A cafe's parasol: a wide, straight-sided canopy with a valance, on a pole with a joint that tilts it."""
    kit, radius = Kit(), 1.05 * place.size
    cloth = material(place.colour, second=darker(place.colour, 0.8), wave=(1.1, 0, 0.6, 0.5), mode="blend", folds=0.06)
    valance = material(
        darker(place.colour, 0.93), second=darker(place.colour, 0.75), wave=(7.0, 0, 0, 0.1), duty=0.6, folds=0.1
    )
    axis = _axis(0.03 + 0.82 * amount, 0.05 * place.side)
    joint = (0.0, place.line(place.tall * (1.16 - 0.12 * amount)), 0.0)
    rim = _along(joint, axis, 0.10)
    _canopy(kit, rim, _along(rim, axis, 0.42), radius, 0.0, cloth, material(darker(place.colour, 0.55)))
    wide = (radius / 0.1, radius / 0.1)
    kit.rod(joint, _along(joint, axis, 0.12), 0.1, valance, squeeze=wide, hollow=True)
    kit.ball(_along(rim, axis, 0.44), 0.05, _BLACK)
    pole = material((0.48, 0.36, 0.23), second=(0.40, 0.29, 0.18), wave=(14.0, 0.4, 0, 0), duty=0.7)
    kit.rod((0, 0.0, 0), joint, 0.026, pole)
    kit.rod(joint, _along(rim, axis, 0.4), 0.026, pole)
    kit.box((0, 0.06, 0), (0.26, 0.06, 0.26), material((0.46, 0.46, 0.45), grain=0.15))
    return kit.at(place, (1.0 - amount) * 0.3 + amount * 0.10)
