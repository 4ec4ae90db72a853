"""Landmarks from pose estimators: AlphaPose (both JSON forms), OpenPose and COCO-17, to the 18 of ``KEYPOINT_NAMES``.

Poses are arrays (P, 18, 3): x, y in pixels of the image that the estimator saw, and a confidence in [0, 1]. Rules:

- a landmark whose x, y or confidence is exactly 0 was not found: all three become 0;
- the neck of 17 landmarks is the mean of the shoulders, in x, y and confidence;
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

__all__ = [
    "LARGEST_LIST",
    "LARGEST_POSE",
    "FloatArray",
    "choose_person",
    "read_json",
    "read_pose",
    "read_pose_list",
    "to_landmarks",
]

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
# GASM's 13: the head, then COCO's shoulders to ankles.
_HEAD_13 = (0, 1, 2, 4, 6, 1, 3, 5, 8, 10, 12, 7, 9, 11)

_SEEN = 2.0  # the flag that COCO's annotators give a landmark that the image shows; 1 is one that it hides


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
    """The people of one image.

    Forms: OpenPose's and AlphaPose's "open" ``{"people": [{"pose_keypoints_2d": [...]}]}``; one person
    ``{"keypoints": [...]}`` or a list of such objects, as COCO's tools write. Accepts 18 landmarks (OpenPose's COCO model,
    AlphaPose), 25 (OpenPose's BODY_25) and 17 (COCO).

    Returns:
        (P, 18, 3) float64, in the file's order of people; P may be 0.

    Raises:
        DataError: the file is missing, too large, or not of this form; the file and the person are named.
    """
    content = read_json(path, LARGEST_POSE)
    if isinstance(content, dict) and "keypoints" in content:
        content = [content]
    if isinstance(content, list):
        return _stacked([_coco_person(entry, f"{path}: entry {number}") for number, entry in enumerate(content)])
    if not isinstance(content, dict) or not isinstance(content.get("people"), list):
        raise DataError(f'{path}: expected a JSON object with a list "people", got {_short(content)}')
    people = []
    for number, person in enumerate(content["people"]):
        if not isinstance(person, dict) or "pose_keypoints_2d" not in person:
            raise DataError(f'{path}: person {number} has no "pose_keypoints_2d"; got {_short(person)}')
        people.append(_landmarks(person["pose_keypoints_2d"], f"{path}: person {number}"))
    return _stacked(people)


def read_pose_list(path: Path) -> dict[str, FloatArray]:
    """The people of many images.

    Forms: AlphaPose's default and COCO's results, ``[{"image_id": ..., "keypoints": [...], "score": ...}]``; and COCO's
    annotations, ``{"images": [{"id": ..., "file_name": ...}], "annotations": [{"image_id": ..., "keypoints": [...]}]}``, whose
    flag 2 (seen) is confidence 1, and whose flags 1 (hidden) and 0 are confidence 0.

    Returns:
        (P, 18, 3) float64 for each image, in the file's order of people; images without anybody are not in it. The key is the
        ``file_name`` of annotations; else the ``image_id``, a number as text.

    Raises:
        DataError: the file is missing, too large, or not of this form; the file and the entry (from 0) are named.
    """
    content = read_json(path, LARGEST_LIST)
    names: dict[object, str] | None = None
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        names = _coco_names(content.get("images"), path)
        content = content["annotations"]
    if not isinstance(content, list):
        raise DataError(f"{path}: expected a JSON list, one object a person, got {_short(content)}")
    people: dict[str, list[FloatArray]] = {}
    for number, entry in enumerate(content):
        image = entry.get("image_id") if isinstance(entry, dict) else None
        if names is None:
            # AlphaPose names the file; COCO's results number the image, and always score the person.
            numbered = type(image) is int and isinstance(entry.get("score"), int | float)
            image = str(image) if numbered else image
        elif type(image) in (int, str):
            image = names.get(image)
        if not isinstance(image, str) or "keypoints" not in entry:
            raise DataError(f'{path}: entry {number} needs an "image_id" (text) and "keypoints", got {_short(entry)}')
        landmarks = _coco_person(entry, f"{path}: entry {number} ({image[:80]!r})", flags=names is not None)
        people.setdefault(image, []).append(landmarks)
    return {image: _stacked(found) for image, found in people.items()}


def _coco_names(images: Any, path: Path) -> dict[object, str]:
    """The file name of each image number of a COCO file of annotations."""
    if not isinstance(images, list):
        raise DataError(f'{path}: COCO annotations need a list "images", got {_short(images)}')
    names: dict[object, str] = {}
    for number, image in enumerate(images):
        key, name = (image.get("id"), image.get("file_name")) if isinstance(image, dict) else (None, None)
        if type(key) not in (int, str) or not isinstance(name, str) or key in names:
            raise DataError(f'{path}: image {number} needs an "id" of its own and a "file_name", got {_short(image)}')
        names[key] = name
    return names


def _coco_person(entry: Any, where: str, flags: bool = False) -> FloatArray:
    """(18, 3) from an object with "keypoints"; ``flags``: the third number of each is COCO's 0, 1 or 2."""
    if not isinstance(entry, dict) or "keypoints" not in entry:
        raise DataError(f'{where} needs "keypoints", got {_short(entry)}')
    values = entry["keypoints"]
    if flags and isinstance(values, list):
        thirds = values[2::3]
        if any(type(value) not in (int, float) or value not in (0, 1, 2) for value in thirds):
            raise DataError(f"{where}: COCO annotations flag each landmark 0, 1 or 2, got others")
        values = [float(value == _SEEN) if place % 3 == 2 else value for place, value in enumerate(values)]
    return _landmarks(values, where)


def _stacked(people: list[FloatArray]) -> FloatArray:
    return np.stack(people) if people else np.zeros((0, 18, 3))


def _short(value: Any) -> str:
    return repr(value)[:60] if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def read_json(path: Path, largest: int) -> Any:
    """A JSON file of at most ``largest`` bytes, without NaN and infinity.

    Raises:
        DataError: the file cannot be read, is larger, or is not JSON.
    """
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
    return to_landmarks(triples)


def to_landmarks(triples: FloatArray) -> FloatArray:
    """Landmarks of another order as the 18 of ``KEYPOINT_NAMES``; one that was not found has zeros.

    Args:
        triples: (J, 3) x, y, confidence: J = 13 (GASM: head, then COCO's shoulders to ankles), 17 (COCO), 18 or 25 (BODY_25).

    Returns:
        (18, 3) float64. Of 13 and 17 the neck is the mean of the shoulders, where both were found; of 13 the nose is the
        head, and eyes and ears were not found.

    Raises:
        DataError: J is another number.
    """
    count = len(triples)
    if count != 13 and count not in _ORDERS:
        raise DataError(f"expected 13, 17, 18 or 25 landmarks, got {count}")
    found = np.where((triples[:, 2] > 0)[:, None], triples, 0.0)
    landmarks = np.zeros((18, 3))
    order = list(_HEAD_13 if count == 13 else _ORDERS[count])
    landmarks[: len(order)] = found[order]
    if count in (13, 17):
        shoulders = found[5:7] if count == 17 else found[1:3]
        landmarks[_NECK] = shoulders.mean(axis=0) if (shoulders[:, 2] > 0).all() else 0.0
    return landmarks
