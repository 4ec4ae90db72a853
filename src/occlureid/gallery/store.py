"""A gallery on disk: items and descriptors in a Lance table, spatial maps in another, an audit log beside them.

What is promised:

- ``add``, ``remove``, ``erase`` and ``expire`` return when what they did is committed and flushed to disk; a process that is
  killed, or a power cut, at any moment before loses at most what was not acknowledged, and the gallery opens.
- Readers never wait. Writers of a local folder take turns; on an object store, where there are no locks, they repeat what
  collided, and only erasing needs that nobody else writes meanwhile.
- After ``erase`` no file below the folder has a byte of what was erased, old versions and leavings of killed writers
  included. (What a disk keeps in blocks that no file uses any more, and backups, are beyond the reach of a program.)
- ``expire`` counts an item's age from when it was taken, and from when it was added where that is not known. An item that
  would expire at once, or lies more than a day in the future, is refused when it is added. Where the clock looks as if it had
  jumped, nothing expires until somebody says that it is right.
- Items carry checksums of what was acknowledged (``checksums``), compared whenever they are read: a damaged item is left out of
  searches, counted and named, and is an error where it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from occlureid.errors import DataError, UsageError
from occlureid.gallery.checksums import MAP_SUM, RECORD_SUM, VECTOR_SUM
from occlureid.gallery.exchange import read_parquet
from occlureid.gallery.filling import add_images
from occlureid.gallery.flush import Flusher
from occlureid.gallery.layout import Block, Shape
from occlureid.gallery.like import DescribesImages, MakesDescriptors, values_of
from occlureid.gallery.lock import only_writer
from occlureid.gallery.place import Place, new_folder
from occlureid.gallery.reading import Changes, GalleryStats
from occlureid.gallery.records import Filter, Item
from occlureid.gallery.reserve import said_if_full
from occlureid.gallery.retention import Expiry, expiry, in_words
from occlureid.gallery.table import Table
from occlureid.gallery.verification import sealed_maps, sealed_rows
from occlureid.gallery.writing import AddResult, GalleryWriter
from occlureid.matching import MatchRule
from occlureid.types import Descriptor

__all__ = ["AddResult", "Block", "Changes", "Gallery", "GalleryStats"]


class Gallery(GalleryWriter):
    """A gallery of described crops; made by ``create``, or ``open``.

    Attributes:
        shape: fingerprint, rule, sizes and retention; also as attributes of the gallery itself.
        audit: the log of who did what. Searches are written to it by whoever searches.
    """

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
        exist_ok: bool = False,
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
            exist_ok: open the gallery that is there already, if it was made for the same descriptors, rule and retention.

        Raises:
            DataError: there is something else at ``path`` already (it is not touched), or it cannot be written.
            UsageError: a value is out of range, or the extra ``gallery`` is not installed.
        """
        given = (fingerprint, rule, global_size, parts, part_size, local_size)
        shape = Shape(*values_of(like, given), retention)
        place = Place.of(path)
        place.audit_path(audit)
        if exist_ok and place.folder is not None and (place.folder / "items.lance").is_dir():
            return cls._same(shape, path, audit, clock, patience)
        with new_folder(place) as made:
            flush = Flusher(made.folder)
            if shape.local_size is not None:
                Table.create(made.maps, shape.map_schema(sealed=True), flush)
            Table.create(made.items, shape.item_schema(sealed=True), flush)
        gallery = cls(place, shape, audit, clock, patience)
        gallery.audit.write(by, "create")
        return gallery

    @classmethod
    def _same(
        cls, shape: Shape, path: Path | str, audit: Path | str | None, clock: Callable[[], float], patience: float
    ) -> Gallery:
        found = cls.open(path, audit=audit, clock=clock, patience=patience)
        there = found.shape
        other = [n for n in shape.__dataclass_fields__ if n != "key" and getattr(shape, n) != getattr(there, n)]
        if other:
            is_there, wanted = (in_words(other[0], getattr(one, other[0])) for one in (there, shape))
            raise DataError(
                f"{found.path}: is there already, with {other[0]} {is_there}, not {wanted}; "
                "open it as it is, or create another elsewhere"
            )
        return found

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
        items.check(place.folder is not None, shape.item_schema(sealed=True), shape.item_schema(sealed=False))
        if shape.local_size is not None:
            maps = Table(place.maps, lambda: None)
            if Shape.from_metadata(maps.latest().schema.metadata, place.maps) != shape:
                raise DataError(f"{place.maps}: belongs to another gallery than {place.items}")
            maps.check(place.folder is not None, shape.map_schema(sealed=True), shape.map_schema(sealed=False))
        return cls(place, shape, audit, clock, patience)

    # -- writing -------------------------------------------------------------------------------------------------------

    def add(self, items: Sequence[Item], descriptor: Descriptor, *, by: str) -> AddResult:
        """Adds items that are not there yet; to add the same again changes nothing. All are added, or none.

        Once an hour, what is older than the gallery keeps items expires as well, unless that is in doubt (``expire``); the
        result counts both.

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
            DiskFullError: there is no space left; the message says how much to free.
            BusyError: another process was writing all the time.
        """
        now = self._clock()
        return self._add(items, descriptor, by, [now] * len(items))

    def add_images(self, images: Iterable[Any], describer: DescribesImages, **options: Any) -> AddResult:
        """Describes images (samples, files, pictures in memory) and adds them, some at a time; see ``filling.add_images``."""
        return add_images(self, images, describer, **options)

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
            return self._erased(*self._rows_of(ids), "remove", by)

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
            DiskFullError: there is no space left, not even with what is kept for erasing.
            BusyError: another process was writing all the time.
        """
        condition = Filter(persons=(person,)) if person is not None else None
        with only_writer(self._place.folder, self._patience) as alone:
            rows, found = self._rows_of(ids)
            if condition is not None:
                theirs = self.columns(condition)
                rows, found = np.union1d(rows, theirs.rows), sorted({*found, *theirs.ids.to_pylist()})
            return self._erased(rows, found, "erase", by, alone)

    def expiring(self, now: float | None = None) -> Expiry:
        """Find what ``expire`` would erase, whether that is in doubt, and which items are from the future.

        Args:
            now: seconds since 1970, by the gallery's clock unless given.

        Raises:
            DataError: the gallery is damaged.
        """
        return expiry(self._items, self.shape.retention, self._clock() if now is None else now)

    def expire(self, now: float | None = None, *, by: str, sure: bool = False) -> int:
        """Erases what is older than the gallery keeps items. ``add`` does so too, once an hour, as long as nothing is in doubt.

        Args:
            now: seconds since 1970, by the gallery's clock unless given.
            by: who lets them expire.
            sure: also where the clock is far ahead of the newest item, or more than a tenth of the gallery would go.

        Returns:
            How many expired; 0 for a gallery without retention.

        Raises:
            UsageError: it is in doubt, and ``sure`` is not set. Nothing was erased.
            DiskFullError: there is no space left, not even with what is kept for erasing.
            BusyError: another process was writing all the time.
        """
        with only_writer(self._place.folder, self._patience) as alone:
            found = self.expiring(now)
            if found.doubt is not None and not sure:
                raise UsageError(
                    f"{self.path}: {len(found)} items would expire, but {found.doubt}. Nothing was erased. If the clock is right "
                    "and they are to go, say so: --yes, or sure=True"
                )
            return self._expire(found, by, alone)

    def seal(self, *, by: str) -> bool:
        """Gives every item the checksums of what it is now; for galleries from before there were any.

        What no descriptor can hold is damaged, and stays so. A seal that is interrupted is simply repeated.

        Args:
            by: who seals it.

        Returns:
            Whether there was anything to seal.

        Raises:
            DiskFullError: there is no space left.
            BusyError: another process was writing all the time.
        """
        with only_writer(self._place.folder, self._patience):
            if self.sealed:
                return False
            self.audit.write(by, "seal", state="begun", count=len(self))
            with said_if_full(self._place.folder, "The gallery is not sealed.", 16 * len(self)):
                if self._maps is not None:
                    self._maps.table.add_columns(sealed_maps, [MAP_SUM], ["spatial", "saliency"])
                rows = self.shape.item_schema(sealed=False).names
                self._items.add_columns(lambda some: sealed_rows(self.shape, some), [VECTOR_SUM, RECORD_SUM], rows)
                self._flush()
            self.audit.write(by, "seal", count=len(self))
            return True

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
        total = AddResult(0, 0, self.version)
        for items, descriptor, times in read_parquet(Path(path), self.shape, self._clock()):
            total += self._add(items, descriptor, by, times)
        return total
