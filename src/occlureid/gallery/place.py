"""Where a gallery lies: a folder of this machine, or the URL of an object store."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from occlureid.errors import DataError, UsageError
from occlureid.gallery.flush import sync

__all__ = ["Place", "new_folder"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder or a URL, and what lies below it.

    Attributes:
        base: the path or the URL.
        folder: the folder, None for an object store.
    """

    base: str
    folder: Path | None

    @classmethod
    def of(cls, path: Path | str) -> Place:
        """From what a user says: a path, ``file://`` and a path, or the URL of an object store."""
        text = str(path)
        if text.lower().startswith("file://"):
            path = Path(unquote(urlsplit(text).path))
        elif isinstance(path, str) and _URL.match(text):
            return cls(text.rstrip("/"), None)
        folder = Path(path).absolute()
        return cls(str(folder), folder)

    @property
    def items(self) -> str:
        """Of the table of items."""
        return f"{self.base}/items.lance"

    @property
    def maps(self) -> str:
        """Of the table of spatial maps."""
        return f"{self.base}/maps.lance"

    def audit_path(self, given: Path | str | None) -> Path:
        """The file of the audit log.

        Raises:
            UsageError: none is given for an object store.
        """
        if given is not None:
            return Path(given)
        if self.folder is None:
            raise UsageError(
                f"{self.base}: an object store cannot append to a file; name a local file for the audit log"
            )
        return self.folder / "audit.jsonl"

    def require(self) -> None:
        """Looks whether there may be a gallery, before Lance is asked.

        Raises:
            DataError: there is none.
        """
        if self.folder is not None and not (self.folder / "items.lance" / "_versions").is_dir():
            found = "a folder without a gallery" if self.folder.is_dir() else "no such folder"
            raise DataError(f"{self.folder}: {found}; expected one that was made by creating a gallery")

    def bytes(self) -> int | None:
        """The size of all files below the folder, None for an object store."""
        if self.folder is None:
            return None
        total = 0
        for root, _, names in os.walk(self.folder):
            for name in names:
                try:
                    total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118
                except FileNotFoundError:
                    continue
        return total


@contextmanager
def new_folder(place: Place) -> Iterator[Place]:
    """Where to make a new gallery: a folder beside, which takes its place when the block ends and goes when it fails.

    Raises:
        DataError: there is something already, or the folder cannot be made.
    """
    if place.folder is None:
        yield place
        return
    try:
        if place.folder.exists() and (not place.folder.is_dir() or any(place.folder.iterdir())):
            raise DataError(
                f"{place.folder}: is there already; a new gallery needs a folder that is empty or not there"
            )
        place.folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{place.folder.name}.partial-", dir=place.folder.parent))
    except OSError as error:
        raise DataError(f"{place.folder}: a gallery cannot be made here ({error.strerror})") from error
    try:
        yield Place(str(partial), partial)
        try:
            partial.rename(place.folder)
        except OSError as error:
            raise DataError(f"{place.folder}: is there already ({error.strerror})") from error
        sync(place.folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
