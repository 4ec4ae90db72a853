"""Benches and bins."""

from __future__ import annotations

from occlureid.synthetic.obstacles.kit import Kit, Placement, darker
from occlureid.synthetic.primitives import Primitives, material

__all__ = ["litter_bin", "park_bench", "rubbish_container", "stone_seat", "wheeled_bin"]

_IRON = material((0.12, 0.12, 0.13), grain=0.05)
_RUBBER = material((0.08, 0.08, 0.085))
_STEEL = material((0.56, 0.58, 0.59), grain=0.05)


def park_bench(place: Placement, amount: float) -> Primitives:
    """A park bench of slats with a leaning back and cast legs, from the back or the front."""
    kit, half = Kit(), 0.90 * place.size
    wood = material(place.colour, second=darker(place.colour, 0.78), wave=(0.7, 27.0, 9.0, 0.1), duty=0.7, grain=0.15)
    for k in range(5):
        kit.box((0, 0.46, -0.20 + 0.105 * k), (half, 0.016, 0.045), wood)
    for k in range(5):
        y = 0.55 + 0.105 * k
        kit.box((0, y, -0.26 - 0.035 * k), (half, 0.042, 0.014), wood, lean=0.30)
    for x in (-half + 0.18, half - 0.18):
        kit.rod((x, 0.0, 0.24), (x, 0.45, 0.22), 0.026, _IRON)
        kit.rod((x, 0.0, -0.34), (x, 0.46, -0.22), 0.026, _IRON)
        kit.rod((x, 0.46, -0.24), (x, 1.02, -0.43), 0.024, _IRON)
        kit.box((x, 0.66, 0.0), (0.028, 0.016, 0.26), _IRON)
        kit.rod((x, 0.46, 0.22), (x, 0.66, 0.23), 0.02, _IRON)
    turn = 3.14159265 if place.pick(2) else 0.0
    return kit.at(place, (1.0 - amount) * (half + 0.45) + amount * (place.chance - 0.5) * 0.6, 0.0, turn)


def stone_seat(place: Placement, amount: float) -> Primitives:
    """A planter with a seat around it, as in squares: a heavy block, a slatted ledge, low plants in it."""
    kit, half = Kit(), 0.95 * place.size
    block = material(place.colour, second=darker(place.colour, 0.86), wave=(1.05, 0, 1.05, 0.1), duty=0.97, grain=0.16)
    ledge = material((0.30, 0.22, 0.16), second=(0.24, 0.17, 0.12), wave=(0, 0, 9.0, 0.1), duty=0.7)
    leaf = material((0.16, 0.30, 0.20), second=(0.07, 0.13, 0.08), wave=(3, 4, 2, 0.1), mode="blend", grain=0.9)
    kit.box((0, 0.40, -0.15), (half, 0.40, 0.40), block)
    kit.box((0, 0.45, 0.42), (half, 0.03, 0.20), ledge)
    kit.box((0, 0.21, 0.42), (half - 0.1, 0.21, 0.14), block)
    for k in range(9):
        x = (k - 4) * half / 4.6
        kit.ball((x, 0.84 + 0.05 * ((k * 5) % 3), -0.12 + 0.09 * (k % 3)), 0.17, leaf, squeeze=(1.1, 1.0))
    return kit.at(place, (1.0 - amount) * (half + 0.45) + amount * (place.chance - 0.5) * 0.6)


