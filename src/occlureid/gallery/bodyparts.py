"""Names and places of the parts that a gallery's descriptors have, in ``regions.json`` beside its tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from occlureid.errors import DataError, OcclureidError
from occlureid.ids import check_id
from occlureid.types import Region

__all__ = ["BodyParts", "read_parts", "write_parts"]

_FILE = "regions.json"
_MOST_BYTES = 2**20
_LONGEST = 100
"""Characters of a name."""


@dataclass(frozen=True, slots=True)
class BodyParts:
    """The K parts of a method, from head to feet.

    Attributes:
        names: one a part; empty where none are known.
        regions: where they lie, one a part; empty where that is not fixed, as for parts that follow the person's outline.
    """

    names: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()

    @classmethod
    def of(cls, names: Sequence[str], regions: Sequence[Region], count: int) -> BodyParts:
        """Names, as people write them, and regions; each only if there is one for each of ``count`` parts."""
        plain = tuple(name.replace("_", " ") for name in names)
        return cls(plain if len(plain) == count else (), tuple(regions) if len(regions) == count else ())

    def labels(self, count: int) -> list[str]:
        """A name for each of ``count`` parts: numbers where none are known."""
        return list(self.names) or [f"part {number}" for number in range(1, count + 1)]


def write_parts(folder: Path, parts: BodyParts) -> None:
    """Keeps the parts for those who search without weights; no file where nothing is known of them."""
    placed: Sequence[dict[str, Any]] = [asdict(region) for region in parts.regions]
    records = [
        {**place, "name": name} for place, name in zip(placed or [{}] * len(parts.names), parts.names, strict=True)
    ]
    if records:
        (folder / _FILE).write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def read_parts(folder: Path, count: int) -> BodyParts:
    """The parts of a gallery of ``count`` parts; empty where there is no file.

    Raises:
        DataError: the file says something else, or a name has characters that are not shown.
    """
    path = folder / _FILE
    if not path.is_file():
        return BodyParts()
    try:
        return _read(path, count)
    except DataError as error:
        raise DataError(f"{error}; without this file parts are shown as numbers") from error


def _read(path: Path, count: int) -> BodyParts:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"expected at most {_MOST_BYTES} bytes")
        records = json.loads(path.read_text(encoding="utf-8"))
        names = tuple(record["name"] for record in records)
        regions = tuple(Region(**record) for record in records if record.keys() != {"name"})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OcclureidError) as error:
        raise DataError(f"{path}: cannot be read as the places of parts ({error})"[:400]) from error
    if len(names) != count or len(regions) not in (0, count):
        raise DataError(
            f"{path}: expected the names and the places of parts, {count} of each, got {len(names)} and {len(regions)}"
        )
    if not all(isinstance(name, str) and 0 < len(name) <= _LONGEST for name in names):
        raise DataError(f"{path}: names of the places of parts must be texts of 1 to {_LONGEST} characters")
    for number, name in enumerate(names, start=1):
        check_id(f"{path}: the places of parts: name {number}", name)
    return BodyParts(names, regions)
