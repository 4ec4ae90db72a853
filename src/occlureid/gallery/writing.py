"""The steps that changing a gallery is made of; one writer at a time takes them, see ``store.Gallery``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from occlureid.errors import DiskFullError, OcclureidError
from occlureid.gallery.audit import AuditLog
from occlureid.gallery.checksums import MAP_SUM, VECTOR_SUM
from occlureid.gallery.flush import Flusher
from occlureid.gallery.layout import Shape
from occlureid.gallery.lock import only_writer
from occlureid.gallery.maps import Maps
from occlureid.gallery.place import Place
from occlureid.gallery.reading import GalleryReader
from occlureid.gallery.records import Item
from occlureid.gallery.reserve import Reserve, said_if_full
from occlureid.gallery.retention import Expiry, check_age, expiry
from occlureid.gallery.rows import ROW
from occlureid.gallery.table import ROWS_PER_FILE, Table
from occlureid.types import Descriptor

__all__ = ["AddResult", "GalleryWriter"]

_SMALL_FILES = 64
_KEPT_FOR_READERS = 600.0
_EXPIRE_EVERY = 3600.0


@dataclass(frozen=True, slots=True)
class AddResult:
    """Result of adding.

    Attributes:
        added: items that are new.
        present: items whose id was there already; those were left as they are.
        version: of the gallery, which has all of them.
        expired: older items that expired meanwhile.
        overdue: older items that did not, because that is in doubt; ``Gallery.expiring`` says why.
    """

    added: int
    present: int
    version: int
    expired: int = 0
    overdue: int = 0

    def __add__(self, later: AddResult) -> AddResult:
        """Both together."""
        return AddResult(
            self.added + later.added,
            self.present + later.present,
            later.version,
            self.expired + later.expired,
            max(self.overdue, later.overdue),
        )


class GalleryWriter(GalleryReader):
    """The inner half of ``Gallery``.

    Attributes:
        audit: the log of who did what.
    """

    def __init__(
        self, place: Place, shape: Shape, audit: Path | str | None, clock: Callable[[], float], patience: float
    ) -> None:
        self._flush = Flusher(place.folder)
        local = shape.local_size
        maps = Maps(Table(place.maps, self._flush), local) if local is not None else None
        super().__init__(place, shape, Table(place.items, self._flush), maps)
        self._clock = clock
        self._patience = patience
        self._expired_at = -np.inf
        self._reserve = Reserve(place.folder)
        self.audit = AuditLog(place.audit_path(audit), bytes.fromhex(shape.key), clock)

    @property
    def _tables(self) -> list[Table]:
        return [self._items] if self._maps is None else [self._maps.table, self._items]

    def _add(self, items: Sequence[Item], descriptor: Descriptor, by: str, added: Sequence[float]) -> AddResult:
        self.shape.check(items, descriptor)
        check_age(items, added, self.shape.retention, self._clock())
        with only_writer(self._place.folder, self._patience) as alone:
            expired, overdue = self._expire_if_due(by, alone)
            present = set(self._rows_of([item.id for item in items])[1])
            new = [index for index, item in enumerate(items) if item.id not in present]
            if not new:
                self._flush()  # they may be another writer's, who was killed before it came to that
                return AddResult(0, len(items), self.version, expired, overdue)
            version = self._put([items[i] for i in new], descriptor[new], [added[i] for i in new], by, alone)
            with suppress(DiskFullError):  # what was added is there
                self._compact_if_due(alone)
            self._reserve.keep(*self._tables)
            return AddResult(len(new), len(items) - len(new), version, expired, overdue)

    def _put(self, items: Sequence[Item], vectors: Descriptor, added: Sequence[float], by: str, alone: bool) -> int:
        ids = [item.id for item in items]
        rows = self.shape.item_table(items, vectors, added, sealed=self._items.has(VECTOR_SUM))
        with said_if_full(self._place.folder, "Nothing was added.", 2 * rows.nbytes):
            try:
                self.audit.write(by, "add", state="begun", count=len(items), ids=ids)
                if self._maps is not None:
                    sealed = self._maps.table.has(MAP_SUM)
                    self._maps.put(ids, self.shape.map_table(items, vectors, sealed=sealed))
                version = self._items.append(rows)
                if not alone:
                    self._drop_doubles(ids)
                self.audit.write(by, "add", count=len(items), ids=ids)
            except (OSError, OcclureidError):
                self._sweep(alone)
                raise
        return version

    def _sweep(self, alone: bool) -> None:
        """Takes away what a failed step has left; the gallery is as it was either way."""
        for table in self._tables:
            with suppress(OSError, OcclureidError):
                table.clear(older_than=_KEPT_FOR_READERS, alone=alone)

    def _expire_if_due(self, by: str, alone: bool) -> tuple[int, int]:
        """Number of items that expired, and of those that did not because that is in doubt."""
        if self.shape.retention is None or abs(self._clock() - self._expired_at) < _EXPIRE_EVERY:
            return 0, 0
        found = expiry(self._items, self.shape.retention, self._clock())
        if found.doubt is None:
            return self._expire(found, by, alone), 0
        self._expired_at = self._clock()
        return 0, len(found)

    def _expire(self, found: Expiry, by: str, alone: bool) -> int:
        self._expired_at = self._clock()
        return self._erased(found.rows, found.ids, "expire", by, alone) if len(found) else 0

    def _erased(
        self, rows: NDArray[np.uint64], ids: Sequence[str], action: str, by: str, alone: bool | None = None
    ) -> int:
        """Deletes rows and, where it is known whether nobody else writes, takes their bytes off the disk."""

        def work(frugal: bool) -> int:
            self.audit.write(by, action, state="begun", count=len(ids), ids=ids)
            # The item first: one without its map would be asked for, a map without its item never is
            self._items.delete(rows)
            if self._maps is not None:
                self._maps.delete(ids)
            self._flush()
            if alone is not None:
                self._clear(alone, frugal=frugal)
            self.audit.write(by, action, count=len(ids), ids=ids)
            return len(ids)

        what = f"It cannot be said that the {len(ids)} items are gone."
        with said_if_full(self._place.folder, what, self._reserve.needed(*self._tables)):
            try:
                return self._reserve.spent_if_full(work)
            finally:
                self._reserve.keep(*self._tables)

    def _clear(self, alone: bool, *, frugal: bool = False) -> None:
        """Leaves on disk only what the gallery holds now; on a full disk file by file, what interrupted steps left first."""
        if frugal:
            for table in self._tables:
                table.clear(older_than=0, alone=alone)
        if self._maps is not None and alone:
            self._maps.delete_others(self._items)
        for table in self._tables:
            clear = partial(table.clear, older_than=0, alone=alone)
            table.compact(after_each=clear if frugal else None)
            clear()

    def _compact_if_due(self, alone: bool) -> None:
        fragments = self._items.latest().get_fragments()
        if sum(fragment.metadata.num_rows < ROWS_PER_FILE // 2 for fragment in fragments) <= _SMALL_FILES:
            return
        for table in reversed(self._tables):
            table.compact()
            table.clear(older_than=_KEPT_FOR_READERS, alone=alone)

    def _drop_doubles(self, ids: Sequence[str]) -> None:
        """Delete the later of two rows of one id, which two writers without locks may have added at the same moment.

        Whoever comes second sees the first one's row, so one of the two always cleans up.
        """
        found = self._found(ids, ["id"])
        order = np.argsort(found.column(ROW).to_numpy())
        first: set[str] = set()
        doubles = []
        for row, one in zip(found.column(ROW).to_numpy()[order], np.array(found.column("id"))[order], strict=True):
            if one in first:
                doubles.append(row)
            first.add(one)
        if doubles:
            self._items.delete(np.array(doubles, np.uint64))
