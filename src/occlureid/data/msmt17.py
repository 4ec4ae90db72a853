"""MSMT17 (Wei et al., CVPR 2018), V1 and V2: two folders of images, and four lists that say what they are for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from occlureid.data.dataset import Counts, ReidDataset
from occlureid.data.files import SUFFIX_PATTERN
from occlureid.data.strays import stray
from occlureid.errors import DataError, UsageError
from occlureid.types import Protocol, Sample

__all__ = ["MSMT17", "MSMT17_COUNTS", "MSMT17_FOLDERS", "MSMT17_LISTS", "read_msmt17"]

MSMT17_COUNTS = Counts(32_621, 1_041, 11_659, 3_060, 82_161, 3_060)

MSMT17 = Protocol("msmt17", junk=())

MSMT17_FOLDERS: dict[str, tuple[str, str]] = {"v1": ("train", "test"), "v2": ("mask_train_v2", "mask_test_v2")}
"""The folders of the training and of the test images; faces are masked in V2."""

MSMT17_LISTS: tuple[str, ...] = ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")

# 0000/0000_000_01_0303morning_0015_0.jpg: person, image, camera, day and time of day, frame, box.
_IMAGE = re.compile(rf"(?P<folder>\w{{1,64}})/\d{{1,9}}_\d{{1,9}}_(?P<camera>\d{{1,9}})_\w+{SUFFIX_PATTERN}", re.ASCII)
_LONGEST_LIST = 64_000_000


def read_msmt17(root: Path, version: Literal["v1", "v2"] = "v1", validation: bool = True) -> ReidDataset:
    """Each line of a list is ``<path> <person>``; the camera is the third field of the file's name.

    Training and test images number their persons from 0 each: the same number is another person.

    Args:
        root: the folder with the four lists and the two folders of images.
        version: "v1" (``train``, ``test``) or "v2" (``mask_train_v2``, ``mask_test_v2``).
        validation: train on ``list_val.txt`` too, which the 32,621 published training images include.

    Raises:
        DataError: a folder or a list is missing, a line is not what it should be or names an image that is not there or
            was listed before; lines are numbered from 1.
        UsageError: there is no such version.
    """
    if version not in MSMT17_FOLDERS:
        raise UsageError(f"version must be one of {', '.join(MSMT17_FOLDERS)}, got {version!r}")
    train_folder, test_folder = MSMT17_FOLDERS[version]
    name = "msmt17" if version == "v1" else f"msmt17-{version}"
    for folder in (train_folder, test_folder):
        if not (root / folder).is_dir():
            raise DataError(
                f"{root}: the layout {name!r} has the folders {train_folder} and {test_folder}; no {folder}"
            )
    train_list, validation_list, query_list, gallery_list = (root / file for file in MSMT17_LISTS)
    lists = [train_list, validation_list] if validation else [train_list]
    train, query, gallery = (
        _sorted(root / folder, files)
        for folder, files in ((train_folder, lists), (test_folder, [query_list]), (test_folder, [gallery_list]))
    )
    expected = MSMT17_COUNTS if validation else Counts(None, None, 11_659, 3_060, 82_161, 3_060)
    return ReidDataset(name, root, train, query, gallery, MSMT17, expected)


def _sorted(folder: Path, lists: list[Path]) -> tuple[Sample, ...]:
    seen: dict[str, str] = {}
    samples = [sample for path in lists for sample in _listed(folder, path, seen)]
    return tuple(sorted(samples, key=lambda sample: sample.path.as_posix()))


def _listed(folder: Path, path: Path, seen: dict[str, str]) -> Iterator[Sample]:
    """The samples of one list; ``seen`` says where each image was listed."""
    lines = _lines(path)
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()  # empty lines at the end
    if not lines:
        raise DataError(f"{path}: expected lines like 0000/0000_000_01_0303morning_0015_0.jpg 0, the file is empty")
    for number, line in enumerate(lines, start=1):
        try:
            yield _sample(folder, f"{path}:{number}", line, seen)
        except DataError as error:
            stray(error)


def _sample(folder: Path, where: str, line: str, seen: dict[str, str]) -> Sample:
    """The sample of one line; blanks or a tab separate its two fields."""
    image, _, person = " ".join(line.split()).partition(" ")
    match = _IMAGE.fullmatch(image)
    if match is None or not re.fullmatch(r"\d{1,9}", person, re.ASCII):
        raise DataError(f"{where}: expected 0000/0000_000_01_0303morning_0015_0.jpg 0 or the like, got {line[:80]!r}")
    if image in seen:
        raise DataError(f"{where}: {image} was already listed in {seen[image]}")
    seen[image] = where
    file = folder / PurePosixPath(image)
    if not file.is_file():
        raise DataError(f"{where}: there is no image {image} in {folder}")
    return Sample(file, person, str(int(match["camera"])))


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _LONGEST_LIST:
            raise DataError(f"{path}: larger than {_LONGEST_LIST:,} bytes, so it is no list of images")
        return path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"{path}: MSMT17 needs this list; it comes with the images") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
