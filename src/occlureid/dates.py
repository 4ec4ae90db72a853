"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["date_text"]

_YEAR = 31_556_952
"""Seconds of a mean year."""


def date_text(seconds: float) -> str:
    """The date and time in UTC, as 2026-01-31T14:05:00Z; the year alone where it is beyond those of a calendar.

    Args:
        seconds: since 1970, finite.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"the year {1970 + seconds / _YEAR:.0f}"
