"""Folders of cues mirror the tree of the images: where the cues of an image are."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from occlureid.data.files import IMAGE_SUFFIXES
from occlureid.errors import DataError

__all__ = ["mirrored", "stems"]


def mirrored(image: Path, root: Path) -> PurePosixPath:
    """The path of an image below the root that a folder of cues mirrors.

    Raises:
        DataError: it is not below it.
    """
    if not image.is_relative_to(root):
        raise DataError(f"{image}: is not below {root}, so it has no place in a folder of cues that mirrors it")
    return PurePosixPath(image.relative_to(root).as_posix())


def stems(path: PurePosixPath) -> list[str]:
    """The path without its suffix, and without further image suffixes (``a.jpg.jpg``): a/b.jpg -> a/b."""
    stems = [path.with_suffix("").as_posix()]
    while PurePosixPath(stems[-1]).suffix.lower() in IMAGE_SUFFIXES:
        stems.append(PurePosixPath(stems[-1]).with_suffix("").as_posix())
    return stems
