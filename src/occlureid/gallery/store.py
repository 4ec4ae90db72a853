"""A gallery on disk: items and descriptors in a Lance table, spatial maps in another, an audit log beside them.

What is promised:

- ``add``, ``remove``, ``erase`` and ``expire`` return when what they did is committed and flushed to disk; a process that is
  killed, or a power cut, at any moment before loses at most what was not acknowledged, and the gallery opens.
- Readers never wait. Writers of a local folder take turns; on an object store, where there are no locks, they repeat what
  collided, and only erasing needs that nobody else writes meanwhile.
- After ``erase`` no file below the folder has a byte of what was erased, old versions and leavings of killed writers
  included. (What a disk keeps in blocks that no file uses any more, and backups, are beyond the reach of a program.)
- ``expire`` counts an item's age from when it was taken, and from when it was added where that is not known. An item that
  would expire at once, or lies more than a day in the future, is refused when it is added.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlureid.errors import DataError
from occlureid.gallery.audit import AuditLog
from occlureid.gallery.exchange import read_parquet
from occlureid.gallery.filling import add_images
from occlureid.gallery.flush import Flusher
from occlureid.gallery.layout import ROW, Block, Shape
from occlureid.gallery.like import DescribesImages, MakesDescriptors, values_of
from occlureid.gallery.lock import only_writer
from occlureid.gallery.maps import Maps
from occlureid.gallery.place import Place, new_folder
from occlureid.gallery.reading import Changes, GalleryReader, GalleryStats
from occlureid.gallery.records import Filter, Item
from occlureid.gallery.table import ROWS_PER_FILE, Table
from occlureid.matching import MatchRule
from occlureid.types import Descriptor

__all__ = ["AddResult", "Block", "Changes", "Gallery", "GalleryStats"]

_SMALL_FILES = 64
_KEPT_FOR_READERS = 600.0
_TOLERANCE = 86_400.0
_EXPIRE_EVERY = 3600.0


@dataclass(frozen=True, slots=True)
class AddResult:
    """What came of adding.

    Attributes:
        added: items that are new.
        present: items whose id was there already; those were left as they are.
        version: of the gallery, which has all of them.
    """

    added: int
    present: int
    version: int


class Gallery(GalleryReader):
    """A gallery of described crops; made by ``create``, or ``open``.

    Attributes:
        shape: fingerprint, rule, sizes and retention; also as attributes of the gallery itself.
        audit: the log of who did what. Searches are written to it by whoever searches.
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
        self.audit = AuditLog(place.audit_path(audit), bytes.fromhex(shape.key), clock)

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        like: MakesDescriptors | None = None,
        fingerprint: str | None = None,
        rule: MatchRule | None = None,
        global_size: int | None = None,
        parts: int | None = None,
        part_size: int | None = None,
        local_size: int | None = None,
        retention: float | None = None,
        audit: Path | str | None = None,
        by: str = "local",
        clock: Callable[[], float] = time.time,
        patience: float = 60.0,
    ) -> Gallery:
        """Makes an empty gallery.

        Args:
            path: a folder that does not exist or is empty, or the URL of an object store ("s3://...").
            like: what describes the items, as a ``Describer``: gives the six values that follow, which are then left out.
            fingerprint: of the model whose descriptors it will hold.
            rule: how the model's descriptors are compared.
            global_size: D.
            parts: K.
            part_size: C.
            local_size: S of spatial maps, None to keep none.
            retention: seconds that items are kept, None for ever.
            audit: the file of the audit log; ``audit.jsonl`` in the folder unless given. An object store cannot append to
                a file, so that a URL needs one on a local disk.
            by: who makes it.
            clock: gives the seconds since 1970.
            patience: seconds to wait for another writer.

        Raises:
            DataError: there is something at ``path`` already (it is not touched), or it cannot be written.
            UsageError: a value is out of range, or the extra ``gallery`` is not installed.
        """
        given = (fingerprint, rule, global_size, parts, part_size, local_size)
        shape = Shape(*values_of(like, given), retention)
        place = Place.of(path)
        place.audit_path(audit)
        with new_folder(place) as made:
            flush = Flusher(made.folder)
            if shape.local_size is not None:
                Table.create(made.maps, shape.map_schema(), flush)
            Table.create(made.items, shape.item_schema(), flush)
        gallery = cls(place, shape, audit, clock, patience)
        gallery.audit.write(by, "create")
        return gallery

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        audit: Path | str | None = None,
        clock: Callable[[], float] = time.time,
        patience: float = 60.0,
    ) -> Gallery:
        """Opens a gallery to read and to write. Opening changes nothing on disk.

        Args:
            path: as given to ``create``.
            audit: as given to ``create``.
            clock: gives the seconds since 1970.
            patience: seconds to wait for another writer.

        Raises:
            DataError: there is no gallery, or it is damaged.
            UsageError: the extra ``gallery`` is not installed.
        """
        place = Place.of(path)
        place.require()
        items = Table(place.items, lambda: None)
        shape = Shape.from_metadata(items.latest().schema.metadata, place.items)
        items.check(place.folder is not None, shape.item_schema())
        if shape.local_size is not None:
            maps = Table(place.maps, lambda: None)
            if Shape.from_metadata(maps.latest().schema.metadata, place.maps) != shape:
                raise DataError(f"{place.maps}: belongs to another gallery than {place.items}")
            maps.check(place.folder is not None, shape.map_schema())
        return cls(place, shape, audit, clock, patience)

    # -- writing -------------------------------------------------------------------------------------------------------

    def add(self, items: Sequence[Item], descriptor: Descriptor, *, by: str) -> AddResult:
        """Adds items that are not there yet; to add the same again changes nothing. All are added, or none.

        Local vectors of a gallery made without ``local_size`` are left out.

        Args:
            items: N items.
            descriptor: of the same N, in the same order.
            by: who adds them.

        Raises:
            FingerprintError: another model made the descriptor.
            ShapeError: it has another shape, or a value that is not finite, out of range or too large for half precision.
            DataError: items and descriptors differ in number, two items have one id, or an item is older than the gallery
                keeps items, or in the future.
            BusyError: another process was writing all the time.
        """
        now = self._clock()
        return self._add(items, descriptor, by, [now] * len(items))

    def add_images(self, images: Iterable[Any], describer: DescribesImages, **options: Any) -> AddResult:
        """Describes images (samples, files, pictures in memory) and adds them, some at a time; see ``filling.add_images``."""
        return AddResult(*add_images(self, images, describer, **options), self.version)

    def _add(self, items: Sequence[Item], descriptor: Descriptor, by: str, added: Sequence[float]) -> AddResult:
        self.shape.check(items, descriptor)
        self._check_age(items, added)
        with only_writer(self._place.folder, self._patience) as alone:
            if self.shape.retention is not None and self._clock() - self._expired_at >= _EXPIRE_EVERY:
                self._expire(self._clock(), by, alone)
            present = set(self._rows_of([item.id for item in items])[1])
            new = [index for index, item in enumerate(items) if item.id not in present]
            if not new:
                self._flush()  # they may be another writer's, who was killed before it came to that
                return AddResult(0, len(items), self.version)
            kept, vectors = [items[i] for i in new], descriptor[new]
            ids = [item.id for item in kept]
            self.audit.write(by, "add", state="begun", count=len(new), ids=ids)
            if self._maps is not None:
                self._maps.put(ids, self.shape.map_table(kept, vectors))
            version = self._items.append(self.shape.item_table(kept, vectors, [added[i] for i in new]))
            if not alone:
                self._drop_doubles(ids)
            self.audit.write(by, "add", count=len(new), ids=ids)
            self._compact_if_due(alone)
            return AddResult(len(new), len(items) - len(new), version)

    def remove(self, ids: Sequence[str], *, by: str) -> int:
        """Takes items out of the gallery at once; their bytes stay on disk until ``compact`` or ``erase``.

        Args:
            ids: those that are not there are passed over.
            by: who removes them.

        Returns:
            How many were there.

        Raises:
            BusyError: another process was writing all the time.
        """
        with only_writer(self._place.folder, self._patience):
            return self._delete(*self._rows_of(ids), "remove", by)

    def erase(self, *, ids: Sequence[str] = (), person: str | None = None, by: str) -> int:
        """Takes items out of the gallery, and their bytes off the disk: vectors, maps, thumbnails, old versions.

        Also what was removed before, by whomever, is off the disk afterwards.

        Args:
            ids: those that are not there are passed over.
            person: also all items of this person.
            by: who erases them.

        Returns:
            How many were there.

        Raises:
            BusyError: another process was writing all the time.
        """
        condition = Filter(persons=(person,)) if person is not None else None
        with only_writer(self._place.folder, self._patience) as alone:
            rows, found = self._rows_of(ids)
            if condition is not None:
                theirs = self.columns(condition)
                rows, found = np.union1d(rows, theirs.rows), sorted({*found, *theirs.ids.to_pylist()})
            count = self._delete(rows, found, "erase", by, done=lambda: self._clear(alone))
            return count

    def expire(self, now: float | None = None, *, by: str) -> int:
        """Erases what is older than the gallery keeps items. ``add`` does so too, once an hour.

        Args:
            now: seconds since 1970, by the gallery's clock unless given.
            by: who lets them expire.

        Returns:
            How many expired; 0 for a gallery without retention.

        Raises:
            BusyError: another process was writing all the time.
        """
        with only_writer(self._place.folder, self._patience) as alone:
            return self._expire(self._clock() if now is None else now, by, alone)

    def compact(self) -> None:
        """Joins small files, and takes removed items and old versions off the disk.

        Raises:
            BusyError: another process was writing all the time.
        """
        with only_writer(self._place.folder, self._patience) as alone:
            self._clear(alone)

    def import_parquet(self, path: Path | str, *, by: str) -> AddResult:
        """Adds what ``export_parquet`` wrote, also from a gallery of another place or retention, in batches.

        Args:
            path: the file.
            by: who adds it.

        Returns:
            What came of it all. If it fails half way, the batches before are in the gallery; to import again adds the rest.

        Raises:
            FingerprintError: the file is of another model.
            DataError: the file is damaged, hostile or of another shape; the item concerned is named where there is one.
        """
        added = present = 0
        version = self.version
        for items, descriptor, times in read_parquet(Path(path), self.shape, self._clock()):
            result = self._add(items, descriptor, by, times)
            added, present, version = added + result.added, present + result.present, result.version
        return AddResult(added, present, version)

    def _check_age(self, items: Sequence[Item], added: Sequence[float]) -> None:
        if self.shape.retention is None:
            return
        now = self._clock()
        for item, when in zip(items, added, strict=True):
            taken = when if item.time is None else item.time
            if not now - self.shape.retention <= taken <= now + _TOLERANCE:
                raise DataError(
                    f"item {item.id!r} is of time {taken:.0f}, now is {now:.0f}: this gallery keeps items for "
                    f"{self.shape.retention:g} seconds; it would expire at once, or lies in the future"
                )

    def _expire(self, now: float, by: str, alone: bool) -> int:
        if self.shape.retention is None:
            return 0
        self._expired_at = self._clock()
        oldest = f"CAST('{now - self.shape.retention!r}' AS DOUBLE)"
        found = self._items.select(["id"], f"COALESCE(time, added) < {oldest}")
        if not len(found):
            return 0
        ids = found.column("id").to_pylist()
        return self._delete(found.column(ROW).to_numpy(), ids, "expire", by, done=lambda: self._clear(alone))

    def _delete(
        self,
        rows: NDArray[np.uint64],
        ids: Sequence[str],
        action: str,
        by: str,
        done: Callable[[], None] = lambda: None,
    ) -> int:
        self.audit.write(by, action, state="begun", count=len(ids), ids=ids)
        # The item first: one without its map would be asked for, a map without its item never is
        self._items.delete(rows)
        if self._maps is not None:
            self._maps.delete(ids)
        self._flush()
        done()
        self.audit.write(by, action, count=len(ids), ids=ids)
        return len(ids)

    def _clear(self, alone: bool) -> None:
        """Leaves on disk only what the gallery holds now."""
        if self._maps is not None:
            if alone:
                self._maps.delete_others(self._items)
            self._maps.table.compact()
            self._maps.table.clear(older_than=0, alone=alone)
        self._items.compact()
        self._items.clear(older_than=0, alone=alone)

    def _compact_if_due(self, alone: bool) -> None:
        fragments = self._items.latest().get_fragments()
        if sum(fragment.metadata.num_rows < ROWS_PER_FILE // 2 for fragment in fragments) <= _SMALL_FILES:
            return
        for table in [self._items] if self._maps is None else [self._items, self._maps.table]:
            table.compact()
            table.clear(older_than=_KEPT_FOR_READERS, alone=alone)

    def _drop_doubles(self, ids: Sequence[str]) -> None:
        """Where there are no locks, two writers may have added one id at the same moment: the first of the two stays.

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
