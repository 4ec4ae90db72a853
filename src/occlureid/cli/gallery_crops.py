"""From what a user names (files, folders, datasets, CSV files) to crops: an item each, and the image that it is in."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlureid.cli.gallery_place import moment
from occlureid.data import ReidDataset, open_dataset, read_image
from occlureid.data.csv_rows import csv_header, csv_rows
from occlureid.data.files import IMAGE_SUFFIXES
from occlureid.data.images import cut_box
from occlureid.data.recognise import recognise
from occlureid.errors import DataError, UsageError
from occlureid.gallery import Item
from occlureid.ids import check_id

if TYPE_CHECKING:
    from PIL import Image


__all__ = ["CROP_COLUMNS", "UNKNOWN", "Crop", "Group", "collect", "cut", "has_cues"]

CROP_COLUMNS = ("path", "camera", "id", "person", "time", "box")
"""Of a CSV file of crops; the first two must be there."""

UNKNOWN = "unknown"
"""Camera of images that say nothing of it."""

_NOBODY = {"market1501": ("0000",)}
"""Ids that layouts give to many people at once."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A crop: the item without thumbnail, and the image file; where the item has a box, that much of the image."""

    item: Item
    path: Path


@dataclass(slots=True)
class Group:
    """Crops whose cues, if any are needed, lie below one folder."""

    root: Path
    crops: list[Crop] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Naming:
    """What is said of images that say nothing of themselves.

    Attributes:
        layout: of datasets: a name, "auto" to recognise it, "none" to take every folder as one of images.
        split: of datasets: "train", "query", "gallery" or "all".
        camera, person: of images in plain files and folders.
        prefix: put before every id.
    """

    layout: str = "none"
    split: str = "all"
    camera: str = UNKNOWN
    person: str | None = None
    prefix: str = ""


def collect(paths: Sequence[Path], naming: Naming) -> list[Group]:
    """The crops of all paths, in order, each id once.

    Raises:
        DataError: something is not there, has no images, or is not what it should be; or two images have one id.
    """
    groups = [_group(path.absolute(), naming) for path in paths]
    seen: dict[str, Path] = {}
    for crop in (crop for group in groups for crop in group.crops):
        if (other := seen.setdefault(crop.item.id, crop.path)) is not crop.path:
            raise DataError(
                f"{other} and {crop.path} both have the id {crop.item.id!r}; add them one after the other, with --prefix"
            )
    return groups


