"""What a searcher holds in memory, and how it keeps up with its source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from occlureid.gallery.layout import Block
from occlureid.gallery.records import Columns
from occlureid.gallery.scan import Shard, prepare_shard, row_bytes, scan_rule
from occlureid.gallery.source import Source
from occlureid.types import Descriptor

__all__ = ["Held", "Refreshed", "block_rows", "caught_up"]

_SHARD = 64 * 2**20
"""Bytes of one shard at the most: what is copied when items are added or removed."""

_LEAST, _HELD, _PASSING = 64, 2048, 8192
"""Items that are read at a time: at least, to be held, and to be looked at once. What is held is joined to shards afterwards, all
of about one size: pieces of many sizes would leave holes in memory that nothing fits into."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh changed: how many items came into memory, and how many left it."""

    added: int
    removed: int


@dataclass(frozen=True, eq=False, slots=True)
class Held:
    """What a searcher holds; replaced as a whole, so that running searches keep theirs.

    Attributes:
        version: of the source, -1 before the first look.
        shards: the items.
        complete: whether these are all; the others are read at every search.
        damaged: items that are left out, because they are not what was stored.
        template: the shapes of the descriptors, without items; None as long as the source is empty.
    """

    version: int = -1
    shards: tuple[Shard, ...] = ()
    complete: bool = True
    template: Descriptor | None = None
    damaged: Columns = field(default_factory=Columns.empty)

    def rows(self) -> NDArray[np.uint64]:
        """The row numbers of the items."""
        return np.concatenate([np.empty(0, np.uint64), *(shard.columns.rows for shard in self.shards)])

    def known(self) -> NDArray[np.uint64]:
        """The row numbers of all items that need not be read again: those that are held, then those that are damaged."""
        return np.concatenate([self.rows(), self.damaged.rows])


def block_rows(source: Source, template: Descriptor | None, memory: int, most: int = _PASSING) -> int:
    """How many items to read at a time."""
    if template is None:
        return 1
    return max(_LEAST, min(most, memory // 8 // row_bytes(source.rule, template)[1]))


def caught_up(held: Held, source: Source, memory: int, span: tuple[int, int | None]) -> tuple[Held, Refreshed]:
    """What to hold now, and what that changes."""
    if held.version == source.version:
        return held, Refreshed(0, 0)
    template = held.template
    if template is None:
        first = next(iter(source.blocks(rows=1)), None)
        template = None if first is None else first.descriptor[:0]
    changes = source.changes(held.known(), rows=block_rows(source, template, memory, _HELD), span=span)
    shards = _without(held.shards, changes.removed)
    before = sum(len(shard) for shard in shards)
    complete = True
    damaged = held.damaged[~changes.removed[len(changes.removed) - len(held.damaged) :]]
    if template is not None:
        shards, complete, found = _load(shards, changes.blocks, source, template, memory)
        damaged = Columns.cat([damaged, *found])
    added = sum(len(shard) for shard in shards) - before
    return Held(changes.version, shards, complete, template, damaged), Refreshed(added, int(changes.removed.sum()))


def _load(
    shards: tuple[Shard, ...], blocks: Iterator[Block], source: Source, template: Descriptor, memory: int
) -> tuple[tuple[Shard, ...], bool, list[Columns]]:
    """Appends blocks while they fit; whether all did, and what of them was damaged."""
    _, full = row_bytes(source.rule, template)
    keep = len(source) * (full + 64) <= memory and all(shard.exact is not None for shard in shards)
    if not keep:
        shards = tuple(replace(shard, exact=None) for shard in shards)
    used, largest = sum(shard.nbytes for shard in shards), min(_SHARD, memory // 8)
    grown, waiting = list(shards), list[Shard]()
    complete, damaged = True, list[Columns]()
    for block in blocks:
        damaged.append(block.damaged)
        if not len(block.columns):
            continue
        shard = prepare_shard(scan_rule(source.rule), block, keep=keep)
        if used + shard.nbytes > memory:
            complete = False
            break
        used += shard.nbytes
        waiting.append(shard)
        if sum(one.nbytes for one in waiting) >= largest:
            grown.append(Shard.cat(waiting))
            waiting = []
    if waiting:
        grown.append(Shard.cat(waiting))
    # Merged like the digits of a counter: each item is copied some log N times, however few are added at a time
    while len(grown) > 1 and len(grown[-2]) <= 2 * len(grown[-1]):
        if grown[-2].nbytes + grown[-1].nbytes > largest:
            break
        last = grown.pop()
        grown[-1] = Shard.cat([grown[-1], last])
    return tuple(grown), complete, damaged


def _without(shards: Sequence[Shard], removed: NDArray[np.bool_]) -> tuple[Shard, ...]:
    """The shards without the removed items: copied, so that nothing of them stays in memory."""
    left, start = [], 0
    for shard in shards:
        gone = removed[start : start + len(shard)]
        start += len(shard)
        kept = shard if not gone.any() else shard[np.flatnonzero(~gone)]
        if len(kept):
            left.append(kept)
    return tuple(left)
