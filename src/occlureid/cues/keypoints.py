"""Landmarks from pose estimators: AlphaPose (both JSON forms) and OpenPose, to the 18 of ``KEYPOINT_NAMES``.

Poses are arrays (P, 18, 3): x, y in pixels of the image that the estimator saw, and a confidence in [0, 1]. Rules:

- a landmark whose x, y or confidence is exactly 0 was not found: all three become 0;
- confidences a little beyond [0, 1], as interpolated heatmaps give them, are clamped: (1, 2] to 1, [-1, 0) to 0;
  anything further is no confidence and an error, as are NaN, infinity, coordinates beyond a million, text
  and wrong lengths.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np

from occlureid.errors import DataError, SettingsError

__all__ = ["LARGEST_LIST", "LARGEST_POSE", "FloatArray", "choose_person", "read_pose", "read_pose_list"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

LARGEST_POSE = 4 * 2**20
"""Bytes of the largest JSON file of one image that is read."""

LARGEST_LIST = 512 * 2**20
"""Bytes of the largest JSON file of many images that is read."""

_FARTHEST = 1e6

# For each landmark of KEYPOINT_NAMES, its place in the format's own order. COCO's 17 have no neck: see _landmarks.
_NECK = 1
_COCO_17 = (0, 5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_BODY_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
_ORDERS: dict[int, tuple[int, ...]] = {17: _COCO_17, 18: tuple(range(18)), 25: _BODY_25}


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


def read_pose(path: Path) -> FloatArray:
    """The people of one image: OpenPose, or AlphaPose's "open" form: ``{"people": [{"pose_keypoints_2d": [...]}]}``.

    Accepts 18 landmarks (OpenPose's COCO model, AlphaPose), 25 (OpenPose's BODY_25) and 17 (COCO).

    Returns:
        (P, 18, 3) float64, in the file's order of people; P may be 0.

    Raises:
        DataError: the file is missing, too large, or not of this form; the file and the person are named.
    """
    content = _read_json(path, LARGEST_POSE)
    if not isinstance(content, dict) or not isinstance(content.get("people"), list):
        raise DataError(f'{path}: expected a JSON object with a list "people", got {_short(content)}')
    people = []
    for number, person in enumerate(content["people"]):
        if not isinstance(person, dict) or "pose_keypoints_2d" not in person:
            raise DataError(f'{path}: person {number} has no "pose_keypoints_2d"; got {_short(person)}')
        people.append(_landmarks(person["pose_keypoints_2d"], f"{path}: person {number}"))
    return _stacked(people)


def read_pose_list(path: Path) -> dict[str, FloatArray]:
    """The people of many images: AlphaPose's default form: ``[{"image_id": ..., "keypoints": [...], "score": ...}]``.

    Returns:
        (P, 18, 3) float64 for each ``image_id``, in the file's order of people; images without anybody are not in it.

    Raises:
        DataError: the file is missing, too large, or not of this form; the file and the entry (from 0) are named.
    """
    content = _read_json(path, LARGEST_LIST)
    if not isinstance(content, list):
        raise DataError(f"{path}: expected a JSON list, one object a person, got {_short(content)}")
    people: dict[str, list[FloatArray]] = {}
    for number, entry in enumerate(content):
        if not isinstance(entry, dict) or not isinstance(entry.get("image_id"), str) or "keypoints" not in entry:
            raise DataError(f'{path}: entry {number} needs an "image_id" (text) and "keypoints", got {_short(entry)}')
        landmarks = _landmarks(entry["keypoints"], f"{path}: entry {number} ({entry['image_id'][:80]!r})")
        people.setdefault(entry["image_id"], []).append(landmarks)
    return {image: _stacked(found) for image, found in people.items()}


def _stacked(people: list[FloatArray]) -> FloatArray:
    return np.stack(people) if people else np.zeros((0, 18, 3))


def _short(value: Any) -> str:
    return repr(value)[:60] if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _read_json(path: Path, largest: int) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > largest:
        raise DataError(f"{path}: larger than {largest:,} bytes, the most that is read")
    try:
        return json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({str(error)[:160]})") from error


def _landmarks(values: Any, where: str) -> FloatArray:
    """(18, 3) from the flat list of a file."""
    if not isinstance(values, list) or len(values) % 3 or len(values) // 3 not in _ORDERS:
        got = f"{len(values)} values" if isinstance(values, list) else _short(values)
        raise DataError(f"{where}: expected x, y, confidence of 17, 18 or 25 landmarks in one flat list, got {got}")
    wrong = [value for value in values if type(value) not in (int, float)]
    if wrong:
        raise DataError(f"{where}: expected numbers only, got {_short(wrong[0])}")
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
    landmarks = triples[list(_ORDERS[len(triples)])]
    if len(triples) == 17:
        shoulders = triples[5:7]
        landmarks[_NECK] = shoulders.mean(axis=0) if (shoulders[:, 2] > 0).all() else 0.0
    return landmarks
