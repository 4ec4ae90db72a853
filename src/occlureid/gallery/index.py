"""An optional shortcut for galleries that take too long to read: candidates from an inverted file, compared exactly afterwards.

Each vector of a descriptor (the global one and every part) is sorted into cells around centroids. A query asks, with each of
its visible vectors, the nearest cells for the best ``wanted`` items; only the union of those is scanned. An item that resembles
the query moderately in everything and closely in nothing can be missed, so the recall against the exact ranking is measured
when the index is built, and results that came by it are never called exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.errors import UsageError
from occlureid.gallery.scan import Probe, Shard
from occlureid.matching import MatchRule
from occlureid.matching.kernel import unit

__all__ = ["CandidateIndex", "IndexReport"]

_SAMPLE = 64
"""Vectors of the sample for each centroid."""

_ROUNDS = 8
_STEP = 8192


@dataclass(frozen=True, slots=True)
class IndexReport:
    """How good an index is.

    Attributes:
        items: how many it was built on.
        cells: of each vector.
        probes: cells that a vector of a query asks.
        wanted: items that a vector of a query names.
        queries: how many stored items were searched for, each without itself.
        k: hits that were compared.
        recall: share of the exact hits that the index found.
        scanned: mean share of the items that were compared.
    """

    items: int
    cells: int
    probes: int
    wanted: int
    queries: int
    k: int
    recall: float
    scanned: float


@dataclass(frozen=True, eq=False, slots=True)
class _Lists:
    """One piece of one shard: its items in the order of their cells, and (cells + 1,) where each cell begins."""

    order: Tensor
    starts: Tensor


@dataclass(frozen=True, eq=False, slots=True)
class CandidateIndex:
    """Names candidates; made by ``build``.

    Attributes:
        centroids: (cells, size) of unit length for each piece.
        pieces: (start, end, column of the weights) of each in a prepared row.
        probes: cells that a vector of a query asks.
        wanted: items that it names.
        lists: the shards, each with the lists of its pieces.
    """

    centroids: tuple[Tensor, ...]
    pieces: tuple[tuple[int, int, int], ...]
    probes: int
    wanted: int
    lists: tuple[tuple[Shard, tuple[_Lists, ...]], ...]

    @classmethod
    def build(
        cls,
        rule: MatchRule,
        probe: Probe,
        shards: tuple[Shard, ...],
        *,
        cells: int,
        probes: int,
        wanted: int,
        seed: int,
    ) -> CandidateIndex:
        """Finds centroids on a sample, and sorts all items.

        Args:
            rule: without local vectors.
            probe: any query; tells how prepared rows are laid out.
            shards: the items.
            cells: how many of each vector; about the root of the number of items.
            probes: of them that a query's vector asks, at most ``cells``.
            wanted: items that it names.
            seed: of the sample.

        Raises:
            UsageError: the rule is Euclidean, there are fewer items than cells, or a number is not positive.
        """
        items = sum(len(shard) for shard in shards)
        if rule.metric != "cosine":
            raise UsageError("an index of candidates needs a cosine rule; search a Euclidean one exactly")
        if not 1 <= probes <= cells <= items or wanted < 1:
            raise UsageError(
                f"expected 1 <= probes <= cells <= items and wanted >= 1, got probes={probes}, cells={cells}, items={items}, "
                f"wanted={wanted}"
            )
        random = torch.Generator().manual_seed(seed)
        chosen = [torch.randperm(len(s), generator=random)[: -(-_SAMPLE * cells * len(s) // items)] for s in shards]
        centroids = []
        for start, end, column in probe.pieces:
            sample = torch.cat(
                [
                    s.vectors[rows][s.weights[rows, column] > 0, start:end]
                    for s, rows in zip(shards, chosen, strict=True)
                ]
            )
            centroids.append(_centroids(unit(sample.float()), cells, random))
        index = cls(tuple(centroids), probe.pieces, probes, wanted, ())
        return index.caught_up(shards)

    def caught_up(self, shards: tuple[Shard, ...]) -> CandidateIndex:
        """The same index for other shards; only those that are new are sorted."""
        known = {id(shard): (shard, lists) for shard, lists in self.lists}
        lists = tuple(known[id(s)] if id(s) in known else (s, self._sorted(s)) for s in shards)
        return CandidateIndex(self.centroids, self.pieces, self.probes, self.wanted, lists)

    def _sorted(self, shard: Shard) -> tuple[_Lists, ...]:
        found = []
        for centroids, (start, end, column) in zip(self.centroids, self.pieces, strict=True):
            there = (shard.weights[:, column] > 0).nonzero()[:, 0]
            cells = _nearest(shard.vectors, there, slice(start, end), centroids)
            order = cells.argsort(stable=True)
            starts = torch.searchsorted(cells[order], torch.arange(len(centroids) + 1))
            found.append(_Lists(there[order].int(), starts))
        return tuple(found)

    def candidates(self, probe: Probe, query: int, passed: list[NDArray[np.int64] | None]) -> list[NDArray[np.int64]]:
        """Which items of each shard to compare with one of the queries.

        Args:
            probe: the queries.
            query: which of them.
            passed: for each shard the items that pass the filter, ascending, or None for all.
        """
        named: list[list[Tensor]] = [[] for _ in self.lists]
        for piece, (start, end, column) in enumerate(self.pieces):
            if probe.weights[query, column] == 0:
                continue
            vector = -unit(probe.vectors[query, start:end].float())  # a prepared query is turned round
            near = (self.centroids[piece] @ vector).topk(self.probes).indices.tolist()
            rows, scores, owners = [], [], []
            for number, (shard, lists) in enumerate(self.lists):
                order, starts = lists[piece].order, lists[piece].starts
                some = torch.cat([order[int(starts[cell]) : int(starts[cell + 1])] for cell in near]).long()
                allowed = passed[number]
                if allowed is not None:
                    some = some[torch.from_numpy(np.isin(some.numpy(), allowed))]
                rows.append(some)
                similar = (shard.vectors[some, start:end] @ vector.bfloat16()).float()
                scores.append(similar / shard.weights[some, column])
                owners.append(torch.full_like(some, number))
            joined, owner, score = torch.cat(rows), torch.cat(owners), torch.cat(scores)
            best = score.topk(min(self.wanted, len(score))).indices
            for number, found in enumerate(named):
                found.append(joined[best[owner[best] == number]])
        return [np.unique(torch.cat(found).numpy()) if found else np.empty(0, np.int64) for found in named]


def _centroids(sample: Tensor, cells: int, random: torch.Generator) -> Tensor:
    """k-means of directions; a cell that loses all its vectors starts again at one of the sample."""
    if len(sample) < cells:
        raise UsageError(
            f"a part is visible in only {len(sample)} items of the sample: ask for fewer than {cells} cells"
        )
    centroids = sample[torch.randperm(len(sample), generator=random)[:cells]]
    everything = torch.arange(len(sample))
    for _ in range(_ROUNDS):
        owner = _nearest(sample, everything, slice(None), centroids)
        total = torch.zeros_like(centroids).index_add_(0, owner, sample)
        empty = (torch.bincount(owner, minlength=cells) == 0).nonzero()[:, 0]
        total[empty] = sample[torch.randint(len(sample), (len(empty),), generator=random)]
        centroids = unit(total)
    return centroids


def _nearest(vectors: Tensor, rows: Tensor, columns: slice, centroids: Tensor) -> Tensor:
    """(n,) the centroid of each of the rows."""
    found = [(vectors[some][:, columns].float() @ centroids.T).argmax(1) for some in torch.split(rows, _STEP)]
    return torch.cat(found) if found else rows
