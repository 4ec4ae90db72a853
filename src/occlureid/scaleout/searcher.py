"""Searches a gallery that is too large for one machine: its shards are held by many, every query goes to all of them.

Each shard finds its own nearest items exactly, by the searcher of a single machine; the nearest of all are among those. Distances
are computed pair by pair in float64, so that they do not depend on the sharding, and ties go by id: the merged ranking is the
ranking of a single machine.

When a machine dies, Ray starts its shards on another one, where they are read again. A search waits for them as long as
``patience`` allows; then it answers without them and says so: ``coverage`` is below 1 and ``exact`` is False. Until they are
back, further searches do not wait for them again, and say the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import BoundedSemaphore, Lock
from types import TracebackType
from typing import Any, Self

from occlureid.errors import BusyError, UsageError
from occlureid.gallery import Filter
from occlureid.gallery.asking import EVERYTHING, Asking
from occlureid.gallery.hits import SearchResult, merge_results
from occlureid.gallery.holding import Refreshed
from occlureid.gallery.openset import Calibration
from occlureid.gallery.search import MEMORY
from occlureid.gallery.table import ROWS_PER_FILE
from occlureid.scaleout.connection import Connection, cause_of
from occlureid.scaleout.shard import Question, ShardHost, ShardState, open_to_read
from occlureid.types import Descriptor

__all__ = ["Coverage", "RaySearcher"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the gallery can be searched at the moment.

    Attributes:
        items: in shards that answer.
        of: items in all; of shards that do not answer, as many as they had when they last did.
        missing: numbers of the shards that do not answer, sorted.
    """

    items: int
    of: int
    missing: tuple[int, ...]

    @property
    def share(self) -> float:
        """In [0, 1]; 1 only if every shard answers."""
        if not self.missing:
            return 1.0
        return min(self.items / max(1, self.of), math.nextafter(1, 0))