def _group(path: Path, naming: Naming) -> Group:
    if path.suffix.lower() == ".csv" and path.is_file():
        if naming.layout == "csv" or (naming.layout == "auto" and "split" in csv_header(path)):
            return _dataset(open_dataset(path, "csv"), naming)
        rows = csv_rows(path, CROP_COLUMNS[:2], CROP_COLUMNS[2:])
        crops = [_row(path, line, row, naming) for line, row in rows]
        if not crops:
            raise DataError(f"{path}: there is no crop in it")
        return Group(_cue_root(path.parent), crops)
    if path.is_file():
        return Group(_cue_root(path.parent), [_plain(path, path.name, naming)])
    if not path.is_dir():
        raise DataError(f"{path}: there is no such image, folder or CSV file")
    if naming.layout != "none" and (naming.layout != "auto" or _is_dataset(path)):
        return _dataset(open_dataset(path, naming.layout), naming)
    files = sorted(file for file in path.rglob("*") if _is_image(file, path))
    if not files:
        raise DataError(f"{path}: there are no images in it (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
    return Group(_cue_root(path), [_plain(file, file.relative_to(path).as_posix(), naming) for file in files])


def _cue_root(folder: Path) -> Path:
    """The nearest folder around that has cues, so that one image of a dataset finds its own."""
    return next((one for one in (folder, *folder.parents) if has_cues(one)), folder)


def has_cues(folder: Path) -> bool:
    """True if a folder holds a folder of cues."""
    return any((folder / name).is_dir() for name in ("pose", "parts"))


def _is_image(file: Path, root: Path) -> bool:
    place = file.relative_to(root)
    cues = place.parts[0] in ("pose", "parts", "parsing", "masks") and len(place.parts) > 1
    hidden = any(part.startswith(".") for part in place.parts)
    return file.suffix.lower() in IMAGE_SUFFIXES and not hidden and not cues and file.is_file()


def _is_dataset(path: Path) -> bool:
    """Whether a folder has a known layout; several that fit are an error that names them."""
    try:
        recognise(path)
    except DataError as error:
        if "fits" in str(error):
            raise
        return False
    return True


def _item(where: str, **values: Any) -> Item:
    try:
        for name in ("id", "camera", "person"):
            check_id(name, values.get(name) or "")
        return Item(**values)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _plain(path: Path, name: str, naming: Naming) -> Crop:
    source = str(path.absolute())
    id = naming.prefix + name
    return Crop(_item(str(path), id=id, camera=naming.camera, person=naming.person, source=source), path)


def _dataset(dataset: ReidDataset, naming: Naming) -> Group:
    splits = ("train", "query", "gallery") if naming.split == "all" else (naming.split,)
    samples = {sample.path: sample for split in splits for sample in getattr(dataset, split)}
    nobody = {*dataset.protocol.junk, *_NOBODY.get(dataset.name, ())}
    crops = []
    for path in sorted(samples):
        sample = samples[path]
        inside = path.is_relative_to(dataset.root)
        item = _item(
            str(path),
            id=naming.prefix + (path.relative_to(dataset.root).as_posix() if inside else path.name),
            camera=sample.camera,
            person=None if sample.person in nobody else sample.person,
            source=str(path.absolute()),
        )
        crops.append(Crop(item, path))
    if not crops:
        raise DataError(f"{dataset.root}: there are no images in the split {naming.split!r}")
    return Group(dataset.root, crops)


# -- CSV files of crops ------------------------------------------------------------------------------------------------


def _row(path: Path, line: int, row: dict[str, str], naming: Naming) -> Crop:
    where = f"{path}:{line}"
    if not row["path"] or "\0" in row["path"]:
        raise DataError(f"{where}: path must be text, got {row['path'][:60]!r}")
    image = path.parent / row["path"]
    try:
        there = image.is_file()
    except OSError:  # a name longer than file systems allow
        there = False
    if not there:
        raise DataError(f"{where}: there is no image {row['path'][:200]} (paths are relative to {path.parent})")
    box = _box(where, row.get("box", ""))
    name = row["path"] if box is None else f"{row['path']}@{','.join(f'{value:g}' for value in box)}"
    item = _item(
        where,
        id=naming.prefix + (row.get("id") or name),
        camera=row["camera"],
        person=row.get("person") or None,
        time=_time(where, row.get("time", "")),
        source=str(image.absolute()),
        box=box,
    )
    return Crop(item, image)


def _time(where: str, text: str) -> float | None:
    try:
        return moment(text, "time") if text else None
    except UsageError as error:
        raise DataError(f"{where}: {error}") from error


def _box(where: str, text: str) -> tuple[float, float, float, float] | None:
    if not text:
        return None
    try:
        values = [float(value) for value in re.split(r"[\s,;]+", text)]
    except ValueError:
        values = []
    if len(values) != 4 or not all(map(math.isfinite, values)):
        raise DataError(f"{where}: box must be four numbers x0 y0 x1 y1, got {text[:60]!r}")
    return values[0], values[1], values[2], values[3]


# -- describing --------------------------------------------------------------------------------------------------------


def cut(crop: Crop) -> Image.Image:
    """The pixels of a crop.

    Raises:
        DataError: the image cannot be read, or the box is not inside it.
    """
    image = read_image(crop.path)
    return image if crop.item.box is None else cut_box(image, crop.item.box, str(crop.path))
