"""Bodies as primitives: proportions and posture give anchor points, anchor points give round cones with part labels.

The frame of a body: x to the person's left, y up, z forward, in units of body height, the ground at y = 0. A heading of 0
faces the camera, of +90 degrees faces the right edge of the image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from occlureid.synthetic.pose import Pose, draw_pose
from occlureid.synthetic.primitives import CONE, OPEN_CONE, Array, Primitives, round_cones
from occlureid.synthetic.segments import ANCHORS, GROUPS, KEYPOINT_ANCHORS, PART_NAMES, SEGMENTS
from occlureid.synthetic.skeleton import anchors

__all__ = ["ANCHORS", "KEYPOINT_ANCHORS", "PART_NAMES", "SEGMENTS", "Pose", "anchors", "draw_pose", "figures"]

_START = np.array([ANCHORS.index(s.start) for s in SEGMENTS])
_END = np.array([ANCHORS.index(s.end) for s in SEGMENTS])
_RADIUS_START = np.array([s.radius_start for s in SEGMENTS])
_RADIUS_END = np.array([s.radius_end for s in SEGMENTS])
_SQUEEZE = np.array([s.squeeze for s in SEGMENTS])
_LABEL = np.array([s.label for s in SEGMENTS])
_KIND = np.array([OPEN_CONE if s.open else CONE for s in SEGMENTS])
_GROUP = np.array([GROUPS.index(s.group) for s in SEGMENTS])
_BLEND = np.array([s.blend for s in SEGMENTS])
_UPWARD = np.array([s.hint == "up" for s in SEGMENTS])


def figures(
    unit: Array,
    height: Array,
    place: Array,
    heading: Array,
    widths: Array,
    materials: Array,
    active: NDArray[np.bool_],
    lip: NDArray[np.int64],
    lip_beyond: NDArray[np.int64],
    image: NDArray[np.int64],
    owner: NDArray[np.int64],
) -> tuple[Primitives, Array]:
    """Bodies in the world, as primitives and landmarks.

    Args:
        unit: (B, J, 3) from ``anchors``.
        height: (B,) in metres.
        place: (B, 2) x and z of the body's middle on the ground, in metres.
        heading: (B,) in radians; 0 faces +z, the camera.
        widths: (B, S, 2) factors of the radii of each segment at both ends.
        materials: (B, S, M).
        active: (B, S) which segments this body has (a skirt, a backpack, ...).
        lip: (B, S) label of each segment in LIP-20.
        lip_beyond: (B, S) the same beyond the material's cut.
        image: (B,) as in ``Primitives``.
        owner: (B,) as in ``Primitives``.

    Returns:
        The primitives, body after body, and the landmarks (B, 18, 3) in world metres.
    """
    cos, sin = np.cos(heading)[:, None], np.sin(heading)[:, None]
    scaled = unit * height[:, None, None]
    x = scaled[..., 0] * cos + scaled[..., 2] * sin + place[:, None, 0]
    z = scaled[..., 2] * cos - scaled[..., 0] * sin + place[:, None, 1]
    world = np.stack([x, scaled[..., 1], z], axis=-1)

    count, segments = active.shape
    forward = np.stack([sin[:, 0], np.zeros(count), cos[:, 0]], axis=-1)
    hint = np.where(_UPWARD[None, :, None], np.array([0.0, 1.0, 0.0]), forward[:, None, :])
    scale = height[:, None, None] * widths
    keep = active.reshape(-1)

    def flat(values: Array) -> Array:
        return values.reshape(count * segments, *values.shape[2:])[keep]

    rows = np.repeat(np.arange(count), segments)[keep]
    primitives = round_cones(
        flat(world[:, _START]),
        flat(world[:, _END]),
        flat(_RADIUS_START * scale[..., 0]),
        flat(_RADIUS_END * scale[..., 1]),
        hint=flat(hint),
        squeeze=flat(np.broadcast_to(_SQUEEZE, (count, segments, 2))),
        materials=flat(materials),
        label=np.tile(_LABEL, count)[keep],
        kind=np.tile(_KIND, count)[keep],
        image=image[rows],
        owner=owner[rows],
        lip=lip.reshape(-1)[keep],
        lip_beyond=lip_beyond.reshape(-1)[keep],
        group=np.tile(_GROUP, count)[keep],
        blend=flat(_BLEND * height[:, None]),
    )
    return primitives, world[:, KEYPOINT_ANCHORS]
