"""One shard of a gallery: a fixed share of its row numbers, held by a process of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from occlureid.errors import OcclureidError
from occlureid.gallery import Block, Filter, Gallery
from occlureid.gallery.hits import SearchResult
from occlureid.gallery.openset import Calibration
from occlureid.gallery.search import Searcher
from occlureid.gallery.source import Source
from occlureid.matching import MatchRule
from occlureid.types import Descriptor

__all__ = ["Question", "ShardHost", "ShardState", "Striped", "open_to_read"]


class _Numbered(Source, Protocol):
    def rows(self) -> NDArray[np.uint64]: ...


@dataclass(frozen=True, eq=False, slots=True)
class _Changes:
    version: int
    removed: NDArray[np.bool_]
    blocks: Iterator[Block]


class Striped:
    """The rows of a source that belong to one of several shards, as a source of their own.

    Row r belongs to shard (r // stripe) mod shards: row numbers are never used twice, so that an item stays where it is, whoever
    asks, and what is added later is spread over all shards again.

    Args:
        source: the gallery.
        shards: how many there are.
        index: which this is, from 0.
        stripe: row numbers that stay together.
    """

    def __init__(self, source: _Numbered, shards: int, index: int, stripe: int) -> None:
        self._source = source
        self._shards, self._index, self._stripe = shards, index, stripe
        self._known: tuple[int, NDArray[np.uint64]] | None = None

    @property
    def fingerprint(self) -> str:
        """As in ``Source``."""
        return self._source.fingerprint

    @property
    def rule(self) -> MatchRule:
        """As in ``Source``."""
        return self._source.rule

    @property
    def version(self) -> int:
        """Of the whole gallery."""
        return self._source.version

    def __len__(self) -> int:
        return len(self._own()[1])

    def _own(self) -> tuple[int, NDArray[np.uint64]]:
        version = self._source.version  # asked before the rows: at worst they are looked at once more
        if self._known is None or self._known[0] != version:
            rows = self._source.rows()
            self._known = version, rows[rows // np.uint64(self._stripe) % np.uint64(self._shards) == self._index]
        return self._known

    def blocks(self, *, rows: int = 8192, span: tuple[int, int | None] = (0, None)) -> Iterator[Block]:
        """As in ``Source``."""
        return self._read(_inside(self._own()[1], span), rows)

    def changes(
        self, known: NDArray[np.uint64], *, rows: int = 8192, span: tuple[int, int | None] = (0, None)
    ) -> _Changes:
        """As in ``Source``."""
        version, now = self._own()
        now = _inside(now, span)
        return _Changes(version, ~np.isin(known, now), self._read(np.setdiff1d(now, known), rows))

    def take(self, rows: NDArray[np.uint64]) -> Block:
        """As in ``Source``."""
        return self._source.take(rows)

    def spatial(self, ids: Sequence[str]) -> Descriptor:
        """As in ``Source``."""
        return self._source.spatial(ids)

    def _read(self, wanted: NDArray[np.uint64], rows: int) -> Iterator[Block]:
        """Some rows, one stripe after the other."""
        if not len(wanted):
            return
        for stripe in np.split(wanted, np.flatnonzero(np.diff(wanted // np.uint64(self._stripe))) + 1):
            for block in self._source.blocks(rows=rows, span=(int(stripe[0]), int(stripe[-1]) + 1)):
                kept = np.flatnonzero(np.isin(block.columns.rows, stripe))
                damaged = block.damaged[np.isin(block.damaged.rows, stripe)]
                if len(kept) == len(block.columns) and len(damaged) == len(block.damaged):
                    yield block
                elif len(kept) or len(damaged):
                    yield Block(block.columns[kept], block.descriptor[kept.tolist()], damaged)


def _inside(rows: NDArray[np.uint64], span: tuple[int, int | None]) -> NDArray[np.uint64]:
    first, last = span
    return rows[(rows >= first) & (rows < (np.iinfo(np.uint64).max if last is None else last))]


@dataclass(frozen=True, slots=True)
class ShardState:
    """What a shard says of itself.

    Attributes:
        items: how many items it has, those included that do not fit into its memory.
        added, removed: how many came and went with the refresh that this answers.
        complete: whether all items fit into its memory.
        nbytes: bytes of what it holds.
        node: the machine's id.
    """

    items: int
    added: int
    removed: int
    complete: bool
    nbytes: int
    node: str


@dataclass(frozen=True, slots=True)
class Question:
    """The arguments of ``Searcher.search`` beside the query."""

    k: int
    filter: Filter
    exact: bool | None
    shortlist: int | None
    calibration: Calibration | None


class ShardHost:
    """The process that holds a shard; Ray makes it an actor, and makes it anew on another machine when this one dies.

    An error in loading is kept and raised to whoever asks: a constructor that fails would only be started again, for ever.

    Args:
        path: of the gallery, as every machine sees it.
        shards, index, stripe: as in ``Striped``.
        memory: bytes to hold items.
        threads: processors that a search uses.
        node: id of the machine.
    """

    def __init__(
        self, path: str, shards: int, index: int, stripe: int, memory: int, threads: int, node: str = ""
    ) -> None:
        torch.set_num_threads(threads)
        self._node = node or _node_id()
        self._failure: OcclureidError | None = None
        try:
            self._source = Striped(open_to_read(path), shards, index, stripe)
            self._searcher = Searcher(self._source, memory=memory)
        except OcclureidError as error:
            self._failure = error

    def _ready(self) -> Searcher:
        if self._failure is not None:
            raise self._failure
        return self._searcher

    def refresh(self) -> ShardState:
        """Takes in what has changed, and says what there is."""
        searcher = self._ready()
        changed = searcher.refresh()
        items = len(searcher) if searcher.complete else len(self._source)
        return ShardState(items, changed.added, changed.removed, searcher.complete, searcher.nbytes, self._node)

    def search(self, query: Descriptor, question: Question) -> list[SearchResult]:
        """As ``Searcher.search``."""
        return self._ready().search(
            query,
            k=question.k,
            filter=question.filter,
            exact=question.exact,
            shortlist=question.shortlist,
            calibration=question.calibration,
        )


def open_to_read(path: Path | str) -> Gallery:
    """A gallery that nothing will be written to; its audit log, which an object store cannot hold, is never made.

    Raises:
        DataError: there is none, or it is damaged.
    """
    return Gallery.open(path, audit="unused" if "://" in str(path) else None)


def _node_id() -> str:
    from occlureid.scaleout.connection import library

    return str(library().get_runtime_context().get_node_id())
