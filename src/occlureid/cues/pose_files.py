"""Files of pose tools: the people of one image, or of many by their names or numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from occlureid.cues.json_files import read_json
from occlureid.cues.keypoints import FloatArray, People, shortly
from occlureid.cues.pose_forms import has_seen_flag, is_group, people_of_entries, people_of_group, person_of
from occlureid.errors import DataError

__all__ = [
    "LARGEST_LIST",
    "LARGEST_POSE",
    "PoseList",
    "join_lists",
    "read_image_names",
    "read_people",
    "read_people_list",
    "read_pose",
    "read_pose_list",
]

LARGEST_POSE = 4 * 2**20
"""Bytes of the largest JSON file of one image that is read."""

LARGEST_LIST = 512 * 2**20
"""Bytes of the largest JSON file of many images that is read."""


@dataclass(frozen=True, slots=True)
class PoseList:
    """The people of many images, as one file lists them.

    Attributes:
        people: by the image's name in the file; of results that number their images, by the number as text. Images without
            anybody are not in it.
        numbered: the keys of ``people`` that are numbers of images.
        names: the file name of each image number, where the file has COCO's "images".
    """

    people: Mapping[str, People]
    numbered: frozenset[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)


def read_pose(path: Path) -> FloatArray:
    """The landmarks of the people of one image; as ``read_people``.

    Returns:
        (P, 18, 3) float64, in the file's order of people; P may be 0.

    Raises:
        DataError: as ``read_people``.
    """
    return read_people(path).landmarks


def read_people(path: Path) -> People:
    """The people of one image.

    Forms: OpenPose's and AlphaPose's "open" ``{"people": [{"pose_keypoints_2d": [...]}]}`` ("pose_keypoints" before OpenPose
    1.2), AlphaPose's "cmu" ``{"bodies": [{"joints": [...]}]}``; one person ``{"keypoints": [...]}`` or a list of such objects, as
    COCO's tools, OpenPifPaf and KPR (with "is_target") write; pairs with "keypoint_scores", as MMPose 1.x does. Accepts 17
    landmarks (COCO), 18 (OpenPose's COCO model), 25 (BODY_25), 26 and 136 (Halpe) and 133 (COCO-WholeBody).

    Raises:
        DataError: the file is missing, too large, or not of this form; the file and the person are named.
    """
    content = read_json(path, LARGEST_POSE)
    if isinstance(content, dict) and "keypoints" in content:
        content = [content]
    if isinstance(content, list):
        return people_of_entries(content, str(path))
    if not is_group(content):
        raise DataError(f'{path}: expected a JSON object with a list "people", got {shortly(content)}')
    return people_of_group(content, str(path))


def read_pose_list(path: Path) -> dict[str, FloatArray]:
    """The landmarks of the people of many images; as ``read_people_list``.

    Returns:
        (P, 18, 3) float64 for each image, in the file's order of people; images without anybody are not in it. The key is the
        ``file_name`` of annotations; else the ``image_id``, a number as text.

    Raises:
        DataError: as ``read_people_list``.
    """
    return {image: people.landmarks for image, people in read_people_list(path).people.items()}


def read_people_list(path: Path) -> PoseList:
    """The people of many images.

    Forms: AlphaPose's default and COCO's results, ``[{"image_id": ..., "keypoints": [...], "score": ...}]``; AlphaPose's "open"
    and "cmu", an object with what ``read_people`` reads for each image; and COCO's annotations, ``{"images": [{"id": ...,
    "file_name": ...}], "annotations": [{"image_id": ..., "keypoints": [...]}]}``, whose flag 2 (seen) is confidence 1, and
    whose flags 1 (hidden) and 0 are confidence 0. The annotations may be left out, or have no landmarks.

    Raises:
        DataError: the file is missing, too large, or not of this form; the file and the entry (from 0) are named.
    """
    content = read_json(path, LARGEST_LIST)
    names: dict[object, str] | None = None
    if isinstance(content, dict):
        if isinstance(content.get("annotations"), list):
            names = _coco_names(content.get("images"), path)
            content = content["annotations"]
        elif isinstance(content.get("images"), list):
            names, content = _coco_names(content["images"], path), []
        elif all(is_group(value) for value in content.values()):
            found = {image: people_of_group(value, f"{path}: {image[:80]!r}") for image, value in content.items()}
            return PoseList({image: people for image, people in found.items() if len(people.landmarks)})
    if not isinstance(content, list):
        raise DataError(f"{path}: expected a JSON list, one object a person, got {shortly(content)}")
    people: dict[str, list[tuple[FloatArray, bool]]] = {}
    numbers: set[str] = set()
    seen = names is None and any(has_seen_flag(entry) for entry in content)
    for number, entry in enumerate(content):
        image, numbered = _image_of(entry, names, f"{path}: entry {number}")
        where = f"{path}: entry {number} ({image[:80]!r})"
        found_person = person_of(entry, where, flags=names is not None, seen=seen)
        if found_person is not None:
            people.setdefault(image, []).append(found_person)
            if numbered:
                numbers.add(image)
    return PoseList(
        {image: _together(found) for image, found in people.items()},
        frozenset(numbers),
        {str(key): name for key, name in (names or {}).items()},
    )


def read_image_names(path: Path) -> dict[str, str]:
    """The file name of each image number of a file with COCO's "images"; empty for a file without them.

    Raises:
        DataError: the file cannot be read, or its images are not of COCO's form.
    """
    content = read_json(path, LARGEST_LIST)
    images = content.get("images") if isinstance(content, dict) else None
    return {str(key): name for key, name in _coco_names(images, path).items()} if isinstance(images, list) else {}


def join_lists(files: list[tuple[Path, PoseList]]) -> dict[str, tuple[Path, People]]:
    """The people of several lists as one, by file name where one of them has the name of a number.

    Returns:
        For each image the file that names it, and its people.

    Raises:
        DataError: two of them name the same image, or give a number two names.
    """
    names: dict[str, str] = {}
    for path, listed in files:
        for number, name in listed.names.items():
            if names.setdefault(number, name) != name:
                raise DataError(
                    f"{path}: the image {number} is {name[:80]!r} here and {names[number][:80]!r} in a file beside it"
                )
    joined: dict[str, tuple[Path, People]] = {}
    for path, listed in files:
        for key, people in listed.people.items():
            image = names.get(key, key) if key in listed.numbered else key
            other = joined.get(image)
            if other and other[1].landmarks.any() and people.landmarks.any():
                raise DataError(
                    f"{path}: {image[:80]!r} has poses in {other[0].name} too, beside it; keep one of the two files, or put them "
                    "into folders of their own"
                )
            if other is None or people.landmarks.any():
                joined[image] = path, people
    return joined


def _image_of(entry: Any, names: Mapping[object, str] | None, where: str) -> tuple[str, bool]:
    """The name of an entry's image, or its number as text, and whether it is a number."""
    image = entry.get("image_id") if isinstance(entry, dict) else None
    numbered = False
    if names is None:
        # AlphaPose names the file; COCO's results number the image, and always score the person.
        numbered = type(image) is int and isinstance(entry.get("score"), int | float)
        image = str(image) if numbered else image
    elif type(image) in (int, str):
        image = names.get(image)
    if not isinstance(image, str) or (names is None and "keypoints" not in entry):
        raise DataError(f'{where} needs an "image_id" (text) and "keypoints", got {shortly(entry)}')
    return image, numbered


def _coco_names(images: Any, path: Path) -> dict[object, str]:
    """The file name of each image number of a COCO file of annotations."""
    if not isinstance(images, list):
        raise DataError(f'{path}: COCO annotations need a list "images", got {shortly(images)}')
    names: dict[object, str] = {}
    numbers: dict[str, object] = {}
    for number, image in enumerate(images):
        key, name = (image.get("id"), image.get("file_name")) if isinstance(image, dict) else (None, None)
        if type(key) not in (int, str) or not isinstance(name, str) or key in names:
            raise DataError(f'{path}: image {number} needs an "id" of its own and a "file_name", got {shortly(image)}')
        if name in numbers:
            raise DataError(
                f"{path}: the images {numbers[name]!r} and {key!r} have one file_name, {name[:80]!r}; give each its path below "
                "the folder of images"
            )
        names[key], numbers[name] = name, key
    return names


def _together(found: list[tuple[FloatArray, bool]]) -> People:
    return People(np.stack([person for person, _ in found]), np.array([target for _, target in found]))
