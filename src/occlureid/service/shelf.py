"""The galleries of a folder: each a sub-folder, opened when somebody asks for it.

Names are checked here whatever the routes did: 1 to 64 of a-z, 0-9, _ and -, so that none leads out of the folder, and none is
that of the folder's own files.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore, Lock

from occlureid.errors import BusyError, DataError, FingerprintError
from occlureid.gallery.audit import AuditLog
from occlureid.gallery.bodyparts import BodyParts, read_parts, write_parts
from occlureid.gallery.flush import sync
from occlureid.gallery.lock import only_writer
from occlureid.gallery.search import Searcher
from occlureid.gallery.store import Gallery
from occlureid.service.calibrations import CalibrationFile
from occlureid.service.describer import BatchedDescriber
from occlureid.service.models import GALLERY_PATTERN
from occlureid.service.problems import refuse
from occlureid.service.settings import ServiceSettings

__all__ = ["OpenGallery", "Shelf"]

_LOG = logging.getLogger(__name__)
_NAME = re.compile(GALLERY_PATTERN.strip("^$"))
_CALIBRATION = "calibration.json"
_WRITERS = 8


class OpenGallery:
    """One gallery that is in use.

    Attributes:
        name: of its folder.
        gallery: on disk.
        calibration: its threshold, ``calibration.json`` in its folder; looked at again when the file changes.
        parts: what they are called and where they lie, as far as that is known.
        fits: whether the service's weights made its descriptors.
        deleted: whether it is gone.
    """

    def __init__(self, name: str, folder: Path, describer: BatchedDescriber, settings: ServiceSettings) -> None:
        self.name = name
        self.gallery = Gallery.open(folder)
        self.fits = self.gallery.fingerprint == describer.fingerprint
        self.calibration = CalibrationFile(folder / _CALIBRATION, self.gallery.fingerprint, self.gallery.rule)
        self.parts = describer.parts if self.fits else _stored_parts(folder, self.gallery.shape.parts)
        self.deleted = False
        self._settings = settings
        self._searcher: Searcher | None = None
        self._opening = Lock()
        self._write = Lock()
        self._writers = BoundedSemaphore(_WRITERS)

    @property
    def searcher(self) -> Searcher:
        """That of this gallery, up to date; made at the first search."""
        with self._opening:
            found = self._searcher
            if found is None:
                found = self._searcher = Searcher(self.gallery, memory=self._settings.memory)
                return found
        found.refresh()
        return found

    def check_fit(self) -> None:
        """Raises:
        FingerprintError: other weights made its descriptors.
        """  # noqa: D205
        if not self.fits:
            raise FingerprintError(
                f"gallery {self.name} holds descriptors of {self.gallery.fingerprint}, which are not the service's weights; "
                "search it by stored items or by descriptors of its own model"
            )

    @contextmanager
    def writing(self) -> Iterator[Gallery]:
        """The gallery, for one writer of this process at a time; the searcher then takes in what changed.

        Raises:
            BusyError: too many others write.
            HTTPException: 404 if the gallery was deleted meanwhile.
        """
        if not self._writers.acquire(blocking=False):
            raise BusyError(f"too many requests write to gallery {self.name}; try again")
        try:
            if not self._write.acquire(timeout=self._settings.answer_seconds):
                raise BusyError(f"others have been writing to gallery {self.name} all the time; try again")
            try:
                self.check_there()
                yield self.gallery
            finally:
                self._write.release()
                searcher = self._searcher
                if searcher is not None and not self.deleted:
                    searcher.refresh()
        finally:
            self._writers.release()

    @contextmanager
    def reading(self) -> Iterator[Gallery]:
        """The gallery, for questions that do not depend on what the client says: what fails then is damaged.

        Raises:
            HTTPException: 404 if it was deleted meanwhile.
        """
        self.check_there()
        try:
            yield self.gallery
        except DataError:
            self.check_there()
            raise

    def check_there(self) -> None:
        """Raises:
        HTTPException: 404 if the gallery was deleted.
        """  # noqa: D205
        if self.deleted:
            raise refuse(404, f"there is no gallery {self.name}")

    def close(self) -> None:
        """Lets go of what is in memory."""
        self._searcher = None
        self.deleted = True


class Shelf:
    """All galleries.

    Args:
        root: their folder; made if it is not there.
        describer: whose descriptors new ones hold.
        settings: for the searchers.

    Raises:
        DataError: the folder cannot be made.
    """

    def __init__(self, root: Path, describer: BatchedDescriber, settings: ServiceSettings) -> None:
        self._root = root.absolute()
        self._describer = describer
        self._settings = settings
        self._lock = Lock()
        self._open: dict[str, tuple[int, OpenGallery]] = {}
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            for left in self._root.glob(".*.deleted-*"):  # of a service that was killed while it deleted
                shutil.rmtree(left, ignore_errors=True)
        except OSError as error:
            raise DataError(f"{root}: cannot be used as a folder of galleries ({error.strerror})") from error
        self._audit = AuditLog(self._root / "audit.jsonl", b"", time.time)

    def names(self) -> list[str]:
        """The names of all sub-folders that could be galleries, sorted."""
        return sorted(p.name for p in self._root.iterdir() if p.is_dir() and _NAME.fullmatch(p.name))

    def get(self, name: str) -> OpenGallery:
        """One gallery.

        Raises:
            HTTPException: 404 if there is none of this name.
            DataError: it is damaged.
        """
        if not _NAME.fullmatch(name):
            raise refuse(422, f"a gallery's name must match {GALLERY_PATTERN}")
        folder = self._root / name
        with self._lock:
            try:
                number = folder.stat().st_ino
            except OSError:
                raise refuse(404, f"there is no gallery {name}") from None
            known = self._open.get(name)
            if known is None or known[0] != number:  # another one took its place
                known = number, OpenGallery(name, folder, self._describer, self._settings)
                self._open[name] = known
            return known[1]

    def opened(self) -> list[OpenGallery]:
        """Those in use."""
        with self._lock:
            return [gallery for _, gallery in self._open.values() if not gallery.deleted]

    def create(self, name: str, *, retention: float | None, by: str) -> OpenGallery:
        """Makes a gallery for the service's weights.

        Raises:
            HTTPException: 409 if the name is taken.
        """
        if not _NAME.fullmatch(name):
            raise refuse(422, f"a gallery's name must match {GALLERY_PATTERN}")
        with self._lock:
            if (self._root / name).exists():
                raise refuse(409, f"there is a gallery {name} already")
            self._audit.write(by, "create", gallery=name)
            Gallery.create(self._root / name, like=self._describer.describer, retention=retention, by=by)
            write_parts(self._root / name, self._describer.parts)
        return self.get(name)

    def delete(self, name: str, *, by: str) -> int:
        """Deletes a gallery and its files; its audit log stays beside, under another name.

        Returns:
            How many items it had.

        Raises:
            HTTPException: 404 if there is none of this name.
            DataError: it is no gallery, and is not touched.
            BusyError: others write to it all the time.
        """
        opened, folder = self.get(name), self._root / name
        with opened.writing() as gallery, only_writer(folder, self._settings.answer_seconds):
            count = len(gallery)
            self._audit.write(by, "delete", state="begun", count=count, gallery=name)
            mark = secrets.token_hex(4)
            gone = self._root / f".{name}.deleted-{mark}"
            with self._lock:
                opened.close()
                folder.rename(gone)
                self._open.pop(name, None)
            if (gone / "audit.jsonl").is_file():
                (gone / "audit.jsonl").rename(self._root / f"{name}.deleted-{mark}.audit.jsonl")
            shutil.rmtree(gone)
            sync(self._root)
            self._audit.write(by, "delete", count=count, gallery=name)
        return count


def _stored_parts(folder: Path, count: int) -> BodyParts:
    """Parts by the gallery's own file; a damaged one stops no search."""
    try:
        return read_parts(folder, count)
    except DataError as error:
        _LOG.error("parts are shown as numbers: %s", error)
        return BodyParts()
