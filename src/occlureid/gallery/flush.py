"""From written to kept: asks the system to put what is new below a folder on the disk, files first, then their folders."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["Flusher", "sync"]

_AT_ONCE = 16
_FileKey = tuple[str, int, int, int]


def sync(path: Path | str) -> None:
    """Flushes one file or folder to disk. What is gone by now needs no flush.

    Raises:
        OSError: the disk says that it could not.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_all(paths: list[str]) -> None:
    # A flush waits for the disk; many at once wait little longer than one
    with ThreadPoolExecutor(min(len(paths), _AT_ONCE) or 1) as pool:
        list(pool.map(sync, paths))


class Flusher:
    """Flushes what is new below a folder since it last did.

    Lance writes files that it never changes afterwards, and does not flush them. Everything that this object has not flushed
    itself counts as new: its first call flushes files of other processes too, because a commit builds on theirs, and they
    may have been killed before they came to it.

    Args:
        folder: the folder; None makes an object that does nothing (an object store keeps what it has acknowledged).
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._files: set[_FileKey] = set()
        self._names: dict[str, frozenset[str]] = {}

    def __call__(self) -> int:
        """Flushes.

        Returns:
            How many files and folders.

        Raises:
            OSError: the disk says that it could not.
        """
        if self._folder is None:
            return 0
        files, names = self._listed(self._folder)
        new_files = sorted(files - self._files)
        _sync_all([path for path, *_ in new_files])
        # A folder's own file system entry is in its parent, whose names have changed with it.
        changed = sorted(path for path, found in names.items() if self._names.get(path) != found)
        _sync_all(changed)
        self._files, self._names = files, names
        return len(new_files) + len(changed)

    @staticmethod
    def _listed(folder: Path) -> tuple[set[_FileKey], dict[str, frozenset[str]]]:
        files: set[_FileKey] = set()
        names: dict[str, frozenset[str]] = {}
        for root, folders, entries in os.walk(folder):
            names[root] = frozenset((*folders, *entries))
            for entry in entries:
                path = f"{root}{os.sep}{entry}"
                try:
                    status = os.lstat(path)
                except FileNotFoundError:
                    continue
                files.add((path, status.st_ino, status.st_size, status.st_mtime_ns))
        return files, names
