"""After a power cut: back to the last version that is whole.

What was acknowledged had been flushed, so a cut can only tear the newest commit, one that nobody was told of; but Lance
looks at the newest first, and then does not open. Nothing is taken back unless it is asked for: a manifest that rotted on a
bad disk looks the same, and going back from that one loses what came after.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from occlureid.errors import DataError, UsageError
from occlureid.gallery.flush import sync
from occlureid.gallery.lock import only_writer
from occlureid.gallery.place import Place
from occlureid.gallery.store import Gallery
from occlureid.gallery.table import Table, lance

__all__ = ["recover"]


def recover(
    path: Path | str,
    *,
    by: str,
    audit: Path | str | None = None,
    clock: Callable[[], float] = time.time,
    patience: float = 60.0,
) -> list[str]:
    """Takes back commits that cannot be read, the newest first, down to one that is whole. A whole gallery is not touched.

    Args:
        path: the folder of a gallery.
        by: who asks for it; goes into the audit log if something was taken back.
        audit: as given when the gallery was created.
        clock: gives the seconds since 1970.
        patience: seconds to wait for another writer.

    Returns:
        The manifests that were removed, empty if the gallery was whole.

    Raises:
        BusyError: another process was writing all the time.
        DataError: there is no gallery, or no version of it is whole; then nothing was changed.
        UsageError: ``path`` is the URL of an object store, which does not tear files.
    """
    place = Place.of(path)
    place.require()
    if place.folder is None:
        raise UsageError(
            f"{place.base}: an object store writes a file whole or not at all; there is nothing to recover"
        )
    with only_writer(place.folder, patience):
        tables = [Path(uri) for uri in (place.maps, place.items) if Path(uri).is_dir()]
        torn = [manifest for table in tables for manifest in _torn(table)]
        for manifest in torn:
            manifest.unlink()
            sync(manifest.parent)
    gallery = Gallery.open(path, audit=audit, clock=clock, patience=patience)
    if torn:
        gallery.audit.write(by, "recover", count=len(torn))
    return [str(manifest) for manifest in torn]


def _torn(folder: Path) -> list[Path]:
    """The manifests of a table that are newer than its newest whole version."""
    table = Table(str(folder), lambda: None)
    torn: list[Path] = []
    for version, manifest in sorted(table.manifests().items(), reverse=True):
        if _whole(table, version):
            return torn
        torn.append(manifest)
    raise DataError(f"{folder}: damaged: none of its {len(torn)} versions is whole; nothing was changed")


def _whole(table: Table, version: int) -> bool:
    try:
        found = lance().dataset(table.uri, version=version)
        return found.version == version and found.has_stable_row_ids and table.wrong_file(found) is None
    except (OSError, ValueError, RuntimeError):
        return False
