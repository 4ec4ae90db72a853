"""A share of the trainings, so that several processes can run one plan in one folder at the same time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from occlureid.errors import UsageError

__all__ = ["Shard"]

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Shard:
    """Every ``of``-th training, beginning with the ``index``-th.

    A training's folder is written by the one process whose share it is in. The tables are written by no share, but by a call
    without one once all have ended: it finds weights, descriptors and scores there.

    Attributes:
        index: which share, from 1.
        of: how many there are.
    """

    index: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.of:
            raise UsageError(
                f"a share must be one of 1/N to N/N, such as 1/2 and 2/2 for two processes; got {self.index}/{self.of}"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "I/N".

        Raises:
            UsageError: it is none.
        """
        found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        if found is None:
            raise UsageError(f"a share must be I/N, such as 1/2 and 2/2 for two processes; got {text!r}")
        return cls(int(found[1]), int(found[2]))

    def pick(self, items: Sequence[_Item]) -> tuple[_Item, ...]:
        """The items of this share, in their order."""
        return tuple(items[self.index - 1 :: self.of])
