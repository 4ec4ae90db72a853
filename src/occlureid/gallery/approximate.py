"""A searcher that scans candidates of an index instead of everything, and knows how often that finds what is there."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from occlureid.errors import UsageError
from occlureid.gallery.hits import SearchResult
from occlureid.gallery.holding import Refreshed
from occlureid.gallery.index import CandidateIndex, IndexReport
from occlureid.gallery.rescore import Tally, without_maps
from occlureid.gallery.scan import Shard, prepare_probe
from occlureid.gallery.search import MEMORY, Job, Searcher
from occlureid.gallery.selection import Selection
from occlureid.gallery.source import Source
from occlureid.types import Descriptor

__all__ = ["ApproximateSearcher"]


class ApproximateSearcher(Searcher):
    """Searches by an index unless a search asks for ``exact=True``; what it finds is compared by the rule as ever.

    Args:
        source: the gallery, of at least ``cells`` items, whose rule is not Euclidean.
        memory: as for ``Searcher``; all items must fit when it is made. Those that are added later and do not are scanned.
        span: as for ``Searcher``.
        cells: how many cells each vector is sorted into; the root of the number of items by default.
        probes: cells that a vector of a query asks; an eighth of them by default.
        wanted: items that it names.
        seed: of the sample that cells are made from, and of the items that recall is measured with.
        queries: how many stored items to measure with, each searched for without itself.

    Attributes:
        report: the recall that was measured.

    Raises:
        UsageError: memory is too small, the rule is Euclidean, or a number is out of range.
        DataError: the source is damaged.
    """

    report: IndexReport

    def __init__(
        self,
        source: Source,
        *,
        memory: int = MEMORY,
        span: tuple[int, int | None] = (0, None),
        cells: int | None = None,
        probes: int | None = None,
        wanted: int = 200,
        seed: int = 0,
        queries: int = 100,
    ) -> None:
        self._index: CandidateIndex | None = None
        super().__init__(source, memory=memory, span=span)
        if not self.complete or len(self) == 0 or queries < 1:
            raise UsageError(
                f"an index needs a gallery that fits into memory and has items, and at least one query to measure with; "
                f"got {len(self)} of {len(source)} items in memory={memory}, queries={queries}"
            )
        cells = max(1, round(len(self) ** 0.5)) if cells is None else cells
        probes = max(1, cells // 8) if probes is None else probes
        sample = self._sample(seed, queries)
        with torch.no_grad():
            probe = prepare_probe(self._base, without_maps(sample[1]))
            self._index = CandidateIndex.build(
                self._base, probe, self._held.shards, cells=cells, probes=probes, wanted=wanted, seed=seed
            )
        self._exact = False
        self.report = self._measured(*sample)

    def refresh(self) -> Refreshed:
        """As ``Searcher.refresh``; new items are sorted into the cells that there are."""
        changed = super().refresh()
        if self._index is not None:
            self._index = self._index.caught_up(self._held.shards)
        return changed

    def _sample(self, seed: int, queries: int) -> tuple[list[str], Descriptor]:
        """Some of the items: their ids and descriptors."""
        rows = np.sort(np.random.default_rng(seed).permutation(self._held.rows())[:queries])
        block = self._source.take(rows)
        ids = block.columns.ids.to_pylist()
        return ids, block.descriptor if self._rule.spatial_weight == 0 else self._source.spatial(ids)

    def _measured(self, ids: list[str], sample: Descriptor, k: int = 10) -> IndexReport:
        index = self._index
        if index is None:
            raise UsageError("there is no index yet")
        probe = prepare_probe(self._base, without_maps(sample))
        everything: list[NDArray[np.int64] | None] = [None] * len(self._held.shards)
        scanned = [sum(len(some) for some in index.candidates(probe, i, everything)) for i in range(len(ids))]
        exact = self.search(sample, k=k + 1, exact=True)
        found = self.search(sample, k=k + 1)
        pairs = [(_others(a, own, k), _others(b, own, k)) for a, b, own in zip(exact, found, ids, strict=True)]
        hits, there = sum(len(a & b) for a, b in pairs), sum(len(a) for a, _ in pairs)
        return IndexReport(
            len(self), len(index.centroids[0]), index.probes, index.wanted, len(ids), k,
            hits / max(1, there), float(np.mean(scanned)) / len(self),
        )  # fmt: skip

    def _look(self, shards: tuple[Shard, ...], query: Descriptor, job: Job, tallies: list[Tally]) -> None:
        if job.exact or self._index is None or shards is not self._held.shards:
            return super()._look(shards, query, job, tallies)
        index = self._index.caught_up(shards)
        everything = Selection.of(shards, job.filter)
        passed = [places for _, places in everything.shards]
        probe = prepare_probe(self._base, without_maps(query))
        for number, tally in enumerate(tallies):
            tally.searched += everything.count
            tally.exact = False
            wanted = Selection.chosen(shards, index.candidates(probe, number, passed))
            if wanted.count == 0:
                continue
            one = query[number : number + 1]
            bounds = wanted.bounds(self._base, prepare_probe(self._base, without_maps(one)))[0]
            nearest = bounds.topk(min(job.shortlist, wanted.count), largest=False).indices
            self._finish(wanted, one, bounds, nearest, job, tally)
        return None


def _others(result: SearchResult, own: str, k: int) -> set[str]:
    return {hit.id for hit in [hit for hit in result.hits if hit.id != own][:k]}
