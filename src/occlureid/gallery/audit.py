"""Who did what to a gallery, and when: one JSON line an event, only ever appended, flushed before the event counts as logged.

The log outlives what it is about, so it says nothing of anybody: neither ids nor persons are written in the clear. Each id is
written as a digest under a key that is kept in the gallery: whoever has the gallery and an id finds all events that concern
it, also after the item is erased; from the log alone no id can be read, and guesses cannot be tried without the key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from occlureid.errors import DataError, DiskFullError
from occlureid.gallery.flush import sync
from occlureid.gallery.library import is_full

__all__ = ["AuditLog"]

_FIELDS = ("time", "who", "action", "state", "count", "items")


class AuditLog:
    """The log of one gallery; several processes may append to it.

    Args:
        path: the file, made when the first event is written; its folder must be there.
        key: what digests are made with.
        clock: seconds since 1970.
    """

    def __init__(self, path: Path, key: bytes, clock: Callable[[], float]) -> None:
        self.path = path
        self._key = key
        self._clock = clock

    def digest(self, text: str) -> str:
        """What stands for an id in the log: 16 hexadecimal digits."""
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:16]

    def write(
        self,
        who: str,
        action: str,
        *,
        count: int | None = None,
        ids: Sequence[str] = (),
        state: str = "done",
        **details: str | float | bool | None,
    ) -> None:
        """Appends an event and flushes it to disk.

        Args:
            who: who did it, as the caller knows them: a user name, a token's name, "cli".
            action: "search", "add", ...
            count: how many items it was about.
            ids: the items that it was about; written as digests.
            state: "begun" before something that may be interrupted, "done" after it.
            **details: plain values; the caller sees to it that they name nobody.

        Raises:
            DataError: ``who`` is empty or too long, a detail has the name of a field, or the file cannot be written.
        """
        if not isinstance(who, str) or not 1 <= len(who) <= 200:
            raise DataError(f"who did it must be a text of 1 to 200 characters, got {who!r}"[:300])
        taken = set(details) & set(_FIELDS)
        if taken:
            raise DataError(f"{sorted(taken)} are fields of every event; give the details other names")
        event: dict[str, Any] = {"time": datetime.fromtimestamp(self._clock(), UTC).isoformat(), "who": who}
        event |= {"action": action, "state": state}
        if count is not None:
            event["count"] = count
        if ids:
            event["items"] = [self.digest(one) for one in ids]
        line = (json.dumps(event | details, allow_nan=False) + "\n").encode()
        try:
            self._append(line)
        except OSError as error:
            kind = DiskFullError if is_full(error) else DataError
            raise kind(
                f"{self.path}: the audit log cannot be written ({error.strerror}), and nothing is done without it; --audit FILE "
                "(audit=...) puts it elsewhere"
            ) from error

    def _append(self, line: bytes) -> None:
        new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            end = os.fstat(descriptor).st_size
            # A process that died while it wrote has left half a line: end it, so that this event stands by itself.
            torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
            data = b"\n" + line if torn else line
            if os.write(descriptor, data) != len(data):
                raise OSError(28, "no space left")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if new:
            sync(self.path.parent)

    def read(self, id: str | None = None) -> Iterator[dict[str, Any]]:
        """The events in order; those that concern one item if ``id`` is given.

        A line that cannot be read (half written by a process that died) comes as an event of action "damaged".

        Raises:
            DataError: the file cannot be read.
        """
        wanted = None if id is None else self.digest(id)
        try:
            with self.path.open("rb") as file:
                for line in file:
                    if not line.strip():
                        continue
                    event = _parsed(line)
                    if wanted is None or wanted in event.get("items", ()):
                        yield event
        except FileNotFoundError:
            return
        except OSError as error:
            raise DataError(f"{self.path}: the audit log cannot be read ({error.strerror})") from error


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("items", []), list):
        return {"action": "damaged", "bytes": len(line)}
    return event
