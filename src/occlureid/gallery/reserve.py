"""Space that erasing needs when the disk is full: a file of the gallery's own that is given up then.

To erase a row, the data file that holds it is written anew without it, and removed only afterwards. On a full disk that would be
impossible just when something must go, so that a gallery keeps as much space as the largest rewrite of one file may take, and
gives it up when an erasure finds the disk full. Galleries in object stores keep none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from occlureid.errors import DiskFullError, OcclureidError
from occlureid.gallery.flush import sync
from occlureid.gallery.library import is_full
from occlureid.gallery.table import ROWS_PER_FILE, Table

__all__ = ["RESERVE", "Reserve", "said_if_full"]

RESERVE = "reserve"
"""Its name in the gallery's folder."""

_MORE = 256 * 1024
"""Bytes for manifests and lines of the audit log."""

_STEP = 1 << 20
T = TypeVar("T")


class Reserve:
    """The reserve of one gallery; only its one writer calls these.

    Args:
        folder: the gallery's, None for an object store.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / RESERVE

    @property
    def bytes(self) -> int:
        """Number of bytes that are kept."""
        return self._path.stat().st_size if self._path is not None and self._path.is_file() else 0

    @staticmethod
    def needed(*tables: Table) -> int:
        """Bytes that rewriting any one data file may take."""
        return _MORE + max(_one_rewrite(table) for table in tables)

    def keep(self, *tables: Table) -> None:
        """Keeps what rewriting any one data file may take; less where the disk has less left."""
        if self._path is None:
            return
        wanted = self.needed(*tables)
        have = self.bytes
        if wanted <= have <= 2 * wanted:
            return
        wanted += wanted // 4  # so that it does not grow with every addition
        try:
            with self._path.open("ab") as file:
                if have > wanted:
                    file.truncate(wanted)
                else:
                    _fill(file.fileno(), have, wanted)
                os.fsync(file.fileno())
            sync(self._path.parent)
        except OSError:
            if not have:
                self.give_up()

    def give_up(self) -> bool:
        """Frees the space.

        Returns:
            Whether there was any.
        """
        if self._path is None or not self._path.is_file():
            return False
        self._path.unlink()
        sync(self._path.parent)
        return True

    def spent_if_full(self, work: Callable[[bool], T]) -> T:
        """Do the work and return its result; where the disk is full, again with the reserve given up, told to be frugal."""
        try:
            return work(False)
        except (OSError, OcclureidError) as error:
            if not is_full(error) or not self.give_up():
                raise
        return work(True)


def _one_rewrite(table: Table) -> int:
    """Bytes of the largest file that compacting may write at once."""
    fragments = table.latest().get_fragments()
    sizes = [sum(file.file_size_bytes or 0 for file in fragment.metadata.files) for fragment in fragments]
    rows = sum(fragment.metadata.physical_rows for fragment in fragments)
    share = sum(sizes) * min(1.0, ROWS_PER_FILE / rows) if rows else 0
    return max([*sizes, int(share)], default=0)


def _fill(file: int, start: int, end: int) -> None:
    """Makes a file longer by bytes that are really there."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, start, end - start)
        return
    while start < end:
        start += os.write(file, bytes(min(_STEP, end - start)))


@contextmanager
def said_if_full(folder: Path | None, what: str, needed: int) -> Iterator[None]:
    """Says what to do where the disk is full.

    Args:
        folder: the gallery's.
        what: what was not done then, as a sentence.
        needed: bytes that it may need.

    Raises:
        DiskFullError: the disk is full.
    """
    try:
        yield
    except (OSError, OcclureidError) as error:
        if not is_full(error):
            raise
        where, free = folder or "the object store", ""
        if folder is not None:
            free = f" ({shutil.disk_usage(folder).free / 1e6:,.1f} MB are left)"
        raise DiskFullError(
            f"{where}: the disk is full{free}. {what} Free about {needed / 1e6:,.0f} MB on that disk, and do the same again"
        ) from error
