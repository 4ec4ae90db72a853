"""Persons as the JSON of pose tools holds them: one table of the lists they stand in, one of the keys of their landmarks.

The forms, with versions and sources, are in docs/cues.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from occlureid.cues.keypoints import FloatArray, People, landmarks_of, shortly
from occlureid.errors import DataError

__all__ = ["GROUPS", "has_seen_flag", "is_group", "people_of_entries", "people_of_group", "person_of"]

# The list of persons in the object of an image, and the keys under which a person of it has the landmarks.
GROUPS: dict[str, tuple[str, ...]] = {
    "people": ("pose_keypoints_2d", "pose_keypoints"),  # OpenPose, before 1.2 without the 2d; AlphaPose --format open
    "bodies": ("joints",),  # AlphaPose --format cmu
    "instance_info": ("keypoints",),  # the demos of MMPose 1.x
}

_SEEN = 2.0  # the flag that COCO's annotators give a landmark that the image shows; 1 is one that it hides
_FLAGS = (0, 1, 2)

# An annotation with one of these, and no score, is of an object that nobody marked landmarks on.
_OTHER_ANNOTATION = frozenset({"bbox", "category_id", "segmentation"})


def is_group(content: Any) -> bool:
    """True for the object of an image that holds a list of persons."""
    return isinstance(content, dict) and any(isinstance(content.get(key), list) for key in GROUPS)


def people_of_group(content: dict[str, Any], where: str) -> People:
    """The people of an object for which ``is_group`` holds.

    Raises:
        DataError: a person of it is not of the form.
    """
    group = next(key for key in GROUPS if isinstance(content.get(key), list))
    if group == "instance_info":
        return people_of_entries(content[group], where)
    found = []
    for number, person in enumerate(content[group]):
        key = next((key for key in GROUPS[group] if isinstance(person, dict) and key in person), None)
        if key is None:
            raise DataError(f'{where}: person {number} has no "{GROUPS[group][0]}"; got {shortly(person)}')
        place = f"{where}: person {number}"
        found.append((landmarks_of(_flat(person[key], person, place), place), _is_target(person, place)))
    return _people(found)


def people_of_entries(entries: list[Any], where: str) -> People:
    """The people of a list of objects with "keypoints"; annotations without any are passed over.

    Raises:
        DataError: an entry is not of the form.
    """
    seen = any(has_seen_flag(entry) for entry in entries)
    found = [person_of(entry, f"{where}: entry {number}", seen=seen) for number, entry in enumerate(entries)]
    return _people(person for person in found if person is not None)


def has_seen_flag(entry: Any) -> bool:
    """True for an object without a score that has the flag 2: the third numbers of its whole list are flags."""
    if not isinstance(entry, dict) or "score" in entry or "keypoint_scores" in entry:
        return False
    return _plain(thirds := _thirds(entry.get("keypoints"))) and 2 in thirds


def person_of(entry: Any, where: str, flags: bool = False, seen: bool = False) -> tuple[FloatArray, bool] | None:
    """The landmarks of an object with "keypoints", and whether the file says that the image is of this person.

    The third number of each landmark is a confidence, or COCO's flag: 2 seen, which is confidence 1, 1 hidden and 0 not there,
    which are both confidence 0. It is a flag where all are 0, 1 or 2 and "num_keypoints" stands beside them, as in annotations,
    or where one of the list is 2 and there is no "score", as in results.

    Args:
        entry: with "keypoints" as one flat list, as a list of [x, y, confidence], or, with "keypoint_scores", of [x, y].
        where: file and entry, for messages.
        flags: the file says that its third numbers are flags.
        seen: ``has_seen_flag`` of some entry of its list.

    Returns:
        (18, 3) and whether the person is a target; None for an annotation without landmarks.

    Raises:
        DataError: it is no such object.
    """
    if not isinstance(entry, dict):
        raise DataError(f'{where} needs "keypoints", got {shortly(entry)}')
    if entry.get("keypoints") in (None, []) and not _OTHER_ANNOTATION.isdisjoint(entry) and "score" not in entry:
        return None
    if "keypoints" not in entry:
        raise DataError(f'{where} needs "keypoints", got {shortly(entry)}')
    values = _flat(entry["keypoints"], entry, where)
    if isinstance(values, list):
        plain = _plain(thirds := values[2::3])
        if flags and not plain:
            raise DataError(f"{where}: COCO annotations flag each landmark 0, 1 or 2, got others")
        if flags or (plain and ("num_keypoints" in entry or ((seen or 2 in thirds) and "score" not in entry))):
            values = [float(value == _SEEN) if place % 3 == 2 else value for place, value in enumerate(values)]
    return landmarks_of(values, where), _is_target(entry, where)


def _thirds(values: Any) -> list[Any]:
    """The third numbers of landmarks in one flat list or in triples; nothing of anything else."""
    if not isinstance(values, list):
        return []
    if all(isinstance(value, list) for value in values):
        return [value[2] for value in values if len(value) == 3]
    return values[2::3]


def _plain(thirds: list[Any]) -> bool:
    return all(type(value) in (int, float) and value in _FLAGS for value in thirds)


def _flat(values: Any, person: dict[str, Any], where: str) -> Any:
    """The flat list of x, y, confidence that nested forms spell; anything else as it is."""
    if not isinstance(values, list) or not values or not all(isinstance(value, list) for value in values):
        return values
    scores = person.get("keypoint_scores")
    if scores is not None:
        if not isinstance(scores, list) or len(scores) != len(values) or any(len(value) != 2 for value in values):
            got = f"{len(scores)} scores" if isinstance(scores, list) else shortly(scores)
            raise DataError(
                f'{where}: expected x, y and one of "keypoint_scores" a landmark, got {len(values)} and {got}'
            )
        values = [[*value, score] for value, score in zip(values, scores, strict=True)]
    if any(len(value) != 3 for value in values):
        raise DataError(f"{where}: expected x, y and a confidence of each landmark, got {len(values[0])} numbers")
    return [number for value in values for number in value]


def _is_target(person: dict[str, Any], where: str) -> bool:
    flag = person.get("is_target", False)
    if type(flag) is not bool:
        raise DataError(f'{where}: "is_target" must be true or false, got {shortly(flag)}')
    return flag


def _people(found: Iterable[tuple[FloatArray, bool]]) -> People:
    pairs = list(found)
    if not pairs:
        return People.of(np.zeros((0, 18, 3)))
    return People(np.stack([person for person, _ in pairs]), np.array([target for _, target in pairs]))