class RaySearcher(Asking):
    """Searches the shards of one gallery on a Ray cluster; to be used like ``Searcher``, also by several threads at once.

    Args:
        path: folder or URL of the gallery, which every machine of the cluster must see at the same place.
        address: of the cluster, see ``Connection``.
        shards: how many; one for each machine unless given. Asking a shard takes the asker about a millisecond: rather few shards
            of many processors than many of one.
        memory: bytes that each shard may hold; what does not fit is read at every search.
        cpus: processors that Ray sets aside for each shard, and that its searches use; below 1, several shards share one.
        patience: seconds that a search or a refresh waits for shards that do not answer.
        loading: seconds that the start waits for all shards.
        in_flight: searches that may be under way at once; further ones wait, at most ``patience`` seconds.
        stripe: row numbers that stay in one shard, see ``Striped``.

    Raises:
        UsageError: ray is not installed, there is no cluster, or a value is out of range.
        DataError: there is no gallery, or it is damaged.
        BusyError: the shards could not all be loaded within ``loading`` seconds (too few processors, for example).
    """

    def __init__(
        self,
        path: Path | str,
        *,
        address: str = "auto",
        shards: int | None = None,
        memory: int = MEMORY,
        cpus: float = 1.0,
        patience: float = 60.0,
        loading: float = 1800.0,
        in_flight: int = 8,
        stripe: int = ROWS_PER_FILE,
    ) -> None:
        counts = {"shards": 1 if shards is None else shards, "memory": memory, "in_flight": in_flight, "stripe": stripe}
        for name, value in {**counts, "cpus": cpus, "patience": patience, "loading": loading}.items():
            if not value > 0:
                raise UsageError(f"{name} must be positive, got {value}")
        gallery = open_to_read(path)
        self._rule = gallery.rule
        self._patience = patience
        self._slots = BoundedSemaphore(in_flight)
        self._lock = Lock()
        self._away: dict[int, Any] = {}
        self._states: dict[int, ShardState] = {}
        self._connection = Connection(address)
        ray = self._ray = self._connection.ray
        count = shards if shards is not None else max(1, self._connection.nodes())
        host = ray.remote(ShardHost).options(
            num_cpus=cpus,
            max_restarts=-1,
            max_task_retries=-1,
            scheduling_strategy="SPREAD",
            max_pending_calls=4 * in_flight,
        )
        self._hosts = [
            host.remote(gallery.path, count, index, stripe, memory, max(1, int(cpus))) for index in range(count)
        ]
        try:
            self._states.update(self._ask("refresh", loading))
            if self._away:
                raise BusyError(
                    f"{gallery.path}: {len(self._away)} of {count} shards were not loaded within {loading:g} s; is there a "
                    f"processor for each (cpus={cpus:g} each, {self._connection.cpus()} in the cluster)?"
                )
        except BaseException:
            self.close()
            raise

    # -- what there is -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many items there are, by the last word of every shard."""
        return sum(state.items for state in self._states.values())

    @property
    def complete(self) -> bool:
        """Whether all items fit into the shards' memory, so that a search reads nothing but candidates."""
        return all(state.complete for state in self._states.values())

    @property
    def nbytes(self) -> int:
        """Bytes of what the shards hold together."""
        return sum(state.nbytes for state in self._states.values())

    @property
    def coverage(self) -> Coverage:
        """How much a search would cover that does not wait for anything."""
        with self._lock:
            self._look_for_lost()
            return self._coverage(set(range(len(self._hosts))) - self._away.keys())

    @property
    def nodes(self) -> tuple[str, ...]:
        """The machine on which each shard last answered to a refresh, by Ray's ids."""
        return tuple(self._states[index].node for index in range(len(self._hosts)))

    # -- keeping up ----------------------------------------------------------------------------------------------------

    def refresh(self) -> Refreshed:
        """Takes in what was added to the gallery and lets go of what was removed.

        A shard that does not answer is left out; it takes in everything as soon as it is back.

        Raises:
            DataError: the gallery is damaged.
        """
        found = self._ask("refresh", self._patience)
        with self._lock:
            self._states.update(found)
        return Refreshed(sum(s.added for s in found.values()), sum(s.removed for s in found.values()))

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
        """The nearest items of each of Q query images, as ``Searcher.search`` gives them.

        Where local vectors are compared and ``exact`` is not asked for, every shard rescores a shortlist of its own: more
        candidates than on one machine.

        Returns:
            One result for each image. ``coverage`` is the share of the gallery's items that were looked at; where it is below
            1, shards did not answer, and ``exact`` is False.

        Raises:
            BusyError: no shard answers, or ``in_flight`` searches went on for all of ``patience``.
            FingerprintError, ShapeError, UsageError, DataError: as ``Searcher.search``.
        """
        if not self._slots.acquire(timeout=self._patience):
            raise BusyError(f"too many searches are under way already; waited {self._patience:g} s, try again")
        try:
            question = Question(k, filter, exact, shortlist, calibration)
            found = self._ask("search", self._patience, self._ray.put(query.to("cpu")), question)
        finally:
            self._slots.release()
        if not found:
            raise BusyError("no shard of the gallery answers; all are being loaded again, try again")
        with self._lock:
            coverage = self._coverage(found.keys())
        answers: list[Sequence[SearchResult]] = [found[index] for index in sorted(found)]
        merged = [merge_results(results, k, coverage.share) for results in zip(*answers, strict=True)]
        return merged if not coverage.missing else [replace(result, exact=False) for result in merged]

    # -- the shards ----------------------------------------------------------------------------------------------------

    def _ask(self, method: str, patience: float, *arguments: Any) -> dict[int, Any]:
        """Calls a method of every shard that is there; the answers that came in time, by shard."""
        pending: dict[Any, int] = {}
        with self._lock:
            self._look_for_lost()
            for index, host in enumerate(self._hosts):
                if index in self._away:
                    continue
                try:
                    pending[getattr(host, method).remote(*arguments)] = index
                except self._ray.exceptions.PendingCallsLimitExceeded:
                    continue  # too many calls wait for it as it is; this answer goes without
        if not pending:
            return {}
        done, late = self._ray.wait(list(pending), num_returns=len(pending), timeout=patience)
        found: dict[int, Any] = {}
        for answer in done:
            try:
                found[pending[answer]] = self._ray.get(answer)
            except self._ray.exceptions.RayTaskError as error:
                raise cause_of(error) from error
            except self._ray.exceptions.RayError:
                late.append(answer)
        with self._lock:
            for answer in late:
                self._ray.cancel(answer)
                index = pending[answer]
                if index not in self._away:
                    self._away[index] = self._hosts[index].refresh.remote()
        return found

    def _look_for_lost(self) -> None:
        """Takes back the shards that answer again."""
        if not self._away:
            return
        back, _ = self._ray.wait(list(self._away.values()), num_returns=len(self._away), timeout=0)
        for index in [index for index, answer in self._away.items() if answer in back]:
            answer = self._away.pop(index)
            try:
                self._states[index] = self._ray.get(answer)
            except self._ray.exceptions.RayTaskError:
                continue  # it is there and will say itself what is wrong
            except self._ray.exceptions.RayError:
                self._away[index] = self._hosts[index].refresh.remote()

    def _coverage(self, answered: Any) -> Coverage:
        sizes = {index: state.items for index, state in self._states.items()}
        there = sum(sizes.get(index, 0) for index in answered)
        missing = tuple(sorted(set(range(len(self._hosts))) - set(answered)))
        return Coverage(there, sum(sizes.values()), missing)

    def close(self) -> None:
        """Ends the shards' processes, and the connection if this searcher made it."""
        if self._ray.is_initialized():
            for host in self._hosts:
                self._ray.kill(host, no_restart=True)
        self._hosts = []
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
