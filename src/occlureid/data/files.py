"""Which files of a folder are images: nothing is passed over silently but what operating systems leave behind."""

from __future__ import annotations

import re
from pathlib import Path

from occlureid.data.strays import stray
from occlureid.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "SUFFIX_PATTERN", "entries", "image_files", "subfolders"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Suffixes of image files, in lower case."""

SUFFIX_PATTERN = f"(?i:{'|'.join(map(re.escape, sorted(IMAGE_SUFFIXES)))})"
"""A regular expression of such a suffix, dot and all, in either case."""

_LEFT_BEHIND = frozenset({"thumbs.db", "desktop.ini"})


def _is_left_behind(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _LEFT_BEHIND


def entries(folder: Path) -> list[Path]:
    """Everything directly in a folder, sorted; hidden files, Thumbs.db and desktop.ini are passed over.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        return sorted(path for path in folder.iterdir() if not _is_left_behind(path))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); expected a folder that may be read") from error


def image_files(folder: Path) -> list[Path]:
    """The image files directly in a folder, sorted; hidden files, Thumbs.db and desktop.ini are passed over.

    Raises:
        DataError: the folder cannot be listed, or holds anything else than image files (the first is named).
    """
    found = entries(folder)
    strange = [path for path in found if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file()]
    if strange:
        stray(
            DataError(
                f"{folder}: expected only image files ({', '.join(sorted(IMAGE_SUFFIXES))}), found {len(strange)} other "
                f"entries, first: {strange[0].name}; move them elsewhere, so that no image is lost unseen"
            )
        )
    return [path for path in found if path not in set(strange)] if strange else found


def subfolders(folder: Path) -> list[Path]:
    """The folders directly in a folder, sorted.

    Raises:
        DataError: the folder cannot be listed, or holds files besides folders (the first is named).
    """
    found = entries(folder)
    strange = [path for path in found if not path.is_dir()]
    if strange:
        stray(DataError(f"{folder}: expected only folders, found {len(strange)} files, first: {strange[0].name}"))
    return [path for path in found if path not in set(strange)] if strange else found
