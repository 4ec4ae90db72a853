"""A walking body: proportions and gait give anchor points, anchor points give round cones with part labels.

The frame of a body: x to the person's left, y up, z forward, in units of body height, the ground at y = 0. A heading of 0
faces the camera, of +90 degrees faces the right edge of the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from occlureid.synthetic.primitives import CONE, OPEN_CONE, Array, Primitives, round_cones
from occlureid.types import KEYPOINT_NAMES

__all__ = ["ANCHORS", "KEYPOINT_ANCHORS", "PART_NAMES", "SEGMENTS", "Pose", "anchors", "draw_pose", "figures"]

PART_NAMES: tuple[str, ...] = (
    "background",
    "head",
    "torso",
    "upper_arm",
    "lower_arm",
    "upper_leg",
    "lower_leg",
    "foot",
)
"""The label set of the part maps: the label is the position. What is worn or carried counts as the part that it covers."""

_HEAD, _TORSO, _UPPER_ARM, _LOWER_ARM, _UPPER_LEG, _LOWER_LEG, _FOOT = range(1, 8)


class Segment(NamedTuple):
    """One round cone of a body: its ends, its radii in body heights, and what it belongs to."""

    name: str
    start: str
    end: str
    radius_start: float
    radius_end: float
    squeeze: tuple[float, float]
    label: int
    slot: str
    """Which garment or surface of the wardrobe colours it."""
    bulk: str = ""
    """Which width of the wardrobe scales its radii; empty for none."""
    hint: str = "forward"
    open: bool = False


def _both(
    name: str, start: str, end: str, radii: tuple[float, float], squeeze: tuple[float, float], *rest: object
) -> list[Segment]:
    """The same segment left and right; an end that is written with "=" lies in the middle."""

    def anchor(side: str, end: str) -> str:
        return end[1:] if end.startswith("=") else f"{side}_{end}"

    return [
        Segment(f"{side}_{name}", anchor(side, start), anchor(side, end), *radii, squeeze, *rest)  # type: ignore[arg-type]
        for side in ("left", "right")
    ]


SEGMENTS: tuple[Segment, ...] = (
    Segment("pelvis", "pelvis_low", "pelvis_high", 0.070, 0.074, (1.25, 0.90), _TORSO, "pelvis", "trunk"),
    Segment("waist", "pelvis_high", "waist", 0.073, 0.070, (1.20, 0.86), _TORSO, "waist", "trunk"),
    Segment("chest", "chest_low", "chest", 0.066, 0.052, (1.46, 0.98), _TORSO, "chest", "trunk"),
    Segment("yoke", "left_shoulder_in", "right_shoulder_in", 0.034, 0.034, (1.0, 1.0), _TORSO, "shoulder", "trunk"),
    *_both("trapezius", "=neck_mid", "shoulder_in", (0.024, 0.030), (1.0, 1.0), _TORSO, "shoulder", "trunk"),
    Segment("hem", "hem_high", "hem_low", 0.078, 0.100, (1.18, 0.98), _TORSO, "hem", "hem", "forward", True),
    Segment(
        "skirt", "skirt_high", "skirt_low", 0.082, 0.140, (1.12, 1.02), _UPPER_LEG, "skirt", "legs", "forward", True
    ),
    Segment("backpack", "backpack_low", "backpack_high", 0.062, 0.056, (1.25, 0.72), _TORSO, "backpack"),
    *_both("strap", "strap_low", "strap_high", (0.013, 0.013), (1.0, 0.6), _TORSO, "backpack"),
    Segment("neck", "neck_base", "neck_top", 0.030, 0.029, (1.0, 1.0), _HEAD, "neck"),
    Segment("head", "jaw", "cranium", 0.034, 0.049, (0.92, 1.14), _HEAD, "skin"),
    Segment("nose_bump", "nose_root", "nose", 0.006, 0.009, (1.0, 1.0), _HEAD, "skin"),
    Segment("hair", "hair_low", "hair_high", 0.047, 0.053, (0.97, 1.12), _HEAD, "hair"),
    Segment("long_hair", "hair_low", "hair_tip", 0.045, 0.034, (1.25, 0.72), _HEAD, "long_hair"),
    *_both("eye_spot", "eye_in", "eye", (0.0065, 0.0065), (1.0, 1.0), _HEAD, "eye"),
    *_both("upper_arm", "shoulder", "elbow", (0.035, 0.028), (1.0, 1.0), _UPPER_ARM, "upper_arm", "arms"),
    *_both("lower_arm", "elbow", "wrist", (0.028, 0.021), (1.0, 1.0), _LOWER_ARM, "lower_arm", "arms"),
    *_both("hand", "wrist", "fingers", (0.017, 0.014), (0.7, 1.15), _LOWER_ARM, "skin"),
    *_both("thigh", "hip", "knee", (0.062, 0.042), (1.0, 1.0), _UPPER_LEG, "thigh", "legs"),
    *_both("shin", "knee", "ankle", (0.041, 0.031), (1.0, 1.0), _LOWER_LEG, "shin", "legs"),
    *_both("shoe", "heel", "toe", (0.024, 0.021), (1.15, 1.0), _FOOT, "shoe", "", "up"),
)
"""Every round cone of a body, in a fixed order."""

ANCHORS: tuple[str, ...] = tuple(
    dict.fromkeys([*(n for n in KEYPOINT_NAMES), *(p for s in SEGMENTS for p in (s.start, s.end))])
)
"""The anchor points, the 18 landmarks first."""

KEYPOINT_ANCHORS: slice = slice(0, len(KEYPOINT_NAMES))


@dataclass(frozen=True, slots=True)
class Pose:
    """How one body walks: angles in radians."""

    phase: float
    stride: float
    knee: float
    swing: float
    elbow_left: float
    elbow_right: float
    lean: float
    twist: float
    head_yaw: float
    head_pitch: float
    spread: float
    """How far the arms stand off the body."""

    def row(self) -> list[float]:
        """The values in order of declaration."""
        return [getattr(self, name) for name in self.__slots__]


def draw_pose(random: np.random.Generator) -> Pose:
    """A walking (seldom nearly standing) pose; some hold a hand up to a phone or a strap."""
    pace = 0.25 if random.random() < 0.15 else random.uniform(0.65, 1.1)
    held = random.random(2) < 0.12
    elbows = random.uniform(0.15, 0.55, 2) + held * random.uniform(1.0, 1.5, 2)
    return Pose(
        phase=random.uniform(0.0, 2 * np.pi),
        stride=0.42 * pace,
        knee=0.95 * pace,
        swing=0.42 * pace * random.uniform(0.6, 1.2),
        elbow_left=float(elbows[0]),
        elbow_right=float(elbows[1]),
        lean=random.uniform(-0.02, 0.10),
        twist=0.12 * pace,
        head_yaw=random.normal(0.0, 0.22),
        head_pitch=random.normal(0.06, 0.10),
        spread=random.uniform(0.04, 0.16),
    )


def anchors(poses: Array, shoulder: Array, hip: Array) -> Array:
    """The anchor points of bodies of height 1, before they are turned and placed.

    Args:
        poses: (B, 11) rows of ``Pose``.
        shoulder: (B,) factor of the distance between the shoulders.
        hip: (B,) factor of the distance between the hips.

    Returns:
        (B, J, 3) in the order of ``ANCHORS``; the lowest foot touches y = 0.
    """
    phase, stride, knee, swing, elbow_left, elbow_right, lean, twist, yaw, pitch, spread = poses.T
    zero = np.zeros_like(phase)
    points: dict[str, Array] = {}

    def point(x: Array | float, y: Array | float, z: Array | float) -> Array:
        return np.stack([zero + x, zero + y, zero + z], axis=-1)

    wave = np.sin(phase)
    # The shoulders turn against the hips; the trunk leans forward from the hips up.
    shoulder_turn, hip_turn = twist * wave, -0.6 * twist * wave

    def trunk(x: Array | float, y: float, z: Array | float, turned: bool = True) -> Array:
        turn = shoulder_turn * ((y - 0.52) / 0.30 if turned else 0.0)
        cos, sin = np.cos(turn), np.sin(turn)
        return point(x * cos + z * sin, y, z * cos - x * sin + lean * (y - 0.52))

    points["pelvis_low"], points["pelvis_high"] = point(0, 0.505, 0), point(0, 0.570, 0.002)
    points["waist"] = trunk(0, 0.690, 0.004)
    points["chest_low"], points["chest"] = trunk(0, 0.672, 0.004), trunk(0, 0.770, -0.004)
    points["neck_base"], points["neck_mid"], points["neck_top"] = (
        trunk(0, 0.800, -0.008), trunk(0, 0.832, -0.012), trunk(0, 0.875, 0.000))  # fmt: skip
    points["neck"] = trunk(0, 0.822, 0.0)
    points["hem_high"], points["hem_low"] = trunk(0, 0.625, 0.002), point(0, 0.480, 0.004)
    points["skirt_high"], points["skirt_low"] = point(0, 0.590, 0), point(0, 0.330, 0.005)
    points["backpack_low"], points["backpack_high"] = trunk(0, 0.620, -0.105), trunk(0, 0.755, -0.105)

    # Head: turned about the vertical, nodding, around the top of the neck.
    cos_yaw, sin_yaw = np.cos(yaw + shoulder_turn), np.sin(yaw + shoulder_turn)
    cos_pitch, sin_pitch = np.cos(pitch), np.sin(pitch)
    base = trunk(0, 0.890, 0.004)

    def head(x: float, y: float, z: float) -> Array:
        down, forward = y * cos_pitch - z * sin_pitch, z * cos_pitch + y * sin_pitch
        return base + point(x * cos_yaw + forward * sin_yaw, down, forward * cos_yaw - x * sin_yaw)

    points["jaw"], points["cranium"] = head(0, 0.008, 0.014), head(0, 0.058, 0.000)
    points["hair_low"], points["hair_high"] = head(0, 0.038, -0.020), head(0, 0.068, -0.008)
    points["hair_tip"] = head(0, -0.065, -0.036)
    points["nose_root"], points["nose"] = head(0, 0.045, 0.050), head(0, 0.030, 0.062)

    for side, sign, offset, elbow in (("left", 1.0, 0.0, elbow_left), ("right", -1.0, np.pi, elbow_right)):
        points[f"{side}_eye_in"], points[f"{side}_eye"] = (
            head(sign * 0.017, 0.048, 0.046),
            head(sign * 0.018, 0.048, 0.0495),
        )
        points[f"{side}_ear"] = head(sign * 0.044, 0.040, 0.000)
        points[f"{side}_shoulder"] = trunk(sign * 0.106 * shoulder, 0.790, -0.004)
        points[f"{side}_shoulder_in"] = trunk(sign * 0.082 * shoulder, 0.795, -0.006)
        points[f"{side}_strap_low"] = trunk(sign * 0.072 * shoulder, 0.660, 0.066)
        points[f"{side}_strap_high"] = trunk(sign * 0.066 * shoulder, 0.805, 0.030)
        cos_hip, sin_hip = np.cos(hip_turn), np.sin(hip_turn)
        points[f"{side}_hip"] = point(sign * 0.052 * hip * cos_hip, 0.515, -sign * 0.052 * hip * sin_hip)

        step = np.sin(phase + offset)
        # Arm: swings against the leg of its side.
        arm = -swing * step + 0.03
        out = spread * sign
        upper = point(np.sin(out), -np.cos(arm) * np.cos(out), np.sin(arm) * np.cos(out))
        bent = arm + elbow + 0.25 * np.maximum(0.0, np.sin(arm))
        lower = point(0.35 * np.sin(out), -np.cos(bent), np.sin(bent))
        lower = lower / np.sqrt((lower * lower).sum(-1, keepdims=True))
        points[f"{side}_elbow"] = points[f"{side}_shoulder"] + 0.172 * upper
        points[f"{side}_wrist"] = points[f"{side}_elbow"] + 0.145 * lower
        points[f"{side}_fingers"] = points[f"{side}_wrist"] + 0.060 * lower
        # Leg: swings forward while its sine rises; the knee bends in early swing and is nearly straight at heel strike.
        thigh = 0.04 + stride * step
        bend = 0.06 + knee * np.maximum(0.0, np.cos(phase + offset + 0.55)) ** 2
        shin = thigh - bend
        points[f"{side}_knee"] = points[f"{side}_hip"] + 0.245 * point(0.02 * sign, -np.cos(thigh), np.sin(thigh))
        points[f"{side}_ankle"] = points[f"{side}_knee"] + 0.228 * point(0.01 * sign, -np.cos(shin), np.sin(shin))
        # The foot: flat in stance, heel up behind, toes up in front.
        tilt = 0.9 * np.maximum(0.0, -shin - 0.15) - 0.55 * np.maximum(0.0, shin)
        ahead = point(0.12 * sign, -np.sin(tilt), np.cos(tilt))
        below = point(0, -np.cos(tilt), -np.sin(tilt))
        points[f"{side}_heel"] = points[f"{side}_ankle"] + 0.022 * below - 0.022 * ahead
        points[f"{side}_toe"] = points[f"{side}_ankle"] + 0.026 * below + 0.090 * ahead

    stacked = np.stack([points[name] for name in ANCHORS], axis=1)
    soles = [ANCHORS.index(f"{side}_{end}") for side in ("left", "right") for end in ("heel", "toe")]
    stacked[..., 1] -= (stacked[:, soles, 1].min(axis=1) - 0.023)[:, None]
    return stacked


_START = np.array([ANCHORS.index(s.start) for s in SEGMENTS])
_END = np.array([ANCHORS.index(s.end) for s in SEGMENTS])
_RADIUS_START = np.array([s.radius_start for s in SEGMENTS])
_RADIUS_END = np.array([s.radius_end for s in SEGMENTS])
_SQUEEZE = np.array([s.squeeze for s in SEGMENTS])
_LABEL = np.array([s.label for s in SEGMENTS])
_KIND = np.array([OPEN_CONE if s.open else CONE for s in SEGMENTS])
_UPWARD = np.array([s.hint == "up" for s in SEGMENTS])


def figures(
    unit: Array,
    height: Array,
    place: Array,
    heading: Array,
    widths: Array,
    materials: Array,
    active: NDArray[np.bool_],
    image: NDArray[np.int64],
    owner: NDArray[np.int64],
) -> tuple[Primitives, Array]:
    """Bodies in the world, as primitives and landmarks.

    Args:
        unit: (B, J, 3) from ``anchors``.
        height: (B,) in metres.
        place: (B, 2) x and z of the body's middle on the ground, in metres.
        heading: (B,) in radians; 0 faces +z, the camera.
        widths: (B, S) factor of the radii of each segment.
        materials: (B, S, M).
        active: (B, S) which segments this body has (a skirt, a backpack, ...).
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
    scale = height[:, None] * widths
    keep = active.reshape(-1)

    def flat(values: Array) -> Array:
        return values.reshape(count * segments, *values.shape[2:])[keep]

    rows = np.repeat(np.arange(count), segments)[keep]
    primitives = round_cones(
        flat(world[:, _START]),
        flat(world[:, _END]),
        flat(_RADIUS_START * scale),
        flat(_RADIUS_END * scale),
        hint=flat(hint),
        squeeze=flat(np.broadcast_to(_SQUEEZE, (count, segments, 2))),
        materials=flat(materials),
        label=np.tile(_LABEL, count)[keep],
        kind=np.tile(_KIND, count)[keep],
        image=image[rows],
        owner=owner[rows],
    )
    return primitives, world[:, KEYPOINT_ANCHORS]
