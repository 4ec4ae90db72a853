"""What a body is made of: round cones between anchor points, with the part, garment slot and blending of each."""

from __future__ import annotations

from typing import NamedTuple, TypedDict

from occlureid.synthetic.worn import WORN_ROWS
from occlureid.types import KEYPOINT_NAMES

__all__ = ["ANCHORS", "GROUPS", "KEYPOINT_ANCHORS", "LIP", "LIP_BEYOND", "PART_NAMES", "SEGMENTS", "Segment"]

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
    group: str = ""
    """The surface into which it melts, of ``GROUPS``; empty for what is worn loosely or carried."""
    blend: float = 0.0
    """How far it melts, in body heights."""


GROUPS: tuple[str, ...] = (
    "",
    "trunk",
    "left_arm",
    "right_arm",
    "left_leg",
    "right_leg",
    "left_foot",
    "right_foot",
    "head",
    "hair",
)
"""The surfaces of a body. Within one, shapes flow into each other; two of them only meet, as an arm does that hangs at the
side. A limb starts with a shape that also lies inside the trunk, so that it grows out of it without a seam."""


def _part(
    name: str,
    start: str,
    end: str,
    radii: tuple[float, float],
    squeeze: tuple[float, float],
    label: int,
    slot: str,
    bulk: str = "",
    *,
    hint: str = "forward",
    group: str = "",
    blend: float = 0.0,
) -> Segment:
    return Segment(name, start, end, *radii, squeeze, label, slot, bulk, hint, False, group, blend)


def _both(
    name: str,
    start: str,
    end: str,
    radii: tuple[float, float],
    squeeze: tuple[float, float],
    label: int,
    slot: str,
    bulk: str = "",
    *,
    hint: str = "forward",
    group: str = "",
    blend: float = 0.0,
) -> list[Segment]:
    """The same segment left and right; an end that is written with "=" lies in the middle, a group "*_arm" on its side."""

    def sided(side: str, end: str) -> str:
        return end[1:] if end.startswith("=") else f"{side}_{end}"

    return [
        _part(
            f"{side}_{name}", sided(side, start), sided(side, end), radii, squeeze, label, slot, bulk,
            hint=hint, group=group.replace("*", side), blend=blend,
        )
        for side in ("left", "right")
    ]  # fmt: skip


class _Melting(TypedDict):
    group: str
    blend: float


_TRUNK: _Melting = {"group": "trunk", "blend": 0.045}
_ARM: _Melting = {"group": "*_arm", "blend": 0.022}
_LEG: _Melting = {"group": "*_leg", "blend": 0.030}
_FOREARM: _Melting = {"group": "*_arm", "blend": 0.024}
_SHANK: _Melting = {"group": "*_leg", "blend": 0.034}
_HAND: _Melting = {"group": "*_arm", "blend": 0.006}
_SHOE: _Melting = {"group": "*_foot", "blend": 0.016}
_FACE: _Melting = {"group": "head", "blend": 0.009}
_HAIR: _Melting = {"group": "hair", "blend": 0.012}

