"""Where a searcher gets its items from: what a gallery on disk offers, and the same in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.errors import DataError, FingerprintError, UsageError
from occlureid.gallery.layout import Block
from occlureid.gallery.records import Columns, Item
from occlureid.matching import MatchRule
from occlureid.types import Descriptor

__all__ = ["LARGEST", "MemorySource", "Source", "SourceChanges", "finite_parts"]

LARGEST = float(torch.finfo(torch.float16).max)
"""The largest number that half precision holds."""


class SourceChanges(Protocol):
    """What happened to a source since somebody read it."""

    @property
    def version(self) -> int:
        """The version that these changes lead to."""

    @property
    def removed(self) -> NDArray[np.bool_]:
        """(N,) whether each of the known rows is gone."""

    @property
    def blocks(self) -> Iterator[Block]:
        """The added rows."""


class Source(Protocol):
    """What a searcher needs of a gallery. Row numbers are never used twice and grow in the order of adding."""

    @property
    def fingerprint(self) -> str:
        """Of the model that described the items."""

    @property
    def rule(self) -> MatchRule:
        """How the items are compared."""

    @property
    def version(self) -> int:
        """Grows with every change."""

    def __len__(self) -> int: ...

    def blocks(self, *, rows: int = 8192, span: tuple[int, int | None] = (0, None)) -> Iterator[Block]:
        """Every item once, at most ``rows`` at a time, whose row number r satisfies span[0] <= r < span[1]."""

    def changes(
        self, known: NDArray[np.uint64], *, rows: int = 8192, span: tuple[int, int | None] = (0, None)
    ) -> SourceChanges:
        """What happened to the span since its rows were ``known``."""

    def take(self, rows: NDArray[np.uint64]) -> Block:
        """Items by row number, without spatial maps, in the order of ``rows``.

        Raises:
            DataError: a row is gone.
            DamagedError: the vectors of an item are not what was stored.
        """

    def spatial(self, ids: Sequence[str]) -> Descriptor:
        """Descriptors with spatial maps, in the order of ids.

        Raises:
            DataError: an id is gone.
            DamagedError: vectors or maps of an item are not what was stored.
        """


@dataclass(frozen=True, eq=False, slots=True)
class _MemoryChanges:
    version: int
    removed: NDArray[np.bool_]
    blocks: Iterator[Block]


class MemorySource:
    """A gallery that exists in memory only: for tests, notebooks, and descriptors that came from a file.

    Args:
        items: N items, whose ids differ.
        descriptor: their descriptors; kept in half precision, as a gallery on disk keeps them.
        rule: how they are compared.

    Raises:
        DataError: there are not as many items as descriptors, or two of one id.
        UsageError: the rule compares spatial maps and there are none.
    """

    def __init__(self, items: Sequence[Item], descriptor: Descriptor, rule: MatchRule) -> None:
        if rule.spatial_weight > 0 and descriptor.spatial is None:
            raise UsageError("the rule compares spatial maps (spatial_weight > 0), and the descriptor has none")
        self._rule = rule
        self._fingerprint = descriptor.fingerprint
        self._held = descriptor[:0].to("cpu", torch.float16)
        self._columns = Columns.empty()
        self._version = 0
        self._next = 0
        self.add(items, descriptor)

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return self._fingerprint

    @property
    def rule(self) -> MatchRule:
        """How the items are compared."""
        return self._rule

    @property
    def version(self) -> int:
        """Grows with every change."""
        return self._version

    def __len__(self) -> int:
        return len(self._columns)

    def add(self, items: Sequence[Item], descriptor: Descriptor) -> None:
        """Adds items.

        Raises:
            FingerprintError: they were described by another model.
            DataError: there are not as many items as descriptors, or an id is there already.
            ShapeError: a value is not finite in half precision, or the descriptors differ in shape from those held.
        """
        if descriptor.fingerprint != self._fingerprint:
            raise FingerprintError(f"items here were described by {self._fingerprint}, got {descriptor.fingerprint}")
        if len(items) != len(descriptor):
            raise DataError(f"expected one item for each descriptor, got {len(items)} for {len(descriptor)}")
        ids = [item.id for item in items]
        if len({*ids, *self._columns.ids.to_pylist()}) < len(ids) + len(self):
            raise DataError("an id is given twice, or is there already")
        rows = np.arange(self._next, self._next + len(items), dtype=np.uint64)
        added = Columns(
            rows,
            pa.array(ids, pa.string()),
            pa.array([item.camera for item in items], pa.string()),
            pa.array([item.person for item in items], pa.string()),
            np.array([np.nan if item.time is None else item.time for item in items], dtype=np.float64),
        )
        half = finite_parts(descriptor.to("cpu", torch.float16))
        # A saliency below the least number of half precision would make its location vanish
        half = half if descriptor.saliency is None else replace(half, saliency=descriptor.saliency.float().cpu())
        half.check()  # a number too large for half precision is infinite by now
        self._held = half if len(self) == 0 else Descriptor.cat([self._held, half])
        self._columns = Columns.cat([self._columns, added])
        self._next += len(items)
        self._version += 1

    def remove(self, ids: Sequence[str]) -> int:
        """Removes those of the items that are there.

        Returns:
            How many were.
        """
        gone = np.isin(np.array(self._columns.ids.to_pylist(), dtype=object), list(ids))
        keep = np.flatnonzero(~gone)
        self._columns = self._columns[keep]
        self._held = self._held[torch.from_numpy(keep)]
        self._version += 1
        return int(gone.sum())

    def blocks(self, *, rows: int = 8192, span: tuple[int, int | None] = (0, None)) -> Iterator[Block]:
        """As in ``Source``."""
        return self._blocks(self._columns, replace(self._held, spatial=None, saliency=None), rows, self._inside(span))

    def changes(
        self, known: NDArray[np.uint64], *, rows: int = 8192, span: tuple[int, int | None] = (0, None)
    ) -> SourceChanges:
        """As in ``Source``."""
        inside = self._inside(span)
        removed = ~np.isin(known, self._columns.rows[inside])
        fresh = inside[~np.isin(self._columns.rows[inside], known)]
        vectors = replace(self._held, spatial=None, saliency=None)
        return _MemoryChanges(self._version, removed, self._blocks(self._columns, vectors, rows, fresh))

    def take(self, rows: NDArray[np.uint64]) -> Block:
        """As in ``Source``."""
        places = np.searchsorted(self._columns.rows, rows)
        if not np.array_equal(self._columns.rows[np.minimum(places, len(self) - 1)] if len(self) else places[:0], rows):
            raise DataError(f"some of {len(rows)} rows are gone; take in what has changed first")
        return Block(self._columns[places], replace(self._held, spatial=None, saliency=None)[torch.from_numpy(places)])

    def spatial(self, ids: Sequence[str]) -> Descriptor:
        """As in ``Source``."""
        return self._held[self._places(ids)]

    @staticmethod
    def _blocks(columns: Columns, held: Descriptor, rows: int, places: NDArray[np.int64]) -> Iterator[Block]:
        for start in range(0, len(places), rows):
            some = places[start : start + rows]
            yield Block(columns[some], held[torch.from_numpy(some)])

    def _inside(self, span: tuple[int, int | None]) -> NDArray[np.int64]:
        rows, (first, last) = self._columns.rows, span
        return np.flatnonzero((rows >= first) & (rows < (np.iinfo(np.int64).max if last is None else last)))

    def _places(self, ids: Sequence[str]) -> Tensor:
        where = pc.index_in(pa.array(ids, pa.string()), value_set=self._columns.ids)
        if where.null_count:
            raise DataError(f"no item has the id {ids[where.is_null().to_pylist().index(True)]!r}")
        return torch.from_numpy(where.to_numpy().astype(np.int64))


def finite_parts(item: Descriptor) -> Descriptor:
    """The same images with zeros in hidden parts that hold what is no number, or too large for half precision.

    Galleries store them so, and rules that look at hidden parts see zeros on both sides.
    """
    hidden = (item.visibility == 0)[..., None] & ~(item.parts.abs() <= LARGEST)
    return replace(item, parts=torch.where(hidden, 0, item.parts)) if bool(hidden.any()) else item
