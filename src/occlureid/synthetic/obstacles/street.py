"""What stands at the edge of a street: poles, pillars, bollards, signs, boards and fences."""

from __future__ import annotations

from occlureid.synthetic.obstacles.kit import Kit, Placement, darker
from occlureid.synthetic.primitives import Array, Primitives, material

__all__ = [
    "advertising_board", "bar_fence", "brick_pier", "information_panel", "lamp_post", "pavement_board", "picket_fence",
    "plank_fence", "round_bollards", "round_sign", "square_posts", "timber_pole", "wire_fence",
]  # fmt: skip

_STEEL = material((0.50, 0.52, 0.53), second=(0.43, 0.45, 0.46), wave=(0, 1.3, 0, 0.2), duty=0.8, grain=0.06)
_DARK = material((0.17, 0.18, 0.19), grain=0.05)
_WHITE = material((0.90, 0.90, 0.88), grain=0.03)


def _disc(kit: Kit, x: float, y: float, z: float, radius: float, paint: Array) -> None:
    """A round plate that faces the camera."""
    kit.ball((x, y, z), radius, paint, squeeze=(1.0, 0.012 / radius))


def lamp_post(place: Placement, amount: float) -> Primitives:
    """A lamp post: a thick foot with a door, a taper, a sticker."""
    kit, radius = Kit(), 0.085 * place.size
    paint = material(place.colour, second=darker(place.colour, 0.9), wave=(0, 2.1, 0, 0.2), duty=0.7, grain=0.06)
    kit.rod((0, 0.0, 0), (0, 1.15, 0), radius * 1.35, paint)
    kit.rod((0, 1.10, 0), (0, 1.25, 0), radius * 1.42, paint)
    kit.rod((0, 1.2, 0), (0, 5.0, 0), radius, paint, end=radius * 0.72)
    kit.box((0, 0.70, radius * 1.33), (0.05, 0.20, 0.008), material(darker(place.colour, 0.7)))
    kit.box((0.01, 1.52, radius * 0.95), (0.045, 0.065, 0.006), _WHITE)
    if place.pick(2):
        kit.box((0.0, 2.45, 0.12), (0.24, 0.34, 0.012), _WHITE)
    return kit.at(place, (1.0 - amount) * (radius + 0.45))


def round_bollards(place: Placement, amount: float) -> Primitives:
    """A row of stout round bollards, each with a bright band."""
    kit = Kit()
    paint = material(place.colour, grain=0.12)
    for k in range(-2, 4):
        x, high = 0.46 * k, 1.08 * place.size
        kit.rod((x, 0, 0), (x, high - 0.16, 0), 0.155, paint)
        kit.rod((x, high - 0.22, 0), (x, high - 0.15, 0), 0.160, _WHITE, hollow=True)
    return kit.at(place, (1.0 - amount) * 1.7)


def timber_pole(place: Placement, amount: float) -> Primitives:
    """A wooden mast with iron bands, a notice nailed on, and a leaning stay."""
    kit, radius = Kit(), 0.135 * place.size
    wood = material(
        place.colour, second=darker(place.colour, 0.68), wave=(23.0, 0.35, 17.0, 0.1), duty=0.62, grain=0.22
    )
    kit.rod((0, 0.0, 0), (0.03, 5.0, 0), radius * 1.1, wood, end=radius * 0.9)
    for y in (0.42, 2.05):
        kit.rod((0, y, 0), (0, y + 0.05, 0), radius * 1.12, _DARK, hollow=True)
    kit.rod((0.95, 0.0, -0.1), (0.05, 3.4, 0), 0.022, _DARK)
    kit.box((0.0, 1.48, radius), (0.095, 0.135, 0.008), _WHITE, tip=0.04)
    return kit.at(place, (1.0 - amount) * (radius + 0.45))


def brick_pier(place: Placement, amount: float) -> Primitives:
    """A gate pier of bricks with a stone cap, as at the end of a garden wall."""
    kit, half = Kit(), 0.21 * place.size
    brick = material(
        place.colour, second=(0.66, 0.62, 0.57), wave=(4.3, 0, 4.3, 0.1), cross=(0, 12.5, 0, 0.4), duty=0.88, grain=0.28
    )
    stone = material((0.64, 0.62, 0.57), grain=0.15)
    high = 1.95 + 0.3 * place.chance
    kit.box((0, high / 2, 0), (half, high / 2, half), brick)
    kit.box((0, 0.10, 0), (half + 0.05, 0.10, half + 0.05), brick)
    kit.box((0, high + 0.04, 0), (half + 0.07, 0.05, half + 0.07), stone)
    kit.ball((0, high + 0.16, 0), 0.12, stone)
    return kit.at(place, (1.0 - amount) * (half + 0.45))


def square_posts(place: Placement, amount: float) -> Primitives:
    """A row of square posts with chamfered heads and a rail or chain between them."""
    kit, high = Kit(), 1.12 * place.size
    paint = material(place.colour, second=darker(place.colour, 0.72), wave=(13.0, 0.5, 0, 0.1), duty=0.7, grain=0.15)
    for k in range(-2, 4):
        x = 0.52 * k
        kit.box((x, high / 2, 0), (0.115, high / 2, 0.115), paint)
        kit.box((x, high + 0.02, 0), (0.085, 0.035, 0.085), paint)
    for y in (0.38, 0.80):
        kit.box((0.26, y * high, 0), (1.4, 0.065, 0.035), paint)
    return kit.at(place, (1.0 - amount) * 1.85)


