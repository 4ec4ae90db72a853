"""What a gallery holds of an item beside its descriptor, many of them as columns, and which of them a question is about."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from occlureid.dates import date_text
from occlureid.errors import DataError

__all__ = ["Box", "Columns", "Filter", "Item"]

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the source image, origin top left."""

LIMITS = {"id": 200, "camera": 200, "person": 200, "source": 2000}
"""The most characters of each text of an item."""

THUMBNAIL_BYTES = 1 << 20
"""The most bytes of a thumbnail."""

FARTHEST = 1e11
"""The largest time, in seconds before or after 1970 (some 3000 years)."""

_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class Item:
    """One crop of one person in a gallery, without its descriptor.

    Attributes:
        id: names the item; unique in its gallery, 1 to 200 characters.
        camera: where it was seen, 1 to 200 characters.
        person: who it is, where that is known.
        time: when it was taken, in seconds since 1970 UTC, where that is known.
        source: the picture or film that it was cut from, as text; never opened.
        box: (x0, y0, x1, y1) of the crop in pixels of the source, x0 < x1 and y0 < y1.
        thumbnail: a JPEG file of at most 1 MiB to show.

    Raises:
        DataError: a text is empty, too long or has control characters, a number is not finite, the box has no area,
            or the thumbnail is not a JPEG file. Texts are compared as they are: no case or accent is folded.
    """

    id: str
    camera: str
    person: str | None = None
    time: float | None = None
    source: str | None = None
    box: Box | None = None
    thumbnail: bytes | None = None

    def __post_init__(self) -> None:
        for name, limit in LIMITS.items():
            _check_text(name, getattr(self, name), limit, required=name in ("id", "camera"))
        if self.time is not None:
            object.__setattr__(self, "time", _checked_number("time", self.time, FARTHEST))
        if self.box is not None:
            object.__setattr__(self, "box", _checked_box(self.box))
        if self.thumbnail is not None:
            _check_thumbnail(self.thumbnail)


def _check_text(name: str, value: object, limit: int, *, required: bool) -> None:
    if value is None and not required:
        return
    if not isinstance(value, str) or not 1 <= len(value) <= limit:
        shown = repr(value)[:60]
        raise DataError(f"{name} must be a text of 1 to {limit} characters, got {shown}")
    # Cc control, Cs lone surrogate (cannot be written as UTF-8), Zl and Zp line ends
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in value):
        raise DataError(f"{name} must not hold control characters or line ends, got {value[:60]!r}")


