"""One writer at a time in a folder: a lock that the system takes back from a process that dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from occlureid.errors import BusyError, DataError

if sys.platform != "win32":
    import fcntl

__all__ = ["only_writer"]

_LONGEST_PAUSE = 0.05


@contextmanager
def only_writer(folder: Path | None, patience: float) -> Iterator[bool]:
    """Holds a folder's lock; readers do not ask for it.

    Args:
        folder: the folder to lock (no file is made in it); None for a place without locks.
        patience: seconds to wait for another writer.

    Yields:
        Whether this is certainly the only writer. False where there are no locks: object stores, Windows, some network
        file systems.

    Raises:
        BusyError: another writer held the lock all the time.
        DataError: the folder is gone.
    """
    if folder is None or sys.platform == "win32":
        yield False
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise DataError(f"{folder}: cannot be opened for writing ({error.strerror})") from error
    try:
        yield _locked(descriptor, folder, patience)
    finally:
        os.close(descriptor)  # gives the lock back


def _locked(descriptor: int, folder: Path, patience: float) -> bool:
    give_up, pause = time.monotonic() + patience, 0.001
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                raise BusyError(
                    f"{folder}: another process has been writing for {patience:g} seconds; nothing was changed, try again"
                ) from None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        except OSError:
            return False
        else:
            return True
