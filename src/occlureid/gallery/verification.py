"""Verification of a gallery: all of it compared with its checksums, and checksums for galleries without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from occlureid.errors import DamagedError
from occlureid.gallery.checksums import MAP_SUM, RECORD_SUM, VECTOR_SUM, map_sums, record_sums, texts_of
from occlureid.gallery.layout import Shape
from occlureid.gallery.library import clear_errors
from occlureid.gallery.maps import Maps, intact_maps
from occlureid.gallery.rows import same_sums
from occlureid.gallery.table import Table

__all__ = ["Verification", "intact_rows", "is_sealed", "sealed_maps", "sealed_rows", "verified"]

_BATCH = 512
_ALL: tuple[int, int | None] = (0, None)


@dataclass(frozen=True, slots=True)
class Verification:
    """Result of verifying.

    Attributes:
        items: how many were read.
        sealed: whether they have checksums; otherwise only numbers that no descriptor can hold were looked for.
        damaged: by id what is not as it was stored: "vectors", "record" (texts, times, box or thumbnail), "maps".
    """

    items: int
    sealed: bool
    damaged: dict[str, tuple[str, ...]] = field(default_factory=dict)


def is_sealed(items: Table, maps: Maps | None) -> bool:
    """True if every table has its checksums."""
    return items.has(VECTOR_SUM) and (maps is None or maps.table.has(MAP_SUM))


def verified(shape: Shape, items: Table, maps: Maps | None) -> Verification:
    """Compares everything with its checksums.

    Raises:
        DataError: a file cannot be read at all.
    """
    count, damaged = 0, dict[str, tuple[str, ...]]()
    for batch, wrong in _looked_at(shape, items, maps):
        count += len(batch)
        damaged |= wrong
    return Verification(count, is_sealed(items, maps), damaged)


def intact_rows(
    shape: Shape, items: Table, maps: Maps | None, left_out: Callable[[str], None] | None
) -> Iterator[pa.RecordBatch]:
    """The rows of the table of items that are what was stored.

    Raises:
        DamagedError: one is not, and nobody is there to be told.
        DataError: a file cannot be read at all.
    """
    for batch, wrong in _looked_at(shape, items, maps):
        if wrong and left_out is None:
            raise DamagedError(
                f"{items.uri}: item {next(iter(wrong))!r} is damaged; verify the gallery to see what else is",
                tuple(wrong),
            )
        for one in wrong:
            if left_out is not None:
                left_out(one)
        yield batch.filter(pa.array([one not in wrong for one in texts_of(batch.column("id"))], pa.bool_()))


def _looked_at(
    shape: Shape, items: Table, maps: Maps | None
) -> Iterator[tuple[pa.RecordBatch, dict[str, tuple[str, ...]]]]:
    """All rows in batches, and by id what is wrong with those that are damaged."""
    names = shape.item_schema(sealed=items.has(VECTOR_SUM)).names
    for batch in items.batches(names, _ALL, _BATCH):
        ids = texts_of(batch.column("id"))
        found: list[tuple[str, Sequence[bool]]] = [("vectors", shape.intact(batch).tolist())]
        if RECORD_SUM in names:
            found.append(("record", same_sums(batch.column(RECORD_SUM), record_sums(batch)).tolist()))
        if maps is not None:
            away = set(maps.damaged(ids))
            found.append(("maps", [one not in away for one in ids]))
        wrong = {
            one: tuple(what for what, good in found if not good[row])
            for row, one in enumerate(ids)
            if not all(good[row] for _, good in found)
        }
        yield batch, wrong


def sealed_rows(shape: Shape, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The checksums of rows of the table of items; none for vectors that no descriptor can hold."""
    with clear_errors("checksums"):
        vectors = pa.array(shape.vector_sums(batch), mask=~shape.intact(batch))
        return pa.RecordBatch.from_arrays([vectors, pa.array(record_sums(batch))], names=[VECTOR_SUM, RECORD_SUM])


def sealed_maps(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The checksums of rows of the table of maps; none for numbers that no map can hold."""
    good: NDArray[np.bool_] = intact_maps(batch)
    return pa.RecordBatch.from_arrays([pa.array(map_sums(batch), mask=~good)], names=[MAP_SUM])
