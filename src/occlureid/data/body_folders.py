"""Images sorted by what they show, as the occluded and partial sets sort them: persons without named cameras.

A file's person is the number before the first ``_``: ``002/002_01.tif`` and ``002_01.tif`` are person 002. The sets were
published without cameras; users who renamed the files put one in: ``002_c1_01.tif``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from occlureid.data.files import entries, image_files
from occlureid.data.strays import stray
from occlureid.errors import DataError, UsageError
from occlureid.types import Protocol, Sample

__all__ = ["BODY_FOLDERS", "Cameras", "body_protocol", "body_samples", "check_cameras", "has_camera", "image_tree"]

BODY_FOLDERS: tuple[str, str, str] = ("occluded_body_images", "partial_body_images", "whole_body_images")
"""Occluded images, the same cropped to what is visible, and images of the whole body."""

Cameras = Literal["split", "index"]
"""What stands for the camera where a file's name has none: "split", the kind of image ("occluded", "partial", "whole"),
so that no true match is ever ignored; or "index", the number after the person, as one published toolbox reads these
names: for each query, the gallery image of its person with the same number is then ignored."""

_NAME = re.compile(r"(?P<person>\d{1,9})(?:_c(?P<camera>\d{1,9})(?!\d))?(?:_(?P<index>\d{1,9})(?!\d))?.*", re.ASCII)


def has_camera(name: str) -> bool:
    """Whether a file's name says person and camera, as in ``002_c1_01.tif``."""
    match = _NAME.fullmatch(name)
    return match is not None and match["camera"] is not None


def check_cameras(cameras: str) -> None:
    """Raises:
    UsageError: not "split" or "index".
    """  # noqa: D205
    if cameras not in ("split", "index"):
        raise UsageError(f'cameras must be "split" or "index", got {cameras!r}')


def body_protocol(
    name: str, cameras: Cameras, samples: tuple[Sample, ...], ranks: tuple[int, ...] = (1, 5, 10)
) -> Protocol:
    """The protocol of a set whose cameras may be made up; nothing is junk.

    Args:
        name: of the layout.
        cameras: as the images were read.
        samples: query and gallery.
        ranks: that the set's papers quote.
    """
    if any(has_camera(sample.path.name) for sample in samples):
        return Protocol(f"{name}, cameras of the file names", junk=(), ranks=ranks)
    if cameras == "index":
        return Protocol(f"{name}, image numbers as cameras", junk=(), ranks=ranks)
    return Protocol(name, ignore="none", junk=(), ranks=ranks)


def image_tree(folder: Path) -> list[Path]:
    """The images directly in a folder, or, where it holds only folders, in those; sorted.

    Raises:
        DataError: the folder is missing or empty, mixes files and folders, or holds anything else than images.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; its images belong there")
    every = entries(folder)
    inner = [path for path in every if path.is_dir()]
    if inner and len(inner) < len(every):
        strange = next(path for path in every if not path.is_dir())
        stray(
            DataError(
                f"{folder}: expected either images or a folder a person, got both; first file: {strange.name}, first "
                f"folder: {inner[0].name}"
            )
        )
        inner = inner if 2 * len(inner) > len(every) else []  # where it is set aside: what most of them are
    found = [path for person in inner for path in image_files(person)] if inner else image_files(folder)
    if not found:
        raise DataError(f"{folder}: expected images, found none")
    return found


def body_samples(folder: Path, kind: str, cameras: Cameras = "split") -> tuple[Sample, ...]:
    """The samples of one such folder: flat, or with a folder a person.

    Args:
        folder: the folder.
        kind: what its images show; the camera of files without one in their names, if ``cameras`` is "split".
        cameras: see ``Cameras``.

    Raises:
        DataError: as ``image_tree``; or a file's name does not begin with a person's number, some names say a camera
            and others do not, or ``cameras`` is "index" and a name has no number.
    """
    files = image_tree(folder)
    matches = [(path, _NAME.fullmatch(path.name)) for path in files]
    if strange := [path for path, match in matches if match is None]:
        stray(
            DataError(
                f"{folder}: expected names like 002_01.tif (person 002) or 002_c1_01.tif (and camera 1); {len(strange)} of "
                f"{len(files)} files are named otherwise, first: {strange[0].name}"
            )
        )
        files = [path for path, match in matches if match is not None]
    named = [path for path, match in matches if match is not None and match["camera"] is not None]
    if named and len(named) < len(files):
        other = next(path for path in files if not has_camera(path.name))
        raise DataError(
            f"{folder}: {len(named)} of {len(files)} names say a camera (first: {named[0].name}), others do not (first: "
            f"{other.name}); rename all files or none"
        )
    samples = []
    for path, match in matches:
        if match is None:
            continue
        camera = match["camera"] or (kind if cameras == "split" else match["index"])
        if camera is None:
            raise DataError(f'{path}: cameras "index" needs names like 002_01.tif; there is no number after the person')
        samples.append(Sample(path, match["person"], camera))
    return tuple(samples)
