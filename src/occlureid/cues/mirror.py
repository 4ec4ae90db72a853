"""Folders of cues mirror the tree of the images: where the cues of an image are, and that no two images share them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from occlureid.data.files import IMAGE_SUFFIXES
from occlureid.errors import DataError
from occlureid.types import Sample

__all__ = ["Claims", "check_distinct", "file_names", "mirrored", "stems", "without_image_suffix"]


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


def file_names(path: PurePosixPath) -> list[str]:
    """The names, without their own suffixes, that files about an image may have: ``stems``, then its whole path."""
    return [*stems(path), path.as_posix()]


def without_image_suffix(name: str) -> str | None:
    """The name of a file of cues without the suffix of an image at its end, a/b.jpg -> a/b; None where it has none.

    Tools that write ``b.jpg_keypoints.json`` or ``b.jpg.confidence_fields.npy`` do so for ``b.tif`` too.
    """
    return name.rpartition(".")[0] if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES else None


def check_distinct(samples: Iterable[Sample], root: Path) -> None:
    """Makes sure that every image has a place of its own in a folder that mirrors them without their suffixes.

    Raises:
        DataError: two images differ in their suffixes only (a.jpg, a.png; x.jpg, x.jpg.jpg), or one is not below the root.
    """
    seen: dict[str, PurePosixPath] = {}
    for sample in samples:
        place = mirrored(sample.path, root)
        other = seen.setdefault(stems(place)[-1], place)
        if other != place:
            raise DataError(
                f"{root}: the images {other} and {place} differ in their suffixes only, so that their cues would have one "
                "file; rename one of them"
            )


class Claims:
    """Record of the image that each file of cues, or entry of a list, was found for: it may be one image only.

    Args:
        root: of the images, for messages.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._images: dict[object, PurePosixPath] = {}

    def claim(self, what: object, image: PurePosixPath) -> None:
        """Notes that a file, or entry, is an image's.

        Args:
            what: the path, or another value that tells the entry from all others and reads well in a message.
            image: its path below the root.

        Raises:
            DataError: it is another image's already.
        """
        other = self._images.setdefault(what, image)
        if other != image:
            raise DataError(
                f"{what}: fits two images below {self._root}, {other} and {image}; put the files of cues into folders named as "
                "those of the images, or name each by the image's whole path"
            )