def round_sign(place: Placement, amount: float) -> Primitives:
    """A round traffic sign with a rim and a bar, one or two on a post."""
    kit, radius = Kit(), 0.31 * place.size
    middle = place.line(place.tall * 0.70)
    field = material(place.colour, grain=0.03)
    inner = material((0.91, 0.91, 0.89)) if place.pick(2) else field
    kit.rod((0, 0, -0.03), (0, middle + radius + 0.1, -0.03), 0.034, _STEEL)
    _disc(kit, 0, middle, -0.004, radius + 0.015, _STEEL)
    _disc(kit, 0, middle, 0.004, radius, field)
    _disc(kit, 0, middle, 0.012, radius * 0.76, inner)
    if place.pick(2):
        kit.box((0, middle, 0.026), (radius * 0.5, radius * 0.13, 0.004), field)
    else:
        kit.box((0, middle, 0.026), (radius * 0.09, radius * 0.42, 0.004), _WHITE, tip=0.6)
        kit.box((0, middle + radius * 0.1, 0.026), (radius * 0.09, radius * 0.36, 0.004), _WHITE, tip=-0.8)
    if place.pick(3):
        kit.box((0, middle - radius - 0.24, 0), (radius, 0.20, 0.012), _WHITE)
        kit.box((0, middle - radius - 0.24, 0.010), (radius * 0.8, 0.025, 0.006), _DARK)
    else:
        _disc(kit, 0, middle - 2.05 * radius, 0.004, radius, field)
        _disc(kit, 0, middle - 2.05 * radius, 0.012, radius * 0.78, inner)
    return kit.at(place, (1.0 - amount) * (radius + 0.40))


def pavement_board(place: Placement, amount: float) -> Primitives:
    """An A-shaped board before a shop: two leaning panels in wooden frames, chalk lines on them."""
    kit, high, half = Kit(), 1.28 * place.size, 0.36 * place.size
    frame = material((0.40, 0.27, 0.15), second=(0.33, 0.21, 0.11), wave=(11.0, 0.5, 0, 0), duty=0.7)
    face = material(place.colour, second=darker(place.colour, 0.9), wave=(2.7, 3.9, 0, 0.1), duty=0.7)
    chalk = material((0.78, 0.78, 0.74), grain=0.3)
    for side in (1.0, -1.0):
        lean, depth = 0.20 * side, 0.13 * side
        kit.box((0, high / 2, depth), (half, high / 2, 0.012), frame, lean=lean)
        kit.box((0, high / 2 + 0.03, depth + 0.012 * side), (half - 0.05, high / 2 - 0.09, 0.010), face, lean=lean)
    for k in range(5):
        y = high * (0.80 - 0.13 * k)
        z = 0.13 + 0.030 - (y - high / 2) * 0.2
        kit.box(
            ((k % 2) * 0.03 - 0.02, y, z), (half * (0.62, 0.40, 0.66, 0.30, 0.55)[k], 0.022, 0.004), chalk, lean=0.2
        )
    return kit.at(place, (1.0 - amount) * (half + 0.5))


def information_panel(place: Placement, amount: float) -> Primitives:
    """A map or notice board on two posts, with a little roof."""
    kit, half = Kit(), 0.52 * place.size
    low, top = place.line(place.tall * 0.36), place.line(place.tall * 0.92)
    post = material(darker(place.colour, 0.55), grain=0.1)
    paper = material(
        (0.84, 0.85, 0.78), second=(0.60, 0.68, 0.55), wave=(2.3, 1.7, 0, 0.1), cross=(1.1, -3.1, 0, 0.2), duty=0.72
    )
    text = material((0.88, 0.88, 0.86), second=(0.35, 0.35, 0.36), wave=(0, 21.0, 0, 0.1), duty=0.6)
    middle, tall = (low + top) / 2, (top - low) / 2
    for x in (-half - 0.04, half + 0.04):
        kit.box((x, top / 2 + 0.05, 0), (0.045, top / 2 + 0.05, 0.045), post)
    kit.box((0, middle, 0), (half, tall, 0.025), material(place.colour, grain=0.08))
    kit.box((-half * 0.28, middle - 0.02, 0.026), (half * 0.58, tall * 0.76, 0.006), paper)
    kit.box((half * 0.66, middle - 0.02, 0.026), (half * 0.26, tall * 0.76, 0.006), text)
    kit.box((0, top + 0.10, 0.02), (half + 0.16, 0.03, 0.14), post, lean=-0.2)
    return kit.at(place, (1.0 - amount) * (half + 0.5))


