"""The two shapes that everything is made of, as flat tables: round cones (squeezed at will) and boxes.

A round cone is the hull of two spheres, of radius ``radius_a`` at the local origin and ``radius_b`` at ``length`` on the
local y axis. Its local frame may be squeezed along x and z, so one shape gives limbs, heads, torsos, poles and wheels. An
*open* round cone has no end spheres: a skirt, the hem of a coat. A box spans plus and minus its half extents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from occlureid.synthetic.materials import MATERIAL_COLUMNS, NO_WAVE, material

__all__ = [
    "BOX",
    "CONE",
    "MATERIAL_COLUMNS",
    "NO_WAVE",
    "OPEN_CONE",
    "Array",
    "Primitives",
    "boxes",
    "dot3",
    "material",
    "round_cones",
]

Array = NDArray[np.float64]
Colour = Sequence[float] | Array

CONE, OPEN_CONE, BOX = 0, 1, 2


def dot3(a: Array, b: Array) -> Array:
    """The scalar product over a last axis of 3, in an order of additions that never depends on the batch."""
    return np.asarray(a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2])


@dataclass(frozen=True, slots=True)
class Primitives:
    """N primitives of any number of images, in the frame of the world or of the camera.

    Attributes:
        kind: (N,) CONE, OPEN_CONE or BOX.
        frame: (N, 3, 3) rows are the local x, y, z axes, divided by the squeeze: local = frame @ (point - origin).
        origin: (N, 3) the local origin, in metres.
        size: (N, 3) radius_a, radius_b, length of a cone; half extents of a box; in metres along the local axes.
        reach: (N, 2) radii of spheres around both ends that contain the primitive, for the box on the screen.
        material: (N, M) one row of ``MATERIAL_COLUMNS`` each.
        label: (N,) the part's label, 0 for what is not a body.
        image: (N,) the image that it belongs to.
        owner: (N,) 0 the target, 1 and up another person, -1 an obstacle, -2 the scenery.
        lip: (N,) the label of the surface in LIP-20, 0 for what is not a body. lip_beyond: (N,) the same where local y
            exceeds the material's ``cut``: skin below a sleeve.
        group: (N,) the primitives of one owner and one group (above 0) melt into each other; 0 melts with nothing.
        blend: (N,) how far from its surface a primitive still bends its group's, in metres along the local axes.
    """

    kind: NDArray[np.int64]
    frame: Array
    origin: Array
    size: Array
    reach: Array
    material: Array
    label: NDArray[np.int64]
    image: NDArray[np.int64]
    owner: NDArray[np.int64]
    lip: NDArray[np.int64]
    lip_beyond: NDArray[np.int64]
    group: NDArray[np.int64]
    blend: Array

    def __len__(self) -> int:
        return len(self.kind)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Primitives:
        return Primitives(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def cat(cls, items: Sequence[Primitives]) -> Primitives:
        """Joins tables; the order within an image is kept."""
        return cls(**{f.name: np.concatenate([getattr(item, f.name) for item in items]) for f in fields(cls)})


def _index(value: int | NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return np.array(np.broadcast_to(np.asarray(value, dtype=np.int64), (count,)))


def round_cones(
    a: Array,
    b: Array,
    radius_a: Array,
    radius_b: Array,
    *,
    hint: Array,
    squeeze: Array,
    materials: Array,
    label: int | NDArray[np.int64] = 0,
    image: int | NDArray[np.int64] = 0,
    owner: int | NDArray[np.int64] = -1,
    kind: int | NDArray[np.int64] = CONE,
    lip: int | NDArray[np.int64] = 0,
    lip_beyond: int | NDArray[np.int64] | None = None,
    group: int | NDArray[np.int64] = 0,
    blend: float | Array = 0.0,
) -> Primitives:
    """Round cones between points.

    Args:
        a: (N, 3) one end, the local origin.
        b: (N, 3) the other end; a != b.
        radius_a: (N,) the radius at a, in metres.
        radius_b: (N,) the radius at b, in metres; brought to within the length of radius_a where it is farther off.
        hint: (N, 3) the direction that local z takes as nearly as it can; not along b - a.
        squeeze: (N, 2) factors of the radius along local x and z.
        materials: (N, M).
        label: of the part, for all or (N,).
        image: for all or (N,).
        owner: for all or (N,), see ``Primitives``.
        kind: CONE or OPEN_CONE, for all or (N,).
        lip: label in LIP-20, for all or (N,).
        lip_beyond: the same beyond the material's cut; as ``lip`` where not given.
        group: which primitives melt into each other, for all or (N,); open cones melt with nothing.
        blend: how far they do, in metres, for all or (N,); above 0 where a group is given.
    """
    count = len(a)
    axis = b - a
    length = np.sqrt(dot3(axis, axis))
    y = axis / length[:, None]
    x = np.cross(y, hint)
    x /= np.sqrt(dot3(x, x))[:, None]
    z = np.cross(x, y)
    frame = np.stack([x / squeeze[:, :1], y, z / squeeze[:, 1:]], axis=1)
    # A round cone needs length > |radius_a - radius_b|; otherwise one sphere holds the other and no cone joins them.
    slope = np.clip(radius_a - radius_b, -0.98 * length, 0.98 * length)
    radius_b = radius_a - slope
    widest = np.maximum(1.0, squeeze.max(axis=1))
    return Primitives(
        kind=_index(kind, count),
        frame=frame,
        origin=np.array(a, dtype=np.float64),
        size=np.stack([radius_a, radius_b, length], axis=1),
        reach=np.stack([radius_a * widest, radius_b * widest], axis=1),
        material=np.array(materials, dtype=np.float64),
        label=_index(label, count),
        image=_index(image, count),
        owner=_index(owner, count),
        lip=_index(lip, count),
        lip_beyond=_index(lip if lip_beyond is None else lip_beyond, count),
        group=np.where(_index(kind, count) == CONE, _index(group, count), 0),
        blend=np.array(np.broadcast_to(np.asarray(blend, dtype=np.float64), (count,))),
    )


def boxes(
    centre: Array,
    half: Array,
    yaw: Array,
    *,
    materials: Array,
    image: int | NDArray[np.int64] = 0,
    owner: int | NDArray[np.int64] = -1,
) -> Primitives:
    """Upright boxes.

    Args:
        centre: (N, 3) in metres.
        half: (N, 3) half extents along the box's own x, y (up) and z.
        yaw: (N,) turn about the vertical, in radians.
        materials: (N, M).
        image: for all or (N,).
        owner: for all or (N,), see ``Primitives``.
    """
    count = len(centre)
    cos, sin, zero, one = np.cos(yaw), np.sin(yaw), np.zeros(count), np.ones(count)
    frame = np.stack([cos, zero, -sin, zero, one, zero, sin, zero, cos], axis=1).reshape(count, 3, 3)
    radius = np.sqrt(dot3(half, half))
    return Primitives(
        kind=_index(BOX, count),
        frame=frame,
        origin=np.array(centre, dtype=np.float64),
        size=np.array(half, dtype=np.float64),
        reach=np.stack([radius, radius], axis=1),
        material=np.array(materials, dtype=np.float64),
        label=_index(0, count),
        image=_index(image, count),
        owner=_index(owner, count),
        lip=_index(0, count),
        lip_beyond=_index(0, count),
        group=_index(0, count),
        blend=np.zeros(count),
    )
