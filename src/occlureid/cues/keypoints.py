"""Landmarks of pose estimators, whatever their order, as the 18 of ``KEYPOINT_NAMES``; and the person whom an image is of.

Poses are arrays (P, 18, 3): x, y in pixels of the image that the estimator saw, and a confidence in [0, 1]. Rules:

- a landmark whose x, y or confidence is exactly 0 was not found: all three become 0;
- the neck of 17 landmarks is the mean of the shoulders, in x, y and confidence;
- confidences a little beyond [0, 1], as interpolated heatmaps give them, are clamped: (1, 2] to 1, [-1, 0) to 0;
  anything further is no confidence and an error, as are NaN, infinity, coordinates beyond a million, text
  and wrong lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from occlureid.errors import DataError, SettingsError

__all__ = ["FloatArray", "People", "choose_person", "landmarks_of", "shortly", "to_landmarks"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

_FARTHEST = 1e6

# For each landmark of KEYPOINT_NAMES, its place in the format's own order. COCO's 17 have no neck: see to_landmarks.
_NECK = 1
_COCO_17 = (0, 5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_BODY_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
# Halpe's 26 of the body are COCO's 17, the top of the head, the neck, the middle of the hips and six of the feet; its 136 go on
# with the face and the hands.
_HALPE = (0, 18, *_COCO_17[2:])
# COCO-WholeBody's 133 are COCO's 17, then feet, face and hands.
_ORDERS: dict[int, tuple[int, ...]] = {
    17: _COCO_17, 18: tuple(range(18)), 25: _BODY_25, 26: _HALPE, 133: _COCO_17, 136: _HALPE,
}  # fmt: skip
_WITHOUT_NECK = (17, 133)
_COUNTS = "17, 18, 25, 26, 133 or 136"
# GASM's 13: the head, then COCO's shoulders to ankles.
_HEAD_13 = (0, 1, 2, 4, 6, 1, 3, 5, 8, 10, 12, 7, 9, 11)


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Everybody whom an estimator or annotator found in an image.

    Attributes:
        landmarks: (P, 18, 3) float64, in the file's order of people; P may be 0.
        targets: (P,) bool, whom the file says that the image is of (``is_target``); nobody, where it does not say.
    """

    landmarks: FloatArray
    targets: np.ndarray[Any, np.dtype[np.bool_]]

    @classmethod
    def of(cls, people: FloatArray) -> People:
        """People of whom nobody is said to be the target.

        Args:
            people: (P, 18, 3).
        """
        return cls(people, np.zeros(len(people), np.bool_))

    def chosen(self, threshold: float) -> int:
        """The index of the person whom the image is of: of the targets, or of all where there are none, as ``choose_person``.

        Raises:
            SettingsError: there is nobody, or the threshold is out of range.
        """
        if not self.targets.any():
            return choose_person(self.landmarks, threshold)
        among = np.flatnonzero(self.targets)
        return int(among[choose_person(self.landmarks[among], threshold)])


def choose_person(people: FloatArray, threshold: float, ties: Literal["first", "last"] = "first") -> int:
    """The person whom the image is of: the one with the most landmarks of confidence >= threshold (PGFA, footnote 2).

    Args:
        people: (P, 18, 3), P at least 1.
        threshold: the least confidence that counts, in [0, 1]. Confidence 0 never counts.
        ties: of several with as many, the "first" (as PGFA's released heatmaps do) or the "last" (as its part labels).

    Returns:
        The index of that person.

    Raises:
        SettingsError: an argument is out of its range.
    """
    if people.ndim != 3 or len(people) == 0 or ties not in ("first", "last") or not 0.0 <= threshold <= 1.0:
        raise SettingsError(
            "choose_person needs people (P, 18, 3) with P > 0, a threshold in [0, 1] and ties first or last, got "
            f"{people.shape}, {threshold}, {ties!r}"
        )
    confidence = people[:, :, 2]
    found = ((confidence >= threshold) & (confidence > 0)).sum(axis=1)
    if ties == "first":
        return int(found.argmax())
    return len(found) - 1 - int(found[::-1].argmax())


def shortly(value: Any) -> str:
    """A value from a file, in a few words of a message."""
    return repr(value)[:60] if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"


def landmarks_of(values: Any, where: str) -> FloatArray:
    """(18, 3) from the flat list of x, y, confidence that a file has.

    Args:
        values: the list, of 17, 18, 25, 26, 133 or 136 landmarks; see ``to_landmarks``.
        where: file and person, for messages.

    Raises:
        DataError: it is no such list, or holds numbers that cannot be.
    """
    if not isinstance(values, list) or len(values) % 3 or len(values) // 3 not in _ORDERS:
        got = f"{len(values)} values" if isinstance(values, list) else shortly(values)
        raise DataError(f"{where}: expected x, y, confidence of {_COUNTS} landmarks in one flat list, got {got}")
    wrong = [value for value in values if type(value) not in (int, float)]
    if wrong:
        raise DataError(f"{where}: expected numbers only, got {shortly(wrong[0])}")
    try:
        triples = np.array([float(value) for value in values]).reshape(-1, 3)
    except OverflowError as error:
        raise DataError(f"{where}: a number is too large") from error
    if not np.isfinite(triples).all() or np.abs(triples[:, :2]).max() > _FARTHEST:
        raise DataError(f"{where}: coordinates must be finite and within {_FARTHEST:,.0f} pixels")
    confidence = triples[:, 2]
    if confidence.min() < -1.0 or confidence.max() > 2.0:
        raise DataError(f"{where}: confidences must lie in [0, 1], got {confidence.min():g} to {confidence.max():g}")
    triples[:, 2] = confidence.clip(0.0, 1.0)
    triples[(triples == 0.0).any(axis=1)] = 0.0
    return to_landmarks(triples)


def to_landmarks(triples: FloatArray) -> FloatArray:
    """Landmarks of another order as the 18 of ``KEYPOINT_NAMES``; one that was not found has zeros.

    Args:
        triples: (J, 3) x, y, confidence: J = 13 (GASM: head, then COCO's shoulders to ankles), 17 (COCO), 18, 25 (OpenPose's
            BODY_25), 26 or 136 (Halpe), or 133 (COCO-WholeBody).

    Returns:
        (18, 3) float64. Of 13, 17 and 133 the neck is the mean of the shoulders, where both were found; of 13 the nose is the
        head, and eyes and ears were not found.

    Raises:
        DataError: J is another number.
    """
    count = len(triples)
    if count != 13 and count not in _ORDERS:
        raise DataError(f"expected 13, {_COUNTS} landmarks, got {count}")
    found = np.where((triples[:, 2] > 0)[:, None], triples, 0.0)
    landmarks = np.zeros((18, 3))
    order = list(_HEAD_13 if count == 13 else _ORDERS[count])
    landmarks[: len(order)] = found[order]
    if count == 13 or count in _WITHOUT_NECK:
        shoulders = found[1:3] if count == 13 else found[5:7]
        landmarks[_NECK] = shoulders.mean(axis=0) if (shoulders[:, 2] > 0).all() else 0.0
    return landmarks
