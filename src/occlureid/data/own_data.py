"""Readers of data of one's own: a tree of folders, or a CSV file.

Both choose the protocol from the cameras: with several, a query ignores the gallery images of its own person and
camera, as in the field; with one camera that rule would leave no true match at all, so only the query's own file is
ignored, and the protocol's name says so. In both, person "-1" marks junk (dropped from the gallery for every query).
"""

from __future__ import annotations

import logging
from pathlib import Path

from occlureid.data.csv_rows import csv_rows
from occlureid.data.dataset import ReidDataset
from occlureid.data.files import image_files, subfolders
from occlureid.data.strays import stray
from occlureid.errors import DataError
from occlureid.types import Protocol, Sample

__all__ = ["CSV_COLUMNS", "SPLITS", "read_csv", "read_folder"]

SPLITS: tuple[str, str, str] = ("train", "query", "gallery")
CSV_COLUMNS: tuple[str, ...] = ("path", "person", "camera", "split", "time", "visible_fraction", "obstacle")
"""The first four must be there."""

_logger = logging.getLogger(__name__)


def read_folder(root: Path) -> ReidDataset:
    """A tree ``{train,query,gallery}/<person>/<camera>/<any name>.jpg`` (or png, bmp, tif, webp).

    The folders' names are the person and the camera; file names mean nothing. Data of one camera has one camera folder
    in each person's. Without ``train`` the data is there to describe and to evaluate on.

    Raises:
        DataError: query or gallery is missing or empty, or there are files where folders belong.
    """
    splits: dict[str, list[Sample]] = {"train": []}
    there = [split for split in SPLITS if (root / split).is_dir()]
    for split in SPLITS[1:]:
        if split not in there:
            raise DataError(f"{root}: the layout 'folder' has {', '.join(SPLITS)}, then a folder a person; no {split}")
    for split in there:
        splits[split] = [
            Sample(path, person.name, camera.name)
            for person in subfolders(root / split)
            for camera in subfolders(person)
            for path in image_files(camera)
        ]
    return _dataset("folder", root, root, splits)


def read_csv(path: Path) -> ReidDataset:
    """A CSV file with the columns path, person, camera, split, and optionally time, visible_fraction, obstacle.

    ``split`` is train, query or gallery; paths are relative to the CSV file's folder (or absolute). An image may be
    both query and gallery, as in Occluded-DukeMTMC; nothing else may be listed twice. Without a line of ``train`` the data is
    there to describe and to evaluate on. ``csv_rows`` says how fields are separated and quoted.

    Raises:
        DataError: the file cannot be read, a column is missing or unknown, a value is not what it should be, an image
            is not there or is listed twice, or query or gallery is empty. Lines are numbered as in an editor.
    """
    splits: dict[str, list[Sample]] = {split: [] for split in SPLITS}
    seen: dict[Path, dict[str, tuple[int, Sample]]] = {}
    for line, row in csv_rows(path, CSV_COLUMNS[:4], CSV_COLUMNS[4:]):
        try:
            sample, split = _csv_sample(path, line, row)
            _check_once(path, line, row["path"], sample, split, seen.setdefault(sample.path, {}))
        except DataError as error:
            stray(error)
            continue
        seen[sample.path][split] = (line, sample)
        splits[split].append(sample)
    return _dataset("csv", path.parent, path, splits)


def _check_once(
    path: Path, line: int, name: str, sample: Sample, split: str, earlier: dict[str, tuple[int, Sample]]
) -> None:
    """Raises:
    DataError: an earlier line has the same image, and not as query here and gallery there, or of somebody else.
    """  # noqa: D205
    for other, (number, before) in earlier.items():
        if other == split or "train" in (other, split):
            raise DataError(f"{path}:{line}: {name} is already in line {number} ({other})")
        if (before.person, before.camera) != (sample.person, sample.camera):
            raise DataError(f"{path}:{line}: {name} has another person or camera in line {number}")


def _csv_sample(path: Path, line: int, row: dict[str, str]) -> tuple[Sample, str]:
    where = f"{path}:{line}"
    for name in ("path", "person", "camera"):
        if not row[name] or "\0" in row[name]:
            raise DataError(f"{where}: {name} must be text, got {row[name]!r}")
    if row["split"] not in SPLITS:
        raise DataError(f"{where}: split must be one of {', '.join(SPLITS)}, got {row['split']!r}")
    image = path.parent / row["path"]
    if not image.is_file():
        raise DataError(f"{where}: there is no image {row['path']} (paths are relative to {path.parent})")
    try:
        time = int(row["time"]) if row.get("time") else None
        fraction = float(row["visible_fraction"]) if row.get("visible_fraction") else None
    except ValueError as error:
        raise DataError(f"{where}: time must be a whole number and visible_fraction a number: {error}") from error
    if fraction is not None and not 0.0 <= fraction <= 1.0:
        raise DataError(f"{where}: visible_fraction must lie in [0, 1], got {row['visible_fraction']}")
    return Sample(image, row["person"], row["camera"], time, fraction, row.get("obstacle") or None), row["split"]


def _dataset(layout: str, root: Path, where: Path, splits: dict[str, list[Sample]]) -> ReidDataset:
    for split, samples in splits.items():
        if not samples and split != "train":
            raise DataError(f"{where}: the split {split!r} has no image")
    junk = [s.path for s in splits["train"] if s.person == "-1"]
    if junk:
        stray(
            DataError(f"{where}: person -1 marks junk and cannot be trained on; {len(junk)} images, first: {junk[0]}")
        )
        splits["train"] = [s for s in splits["train"] if s.person != "-1"]
    cameras = {s.camera for s in (*splits["query"], *splits["gallery"])}
    protocol = Protocol(layout)
    if len(cameras) == 1:
        protocol = Protocol(f"{layout}, one camera", ignore="same_image")
        _logger.warning(
            "%s: query and gallery have one camera (%s): true matches of the same camera count, and a query ignores "
            "only its own file; such figures do not compare with those across cameras", where, *cameras
        )  # fmt: skip
    train, query, gallery = (tuple(sorted(splits[name], key=lambda s: s.path.as_posix())) for name in SPLITS)
    return ReidDataset(layout, root, train, query, gallery, protocol)