def wheeled_bin(place: Placement, amount: float) -> Primitives:
    """One or two refuse bins on wheels: a body that widens upwards, a lid with a lip, a handle."""
    kit = Kit()
    count = 1 + place.pick(2)
    for n in range(count):
        x, s = (n - (count - 1) / 2) * 0.66, place.size
        body = material(
            darker(place.colour, 1.0 - 0.08 * n),
            second=darker(place.colour, 0.85),
            wave=(5.2, 0, 0, 0.1),
            duty=0.78,
            grain=0.05,
        )
        lid = material(darker(place.colour, 0.72), grain=0.05)
        kit.box((x, 0.34 * s, 0), (0.245 * s, 0.28 * s, 0.28 * s), body)
        kit.box((x, 0.76 * s, 0.01), (0.275 * s, 0.20 * s, 0.32 * s), body)
        kit.box((x, 0.97 * s, 0.02), (0.295 * s, 0.035 * s, 0.35 * s), lid)
        kit.ball((x, 0.99 * s, 0.02), 0.09 * s, lid, squeeze=(3.1, 3.6))
        kit.rod((x - 0.22 * s, 0.95 * s, -0.38 * s), (x + 0.22 * s, 0.95 * s, -0.38 * s), 0.022, lid)
        kit.box(
            (x, 0.62 * s, 0.325 * s),
            (0.10 * s, 0.06 * s, 0.006),
            material((0.84, 0.84, 0.80), second=(0.3, 0.3, 0.3), wave=(0, 30.0, 0, 0), duty=0.6),
        )
        for side in (-1.0, 1.0):
            kit.ball((x + side * 0.27 * s, 0.10, -0.22), 0.10, _RUBBER, squeeze=(0.35, 1.0))
    return kit.at(place, (1.0 - amount) * (0.32 * count + 0.45))


def litter_bin(place: Placement, amount: float) -> Primitives:
    """A round litter bin of slats with a hood on three stays, as in parks; a smaller one beside it."""
    kit, s = Kit(), place.size
    slats = material(place.colour, second=darker(place.colour, 0.45), wave=(12.5, 0, 9.0, 0.1), duty=0.74, grain=0.06)
    rim = material(darker(place.colour, 0.6), grain=0.05)
    for x, scale in ((0.0, 1.0), (0.66, 0.82)):
        radius, high = 0.275 * s * scale, 0.92 * s * scale
        kit.rod((x, 0.08, 0), (x, high, 0), radius * 0.9, slats, end=radius, hollow=True)
        for y in (0.10, high):
            kit.rod((x, y - 0.03, 0), (x, y + 0.03, 0), radius * 1.06, rim, hollow=True)
        kit.ball((x, high - 0.02, 0), 0.05, _RUBBER, squeeze=(5.0 * scale, 5.0 * scale))
        for dx, dz in ((-0.9, 0.2), (0.9, 0.2), (0.0, -0.95)):
            kit.rod((x + dx * radius, high, dz * radius), (x + dx * radius, high + 0.26, dz * radius), 0.014, _STEEL)
        kit.ball((x, high + 0.27, 0), 0.075, rim, squeeze=(4.1 * scale, 4.1 * scale))
    return kit.at(place, (1.0 - amount) * 1.15 + amount * -0.10)


def rubbish_container(place: Placement, amount: float) -> Primitives:
    """A four-wheeled container with a rounded lid and ribs, as behind houses."""
    kit, s = Kit(), place.size
    half = 0.66 * s
    body = material(place.colour, second=darker(place.colour, 0.76), wave=(3.4, 0, 0, 0.1), duty=0.80, grain=0.06)
    lid = material(darker(place.colour, 0.62), grain=0.06)
    kit.box((0, 0.66 * s, 0), (half * 0.94, 0.46 * s, 0.42), body)
    kit.box((0, 1.08 * s, 0), (half * 1.04, 0.045, 0.48), body)
    kit.rod((-half + 0.2, 1.10 * s, 0), (half - 0.2, 1.10 * s, 0), 0.22 * s, lid, squeeze=(1.0, 2.1), hint=(0, 0, 1))
    kit.box(
        (0, 0.62 * s, 0.425),
        (0.24, 0.13, 0.006),
        material((0.82, 0.82, 0.78), second=(0.25, 0.28, 0.27), wave=(0, 11.0, 0, 0.1), duty=0.5),
    )
    for side in (-1.0, 1.0):
        kit.rod((side * half, 0.92 * s, -0.1), (side * (half + 0.10), 0.92 * s, -0.1), 0.03, _STEEL, hint=(0, 0, 1))
        for z in (-0.34, 0.34):
            kit.ball((side * (half - 0.18), 0.10, z), 0.10, _RUBBER, squeeze=(0.4, 1.0))
            kit.box((side * (half - 0.18), 0.19, z), (0.04, 0.03, 0.05), _STEEL)
    return kit.at(place, (1.0 - amount) * (half + 0.5))
