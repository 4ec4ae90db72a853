"""What can be asked of anything that searches a gallery, be it one process or a cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod

from occlureid.gallery.crops import join_crops
from occlureid.gallery.hits import SearchResult
from occlureid.gallery.openset import Calibration
from occlureid.gallery.records import Filter
from occlureid.matching import MatchRule
from occlureid.types import Descriptor

__all__ = ["EVERYTHING", "Asking"]

EVERYTHING = Filter()
"""All items."""


class Asking(ABC):
    """The interface of a searcher, and the one way in which several crops become one query."""

    _rule: MatchRule

    @abstractmethod
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
        """The nearest items of each of Q query images, judged by the first level of ``calibration``."""

    def search_person(
        self,
        crops: Descriptor,
        *,
        k: int = 10,
        filter: Filter = EVERYTHING,
        exact: bool | None = None,
        shortlist: int | None = None,
        calibration: Calibration | None = None,
    ) -> SearchResult:
        """The nearest items to a person of whom there are several crops, see ``crops``; all else as for ``search``.

        Hits get a verdict only if the calibration was measured with queries of as many crops or more.
        """
        query = join_crops(self._rule, crops)
        calibration = None if calibration is None else calibration.at(len(crops))
        return self.search(query, k=k, filter=filter, exact=exact, shortlist=shortlist, calibration=calibration)[0]