SEGMENTS: tuple[Segment, ...] = (
    # The trunk, from the seat to the neck: narrow at the waist, deep at the breast, sloping at the shoulders.
    _part("pelvis", "pelvis_low", "pelvis_high", (0.0540, 0.0660), (1.34, 0.90), _TORSO, "pelvis", "trunk", **_TRUNK),
    *_both("seat", "seat_low", "seat_high", (0.0420, 0.0380), (1.0, 1.0), _TORSO, "pelvis", "trunk", **_TRUNK),
    _part("waist", "waist_low", "waist", (0.0620, 0.0610), (1.22, 0.91), _TORSO, "waist", "trunk", **_TRUNK),
    _part("belly", "belly_low", "belly_high", (0.0420, 0.0420), (1.30, 1.00), _TORSO, "waist", "trunk", **_TRUNK),
    _part("chest", "chest_low", "chest", (0.0600, 0.0570), (1.32, 0.98), _TORSO, "chest", "trunk", **_TRUNK),
    *_both("breast", "breast_in", "breast", (0.0300, 0.0250), (1.0, 1.0), _TORSO, "chest", "trunk", **_TRUNK),
    _part(
        "yoke",
        "left_shoulder_in",
        "right_shoulder_in",
        (0.0300, 0.0300),
        (1.00, 1.40),
        _TORSO,
        "shoulder",
        "trunk",
        **_TRUNK,
    ),
    *_both(
        "trapezius", "=neck_mid", "shoulder_in", (0.0280, 0.0260), (1.0, 1.0), _TORSO, "shoulder", "trunk", **_TRUNK
    ),
    *_both("flank", "axilla", "shoulder_in", (0.0330, 0.0280), (1.0, 1.1), _TORSO, "chest", "trunk", **_TRUNK),
    # The trunk's own share of what the limbs grow out of: without it, they would stick in it like pegs.
    *_both("groin", "haunch", "hip", (0.0460, 0.0520), (1.0, 1.05), _TORSO, "pelvis", "trunk", **_TRUNK),
    *_both(
        "shoulder_top", "shoulder_in", "shoulder", (0.0280, 0.0290), (1.0, 1.0), _TORSO, "shoulder", "trunk", **_TRUNK
    ),
    Segment("hem", "hem_high", "hem_low", 0.078, 0.100, (1.18, 0.98), _TORSO, "hem", "hem", "forward", True),
    Segment(
        "skirt", "skirt_high", "skirt_low", 0.082, 0.140, (1.12, 1.02), _UPPER_LEG, "skirt", "legs", "forward", True
    ),
    Segment("backpack", "backpack_low", "backpack_high", 0.062, 0.056, (1.25, 0.72), _TORSO, "backpack"),
    *_both("strap", "strap_low", "strap_high", (0.013, 0.013), (1.0, 0.6), _TORSO, "backpack"),
    # The head.
    _part("neck", "neck_base", "neck_top", (0.034, 0.031), (1.0, 1.0), _HEAD, "neck", **_FACE),
    _part("head", "jaw", "cranium", (0.033, 0.049), (0.92, 1.14), _HEAD, "skin", **_FACE),
    _part("chin", "chin_in", "chin", (0.020, 0.016), (1.2, 1.0), _HEAD, "skin", **_FACE),
    _part("nose_bump", "nose_root", "nose", (0.006, 0.0085), (1.0, 1.0), _HEAD, "skin", group="head", blend=0.005),
    *_both("ear_shell", "ear_low", "ear_high", (0.007, 0.010), (0.55, 1.0), _HEAD, "skin", group="head", blend=0.004),
    _part("hair", "hair_low", "hair_high", (0.047, 0.053), (0.97, 1.12), _HEAD, "hair", **_HAIR),
    _part("long_hair", "hair_low", "hair_tip", (0.045, 0.034), (1.25, 0.72), _HEAD, "long_hair", **_HAIR),
    *_both("eye_spot", "eye_in", "eye", (0.0058, 0.0058), (1.0, 0.62), _HEAD, "eye", "", hint="up"),
    *_both("brow", "brow_in", "brow_out", (0.0030, 0.0022), (1.0, 1.0), _HEAD, "brow", "", hint="up"),
    _part("mouth", "left_mouth", "right_mouth", (0.0042, 0.0042), (1.0, 0.60), _HEAD, "mouth", hint="up"),
    # The arms: the shoulder's muscle grows out of the trunk.
    *_both("deltoid", "shoulder_in", "shoulder", (0.0290, 0.0320), (1.0, 1.0), _TORSO, "shoulder", "arms", **_ARM),
    *_both("axilla", "axilla", "shoulder", (0.0360, 0.0300), (1.0, 1.0), _TORSO, "shoulder", "arms", **_ARM),
    *_both("upper_arm", "shoulder", "elbow", (0.0330, 0.0235), (1.0, 1.0), _UPPER_ARM, "upper_arm", "arms", **_ARM),
    *_both("lower_arm", "elbow", "wrist", (0.0235, 0.0180), (1.0, 1.0), _LOWER_ARM, "lower_arm", "arms", **_FOREARM),
    *_both("forearm", "elbow", "forearm", (0.0170, 0.0235), (1.0, 1.0), _LOWER_ARM, "lower_arm", "arms", **_FOREARM),
    *_both("hand", "wrist", "palm", (0.0175, 0.0215), (0.62, 1.10), _LOWER_ARM, "skin", "", **_HAND),
    *_both("finger", "palm", "fingers", (0.0205, 0.011), (0.55, 1.15), _LOWER_ARM, "skin", "", **_HAND),
    *_both("thumb", "thumb_in", "thumb", (0.0085, 0.0065), (1.0, 1.0), _LOWER_ARM, "skin", "", **_HAND),
    # The legs: the haunch lies inside the pelvis.
    *_both("haunch", "haunch", "hip", (0.0500, 0.0540), (1.0, 1.05), _TORSO, "pelvis", "legs", **_LEG),
    *_both("thigh", "hip", "knee", (0.0550, 0.0345), (1.0, 1.04), _UPPER_LEG, "thigh", "legs", **_LEG),
    *_both("shin", "knee", "ankle", (0.0345, 0.0265), (1.0, 1.0), _LOWER_LEG, "shin", "legs", **_SHANK),
    *_both("calf", "knee", "calf", (0.0220, 0.0325), (1.0, 1.0), _LOWER_LEG, "shin", "legs", **_SHANK),
    # The shoes: a heel, a ball, a toe, and the instep up to the ankle.
    *_both("shoe", "heel", "ball", (0.0235, 0.0210), (0.96, 1.00), _FOOT, "shoe", "", hint="up", **_SHOE),
    *_both("toecap", "ball", "toe", (0.0215, 0.0165), (1.30, 0.92), _FOOT, "shoe", "", hint="up", **_SHOE),
    *_both("instep", "tongue", "ball", (0.0255, 0.0175), (1.0, 1.0), _FOOT, "shoe", "", hint="up", **_SHOE),
    *(Segment(*row) for row in WORN_ROWS),
)
"""Every round cone of a body, in a fixed order."""

