"""What can be asked of a gallery on disk: never waits for a writer, goes on while others add, compact and erase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from occlureid.errors import DamagedError, DataError, UsageError
from occlureid.gallery.checksums import RECORD_SUM, VECTOR_SUM, record_sums
from occlureid.gallery.exchange import write_parquet
from occlureid.gallery.layout import Block, Shape
from occlureid.gallery.library import clear_errors
from occlureid.gallery.maps import Maps
from occlureid.gallery.place import Place
from occlureid.gallery.records import Columns, Filter, Item
from occlureid.gallery.rows import ITEM_COLUMNS, ROW, SCAN_COLUMNS, columns_of, items_of, same_sums
from occlureid.gallery.table import Table
from occlureid.gallery.verification import Verification, intact_rows, is_sealed, verified
from occlureid.matching import MatchRule
from occlureid.types import Descriptor

__all__ = ["Changes", "GalleryReader", "GalleryStats"]

_EVERYTHING = Filter()
_WHOLE: tuple[int, int | None] = (0, None)
_IDS_AT_A_TIME = 1000


@dataclass(frozen=True, eq=False, slots=True)
class Changes:
    """What to do to a copy of the gallery in memory.

    Attributes:
        version: of the gallery that this leads to.
        removed: (N,) for each known row whether it is gone.
        blocks: the new rows, read as they are asked for.
    """

    version: int
    removed: NDArray[np.bool_]
    blocks: Iterator[Block]


@dataclass(frozen=True, slots=True)
class GalleryStats:
    """A gallery in numbers.

    Attributes:
        items: how many.
        persons: how many different ones are known by name.
        unnamed: items without a person.
        cameras: items of each camera, sorted by name.
        first, last: the earliest and the latest time of an item, None if none has one.
        version: of the newest commit.
        files: how many data files.
        bytes: of all files below the folder, None on an object store.
        sealed: whether every item has checksums, so that damage is seen.
    """

    items: int
    persons: int
    unnamed: int
    cameras: dict[str, int]
    first: float | None
    last: float | None
    version: int
    files: int
    bytes: int | None
    sealed: bool


class GalleryReader:
    """The reading half of ``Gallery``.

    Attributes:
        shape: fingerprint, rule, sizes and retention.
    """

    def __init__(self, place: Place, shape: Shape, items: Table, maps: Maps | None) -> None:
        self._place = place
        self.shape = shape
        self._items = items
        self._maps = maps

    @property
    def path(self) -> str:
        """The folder or URL."""
        return self._place.base

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return self.shape.fingerprint

    @property
    def rule(self) -> MatchRule:
        """How the descriptors are compared."""
        return self.shape.rule

    @property
    def version(self) -> int:
        """Of the newest commit: asks the disk each time."""
        return int(self._items.latest().version)

    def __len__(self) -> int:
        return self._items.read(lambda dataset: int(dataset.count_rows()))

    @property
    def sealed(self) -> bool:
        """True if items have checksums; galleries from before there were any do not until ``Gallery.seal``."""
        return is_sealed(self._items, self._maps)

    # -- reading -------------------------------------------------------------------------------------------------------

    def items(self, filter: Filter = _EVERYTHING, *, limit: int | None = None, offset: int = 0) -> list[Item]:
        """Items without their thumbnails, in the order of adding.

        Args:
            filter: which.
            limit: the most to give.
            offset: how many to pass over first.

        Raises:
            UsageError: limit or offset is negative.
            DataError: the gallery is damaged.
        """
        if (limit is not None and limit < 0) or offset < 0:
            raise UsageError(f"limit and offset must not be negative, got {limit} and {offset}")
        found = self._items.select(ITEM_COLUMNS, filter.sql(), limit=limit, offset=offset or None)
        with clear_errors(self.path):  # texts that are none any more
            return items_of(found)

    def columns(self, filter: Filter = _EVERYTHING) -> Columns:
        """What a scan needs of items beside their vectors."""
        return columns_of(self._items.select(SCAN_COLUMNS, filter.sql()))

    def get(self, ids: Sequence[str]) -> list[Item]:
        """Items with their thumbnails, in the order of ``ids``.

        Raises:
            DataError: an id is not there.
            DamagedError: an item is not what was stored.
        """
        return items_of(self._records(ids))

    def thumbnail(self, id: str) -> bytes | None:
        """A JPEG file, or None where the item has none.

        Raises:
            DataError: the id is not there.
            DamagedError: the item is not what was stored.
        """
        found: bytes | None = self._records([id]).column("thumbnail")[0].as_py()
        return found

    def _records(self, ids: Sequence[str]) -> pa.Table:
        if not self._items.has(RECORD_SUM):
            return self._by_id(ids, (*ITEM_COLUMNS, "thumbnail"))
        found = self._by_id(ids, (*ITEM_COLUMNS, "added", "thumbnail", RECORD_SUM))
        self._refuse(ids, same_sums(found.column(RECORD_SUM), record_sums(found)), "its texts, times, box or thumbnail")
        return found

    def _refuse(self, ids: Sequence[str], good: NDArray[np.bool_], what: str) -> None:
        damaged = tuple(one for one, fine in zip(ids, good.tolist(), strict=True) if not fine)
        if damaged:
            raise DamagedError(
                f"{self.path}: item {damaged[0]!r} is damaged: {what} are not what was stored ({len(damaged)} of {len(ids)}); "
                "verify the gallery to see what else is",
                damaged,
            )

    def descriptor(self, ids: Sequence[str]) -> Descriptor:
        """Vectors in half precision, without spatial maps, in the order of ``ids``.

        Raises:
            DataError: an id is not there.
            DamagedError: the vectors of an item are not what was stored.
        """
        found = self._by_id(ids, self._scanned())
        self._refuse(ids, self.shape.intact(found), "its vectors")
        return self.shape.vectors(found)

    def _scanned(self) -> tuple[str, ...]:
        """The columns that a scan reads."""
        return (*SCAN_COLUMNS, *self.shape.vector_columns, *([VECTOR_SUM] if self._items.has(VECTOR_SUM) else []))

    def spatial(self, ids: Sequence[str]) -> Descriptor:
        """As ``descriptor``, with spatial (N, T, S) in half precision and saliency (N, T) in float32.

        Raises:
            DataError: an id is not there.
            DamagedError: vectors or maps of an item are not what was stored.
            UsageError: this gallery keeps no spatial maps.
        """
        if self._maps is None:
            raise UsageError(f"{self.path}: this gallery was made without spatial maps")
        spatial, saliency = self._maps.take(ids)
        return replace(self.descriptor(ids), spatial=spatial, saliency=saliency)

    def take(self, rows: NDArray[np.uint64]) -> Block:
        """Items by row number, with vectors, in the order of ``rows``.

        Raises:
            DataError: a row is gone.
            DamagedError: the vectors of an item are not what was stored.
        """
        wanted = f"{ROW} IN ({', '.join(map(str, rows.tolist()))})" if len(rows) else "FALSE"
        found = self._items.select(self._scanned(), wanted)
        where = pc.index_in(pa.array(rows, pa.uint64()), value_set=found.column(ROW))
        if where.null_count:
            raise DataError(
                f"{self.path}: {where.null_count} of {len(rows)} rows are gone; take in what has changed first"
            )
        block = self.shape.block(found.take(where))
        if len(block.damaged):
            ids = found.take(where).column("id").to_pylist()
            self._refuse(ids, ~np.isin(rows, block.damaged.rows), "its vectors")
        return block

    def rows(self) -> NDArray[np.uint64]:
        """The row numbers of all items, sorted; no column is read."""
        return self._items.rows()

    def blocks(self, *, rows: int = 8192, span: tuple[int, int | None] = _WHOLE) -> Iterator[Block]:
        """Every item of a span of row numbers once, with vectors; goes on while others add, compact and erase.

        Args:
            rows: the most items of a block.
            span: (first row number, the one after the last or None).

        Raises:
            UsageError: rows is not positive.
            DataError: the gallery is damaged.
        """
        if rows < 1:
            raise UsageError(f"rows must be positive, got {rows}")
        for batch in self._items.batches(self._scanned(), span, rows):
            yield self.shape.block(batch)

    def changes(self, known: NDArray[np.uint64], *, rows: int = 8192, span: tuple[int, int | None] = _WHOLE) -> Changes:
        """What has become of a copy that holds certain rows; works from row numbers alone, so it needs no old version.

        Args:
            known: the row numbers of the copy, in any order.
            rows: the most items of a block.
            span: the row numbers that the copy is responsible for.
        """
        version = self.version
        now = self.rows()
        now = now[(now >= span[0]) & (now < (np.iinfo(np.uint64).max if span[1] is None else span[1]))]
        added = np.setdiff1d(now, known)
        return Changes(version, ~np.isin(known, now), self._some_blocks(added, rows))

    def _some_blocks(self, wanted: NDArray[np.uint64], rows: int) -> Iterator[Block]:
        if not len(wanted):
            return
        for batch in self._items.batches(self._scanned(), (int(wanted[0]), int(wanted[-1]) + 1), rows):
            kept = batch.filter(pa.array(np.isin(batch.column(ROW).to_numpy(), wanted)))
            if len(kept):
                yield self.shape.block(kept)

    def stats(self) -> GalleryStats:
        """The gallery in numbers; reads all cameras, persons and times."""
        dataset = self._items.latest()
        columns = self.columns()
        cameras = Counter(columns.cameras.to_pylist())
        times = columns.times[~np.isnan(columns.times)]
        return GalleryStats(
            items=len(columns),
            persons=len(columns.persons.drop_null().unique()),
            unnamed=columns.persons.null_count,
            cameras=dict(sorted(cameras.items())),
            first=float(times.min()) if len(times) else None,
            last=float(times.max()) if len(times) else None,
            version=dataset.version,
            files=len(dataset.get_fragments()),
            bytes=self._place.bytes(),
            sealed=self.sealed,
        )

    def verify(self) -> Verification:
        """Reads everything, and compares it with its checksums; without them, looks for what no descriptor can hold.

        Raises:
            DataError: a file cannot be read at all.
        """
        return verified(self.shape, self._items, self._maps)

    def export_parquet(self, path: Path | str, *, left_out: Callable[[str], None] | None = None) -> int:
        """Writes everything but the audit log to one Parquet file, from which ``import_parquet`` makes the same items.

        Args:
            path: the file; written under another name first, so that it is whole or not there.
            left_out: is told the id of each damaged item, which is then left out; unless given, damage is an error.

        Returns:
            How many items.

        Raises:
            DataError: the file cannot be written, or cannot be read.
            DamagedError: an item is not what was stored.
        """
        return write_parquet(
            Path(path), self.shape, intact_rows(self.shape, self._items, self._maps, left_out), self._maps
        )

    def _found(self, ids: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """The rows of those of the ids that are there, in no particular order."""
        pieces = []
        wanted = sorted(set(Filter(ids=tuple(ids)).ids or ()))
        for start in range(0, max(1, len(wanted)), _IDS_AT_A_TIME):
            some = wanted[start : start + _IDS_AT_A_TIME]
            pieces.append(self._items.select(columns, Filter(ids=tuple(some)).sql()))
        return pa.concat_tables(pieces)

    def _by_id(self, ids: Sequence[str], columns: Sequence[str]) -> pa.Table:
        found = self._found(ids, columns)
        where = pc.index_in(pa.array(ids, pa.string()), value_set=found.column("id"))
        if where.null_count:
            missing = next(one for one, index in zip(ids, where.to_pylist(), strict=True) if index is None)
            raise DataError(f"{self.path}: no item {missing!r} ({where.null_count} of {len(ids)} ids are not there)")
        return found.take(where)

    def _rows_of(self, ids: Sequence[str]) -> tuple[NDArray[np.uint64], list[str]]:
        """The row numbers and ids of those that are there."""
        found = self._found(ids, ["id"])
        return found.column(ROW).to_numpy(), found.column("id").to_pylist()