def advertising_board(place: Placement, amount: float) -> Primitives:
    """A lit advertising case on a foot, taller than a person."""
    kit, half = Kit(), 0.60 * place.size
    glow = material(place.colour, second=darker(place.colour, 0.45), wave=(0.45, 0.38, 0, 0.1), duty=0.55)
    figure = material((0.86, 0.80, 0.70), second=darker(place.colour, 0.8), wave=(1.4, 0.9, 0, 0.3), duty=0.6)
    kit.box((0, 1.36, 0), (half, 0.90, 0.09), _DARK)
    kit.box((0, 1.38, 0.088), (half - 0.06, 0.82, 0.006), glow)
    kit.ball((half * 0.15, 1.42, 0.09), 0.34, figure, squeeze=(0.75, 0.03))
    kit.box((0, 0.84, 0.096), (half - 0.14, 0.11, 0.004), _WHITE)
    kit.box((-0.05, 0.86, 0.102), (half * 0.55, 0.025, 0.003), _DARK)
    kit.box((0, 0.24, 0), (half * 0.8, 0.24, 0.07), _DARK)
    return kit.at(place, (1.0 - amount) * (half + 0.5))


def plank_fence(place: Placement, amount: float) -> Primitives:
    """Boards laid across between posts, a narrow gap between each two, the top board at any height."""
    kit, high = Kit(), max(place.line(0.86 * place.tall * amount), 0.14)
    boards = max(1, round(high / 0.165))
    step = high / boards
    for k in range(boards):
        tone = darker(place.colour, 0.86 + 0.28 * ((k * 7 + place.pick(5)) % 5) / 5)
        wood = material(tone, second=darker(tone, 0.8), wave=(0.8, 31.0, 0, 0.1), duty=0.68, grain=0.18)
        kit.box((0.0, (k + 0.5) * step, 0.0), (3.2, step / 2 - 0.011, 0.013), wood)
    for x in (-1.75, 0.12, 2.0):
        kit.box(
            (x, high / 2 + 0.03, -0.05), (0.05, high / 2 + 0.05, 0.05), material(darker(place.colour, 0.75), grain=0.15)
        )
    return kit.at(place, 0.0)


def wire_fence(place: Placement, amount: float) -> Primitives:
    """A steel mat fence: many thin uprights, doubled rods across, posts with clamps, a screen woven in below."""
    kit, top = Kit(), place.line(0.97 * place.tall)
    screen = max(place.line(0.80 * place.tall * amount), 0.10)
    wire = material(darker(place.colour, 0.9))
    cloth = material(
        place.colour,
        second=darker(place.colour, 0.8),
        wave=(0.0, 10.0, 0, 0.1),
        cross=(16.0, 0, 0, 0.2),
        duty=0.78,
        folds=0.12,
    )
    for k in range(-15, 16):
        kit.rod((0.1 * k, 0.04, 0.0), (0.1 * k, top, 0.0), 0.0045, wire)
    for k in range(7):
        y = 0.06 + (top - 0.08) * k / 6
        kit.rod((-1.6, y, 0.008), (1.6, y, 0.008), 0.006, wire, hint=(0.0, 0.0, 1.0))
    kit.box((0.0, screen / 2 + 0.02, 0.0), (3.0, screen / 2, 0.006), cloth)
    for x in (-0.95, 1.55):
        kit.box((x, top / 2, -0.04), (0.03, top / 2 + 0.05, 0.03), wire)
    return kit.at(place, 0.0)


def picket_fence(place: Placement, amount: float) -> Primitives:
    """Upright pickets with pointed heads on two rails."""
    kit, high = Kit(), max(place.line(0.88 * place.tall * amount), 0.14)
    for k in range(-11, 12):
        tone = material(darker(place.colour, 0.88 + 0.16 * ((k * 7) % 5) / 5), grain=0.12)
        x = 0.118 * k
        kit.box((x, high / 2 - 0.03, 0.0), (0.045, high / 2 - 0.03, 0.012), tone)
        kit.ball((x, high - 0.06, 0.0), 0.06, tone, squeeze=(0.75, 0.2))
    for share in (0.24, 0.76):
        kit.box((0.0, high * share, -0.03), (2.0, 0.045, 0.018), material(darker(place.colour, 0.8)))
    return kit.at(place, 0.0)


def bar_fence(place: Placement, amount: float) -> Primitives:
    """A palisade of flat steel bars between rails, with spear heads, on a kerb."""
    kit = Kit()
    high = max(place.line((0.25 + 0.72 * min(1.0, 1.6 * amount)) * place.tall * min(1.0, 4.0 * amount)), 0.2)
    half = 0.020 + 0.016 * max(0.0, 1.6 * amount - 0.6)
    paint = material(place.colour, grain=0.06)
    for k in range(-13, 14):
        x = 0.095 * k
        kit.box((x, high / 2, 0.0), (half, high / 2, 0.012), paint)
        kit.ball((x, high, 0.0), 0.055, paint, squeeze=(0.45, 0.3))
    for y in (0.16, high - 0.12):
        kit.box((0.0, max(y, 0.08), 0.018), (2.0, 0.024, 0.010), paint)
    kit.box((0.0, 0.05, 0.0), (2.2, 0.05, 0.08), material((0.55, 0.54, 0.51), grain=0.2))
    return kit.at(place, 0.0)
