"""Images with a label for every pixel, to train and judge human parsers: LIP, and rendered worlds read the same way.

LIP (Gong et al., CVPR 2017) is no re-identification set: it names no persons.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from occlureid.data.box_folders import SPLIT_FOLDERS
from occlureid.data.files import entries, image_files
from occlureid.data.images import open_image
from occlureid.errors import DataError

__all__ = [
    "LIP_IMAGES",
    "LIP_NAMES",
    "PARSING_FOLDER",
    "ParsingDataset",
    "ParsingSample",
    "find_lip",
    "read_lip",
    "read_parsing_world",
]

LIP_NAMES: tuple[str, ...] = (
    "background", "hat", "hair", "glove", "sunglasses", "upper_clothes", "dress", "coat", "socks", "pants",
    "jumpsuits", "scarf", "skirt", "face", "left_arm", "right_arm", "left_leg", "right_leg", "left_shoe", "right_shoe",
)  # fmt: skip
"""What the labels 0 to 19 mean; left is the person's left."""

LIP_IMAGES: dict[str, int] = {"train": 30_462, "validation": 10_000}
"""Images of each split, as published."""

PARSING_FOLDER = "parsing"
"""Beside the split folders of a rendered world: LIP labels, in folders named as those of the images."""

_SPLITS = {"train": "train", "validation": "val"}
_ID = re.compile(r"[\w-]{1,128}", re.ASCII)
_LONGEST_LIST = 16_000_000


@dataclass(frozen=True, slots=True)
class ParsingSample:
    """An image and the file of its labels.

    Attributes:
        image: the image.
        label_file: a single-channel 8-bit PNG of the same size.
    """

    image: Path
    label_file: Path

    def read_labels(self, size: tuple[int, int] | None = None) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """(H, W) uint8 labels, 0 to 19 as in ``LIP_NAMES``; where the file has a palette, its indices.

        Args:
            size: (height, width) of the image, if known: the labels must be of this size.

        Raises:
            DataError: the file is missing, damaged, not a single-channel 8-bit PNG, of another size, or has a label
                beyond 19.
        """
        picture = open_image(self.label_file, formats=("PNG",))
        if picture.mode not in ("L", "P"):
            raise DataError(
                f"{self.label_file}: expected a single-channel 8-bit PNG of labels, got mode {picture.mode} (a picture in "
                "colours is for looking at; the labels are in another file)"
            )
        labels = np.array(picture, dtype=np.uint8)
        if size is not None and labels.shape != size:
            raise DataError(
                f"{self.label_file}: labels must be of the image's size (height, width) = {size}, got {labels.shape}"
            )
        if int(labels.max()) >= len(LIP_NAMES):
            raise DataError(f"{self.label_file}: expected labels from 0 to {len(LIP_NAMES) - 1}, found {labels.max()}")
        return labels


@dataclass(frozen=True, slots=True)
class ParsingDataset:
    """Images to train a parser on, and others to judge it by.

    Attributes:
        name: "lip" or "synthetic".
        root: the folder read.
        train, validation: sorted by the image's path.
    """

    name: str
    root: Path
    train: tuple[ParsingSample, ...]
    validation: tuple[ParsingSample, ...]


def find_lip(root: Path) -> tuple[Path, Path] | None:
    """The folders that hold ``train_images`` and ``train_segmentations``, or None where there are none.

    They are ``TrainVal_images`` and ``TrainVal_parsing_annotations``, or the root itself; unpacking LIP's archives may
    repeat a folder's name up to twice.
    """
    found = []
    for outer, inner in (("TrainVal_images", "train_images"), ("TrainVal_parsing_annotations", "train_segmentations")):
        nested = (root, root / outer, root / outer / outer, root / outer / outer / outer)
        folder = next((path for path in nested if (path / inner).is_dir()), None)
        if folder is None:
            return None
        found.append(folder)
    return found[0], found[1]


def read_lip(root: Path | str) -> ParsingDataset:
    """LIP's single-person set, as its archives unpack.

    ``TrainVal_images/{train,val}_images/<id>.jpg``, ``TrainVal_images/{train,val}_id.txt``, and
    ``TrainVal_parsing_annotations/{train,val}_segmentations/<id>.png``. No image is opened; ``read_labels`` checks.

    Raises:
        DataError: a folder or a list is missing, a line of a list is no id or is repeated, or an image or its labels are
            not there.
    """
    root = Path(root)
    folders = find_lip(root)
    if folders is None:
        raise DataError(
            f"{root}: LIP has TrainVal_images/train_images and TrainVal_parsing_annotations/train_segmentations; unpack "
            "both archives there"
        )
    images, annotations = folders
    splits = {}
    for split, short in _SPLITS.items():
        pictures = _files(images / f"{short}_images", ".jpg")
        labels = _files(annotations / f"{short}_segmentations", ".png")
        samples = []
        for name, where in _ids(images / f"{short}_id.txt"):
            for files, folder, what in (
                (pictures, images / f"{short}_images", "image"),
                (labels, annotations / f"{short}_segmentations", "file of labels"),
            ):
                if name not in files:
                    raise DataError(f"{where}: there is no {what} of {name} in {folder}")
            samples.append(ParsingSample(pictures[name], labels[name]))
        splits[split] = tuple(sorted(samples, key=lambda sample: sample.image.as_posix()))
    return ParsingDataset("lip", root, splits["train"], splits["validation"])


def read_parsing_world(root: Path | str) -> ParsingDataset:
    """A rendered world with its exact LIP labels: its training persons to train on, the others to judge by.

    The labels of ``query/a.jpg`` are ``parsing/query/a.png``.

    Raises:
        DataError: a folder is missing, or an image has no labels.
    """
    root = Path(root)
    splits: dict[str, list[ParsingSample]] = {}
    for folder in SPLIT_FOLDERS:
        if not (root / PARSING_FOLDER / folder).is_dir():
            raise DataError(
                f"{root / PARSING_FOLDER / folder}: there is no such folder of labels; render the world again with this "
                "version"
            )
        labels = _files(root / PARSING_FOLDER / folder, ".png")
        for path in image_files(root / folder):
            if path.stem not in labels:
                raise DataError(f"{path}: has no labels in {root / PARSING_FOLDER / folder}; render the world again")
            split = "train" if folder == SPLIT_FOLDERS[0] else "validation"
            splits.setdefault(split, []).append(ParsingSample(path, labels[path.stem]))
    train, validation = (
        tuple(sorted(splits.get(split, ()), key=lambda sample: sample.image.as_posix())) for split in _SPLITS
    )
    if not train or not validation:
        raise DataError(f"{root}: a rendered world has images in each of {', '.join(SPLIT_FOLDERS)}")
    return ParsingDataset("synthetic", root, train, validation)


def _files(folder: Path, suffix: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    return {path.stem: path for path in entries(folder) if path.suffix.lower() == suffix}


def _ids(path: Path) -> Iterator[tuple[str, str]]:
    """(id, where it stands) of each line."""
    try:
        if path.stat().st_size > _LONGEST_LIST:
            raise DataError(f"{path}: larger than {_LONGEST_LIST:,} bytes, so it is no list of ids")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"{path}: LIP needs this list; it comes with the images") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if not lines:
        raise DataError(f"{path}: expected an id a line, the file is empty")
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if not _ID.fullmatch(name):
            raise DataError(f"{path}:{number}: expected an id like 77_471474, got {line[:60]!r}")
        if name in seen:
            raise DataError(f"{path}:{number}: {name} was already listed in line {seen[name]}")
        seen[name] = number
        yield name, f"{path}:{number}"
