"""Finds the nearest items of a gallery by the method's own rule: exactly, and in the time that it takes to read the vectors.

A searcher holds the items as bfloat16 rows (``scan``). A search takes a lower bound of every distance from one matrix product,
computes the distances of the best candidates (``rescore``), and then those of every further item whose bound does not exceed the
k-th distance found: nothing else can be among the nearest. So the answer is that of comparing everything, ties by id included.

Rules with local vectors bound a distance by its other share alone, which may leave much of the gallery: they rescore a
shortlist, and the result says whether that was enough for certain (``exact=True`` goes on until it is).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from occlureid.errors import DamagedError, DataError, ShapeError, UsageError
from occlureid.gallery.asking import EVERYTHING, Asking
from occlureid.gallery.hits import SearchResult
from occlureid.gallery.holding import Held, Refreshed, block_rows, caught_up
from occlureid.gallery.openset import Calibration
from occlureid.gallery.records import Columns, Filter
from occlureid.gallery.rescore import Tally, rescore, without_maps
from occlureid.gallery.scan import Shard, prepare_probe, prepare_shard, scan_rule
from occlureid.gallery.selection import Selection
from occlureid.gallery.source import LARGEST, Source, finite_parts
from occlureid.matching.kernel import check_pair
from occlureid.types import Descriptor

__all__ = ["MEMORY", "Job", "Searcher"]

MEMORY = 4 * 2**30
"""Bytes that a searcher may hold, unless told otherwise."""

_MORE = 1024
"""Candidates beyond the first that are rescored at a time."""

_ATTEMPTS = 3
_MARGIN = 1e-5
"""More than local vectors' float32 distances may be off."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a search is asked for; see ``Searcher.search``."""

    k: int
    shortlist: int
    filter: Filter
    exact: bool


