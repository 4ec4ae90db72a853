"""What is true of each image of a rendered world: ``truth.jsonl``, checked value by value."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlureid.data.strays import stray
from occlureid.errors import DataError
from occlureid.types import KEYPOINT_NAMES

__all__ = ["TRUTH_FILE", "OtherPerson", "TruthRecord", "read_truth"]

TRUTH_FILE = "truth.jsonl"
"""Beside the split folders of a rendered world: one JSON object an image."""

Array = NDArray[np.float64]

# A crowd of forty people, each with landmarks, is far below this; a line without end would fill the memory.
_LONGEST_LINE = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class OtherPerson:
    """Somebody else in an image.

    Attributes:
        person: identity, as text like that of a sample.
        landmarks: (18, 3) float64 x, y in pixels and 1 where visible, else 0.
        pixels: how many pixels of the image show this person and what this person carries, or None where it is not told.
    """

    person: str
    landmarks: Array
    pixels: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TruthRecord:
    """What is true of one image; None (or empty) where the file does not tell.

    Attributes:
        path: of the image, relative to the world's root, with ``/``.
        line: of the file, from 1.
        person: identity. camera: where; both as in the image's file name.
        visible_fraction: the part of the person's silhouette that the image shows, in [0, 1].
        part_visible_fractions: the same for each part by name, in [0, 1]; None for a part that the person itself hides wholly.
        obstacle: what hides the person ("none", "car", ..., "person", "border").
        heading: radians in (-pi, pi]; 0 faces the camera, +pi/2 the right edge of the image.
        landmarks: (18, 3) float64 x, y in pixels and 1 where the landmark is visible, else 0; exact also where it is hidden
            or outside the image.
        self_occluded: (18,) bool counted as visible, but on the far side of the person's own body.
        box: what the box was put around: the "whole" person or the "visible" part.
        scale: the resolution that the camera saw, as a share of the image's, in [0, 1].
        size: height and width of the image in pixels.
        pixels: how many pixels of the image show the person, and what the person carries.
        others: other people in the image; the first has the value 2 in its mask, the next 3, ...
    """

    path: str
    line: int
    person: str | None = None
    camera: str | None = None
    visible_fraction: float | None = None
    part_visible_fractions: Mapping[str, float | None] = field(default_factory=dict)
    obstacle: str | None = None
    heading: float | None = None
    landmarks: Array | None = None
    self_occluded: NDArray[np.bool_] | None = None
    box: str | None = None
    scale: float | None = None
    size: tuple[int, int] | None = None
    pixels: int | None = None
    others: tuple[OtherPerson, ...] = ()


def read_truth(root: Path | str) -> dict[str, TruthRecord]:
    """The truth of every image that ``truth.jsonl`` describes, by the image's path relative to ``root``, with ``/``.

    A line must have a ``path``; every other key of ``TruthRecord`` may be absent or null, and is checked where it is there.
    Further keys are not read.

    Args:
        root: of the world.

    Raises:
        DataError: the file is missing or cannot be read, a line is not one JSON object, repeats an image, or a value is
            not what it must be; the line is named, from 1.
    """
    path = Path(root) / TRUTH_FILE
    found: dict[str, TruthRecord] = {}
    for record in _records(path):
        if record.path in found:
            earlier = found[record.path].line
            stray(DataError(f"{path}:{record.line}: {record.path} was already described in line {earlier}"))
            continue
        found[record.path] = record
    return found


def _records(path: Path) -> Iterator[TruthRecord]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), ""), start=1):
                try:
                    yield _record(line, number, f"{path}:{number}")
                except DataError as error:
                    stray(error)
    except FileNotFoundError as error:
        raise DataError(f"{path}: the layout 'synthetic' needs this file; a rendered world has it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _record(line: str, number: int, where: str) -> TruthRecord:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: expected one JSON object, got {line[:60]!r} ({error})") from error
    if not isinstance(record, dict) or not isinstance(record.get("path"), str):
        raise DataError(f"{where}: expected a JSON object with a path, got {line[:60]!r}")
    take = _Values(record, where)
    return TruthRecord(
        path=record["path"],
        line=number,
        person=take.text("person"),
        camera=take.text("camera"),
        visible_fraction=take.number("visible_fraction", 0.0, 1.0),
        part_visible_fractions=take.shares("part_visible_fractions"),
        obstacle=take.text("obstacle"),
        heading=take.number("heading", -math.pi - 1e-5, math.pi + 1e-5),
        landmarks=take.landmarks("landmarks"),
        self_occluded=take.flags("self_occluded"),
        box=take.text("box"),
        scale=take.number("scale", 0.0, 1.0),
        size=take.size("size"),
        pixels=take.count("pixels"),
        others=take.others("others"),
    )


class _Values:
    """Typed values out of one JSON object that anybody may have written."""

    def __init__(self, record: dict[str, Any], where: str) -> None:
        self._record, self._where = record, where

    def _wrong(self, key: str, expected: str) -> DataError:
        return DataError(f"{self._where}: {key} must be {expected}, got {reprlib.repr(self._record[key])}")

    def text(self, key: str) -> str | None:
        value = self._record.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "text")
        return value

    def number(self, key: str, low: float, high: float) -> float | None:
        value = self._record.get(key)
        if value is None:
            return None
        if not _is_number(value) or not low <= value <= high:
            raise self._wrong(key, f"a number in [{low:.6g}, {high:.6g}]")
        return float(value)

    def count(self, key: str) -> int | None:
        value = self._record.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31):
            raise self._wrong(key, "a count")
        return value

    def size(self, key: str) -> tuple[int, int] | None:
        value = self._record.get(key)
        if value is None:
            return None
        numbers = isinstance(value, list) and len(value) == 2 and all(type(v) is int and 0 < v < 2**31 for v in value)
        if not numbers:
            raise self._wrong(key, "[height, width] in pixels")
        return value[0], value[1]

    def shares(self, key: str) -> dict[str, float | None]:
        value = self._record.get(key)
        if value is None:
            return {}
        good = isinstance(value, dict) and all(v is None or (_is_number(v) and 0 <= v <= 1) for v in value.values())
        if not good:
            raise self._wrong(key, "an object of numbers in [0, 1] or null")
        return dict(value)

    def landmarks(self, key: str) -> Array | None:
        value = self._record.get(key)
        if value is None:
            return None
        array = _array(value, (len(KEYPOINT_NAMES), 3))
        if array is None or not np.isin(array[:, 2], (0.0, 1.0)).all():
            raise self._wrong(key, f"{len(KEYPOINT_NAMES)} lists of x, y and 0 or 1")
        return array

    def flags(self, key: str) -> NDArray[np.bool_] | None:
        value = self._record.get(key)
        if value is None:
            return None
        array = _array(value, (len(KEYPOINT_NAMES),))
        if array is None or not np.isin(array, (0.0, 1.0)).all():
            raise self._wrong(key, f"a list of {len(KEYPOINT_NAMES)} times 0 or 1")
        return array > 0

    def others(self, key: str) -> tuple[OtherPerson, ...]:
        value = self._record.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(key, "a list of objects")
        found = []
        for number, item in enumerate(value, start=1):
            take = _Values(item, f"{self._where}: person {number} of {key}")
            person, landmarks = take.text("person"), take.landmarks("landmarks")
            if person is None or landmarks is None:
                raise self._wrong(key, "a list of objects with person and landmarks")
            found.append(OtherPerson(person, landmarks, take.count("pixels")))
        return tuple(found)


def _is_number(value: object) -> bool:
    """Whether a JSON value is a number (true and false are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _array(value: object, shape: tuple[int, ...]) -> Array | None:
    """Finite numbers of the shape, or None; text is not taken for the number that it may spell."""
    try:
        array = np.array(value)
    except (ValueError, RecursionError, OverflowError):
        return None
    if array.dtype.kind not in "if" or array.shape != shape:
        return None
    numbers = array.astype(np.float64)
    return numbers if bool(np.isfinite(numbers).all()) else None
