"""All that stands behind the routes, put together, started and stopped in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from occlureid.errors import DataError
from occlureid.service.ageing import Ageing
from occlureid.service.describer import BatchedDescriber
from occlureid.service.front import Activity
from occlureid.service.jobs import JobBoard
from occlureid.service.metrics import Metrics, Reading
from occlureid.service.searches import Searches
from occlureid.service.settings import ServiceSettings
from occlureid.service.shelf import Shelf
from occlureid.service.tokens import TokenFile

__all__ = ["Engine"]


class Engine:
    """What the routes use.

    Args:
        folder: of the galleries.
        describer: describes uploads.
        settings: the bounds.
        tokens: who may come in; None for everybody, on loopback.
        hosts: what the Host header may name; None for anything.
    """

    def __init__(
        self,
        folder: Path,
        describer: BatchedDescriber,
        settings: ServiceSettings,
        *,
        tokens: TokenFile | None = None,
        hosts: Iterable[str] | None = None,
    ) -> None:
        self.settings = settings
        self.tokens = tokens
        self.hosts = None if hosts is None else tuple(hosts)
        self.describer = describer
        self.shelf = Shelf(folder, describer, settings)
        self.searches = Searches(settings)
        self.jobs = JobBoard(settings, describer)
        self.ageing = Ageing(self.shelf, settings.expire_seconds)
        self.activity = Activity()
        self.metrics = Metrics(self._readings)

    @property
    def idle(self) -> bool:
        """Whether everything that was accepted is done."""
        return self.activity.under_way == 0 and self.jobs.idle

    def start(self) -> None:
        """Begins to work."""
        self.describer.start()
        self.searches.start()
        self.jobs.start()
        self.ageing.start()

    def close(self) -> None:
        """Finishes what was accepted, and ends."""
        self.ageing.close()
        self.jobs.close()  # they describe
        self.searches.close()
        self.describer.close()

    def _readings(self) -> Iterator[Reading]:
        yield "counter", "occlureid_described_images", "", "", self.describer.described
        yield "counter", "occlureid_searches", "", "", self.searches.searches
        yield "counter", "occlureid_scans", "", "", self.searches.scans
        yield "gauge", "occlureid_requests_under_way", "", "", self.activity.under_way
        for name, queue in (("description", self.describer), ("search", self.searches), ("jobs", self.jobs)):
            yield "gauge", "occlureid_queue_length", "queue", name, queue.waiting
        for opened in self.shelf.opened():
            try:
                yield "gauge", "occlureid_gallery_items", "gallery", opened.name, len(opened.gallery)
            except DataError:  # deleted at this moment, or damaged: other routes say so
                continue
