"""One ray against one primitive: where they meet, for many pairs at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from occlureid.synthetic.primitives import BOX, OPEN_CONE, Array, Primitives

__all__ = ["SHELL", "Table", "box_depth", "cone_depth", "replace_where_negative", "table"]

SHELL = 0.2
"""How far a melted surface bulges beyond its primitives at most, as a share of how far they melt: two that are equally near
bulge by 1 - 2^(-1/4) = 0.16, three by 0.24."""

_HUGE = 3e38
"""Its square is beyond all numbers."""

_PARALLEL = 1e-9
"""A ray that nears the side of a box slower than this is parallel to it."""


@dataclass(frozen=True, slots=True)
class Table:
    """Primitives in the camera frame as float32 columns on the device that renders.

    Attributes:
        columns: (24, N): the frame (9), frame @ origin (3), depth of the origin, size (3), slope sine, 1 / cosine,
            sine / cosine, contact range low and high, 1 / squared cosine, whether open, and whether a box.
        shell: (24, N): the same, with the radii of what melts grown so far that all of the melted surface lies inside.
        inverse: (N,) 1 / how far it melts with its group; 0 for what melts with nothing.
        material: (M, N).
        label, owner, lip, lip_beyond: (N,) int64.
    """

    columns: Tensor
    shell: Tensor
    inverse: Tensor
    material: Tensor
    label: Tensor
    owner: Tensor
    lip: Tensor
    lip_beyond: Tensor


def table(primitives: Primitives, device: torch.device | str) -> Table:
    """The primitives, in the camera frame, ready for rays."""
    frame, origin, size = primitives.frame, primitives.origin, primitives.size
    moved = [
        frame[:, r, 0] * origin[:, 0] + frame[:, r, 1] * origin[:, 1] + frame[:, r, 2] * origin[:, 2] for r in range(3)
    ]
    sine = (size[:, 0] - size[:, 1]) / size[:, 2]
    box = primitives.kind == BOX
    sine = np.where(box, 0.0, sine)
    cosine = np.sqrt(1.0 - sine * sine)
    columns = [
        *(frame[:, r, c] for r in range(3) for c in range(3)), *moved, origin[:, 2], *(size[:, k] for k in range(3)),
        sine, 1.0 / cosine, sine / cosine, sine * size[:, 0], size[:, 2] + sine * size[:, 1], 1.0 / (cosine * cosine),
        primitives.kind == OPEN_CONE, box,
    ]  # fmt: skip
    melts = primitives.group > 0
    blend = np.where(melts, primitives.blend, 0.0)
    # The local frame may be squeezed: a metre of the world is up to 1 / squeeze along a local axis.
    stretch = np.sqrt((frame * frame).sum(axis=2)).max(axis=1)
    radius = size[:, :2] + (SHELL * blend * np.where(box, 0.0, np.maximum(stretch, 1.0)))[:, None]
    shell = list(columns)
    shell[13], shell[14] = radius[:, 0], radius[:, 1]
    shell[19], shell[20] = sine * radius[:, 0], size[:, 2] + sine * radius[:, 1]

    def ready(values: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)

    return Table(
        columns=ready(np.stack(columns)),
        shell=ready(np.stack(shell)),
        inverse=ready(np.where(melts, 1.0 / np.where(blend > 0, blend, 1.0), 0.0)),
        material=ready(primitives.material.T),
        label=torch.from_numpy(primitives.label).to(device),
        owner=torch.from_numpy(primitives.owner).to(device),
        lip=torch.from_numpy(primitives.lip).to(device),
        lip_beyond=torch.from_numpy(primitives.lip_beyond).to(device),
    )


def _never(broken: Tensor) -> Tensor:
    """Infinity where a bound is broken by any positive amount, else 0; in place.

    Adding it to a depth takes a fraction of the time of choosing between two depths pixel by pixel.
    """
    return broken.clamp_min_(0.0).mul_(_HUGE).mul_(_HUGE)


def _enters(half_b: Tensor, short: Tensor, a: Tensor) -> Tensor:
    """The first root of a t^2 + 2 half_b t + c = 0, where ``short`` = a c - half_b^2; some number where that is positive.

    (A root of 0 takes many times as long as any other, so nothing is brought to 0.)
    """
    return short.abs().sqrt_().add_(half_b).neg_().div_(a)


def replace_where_negative(rows: Tensor, items: Tensor, difference: Tensor) -> None:
    """Puts items in place of rows where a difference is below 0, in place, and perhaps where it is no number.

    By the sign's bit: ``torch.where`` takes three to ten times as long.

    Args:
        rows: (..., n) int32.
        items: int32, broadcast to the rows.
        difference: (..., n) float32; it is overwritten.
    """
    negative = difference.view(torch.int32).bitwise_right_shift_(31)
    rows.bitwise_xor_((rows ^ items).bitwise_and_(negative))


def cone_depth(columns: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Depth at which rays meet round cones.

    Args:
        columns: (24, n) of ``Table``.
        u: (..., n) slopes to the right.
        v: (..., n) slopes downwards; the two are broadcast against each other.

    Returns:
        (..., n), inf where a ray misses.
    """
    (m00, m01, m02, m10, m11, m12, m20, m21, m22, k0, k1, k2, near, radius_a, radius_b, length,
     _, secant, tangent, contact_low, contact_high, _, is_open, _) = columns  # fmt: skip
    dx, dy, dz = m00 * u + (m01 * v + m02), m10 * u + (m11 * v + m12), m20 * u + (m21 * v + m22)
    # Rays are followed from the depth of the cone's origin, which keeps float32 exact enough at any distance.
    ox = (near * m00) * u + ((near * m01) * v + (near * m02 - k0))
    oy = (near * m10) * u + ((near * m11) * v + (near * m12 - k1))
    oz = (near * m20) * u + ((near * m21) * v + (near * m22 - k2))
    b = (ox * dx).add_(oz * dz)
    c = ox.mul_(ox).add_(oz.mul_(oz))
    a = dx.mul_(dx).add_(dz.mul_(dz))
    # The slanted side: distance from the axis = (radius_a - sine * y) / cosine.
    gap, rate = radius_a * secant - tangent * oy, tangent * dy
    side_b = (gap * rate).add_(b)
    short = c - gap.mul_(gap)
    side_a = a - rate.mul_(rate)
    short.mul_(side_a).sub_(side_b * side_b)
    depth = _enters(side_b, short, side_a)
    y = (depth * dy).add_(oy)
    broken = torch.maximum(contact_low - y, y.sub_(contact_high))
    torch.maximum(broken, torch.maximum(short, side_a.neg_(), out=short), out=broken)
    depth.add_(_never(broken)).nan_to_num_(torch.inf, posinf=torch.inf)
    # The two end spheres, which an open cone lacks.
    full_a, full_b = a.add_(dy * dy), b.add_(oy * dy)
    full_c = c.add_(oy * oy)
    short = (full_c - radius_a * radius_a).mul_(full_a).sub_(full_b * full_b)
    ball = _enters(full_b, short, full_a)
    torch.minimum(depth, ball.add_(_never(torch.maximum(short, is_open, out=short))), out=depth)
    end_b = full_b.sub_(dy.mul_(length))
    end_c = full_c.sub_(oy.mul_(2.0 * length)).add_(length * length - radius_b * radius_b)
    short = end_c.mul_(full_a).sub_(end_b * end_b)
    ball = _enters(end_b, short, full_a)
    torch.minimum(depth, ball.add_(_never(torch.maximum(short, is_open, out=short))), out=depth)
    return depth.add_(near)


def box_depth(columns: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Depth at which rays meet boxes; shapes as in ``cone_depth``."""
    bounds: list[tuple[Tensor, Tensor]] = []
    for axis in range(3):
        m0, m1, m2 = columns[3 * axis], columns[3 * axis + 1], columns[3 * axis + 2]
        inverse = m0 * u + (m1 * v + m2)
        if inverse.abs().amin() < _PARALLEL:
            inverse.masked_fill_(inverse.abs() < _PARALLEL, _PARALLEL)
        inverse.reciprocal_()
        middle, half = columns[9 + axis] * inverse, inverse.abs_().mul_(columns[13 + axis])
        bounds.append((middle - half, middle.add_(half)))
    enter = torch.maximum(torch.maximum(bounds[0][0], bounds[1][0]), bounds[2][0])
    leave = torch.minimum(torch.minimum(bounds[0][1], bounds[1][1]), bounds[2][1])
    # What reaches behind the camera is not drawn, so a box that is met is met before the camera.
    return enter.add_(_never(enter - leave))