class Searcher(Asking):
    """Searches one source; several threads may use it at once.

    What fits into ``memory`` is held: with its descriptors in half precision where all of them fit, otherwise the few that a
    search needs are read from the source. Items that do not fit at all are read block by block at every search, for all queries
    of the call together. How many processors are used is torch's setting.

    Args:
        source: the gallery.
        memory: bytes to hold items, and to work on a batch of queries (an eighth as much). A search for one query needs a
            few times 4 bytes for each held item in any case, and 64 items are read at a time at the least.
        span: the row numbers that are searched (first, one after the last or None); for shards of a larger gallery.

    Raises:
        UsageError: memory is not positive.
        DataError: the source is damaged.
    """

    def __init__(self, source: Source, *, memory: int = MEMORY, span: tuple[int, int | None] = (0, None)) -> None:
        if memory < 1:
            raise UsageError(f"memory must be a positive number of bytes, got {memory}")
        self._source = source
        self._rule = source.rule
        self._base = scan_rule(source.rule)
        self._memory = memory
        self._span = span
        self._exact = source.rule.spatial_weight == 0
        self._lock = Lock()
        self._held = Held()
        self.refresh()

    def __len__(self) -> int:
        """How many items are held; all, unless memory is short."""
        return sum(len(shard) for shard in self._held.shards)

    @property
    def complete(self) -> bool:
        """Whether all items fit into memory, so that a search reads nothing but candidates."""
        return self._held.complete

    @property
    def nbytes(self) -> int:
        """Bytes of what is held."""
        return sum(shard.nbytes for shard in self._held.shards)

    @property
    def damaged(self) -> tuple[str, ...]:
        """The ids of items that are left out of every search, as far as is known by now: they are not what was stored."""
        return tuple(self._held.damaged.ids.to_pylist())

    # -- keeping up ----------------------------------------------------------------------------------------------------

    def refresh(self) -> Refreshed:
        """Takes in what was added to the source and lets go of what was removed; the rest is neither read nor touched.

        Raises:
            DataError: the source is damaged.
        """
        with self._lock:
            self._held, changed = caught_up(self._held, self._source, self._memory, self._span)
        return changed

    # -- searching -----------------------------------------------------------------------------------------------------

    def search(
        self,
        query: Descriptor,
        *,
        k: int = 10,
        filter: Filter = EVERYTHING,
        exact: bool | None = None,
        shortlist: int | None = None,
        calibration: Calibration | None = None,
    ) -> list[SearchResult]:
        """The nearest items of each of Q query images.

        Args:
            query: Q images of the gallery's model, with local vectors if its rule compares them.
            k: how many hits to give.
            filter: which items are searched.
            exact: whether to go on until the hits are the nearest for certain. By default yes, except for rules with local
                vectors, which may have to read the maps of much of the gallery.
            shortlist: how many candidates to rescore at first; max(50, 5 k) by default, for rules with local vectors
                max(200, 20 k).
            calibration: tells which hits are probably the same person.

        Returns:
            One result for each image.

        Raises:
            FingerprintError: another model made the query, or the calibration was made for another.
            ShapeError: the query has other shapes than the gallery, a value that is not finite, or lacks local vectors.
            UsageError: k or shortlist is not positive.
            DataError: the source is damaged.
        """
        spatial = self._rule.spatial_weight > 0
        least = 20 * k if spatial else 5 * k
        wanted = max(200 if spatial else 50, least) if shortlist is None else shortlist
        if k < 1 or wanted < 1:
            raise UsageError(f"k and shortlist must be at least 1, got {k} and {shortlist}")
        if calibration is not None:
            calibration.check(self._source.fingerprint, self._rule)
        job = Job(k, max(k, wanted), filter, self._exact if exact is None else exact)
        for _ in range(_ATTEMPTS):
            held = self._held
            checked = self._checked(held, query)
            try:
                with torch.no_grad():
                    tallies = self._search(held, checked, job)
                return [tally.result(calibration) for tally in tallies]
            except DataError:
                # What was removed from the source since the last refresh cannot be read any more
                self.refresh()
                if self._held is held:
                    raise
        raise DataError("the gallery changed faster than it could be searched; try again")

    def _checked(self, held: Held, query: Descriptor) -> Descriptor:
        template = held.template
        query = finite_parts(query.check().to("cpu"))
        if self._rule.spatial_weight == 0:
            query = without_maps(query)
        elif query.spatial is None:
            raise ShapeError("the gallery's rule compares local vectors, but the query's spatial is None")
        if bool((query.global_.abs() > LARGEST).any()) or bool((query.parts.abs() > LARGEST).any()):
            raise ShapeError(f"the query has a number beyond {LARGEST:g}, the largest that a gallery holds")
        empty = without_maps(query)[:0] if template is None else template
        check_pair(self._base, without_maps(query), replace(empty, fingerprint=self._source.fingerprint))
        return query

    def _search(self, held: Held, query: Descriptor, job: Job) -> list[Tally]:
        tallies = [Tally(job.k) for _ in range(len(query))]
        self._leave_out(held.damaged, job, tallies)
        if len(held.shards):
            self._look(held.shards, query, job, tallies)
        if not held.complete:
            rows = block_rows(self._source, held.template, self._memory)
            for block in self._source.changes(held.known(), rows=rows, span=self._span).blocks:
                self._leave_out(block.damaged, job, tallies)
                if not len(block.columns):
                    continue
                shard = prepare_shard(self._base, block, keep=True)
                self._look((shard,), query, job, tallies)
        return tallies

    @staticmethod
    def _leave_out(damaged: Columns, job: Job, tallies: list[Tally]) -> None:
        if len(damaged):
            ids = damaged[job.filter.mask(damaged)].ids.to_pylist()
            for tally in tallies:
                tally.leave_out(ids)

    def _look(self, shards: tuple[Shard, ...], query: Descriptor, job: Job, tallies: list[Tally]) -> None:
        """Takes some items into account."""
        wanted = Selection.of(shards, job.filter)
        if wanted.count == 0:
            return
        step = max(1, min(256, self._memory // 8 // (24 * wanted.count)))
        for start in range(0, len(query), step):
            some = query[start : start + step]
            bounds = wanted.bounds(self._base, prepare_probe(self._base, without_maps(some)))
            incomparable = bounds.isinf().sum(1).tolist()
            nearest = bounds.topk(min(job.shortlist, wanted.count), largest=False).indices
            for index in range(len(some)):
                tally = tallies[start + index]
                tally.searched += wanted.count
                tally.incomparable += incomparable[index]
                self._finish(wanted, some[index : index + 1], bounds[index], nearest[index], job, tally)

    def _finish(
        self, wanted: Selection, query: Descriptor, bounds: Tensor, nearest: Tensor, job: Job, tally: Tally
    ) -> None:
        """From bounds to distances: the shortlist first, then whatever may still be nearer."""
        floors = bounds
        if self._rule.spatial_weight > 0:
            share = 1 - self._rule.spatial_weight
            floors = torch.where(bounds.isinf(), bounds, bounds * share - _MARGIN)
        self._add(wanted, query, _possible(floors, nearest, tally.worst), tally)
        left = floors <= tally.worst
        left[nearest] = False
        left &= floors.isfinite()
        rest = left.nonzero()[:, 0]
        if not job.exact:
            tally.exact &= len(rest) == 0
            return
        rest = rest[floors[rest].argsort()]
        for start in range(0, len(rest), _MORE):
            self._add(wanted, query, _possible(floors, rest[start : start + _MORE], tally.worst), tally)

    def _add(self, wanted: Selection, query: Descriptor, places: Tensor, tally: Tally) -> None:
        """Computes distances."""
        if len(places) == 0:
            return
        columns, exact = wanted.take(places)
        while len(columns):
            try:
                if self._rule.spatial_weight > 0:
                    exact = self._source.spatial(columns.ids.to_pylist())
                elif exact is None:
                    exact = self._source.take(columns.rows).descriptor
            except DamagedError as error:
                tally.leave_out(error.ids)
                good = ~np.isin(np.array(columns.ids.to_pylist(), dtype=object), error.ids)
                if good.all():
                    raise
                columns = columns[good]
            else:
                tally.add(rescore(self._rule, query, columns, exact))
                return


def _possible(floors: Tensor, places: Tensor, worst: float) -> Tensor:
    here = floors[places]
    return places[(here <= worst) & here.isfinite()]
