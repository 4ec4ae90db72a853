"""Retention of items: what is too old, what is from the future, and when a clock is not to be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlureid.dates import date_text
from occlureid.errors import DataError
from occlureid.gallery.records import Item
from occlureid.gallery.rows import ROW
from occlureid.gallery.table import Table

__all__ = ["TOLERANCE", "Expiry", "check_age", "expiry", "in_words"]

TOLERANCE = 86_400.0
"""Seconds that an item's time may lie ahead of the clock."""

_SHARE = 0.1


@dataclass(frozen=True, eq=False, slots=True)
class Expiry:
    """Items that would expire now, and what is strange about it.

    Attributes:
        now: seconds since 1970.
        rows: row numbers of items that are older than the gallery keeps items.
        ids: theirs.
        of: how many items there are.
        newest: the latest time of an item, taken or added, None of an empty gallery.
        doubt: why nothing expires unless somebody says that it is right; None where nothing is strange.
        future: ids of items that were taken or added more than a day after ``now``.
    """

    now: float
    rows: NDArray[np.uint64]
    ids: tuple[str, ...]
    of: int
    newest: float | None
    doubt: str | None
    future: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


def check_age(items: Sequence[Item], added: Sequence[float], retention: float | None, now: float) -> None:
    """Raises:
    DataError: an item would expire at once, or lies in the future.
    """  # noqa: D205
    if retention is None:
        return
    for item, when in zip(items, added, strict=True):
        taken = when if item.time is None else item.time
        if not now - retention <= taken <= now + TOLERANCE:
            raise DataError(
                f"item {item.id!r} is of {date_text(taken)}, now is {date_text(now)}: this gallery keeps items for "
                f"{retention / 86_400:g} days; it would expire at once, or lies in the future"
            )


def expiry(items: Table, retention: float | None, now: float) -> Expiry:
    """Find what is older than a gallery keeps items.

    It is in doubt where the clock is ahead of the newest item by more than a tenth of the retention and a day, or where more
    than a tenth of the gallery would go at once: a clock that jumped looks like that.

    Args:
        items: the table of items.
        retention: seconds that items are kept, None for ever.
        now: seconds since 1970.

    Raises:
        DataError: the gallery is damaged.
    """
    found = items.select(["id", "time", "added"])
    added = found.column("added").to_numpy()
    times = found.column("time").to_numpy()
    times = np.where(np.isnan(times), added, times)
    latest = np.maximum(times, added)
    future = latest > now + TOLERANCE
    newest = float(latest[~future].max()) if (~future).any() else None
    old = np.zeros(len(found), np.bool_) if retention is None else times < now - retention
    ids = np.array(found.column("id").to_pylist(), dtype=object)
    doubt = None
    if retention is not None and old.any():
        doubt = _doubt(int(old.sum()), len(found), newest, retention, now)
    return Expiry(
        now, found.column(ROW).to_numpy()[old], tuple(ids[old]), len(found), newest, doubt, tuple(ids[future])
    )


def _doubt(count: int, of: int, newest: float | None, retention: float, now: float) -> str | None:
    reasons = []
    if newest is not None and now - newest > max(TOLERANCE, _SHARE * retention):
        days = (now - newest) / TOLERANCE
        reasons.append(
            f"the clock says {date_text(now)}, which is {days:,.0f} days after the newest item ({date_text(newest)})"
        )
    if count > _SHARE * of:
        reasons.append(f"{count} of {of} items are more than a tenth of the gallery")
    return "; ".join(reasons) or None


def in_words(name: str, value: Any) -> str:
    """A value of a gallery's shape for people: a retention in days."""
    if name != "retention":
        return repr(value)
    return "for ever" if value is None else f"of {value / 86_400:g} days"
