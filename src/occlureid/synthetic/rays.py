"""One ray against one primitive: where they meet, for many pairs at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from occlureid.synthetic.primitives import BOX, OPEN_CONE, Array, Primitives

__all__ = ["SHELL", "Table", "box_depth", "cone_depth", "table"]

SHELL = 0.2
"""How far a melted surface bulges beyond its primitives at most, as a share of how far they melt: two that are equally near
bulge by 1 - 2^(-1/4) = 0.16, three by 0.24."""


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


def cone_depth(columns: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Depth at which rays meet round cones.

    Args:
        columns: (24, n, 1, 1) of ``Table``.
        u: (n, 1, T) slopes to the right.
        v: (n, T, 1) slopes downwards.

    Returns:
        (n, T, T), inf where a ray misses.
    """
    (m00, m01, m02, m10, m11, m12, m20, m21, m22, k0, k1, k2, near, radius_a, radius_b, length,
     _, secant, tangent, contact_low, contact_high, _, is_open, _) = columns  # fmt: skip
    dx, dy, dz = m00 * u + (m01 * v + m02), m10 * u + (m11 * v + m12), m20 * u + (m21 * v + m22)
    # Rays are followed from the depth of the cone's origin, which keeps float32 exact enough at any distance.
    ox = (near * m00) * u + ((near * m01) * v + (near * m02 - k0))
    oy = (near * m10) * u + ((near * m11) * v + (near * m12 - k1))
    oz = (near * m20) * u + ((near * m21) * v + (near * m22 - k2))
    a = dx * dx + dz * dz
    b = ox * dx + oz * dz
    c = ox * ox + oz * oz
    # The slanted side: distance from the axis = (radius_a - sine * y) / cosine.
    gap, rate = radius_a * secant - tangent * oy, tangent * dy
    side_a, side_b, side_c = a - rate * rate, b + gap * rate, c - gap * gap
    root = side_b * side_b - side_a * side_c
    depth = (-side_b - root.clamp_min(0.0).sqrt()) / side_a
    y = oy + depth * dy
    far = torch.full_like(depth, torch.inf)
    depth = torch.where((root >= 0) & (side_a > 0) & (y >= contact_low) & (y <= contact_high), depth, far)
    # The two end spheres.
    full_a, full_b = a + dy * dy, b + oy * dy
    full_c = c + oy * oy
    root = full_b * full_b - full_a * (full_c - radius_a * radius_a)
    ball = (-full_b - root.clamp_min(0.0).sqrt()) / full_a
    closed = is_open == 0
    depth = torch.where((root >= 0) & closed & (ball < depth), ball, depth)
    end_b = full_b - length * dy
    end_c = full_c - (2.0 * length) * oy + (length * length - radius_b * radius_b)
    root = end_b * end_b - full_a * end_c
    ball = (-end_b - root.clamp_min(0.0).sqrt()) / full_a
    depth = torch.where((root >= 0) & closed & (ball < depth), ball, depth)
    return depth.add(near)


def box_depth(columns: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Depth at which rays meet boxes; shapes as in ``cone_depth``."""
    enter, leave = torch.full_like(u + v, -torch.inf), torch.full_like(u + v, torch.inf)
    for axis in range(3):
        m0, m1, m2 = columns[3 * axis], columns[3 * axis + 1], columns[3 * axis + 2]
        direction = m0 * u + (m1 * v + m2)
        direction = torch.where(direction.abs() < 1e-9, torch.full_like(direction, 1e-9), direction)
        inverse = 1.0 / direction
        middle, half = columns[9 + axis] * inverse, columns[13 + axis] * inverse.abs()
        enter = torch.maximum(enter, middle - half)
        leave = torch.minimum(leave, middle + half)
    return torch.where((enter <= leave) & (enter > 0), enter, torch.full_like(enter, torch.inf))