def _checked_number(name: str, value: object, limit: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= limit:
        raise DataError(f"{name} must be a finite number of at most {limit:g}, got {value!r}"[:200])
    return float(value)


def _checked_box(box: object) -> Box:
    if not isinstance(box, Sequence) or isinstance(box, str | bytes) or len(box) != 4:
        raise DataError(f"box must be four numbers x0, y0, x1, y1, got {box!r}"[:200])
    x0, y0, x1, y1 = (_checked_number("box", value, 1e6) for value in box)
    if not (x0 < x1 and y0 < y1):
        raise DataError(f"box must satisfy x0 < x1 and y0 < y1, got {(x0, y0, x1, y1)}")
    return x0, y0, x1, y1


def _check_thumbnail(data: object) -> None:
    if not isinstance(data, bytes) or not data.startswith(_JPEG):
        raise DataError("thumbnail must be the bytes of a JPEG file")
    if len(data) > THUMBNAIL_BYTES:
        raise DataError(f"thumbnail must have at most {THUMBNAIL_BYTES} bytes, got {len(data)}")


@dataclass(frozen=True, eq=False, slots=True)
class Columns:
    """What a scan needs of N items beside their vectors, in one order.

    Attributes:
        rows: (N,) uint64, the store's own number of each item: never used twice, growing in the order of adding, and the
            same for as long as the item is there, whatever is compacted.
        ids: (N,) texts.
        cameras: (N,) texts.
        persons: (N,) texts, null where not known.
        times: (N,) float64 seconds since 1970, NaN where not known.
    """

    rows: NDArray[np.uint64]
    ids: pa.Array
    cameras: pa.Array
    persons: pa.Array
    times: NDArray[np.float64]

    def __post_init__(self) -> None:
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) > 1:
            raise DataError(f"columns must be of one length, got {lengths}")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice | NDArray[Any]) -> Columns:
        """The columns of some of the items: a slice, (N,) bool, or whole numbers in any order."""
        if isinstance(index, slice):
            index = np.arange(len(self))[index]
        where = np.flatnonzero(index) if index.dtype == np.bool_ else index.astype(np.int64)
        taken = pa.array(where)
        return Columns(
            self.rows[where],
            self.ids.take(taken),
            self.cameras.take(taken),
            self.persons.take(taken),
            self.times[where],
        )

    @classmethod
    def empty(cls) -> Columns:
        """No items."""
        text = pa.array([], pa.string())
        return cls(np.empty(0, np.uint64), text, text, text, np.empty(0, np.float64))

    @classmethod
    def cat(cls, pieces: Iterable[Columns]) -> Columns:
        """The items of all pieces, in order."""
        pieces = [cls.empty(), *pieces]
        ids, cameras, persons = (
            pa.concat_arrays([getattr(piece, name) for piece in pieces]) for name in ("ids", "cameras", "persons")
        )
        rows, times = (np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("rows", "times"))
        return cls(rows, ids, cameras, persons, times)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which items a question is about: those that meet every condition that is not None.

    An empty tuple of ``cameras``, ``persons`` or ``ids`` lets nothing pass. Items whose person or time is not known do not
    meet a condition on persons or time.

    Attributes:
        cameras: one of these.
        not_cameras: none of these.
        persons: one of these.
        ids: one of these.
        since: taken at or after this time, in seconds since 1970.
        until: taken before this time, in seconds since 1970.

    Raises:
        DataError: a value is not what an item could have, or ``since`` is not before ``until``.
    """

    cameras: tuple[str, ...] | None = None
    not_cameras: tuple[str, ...] | None = None
    persons: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None
    since: float | None = None
    until: float | None = None

    def __post_init__(self) -> None:
        for name, singular in (("cameras", "camera"), ("not_cameras", "camera"), ("persons", "person"), ("ids", "id")):
            values = getattr(self, name)
            if values is None:
                continue
            if isinstance(values, str) or not isinstance(values, Sequence):
                raise DataError(f"{name} must be a tuple of texts, got {values!r}"[:200])
            for value in values:
                _check_text(singular, value, LIMITS[singular], required=True)
            object.__setattr__(self, name, tuple(values))
        for name in ("since", "until"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _checked_number(name, getattr(self, name), FARTHEST))
        if self.since is not None and self.until is not None and not self.since < self.until:
            raise DataError(f"since must be before until, got {date_text(self.since)} and {date_text(self.until)}")

    @property
    def everything(self) -> bool:
        """Whether every item passes."""
        return all(getattr(self, field.name) is None for field in fields(self))

    def mask(self, columns: Columns) -> NDArray[np.bool_]:
        """(N,) True for the items that pass."""
        passed = np.ones(len(columns), dtype=np.bool_)
        for values, column, wanted in (
            (self.cameras, columns.cameras, True),
            (self.not_cameras, columns.cameras, False),
            (self.persons, columns.persons, True),
            (self.ids, columns.ids, True),
        ):
            if values is not None:
                found = pc.is_in(column, value_set=pa.array(values, pa.string()))
                passed &= np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.bool_) == wanted
        if self.since is not None:
            passed &= columns.times >= self.since  # False for NaN
        if self.until is not None:
            passed &= columns.times < self.until
        return passed

    def sql(self) -> str | None:
        """The same conditions for Lance, every text quoted; None where everything passes."""
        parts = []
        for values, column, negated in (
            (self.cameras, "camera", ""),
            (self.not_cameras, "camera", "NOT "),
            (self.persons, "person", ""),
            (self.ids, "id", ""),
        ):
            if values:
                parts.append(f"{column} {negated}IN ({', '.join(map(quoted, sorted(set(values))))})")
            elif values is not None and not negated:
                parts.append("FALSE")
        if self.since is not None:
            parts.append(f"time >= {_literal(self.since)}")
        if self.until is not None:
            parts.append(f"time < {_literal(self.until)}")
        return " AND ".join(parts) or None


def quoted(text: str) -> str:
    """A text as an SQL literal. In DataFusion's SQL only the quote itself is special, and two of them stand for one."""
    return "'" + text.replace("'", "''") + "'"


def _literal(number: float) -> str:
    if not math.isfinite(number):
        raise DataError(f"a time must be finite, got {number}")
    return f"CAST('{number!r}' AS DOUBLE)"
