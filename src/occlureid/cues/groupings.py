"""Label sets of human parsers, and the one table for each of them that says which body region every label belongs to.

A **label set** is what a parser writes: names in the order of its numbers. A **grouping** is what a method wants: named
regions from top to bottom. ``grouping_table(labels, grouping)`` joins the two and covers every label exactly once.

Clothes hide where an upper arm ends: label sets made for clothes (``lip20``, ``atr18``) count a whole sleeve as torso and
all bare arm as ``lower_arm``, so ``sorn8`` of them has no ``upper_arm``. For the same reason their trousers and skirts are
``upper_leg``, their bare legs ``lower_leg``. The coarser groupings lose nothing. ``pascal7`` has no feet: they stay legs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from occlureid.errors import SettingsError

__all__ = ["GROUPINGS", "LABEL_SETS", "LabelSet", "grouping_table", "label_set", "part_flip"]


@dataclass(frozen=True, slots=True)
class LabelSet:
    """What the numbers of a parser mean.

    Attributes:
        name: such as "lip20".
        labels: the names, in the order of the numbers.
        regions: for each label, its finest region (``_FINEST``), or "background".
        kind: "labels" of which a pixel has one, label 0 being the background; or "fields": overlapping confidences, one
            channel a name, without a background.
    """

    name: str
    labels: tuple[str, ...]
    regions: tuple[str, ...]
    kind: Literal["labels", "fields"] = "labels"

    @property
    def parts(self) -> tuple[str, ...]:
        """The labels without the background, which is the first of "labels"; "fields" have none."""
        return self.labels[1:] if self.kind == "labels" else self.labels


GROUPINGS: dict[str, tuple[str, ...]] = {
    "sorn8": ("head", "torso", "upper_arm", "lower_arm", "upper_leg", "lower_leg", "foot"),
    "sorn5": ("head", "torso", "arm", "leg"),
    "sorn2": ("person",),
    "sgam5": ("head", "upper_body", "lower_body", "shoes"),
    "hcga4": ("head", "upper_body", "lower_body"),
}
"""Regions of each grouping, without the background that the number in its name counts: SORN's 8, 5 and 2 labels (feet are
legs in "sorn5"), SGAM's 5 (head, upper body with arms, lower body, shoes) and HCGA's 4 (the shoes belong to the lower body).
"labels" keeps a parser's own parts."""

# A label's finest region carries all that the groupings need to know of it. Socks are feet for SGAM's shoes.
_FINEST: dict[str, tuple[str, str, str, str, str]] = {
    # finest: (sorn8, sorn5, sorn2, sgam5, hcga4)
    "background": ("", "", "", "", ""),
    "head": ("head", "head", "person", "head", "head"),
    "scarf": ("torso", "torso", "person", "upper_body", "upper_body"),
    "torso": ("torso", "torso", "person", "upper_body", "upper_body"),
    "upper_arm": ("upper_arm", "arm", "person", "upper_body", "upper_body"),
    "lower_arm": ("lower_arm", "arm", "person", "upper_body", "upper_body"),
    "upper_leg": ("upper_leg", "leg", "person", "lower_body", "lower_body"),
    "lower_leg": ("lower_leg", "leg", "person", "lower_body", "lower_body"),
    "foot": ("foot", "leg", "person", "shoes", "lower_body"),
}


def _set(name: str, text: str, kind: Literal["labels", "fields"] = "labels") -> LabelSet:
    """A label set from ``label:region`` pairs; a label that is its own region has no colon."""
    pairs = [item.partition(":") for item in text.split()]
    regions = tuple(region or label for label, _, region in pairs)
    return LabelSet(name, tuple(label for label, _, _ in pairs), regions, kind)


