"""Lets items expire while a service runs, whether or not anybody adds any."""

from __future__ import annotations

import logging
from threading import Event, Thread

from starlette.exceptions import HTTPException

from occlureid.errors import OcclureidError
from occlureid.service.shelf import Shelf

__all__ = ["Ageing"]

_LOG = logging.getLogger(__name__)
_BY = "retention"


class Ageing:
    """Looks at all galleries when the service starts, and every now and then.

    Args:
        shelf: the galleries.
        every: seconds between two looks.
    """

    def __init__(self, shelf: Shelf, every: float) -> None:
        self._shelf = shelf
        self._every = every
        self._ended = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begins to look."""
        self._thread = Thread(target=self._run, name="occlureid-ageing", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends after the gallery that it is at."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def look(self) -> int:
        """Erases what is older than its gallery keeps items; what is in doubt stays, and the log says why.

        Returns:
            How many items.
        """
        count = 0
        for name in self._shelf.names():
            if self._ended.is_set():
                break
            try:
                count += self._one(name)
            except (OcclureidError, HTTPException) as error:  # other routes say so too
                _LOG.warning("gallery %s: items cannot expire: %s", name, error)
        return count

    def _one(self, name: str) -> int:
        opened = self._shelf.get(name)
        if opened.gallery.shape.retention is None:
            return 0
        found = opened.gallery.expiring()
        if found.future:
            _LOG.warning("gallery %s: %d items are from the future and will be kept too long", name, len(found.future))
        if found.doubt is not None:
            _LOG.warning("gallery %s: %d items are too old and stay, for %s", name, len(found), found.doubt)
            return 0
        if not len(found):
            return 0
        with opened.writing() as gallery:
            return gallery.expire(found.now, by=_BY)

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:
                _LOG.error("items could not expire", exc_info=error)
            if self._ended.wait(self._every):
                return