ANCHORS: tuple[str, ...] = tuple(
    dict.fromkeys([*(n for n in KEYPOINT_NAMES), *(p for s in SEGMENTS for p in (s.start, s.end))])
)
"""The anchor points, the 18 landmarks first."""

KEYPOINT_ANCHORS: slice = slice(0, len(KEYPOINT_NAMES))

_LIP_OF_SLOT: dict[str, tuple[int, int]] = {
    "pelvis": (9, 9), "waist": (5, 5), "chest": (5, 5), "shoulder": (5, 5), "hem": (5, 5), "skirt": (12, 12),
    "neck": (13, 13), "skin": (13, 13), "eye": (13, 13), "brow": (13, 13), "mouth": (13, 13), "hair": (2, 2), "long_hair": (2, 2),
    "upper_arm": (-1, -1), "lower_arm": (-1, -1), "thigh": (-1, -1), "shin": (-1, -1), "shoe": (-1, -1),
}  # fmt: skip
"""The LIP-20 label of each slot and of its skin beyond the cut; -1 for the person's own side of arm, leg or shoe."""

_LIP_OF_SIDE: dict[int, tuple[int, int]] = {3: (14, 15), 4: (14, 15), 5: (16, 17), 6: (16, 17), 7: (18, 19)}


def _lip(segment: Segment, beyond: bool) -> int:
    label = _LIP_OF_SLOT.get(segment.slot, (0, 0))[beyond]
    if segment.slot == "skin" and segment.label != _HEAD:
        label = -1
    return label if label >= 0 else _LIP_OF_SIDE[segment.label][segment.name.startswith("right_")]


LIP: tuple[int, ...] = tuple(_lip(segment, False) for segment in SEGMENTS)
"""The LIP-20 label of each segment on a body with bare arms and legs; what an outfit covers has the outfit's label."""

LIP_BEYOND: tuple[int, ...] = tuple(_lip(segment, True) for segment in SEGMENTS)
"""The same beyond the material's cut."""
