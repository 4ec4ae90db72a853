"""The items of some shards that pass a filter, as if they lay in one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.gallery.records import Columns, Filter
from occlureid.gallery.scan import Probe, Shard, lower_bounds
from occlureid.matching import MatchRule
from occlureid.types import Descriptor

__all__ = ["Selection"]

_FEW = 0.25
"""With a smaller share of the items wanted, they are gathered first."""


@dataclass(frozen=True, eq=False, slots=True)
class Selection:
    """Those items of some shards that pass a filter.

    Attributes:
        shards: (shard, which of its items; all if None).
        starts: (len(shards) + 1,) where the items of each begin when all are put in a row.
    """

    shards: list[tuple[Shard, NDArray[np.int64] | None]]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, shards: Sequence[Shard], filter: Filter) -> Selection:
        """Those of the shards' items that pass."""
        passed = [None if filter.everything else np.flatnonzero(filter.mask(shard.columns)) for shard in shards]
        return cls.chosen(shards, passed)

    @classmethod
    def chosen(cls, shards: Sequence[Shard], places: Sequence[NDArray[np.int64] | None]) -> Selection:
        """These items of each shard, all where None is given."""
        pairs = list(zip(shards, places, strict=True))
        return cls(pairs, np.cumsum([0, *(len(shard) if some is None else len(some) for shard, some in pairs)]))

    @property
    def count(self) -> int:
        """How many items passed."""
        return int(self.starts[-1])

    def bounds(self, rule: MatchRule, probe: Probe) -> Tensor:
        """(Q, count) lower bounds of the distances."""
        out = torch.empty(len(probe), self.count)
        for (shard, places), start, end in zip(self.shards, self.starts[:-1], self.starts[1:], strict=True):
            if start == end:
                continue
            rows = None if places is None else torch.from_numpy(places)
            if rows is not None and len(rows) > _FEW * len(shard):
                out[:, start:end] = lower_bounds(rule, probe, shard)[:, rows]
            else:
                out[:, start:end] = lower_bounds(rule, probe, shard, rows)
        return out

    def take(self, places: Tensor) -> tuple[Columns, Descriptor | None]:
        """Some of the items in order, with their descriptors if they are held."""
        numbers = places.numpy()
        owners = np.searchsorted(self.starts, numbers, side="right") - 1
        order = np.argsort(owners, kind="stable")
        columns, exact = [], []
        for owner in np.unique(owners).tolist():
            shard, chosen = self.shards[owner]
            local = numbers[owners == owner] - self.starts[owner]
            local = local if chosen is None else chosen[local]
            columns.append(shard.columns[local])
            if shard.exact is not None:
                exact.append(shard.exact[torch.from_numpy(local)])
        back = np.argsort(order)
        joined = Columns.cat(columns)[back]
        if not columns or len(exact) < len(columns):
            return joined, None
        return joined, Descriptor.cat(exact)[torch.from_numpy(back)]
