"""The table of spatial maps: large, read only for the few items of a shortlist, and found by a number made from the id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray
from torch import Tensor

from occlureid.errors import DamagedError, DataError, ShapeError
from occlureid.gallery.checksums import MAP_SUM, finite_halves, map_sums, one_array
from occlureid.gallery.rows import ROW, map_keys, same_sums, spatial_of
from occlureid.gallery.table import Table

__all__ = ["Maps", "intact_maps"]

_AT_A_TIME = 1000


class Maps:
    """The spatial maps of a gallery.

    Args:
        table: where they lie.
        size: S, the channels of a local vector.
    """

    def __init__(self, table: Table, size: int) -> None:
        self.table = table
        self._size = size
        self._version = -1
        self._keys: NDArray[np.int64] = np.empty(0, np.int64)
        self._rows: NDArray[np.uint64] = np.empty(0, np.uint64)

    def put(self, ids: Sequence[str], rows: pa.Table) -> None:
        """Adds the maps of items that are not there yet, in place of what a killed writer may have left of them.

        Raises:
            ShapeError: they have another number of local vectors than those that are there.
        """
        there = self.table.select(["saliency"], limit=1)
        if len(there):
            lengths = [len(t.column("saliency")[0].as_py()) for t in (there, rows)]
            if lengths[0] != lengths[1]:
                raise ShapeError(f"the maps of this gallery have T={lengths[0]} local vectors, got T={lengths[1]}")
        self.delete(ids)
        self.table.append(rows)

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes the maps of items."""
        rows = self._rows_of(ids)
        if len(rows):
            self.table.delete(rows)

    def delete_others(self, items: Table) -> None:
        """Deletes the maps that killed writers have left without an item; only while nobody else writes."""
        found = self.table.select(["id"])
        orphan = pc.invert(pc.is_in(found.column("id"), value_set=items.select(["id"]).column("id")))
        rows = found.filter(orphan).column(ROW).to_numpy()
        if len(rows):
            self.table.delete(rows)

    def found(self, ids: Sequence[str]) -> pa.Table:
        """The rows of items, in the order of ``ids``.

        Raises:
            DataError: the maps of an item are not there.
        """
        columns = ["id", "spatial", "saliency", *([MAP_SUM] if self.table.has(MAP_SUM) else [])]
        pieces = [self.table.select(columns, "FALSE")]
        for start in range(0, len(ids), _AT_A_TIME):
            rows = self._rows_of(ids[start : start + _AT_A_TIME])
            if len(rows):
                pieces.append(self.table.select(columns, f"{ROW} IN ({', '.join(map(str, rows.tolist()))})"))
        found = pa.concat_tables(pieces)
        where = pc.index_in(pa.array(ids, pa.string()), value_set=found.column("id"))
        if where.null_count:
            missing = next(one for one, index in zip(ids, where.to_pylist(), strict=True) if index is None)
            raise DataError(f"{self.table.uri}: no spatial maps of item {missing!r}")
        return found.take(where)

    def take(self, ids: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Spatial (N, T, S) float16 and saliency (N, T) float32, in the order of ``ids``.

        Raises:
            DataError: the maps of an item are not there.
            DamagedError: the maps of an item are not what was stored.
        """
        if not ids:
            raise DataError("asked for the spatial maps of no items")
        found = self.found(ids)
        damaged = tuple(np.array(ids, dtype=object)[~intact_maps(found)].tolist())
        if damaged:
            raise DamagedError(
                f"{self.table.uri}: the spatial maps of item {damaged[0]!r} are damaged ({len(damaged)} of {len(ids)})",
                damaged,
            )
        return spatial_of(found, self._size, self.table.uri)

    def damaged(self, ids: Sequence[str]) -> list[str]:
        """Those of the items whose maps are not what was stored, or are not there."""
        there = set(self._ids_of(ids))
        known = [one for one in ids if one in there]
        good = intact_maps(self.found(known))
        bad = {one for one, fine in zip(known, good, strict=True) if not fine}
        return [one for one in ids if one in bad or one not in there]

    def _ids_of(self, ids: Sequence[str]) -> list[str]:
        rows = self._rows_of(ids)
        wanted = f"{ROW} IN ({', '.join(map(str, rows.tolist()))})" if len(rows) else "FALSE"
        found: list[str] = self.table.select(["id"], wanted).column("id").to_pylist()
        return found

    def _rows_of(self, ids: Sequence[str]) -> NDArray[np.uint64]:
        """The row numbers of all rows that have the keys of these ids."""
        keys, rows = self._index()
        wanted = map_keys(ids)
        spans = zip(np.searchsorted(keys, wanted, "left"), np.searchsorted(keys, wanted, "right"), strict=True)
        return np.concatenate([np.empty(0, np.uint64), *(rows[start:end] for start, end in spans)])

    def _index(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        version = self.table.latest().version
        if version != self._version:
            found = self.table.select(["key"])
            keys = found.column("key").to_numpy()
            order = np.argsort(keys, kind="stable")
            self._keys, self._rows = keys[order], found.column(ROW).to_numpy()[order]
            self._version = version
        return self._keys, self._rows


def intact_maps(found: pa.Table) -> NDArray[np.bool_]:
    """(N,) for rows of the table of maps whether they are what was stored; without checksums, whether all numbers are finite."""
    if MAP_SUM in found.schema.names:
        return same_sums(found.column(MAP_SUM), map_sums(found))
    good = np.ones(len(found), np.bool_)
    for name in ("spatial", "saliency"):
        column = one_array(found.column(name))
        numbers = column.values.to_numpy(zero_copy_only=False)
        finite = finite_halves(numbers[:, None]) if numbers.dtype == np.float16 else np.isfinite(numbers)
        before = np.concatenate([[0], np.cumsum(~finite)])
        offsets = column.offsets.to_numpy()
        good &= before[offsets[1:]] == before[offsets[:-1]]
    return good
