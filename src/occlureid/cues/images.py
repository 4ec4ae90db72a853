"""The images that cues are made for: those of a dataset, of a folder, or some files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from occlureid.cues.exact import TRUE_PART_FOLDERS
from occlureid.data.dataset import ReidDataset
from occlureid.data.files import IMAGE_SUFFIXES
from occlureid.errors import DataError, UsageError
from occlureid.types import Sample

__all__ = ["listed_images"]

_CUE_FOLDERS = frozenset({"pose", "masks", *TRUE_PART_FOLDERS.values()})


def listed_images(images: ReidDataset | Path | Sequence[Path]) -> tuple[list[Sample], Path]:
    """The images, sorted by path, each once, and the root that folders of cues mirror.

    Args:
        images: a dataset (all three splits), a folder (all images below it, but for its folders ``pose``, ``parts``,
            ``parsing`` and ``masks`` and for hidden files), or image files (their root is the folder that all lie in).

    Raises:
        UsageError: there are no images.
        DataError: there is no such folder.
    """
    if isinstance(images, ReidDataset):
        every = {s.path: s for split in (images.train, images.query, images.gallery) for s in split}
        return [every[path] for path in sorted(every)], images.root
    if isinstance(images, Path):
        if not images.is_dir():
            raise DataError(f"{images}: there is no such folder of images")
        root = images
        paths = [path for path in images.rglob("*") if _is_wanted(path, images)]
    else:
        paths = list(images)
        root = Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()
    if not paths:
        where = images if isinstance(images, Path) else "the list"
        raise UsageError(f"{where}: there are no images in it (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
    return [Sample(path, "unknown", "unknown") for path in sorted(set(paths))], root


def _is_wanted(path: Path, root: Path) -> bool:
    place = path.relative_to(root)
    hidden = any(part.startswith(".") for part in place.parts)
    return (
        path.suffix.lower() in IMAGE_SUFFIXES and not hidden and place.parts[0] not in _CUE_FOLDERS and path.is_file()
    )
