"""A folder that is whole or not there: made under another name, renamed at the end, cleared away if its process died."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = ["remove_leftovers", "staged_folder"]


@contextmanager
def staged_folder(root: Path) -> Iterator[Path]:
    """A new folder beside ``root``, which becomes ``root`` when the block ends and is removed when it fails.

    A process that is killed leaves its folder behind; the next call for the same ``root`` removes it. Which folders are
    abandoned is told by a lock that the system takes back from a dead process, so a living one's folder is never touched.

    Args:
        root: must not exist, or be an empty folder. Its parents are made.

    Yields:
        The folder to fill.

    Raises:
        OSError: the folder cannot be made, or ``root`` holds something by the time that the block ends.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(root)
    partial, lock = _claim(root)
    try:
        yield partial
        partial.chmod(0o755)
        partial.rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_leftovers(root: Path) -> list[Path]:
    """Removes what processes that no longer live have left of ``staged_folder(root)``.

    Where folders cannot be locked (Windows, some network file systems) nothing is removed.

    Returns:
        The folders that are gone.
    """
    pattern = re.compile(re.escape(f".{root.name}.partial-") + r"[a-z0-9_]{8}")
    removed = []
    for path in sorted(root.parent.iterdir()):
        if pattern.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            lock = _lock(path)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)
                removed.append(path)
    return removed


def _claim(root: Path) -> tuple[Path, int | None]:
    """A new folder and the lock on it, None where there are no locks."""
    while True:
        partial = Path(tempfile.mkdtemp(prefix=f".{root.name}.partial-", dir=root.parent))
        lock = _lock(partial)
        # Between making and locking, another process may have taken the folder for a leftover: then it is gone.
        if lock is not None or partial.exists():
            return partial, lock


def _lock(folder: Path) -> int | None:
    """An open descriptor that holds the folder's only lock, or None: locked by another, gone, or not to be locked."""
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(folder.stat(), os.fstat(descriptor)):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