_EANET_8 = _set("eanet8", "background head torso upper_arm lower_arm upper_leg lower_leg foot")
_LIP_20 = _set(
    "lip20",
    "background hat:head hair:head glove:lower_arm sunglasses:head upper_clothes:torso dress:torso coat:torso "
    "socks:foot pants:upper_leg jumpsuits:torso scarf:scarf skirt:upper_leg face:head left_arm:lower_arm "
    "right_arm:lower_arm left_leg:lower_leg right_leg:lower_leg left_shoe:foot right_shoe:foot",
)
# A bag is no part of the body, and counts as background wherever it is told apart.
_ATR_18 = _set(
    "atr18",
    "background hat:head hair:head sunglasses:head upper_clothes:torso skirt:upper_leg pants:upper_leg dress:torso "
    "belt:torso left_shoe:foot right_shoe:foot face:head left_leg:lower_leg right_leg:lower_leg left_arm:lower_arm "
    "right_arm:lower_arm bag:background scarf:scarf",
)
_PASCAL_7 = _set("pascal7", "background head torso upper_arm lower_arm upper_leg lower_leg")
_DENSEPOSE_14 = _set(
    "densepose14",
    "background torso right_hand:lower_arm left_hand:lower_arm left_foot:foot right_foot:foot "
    "right_upper_leg:upper_leg left_upper_leg:upper_leg right_lower_leg:lower_leg left_lower_leg:lower_leg "
    "left_upper_arm:upper_arm right_upper_arm:upper_arm left_lower_arm:lower_arm right_lower_arm:lower_arm head",
)
_DENSEPOSE_24 = _set(
    "densepose24",
    "background torso_back:torso torso_front:torso right_hand:lower_arm left_hand:lower_arm left_foot:foot "
    "right_foot:foot right_upper_leg_back:upper_leg left_upper_leg_back:upper_leg right_upper_leg_front:upper_leg "
    "left_upper_leg_front:upper_leg right_lower_leg_back:lower_leg left_lower_leg_back:lower_leg "
    "right_lower_leg_front:lower_leg left_lower_leg_front:lower_leg left_upper_arm_inside:upper_arm "
    "right_upper_arm_inside:upper_arm left_upper_arm_outside:upper_arm right_upper_arm_outside:upper_arm "
    "left_lower_arm_inside:lower_arm right_lower_arm_inside:lower_arm left_lower_arm_outside:lower_arm "
    "right_lower_arm_outside:lower_arm right_head:head left_head:head",
)
_SGAM_5 = _set("sgam5", "background head upper_body:torso lower_body:upper_leg shoes:foot")
_MASK = _set("mask", "background person:torso")
# OpenPifPaf's 17 landmark fields, then its 19 fields of bones, as BPBReID's files hold them.
_BPBREID_36 = _set(
    "bpbreid36",
    "nose:head left_eye:head right_eye:head left_ear:head right_ear:head left_shoulder:torso right_shoulder:torso "
    "left_elbow:upper_arm right_elbow:upper_arm left_wrist:lower_arm right_wrist:lower_arm left_hip:torso "
    "right_hip:torso left_knee:upper_leg right_knee:upper_leg left_ankle:foot right_ankle:foot "
    "left_ankle_knee:lower_leg left_knee_hip:upper_leg right_ankle_knee:lower_leg right_knee_hip:upper_leg "
    "hip_hip:torso left_shoulder_hip:torso right_shoulder_hip:torso shoulder_shoulder:torso "
    "left_shoulder_elbow:upper_arm right_shoulder_elbow:upper_arm left_elbow_wrist:lower_arm "
    "right_elbow_wrist:lower_arm eye_eye:head left_nose_eye:head right_nose_eye:head left_eye_ear:head "
    "right_eye_ear:head left_ear_shoulder:head right_ear_shoulder:head",
    "fields",
)

LABEL_SETS: dict[str, LabelSet] = {
    labels.name: labels
    for labels in (
        _EANET_8, _LIP_20, _ATR_18, _PASCAL_7, _DENSEPOSE_14, _DENSEPOSE_24, _SGAM_5, _MASK, _BPBREID_36,
    )
}  # fmt: skip
"""The label sets that can be read, by name. "mask" is a silhouette: in a PNG, every value above 127 is the person (or 1, where
nothing is above it). "bpbreid36" are the confidence fields of BPBReID's ``.npy`` files."""

# What a coarse label set cannot tell apart it must not pretend to know.
_TOO_COARSE = {*(("mask", name) for name in GROUPINGS if name != "sorn2"), ("sgam5", "sorn8"), ("sgam5", "sorn5")}


def label_set(name: str) -> LabelSet:
    """A label set by its name.

    Raises:
        SettingsError: there is no such label set.
    """
    if name not in LABEL_SETS:
        raise SettingsError(f"no label set {name!r}; known: {', '.join(LABEL_SETS)}")
    return LABEL_SETS[name]


def grouping_table(labels: str, grouping: str) -> dict[str, tuple[int, ...]]:
    """Which labels make up each region.

    Args:
        labels: a name of ``LABEL_SETS``.
        grouping: a name of ``GROUPINGS``, or "labels" for the label set's own parts.

    Returns:
        For each region, from top to bottom, the numbers of its labels (channels, for "fields"), and last "background"
        with the others. Every number of the label set is there exactly once.

    Raises:
        SettingsError: there is no such label set or grouping, or the label set is too coarse for it.
    """
    known = label_set(labels)
    if grouping == "labels":
        table: dict[str, tuple[int, ...]] = {part: (known.labels.index(part),) for part in known.parts}
        return {**table, "background": (0,) if known.kind == "labels" else ()}
    if grouping not in GROUPINGS:
        raise SettingsError(f"no grouping {grouping!r}; known: {', '.join([*GROUPINGS, 'labels'])}")
    if (labels, grouping) in _TOO_COARSE:
        raise SettingsError(f"the labels {labels!r} do not tell the regions of {grouping!r} apart")
    column = list(GROUPINGS).index(grouping)
    regions = [_FINEST[region][column] for region in known.regions]
    table = {name: tuple(i for i, r in enumerate(regions) if r == name) for name in GROUPINGS[grouping]}
    return {**table, "background": tuple(i for i, r in enumerate(regions) if not r)}


def part_flip(names: tuple[str, ...]) -> tuple[int, ...]:
    """For ``Cues.part_flip``: where each part comes from after a horizontal flip; empty where no part has sides."""

    def partner(name: str) -> str:
        if name.startswith("left_"):
            return "right_" + name.removeprefix("left_")
        return "left_" + name.removeprefix("right_") if name.startswith("right_") else name

    order = tuple(names.index(partner(name)) for name in names)
    return () if order == tuple(range(len(names))) else order
