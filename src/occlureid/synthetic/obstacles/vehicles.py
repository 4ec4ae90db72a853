"""Cars, as they stand at the kerb or drive by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from occlureid.synthetic.obstacles.kit import Builder, Kit, Placement, darker
from occlureid.synthetic.primitives import Array, Primitives, material

__all__ = ["Body", "car", "panel_van"]

_GLASS = material((0.10, 0.13, 0.15), second=(0.24, 0.29, 0.32), wave=(0.55, 1.1, 0.0, 0.2), duty=0.72)
_TYRE = material((0.055, 0.055, 0.06), grain=0.1)
_RIM = material(
    (0.52, 0.53, 0.55), second=(0.20, 0.20, 0.21), wave=(7.0, 0.0, 0.0, 0.0), cross=(0.0, 7.0, 0.0, 0.0), duty=0.72
)
_PLASTIC = material((0.09, 0.09, 0.10))
_WHITE_LAMP = material((0.86, 0.87, 0.84), second=(0.55, 0.57, 0.58), wave=(9.0, 0, 0, 0.1), duty=0.7)
_RED_LAMP = material((0.55, 0.06, 0.06), second=(0.72, 0.18, 0.12), wave=(0, 14.0, 0, 0.1), duty=0.6)
_PLATE = material((0.88, 0.88, 0.84), second=(0.15, 0.15, 0.17), wave=(18.0, 0, 0, 0.3), duty=0.6)


@dataclass(frozen=True, slots=True)
class Body:
    """Proportions of a car in metres; it looks to +x.

    Attributes:
        long, high, wide: over all.
        belt: height of the windows' lower edge.
        bonnet: length from the nose to the foot of the windscreen. boot: from the tail to that of the rear window.
        rake: slope of windscreen and rear window, metres forwards from foot to head.
        wheel: radius. clear: height of the sill.
    """

    long: float
    high: float
    wide: float
    belt: float
    bonnet: float
    boot: float
    rake: tuple[float, float]
    wheel: float
    clear: float


def _slab(
    kit: Kit, low: tuple[float, float], high: tuple[float, float], wide: float, paint: Array, deep: float = 0.0
) -> None:
    """A pane or panel across the car between two points (x, y) of its profile, ``deep`` metres thick below it."""
    run, rise = high[0] - low[0], high[1] - low[1]
    middle = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, 0.0)
    length = float(np.hypot(run, rise))
    # The inside lies to the lower left of a pane that looks to +x, to the lower right of one that looks to -x.
    side = -1.0 if run < 0 else 1.0
    sunk = (middle[0] + rise / length * side * deep / 2, middle[1] - abs(run) / length * deep / 2, 0.0)
    kit.box(sunk, (length / 2, 0.02 + deep / 2, wide / 2), paint, tip=float(np.arctan2(rise, run)))


def _thick(run: float, rise: float) -> float:
    """How thick a sloped pane must be to fill the corner below it."""
    return float(run * rise / np.hypot(run, rise))


def _assemble(body: Body, colour: Array) -> Kit:
    kit = Kit()
    paint = material(colour, second=darker(colour, 0.82), wave=(0.0, 1.25, 0.0, 0.1), duty=0.9, grain=0.008)
    seams = material(colour, second=darker(colour, 0.45), wave=(0.93, 0.0, 0.0, 0.47), duty=0.983, grain=0.008)
    half, edge = body.long / 2, body.wide / 2
    sill, belt = body.clear, body.belt
    # Flanks with door seams, between rounded nose and tail; a shoulder that is a little narrower.
    kit.box((0.0, (sill + belt) / 2 - 0.05, 0.0), (half - 0.22, (belt - sill) / 2 - 0.05, edge), seams)
    kit.box((0.0, belt - 0.06, 0.0), (half - 0.26, 0.06, edge - 0.05), paint)
    bumper = (belt - sill) * 0.33
    for end in (-1.0, 1.0):
        x = end * (half - 0.22)
        kit.rod(
            (x, sill + bumper, -edge + 0.25),
            (x, sill + bumper, edge - 0.25),
            0.24,
            paint,
            squeeze=(0.9, bumper / 0.24),
            hint=(0.0, 1.0, 0.0),
        )
        kit.rod(
            (x, belt - 0.20, -edge + 0.25),
            (x, belt - 0.20, edge - 0.25),
            0.19,
            paint,
            squeeze=(1.0, 0.9),
            hint=(0.0, 1.0, 0.0),
        )
        lamp = _WHITE_LAMP if end > 0 else _RED_LAMP
        for side in (-1.0, 1.0):
            kit.box(
                (end * (half - 0.16), belt - 0.20, side * (edge - 0.22)), (0.13, 0.065, 0.19), lamp, tip=-end * 0.15
            )
        kit.box((end * (half - 0.02), sill + 0.16, 0.0), (0.02, 0.05, 0.26), _PLATE)
    kit.box((0.0, sill, 0.0), (half - 0.35, 0.05, edge - 0.02), _PLASTIC)
    # The house: bonnet and boot lids, panes, roof and pillars.
    nose, tail = half - body.bonnet, -half + body.boot
    front, rear = (nose - body.rake[0], body.high), (tail + body.rake[1], body.high)
    _slab(kit, (nose - 0.05, belt + 0.02), (half - 0.12, belt - 0.10), body.wide - 0.18, paint)
    if body.boot > 0.25:
        _slab(kit, (-half + 0.10, belt - 0.03), (tail + 0.05, belt + 0.02), body.wide - 0.18, paint)
    _slab(kit, (nose, belt), front, body.wide - 0.26, _GLASS, _thick(nose - front[0], body.high - belt))
    _slab(kit, (tail, belt), rear, body.wide - 0.26, _GLASS, _thick(rear[0] - tail, body.high - belt))
    roof = ((front[0] + rear[0]) / 2, body.high, 0.0)
    kit.box(roof, ((front[0] - rear[0]) / 2 + 0.03, 0.03, edge - 0.16), paint)
    middle = (nose + tail) / 2
    rise = body.high - belt
    kit.box((middle, belt + rise / 2, 0.0), ((front[0] - rear[0]) / 2, rise / 2 - 0.02, edge - 0.13), _GLASS)
    for low, high in (((nose, belt), front), ((tail, belt), rear)):
        for side in (-1.0, 1.0):
            kit.rod((low[0], low[1], side * (edge - 0.12)), (high[0], high[1], side * (edge - 0.17)), 0.035, paint)
    for side in (-1.0, 1.0):
        kit.rod(
            (front[0], body.high - 0.01, side * (edge - 0.16)),
            (rear[0], body.high - 0.01, side * (edge - 0.16)),
            0.04,
            paint,
            hint=(0.0, 0.0, 1.0),
        )
        kit.box((roof[0], belt + rise / 2, side * (edge - 0.13)), (0.045, rise / 2, 0.01), _PLASTIC)
        kit.ball((nose - 0.35, belt + 0.07, side * (edge + 0.06)), 0.075, paint, squeeze=(1.1, 1.3))
        kit.box((middle - 0.25, belt - 0.17, side * edge), (0.08, 0.015, 0.02), material(darker(colour, 0.5)))
    _tyres(kit, body)
    return kit


def _tyres(kit: Kit, body: Body) -> None:
    """Wheels as flat discs, each with a rim, in dark arches."""
    edge = body.wide / 2
    for x in (body.long / 2 - 0.82, -body.long / 2 + 0.80):
        for side in (-1.0, 1.0):
            z = side * (edge - 0.07)
            kit.rod(
                (x, body.wheel - 0.004, z),
                (x, body.wheel + 0.004, z),
                body.wheel + 0.055,
                _PLASTIC,
                squeeze=(1.0, 0.24),
            )
            kit.rod((x, body.wheel - 0.004, z), (x, body.wheel + 0.004, z), body.wheel, _TYRE, squeeze=(1.0, 0.31))
            kit.rod(
                (x, body.wheel - 0.004, z), (x, body.wheel + 0.004, z), body.wheel * 0.66, _RIM, squeeze=(1.0, 0.50)
            )


def car(body: Body) -> Builder:
    """A car of these proportions that comes in from the side; seen across, or now and then from its nose or tail."""

    def build(place: Placement, amount: float) -> Primitives:
        along = place.pick(4) == 0
        ahead = 1.0 if place.pick(2, salt=7) else -1.0
        reach = (body.wide if along else body.long) / 2
        turn = (np.pi / 2 if along else 0.0) * ahead + (0.0 if ahead > 0 or along else np.pi)
        # Where it comes to rest, some other part than its middle may stand before the target.
        rest = 0.0 if along else (place.chance - 0.5) * 0.5 * reach
        shift = (1.0 - amount) * (reach + 0.45) + amount * rest
        depth = (body.long if along else body.wide) / 2
        return _assemble(body, place.colour).at(place, shift, -depth + 0.25, turn)

    return build


def panel_van(long: float, high: float) -> Builder:
    """A delivery van or box lorry: a tall flank with a line of colour, a short nose, wheels far apart."""

    def build(place: Placement, amount: float) -> Primitives:
        ahead = 1.0 if place.pick(2, salt=7) else -1.0
        body = Body(long, high, 2.0, 1.25, 0.85, 0.05, (0.55, 0.02), 0.34, 0.28)
        half, kit = long / 2, Kit()
        flank = material(
            place.colour, second=darker(place.colour, 0.55), wave=(0.8, 0, 0, 0.31), duty=0.985, grain=0.008
        )
        line = material(darker(place.colour, 0.35))
        kit.box((-0.55, (high + 0.32) / 2, 0.0), (half - 0.55, (high - 0.32) / 2, 1.0), flank)
        kit.box((half - 0.7, 0.78, 0.0), (0.62, 0.44, 0.98), flank)
        kit.rod((half - 0.14, 0.72, -0.75), (half - 0.14, 0.72, 0.75), 0.30, flank, squeeze=(0.6, 1.0), hint=(0, 1, 0))
        _slab(kit, (half - 0.25, 1.20), (half - 1.05, high - 0.12), 1.75, _GLASS)
        for side in (-1.0, 1.0):
            kit.box((-0.55, 0.95, side), (half - 0.62, 0.05, 0.012), line)
            kit.box((half - 1.25, 1.55, side), (0.36, 0.28, 0.012), _GLASS)
            kit.box((half - 0.75, 1.55, side * 1.10), (0.07, 0.14, 0.08), _PLASTIC)
            kit.box((half - 0.13, 0.92, side * 0.75), (0.10, 0.10, 0.14), _WHITE_LAMP)
            kit.box((-half + 0.02, 1.10, side * 0.92), (0.03, 0.18, 0.07), _RED_LAMP)
        kit.box((0.0, 0.30, 0.0), (half - 0.3, 0.07, 0.97), _PLASTIC)
        _tyres(kit, body)
        shift = (1.0 - amount) * (half + 0.45) + amount * (place.chance - 0.5) * half
        return kit.at(place, shift, -0.8, 0.0 if ahead > 0 else np.pi)

    return build
