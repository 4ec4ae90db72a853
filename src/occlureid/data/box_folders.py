"""Readers of the layouts with ``bounding_box_train``, ``query``, ``bounding_box_test``: Market-1501 and its relatives.

Person, camera and frame are in the file names. Counts that the authors published travel with the dataset but are not
enforced (subsets are legitimate): ``ReidDataset.check_counts`` compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from occlureid.data.dataset import Counts, ReidDataset
from occlureid.data.files import SUFFIX_PATTERN, image_files
from occlureid.data.strays import stray
from occlureid.data.truth import TRUTH_FILE, read_truth
from occlureid.errors import DataError
from occlureid.types import Protocol, Sample

__all__ = [
    "DUKEMTMC",
    "DUKEMTMC_COUNTS",
    "MARKET1501",
    "MARKET1501_COUNTS",
    "OCCLUDED_DUKE",
    "OCCLUDED_DUKE_COUNTS",
    "SPLIT_FOLDERS",
    "SYNTHETIC",
    "TRUTH_FILE",
    "is_duke_name",
    "is_market_name",
    "read_boxes",
    "read_dukemtmc",
    "read_market1501",
    "read_occluded_duke",
    "read_synthetic",
]

SPLIT_FOLDERS: tuple[str, str, str] = ("bounding_box_train", "query", "bounding_box_test")
"""The folders of train, query and gallery."""

MARKET1501 = Protocol("market1501")
"""Gallery images of person "-1" are junk for every query; the distractors "0000" stay as negatives."""

DUKEMTMC = Protocol("dukemtmc", junk=())
"""Nothing is junk: gallery persons without a query are negatives."""

OCCLUDED_DUKE = Protocol("occluded-duke", junk=(), average_precision="trapezoid")
"""1,870 of the 2,210 query files are in the gallery too: only the same-camera rule keeps a query from finding itself.
PGFA, which introduced the set, and HCGA score average precision by the trapezoid, which is why it is quoted first."""

SYNTHETIC = Protocol("synthetic")
"""As Market-1501."""

# 751 gallery persons: the 750 of the query, and the distractors, which share the label 0000.
MARKET1501_COUNTS = Counts(12_936, 751, 3_368, 750, 19_732, 751)
DUKEMTMC_COUNTS = Counts(16_522, 702, 2_228, 702, 17_661, 1_110)
OCCLUDED_DUKE_COUNTS = Counts(15_618, 702, 2_210, 519, 17_661, 1_110)

_MARKET_NAME = re.compile(
    rf"(?P<person>-1|\d{{4}})_c(?P<camera>\d)s\d_(?P<time>\d{{6}})_\d{{2}}{SUFFIX_PATTERN}{{1,2}}", re.ASCII
)
_DUKE_NAME = re.compile(rf"(?P<person>\d{{4}})_c(?P<camera>[1-8])_f(?P<time>\d{{7}}){SUFFIX_PATTERN}", re.ASCII)
# Data of one's own in the Market-1501 layout: the person and the camera are all that a name must say.
_MARKET_LIKE_NAME = re.compile(
    r"(?P<person>-1|\d{1,18})_c(?P<camera>\d{1,9})(?!\d)(?:s\d+_(?P<time>\d{1,18})(?!\d))?.*", re.ASCII
)


def is_market_name(name: str) -> bool:
    """Whether a file is named as Market-1501 names its files, such as ``0002_c1s1_000451_03.jpg``."""
    return _MARKET_NAME.fullmatch(name) is not None


def is_duke_name(name: str) -> bool:
    """Whether a file is named as DukeMTMC names its files, such as ``0002_c1_f0044158.jpg``."""
    return _DUKE_NAME.fullmatch(name) is not None


def read_market1501(root: Path) -> ReidDataset:
    """The Market-1501 layout: ``0002_c1s1_000451_03.jpg`` is person 0002, camera 1, frame 451 (of sequence 1).

    Also reads data of one's own in this layout: a name must begin with ``<person>_c<camera>``. With a ``truth.jsonl``
    beside the folders it is a rendered world, and read as ``read_synthetic`` does.

    Raises:
        DataError: a folder is missing or empty, or a name does not say who and where.
    """
    if (root / TRUTH_FILE).is_file():
        return read_synthetic(root)
    return read_boxes(root, "market1501", MARKET1501, MARKET1501_COUNTS)


def read_dukemtmc(root: Path) -> ReidDataset:
    """The DukeMTMC-reID layout: ``0002_c1_f0044158.jpg`` is person 0002, camera 1, frame 44158.

    Raises:
        DataError: a folder is missing or empty, or a name does not say who and where.
    """
    return read_boxes(root, "dukemtmc", DUKEMTMC, DUKEMTMC_COUNTS)


def read_occluded_duke(root: Path) -> ReidDataset:
    """Occluded-DukeMTMC, already built from its lists into the folders of DukeMTMC-reID, with the same names.

    Raises:
        DataError: a folder is missing or empty, or a name does not say who and where.
    """
    return read_boxes(root, "occluded-duke", OCCLUDED_DUKE, OCCLUDED_DUKE_COUNTS)


def read_synthetic(root: Path) -> ReidDataset:
    """A rendered world in the Market-1501 layout, with each image's visible fraction and obstacle from ``truth.jsonl``.

    ``truth.read_truth`` says what may be in that file; ``person`` and ``camera`` must agree with the file names.

    Raises:
        DataError: as for Market-1501 and ``truth.read_truth``; or the file names an image that is not there, or an image is
            not in the file.
    """
    dataset = read_boxes(root, "synthetic", SYNTHETIC, None)
    truth = read_truth(root)
    known = {_relative(root, s): s for split in (dataset.train, dataset.query, dataset.gallery) for s in split}
    for described, found, what in (
        (truth.keys(), known.keys(), "describes images that are not there"),
        (known.keys(), truth.keys(), "does not describe images that are there"),
    ):
        if lacking := sorted(described - found):
            stray(
                DataError(f"{root / TRUTH_FILE}: {what} ({len(lacking)}, first: {lacking[0]}); render the world again")
            )

    def told(sample: Sample) -> Sample:
        record = truth.get(_relative(root, sample))
        if record is None:
            return sample
        for key, value, own in (("person", record.person, sample.person), ("camera", record.camera, sample.camera)):
            if value is not None and value != own:
                where = f"{root / TRUTH_FILE}:{record.line}"
                stray(DataError(f"{where}: {key} {value!r} contradicts the file name {sample.path.name}"))
        return replace(sample, visible_fraction=record.visible_fraction, obstacle=record.obstacle)

    train, query, gallery = (tuple(map(told, s)) for s in (dataset.train, dataset.query, dataset.gallery))
    return replace(dataset, train=train, query=query, gallery=gallery)


def _relative(root: Path, sample: Sample) -> str:
    return sample.path.relative_to(root).as_posix()


def read_boxes(root: Path, name: str, protocol: Protocol, expected: Counts | None) -> ReidDataset:
    """The three folders, with names as Duke has them for the Duke layouts, and ``<person>_c<camera>...`` for others.

    Raises:
        DataError: a folder is missing or empty, or a name does not say who and where.
    """
    duke = name in ("dukemtmc", "occluded-duke")
    splits = []
    for folder in SPLIT_FOLDERS:
        if not (root / folder).is_dir():
            raise DataError(
                f"{root}: the layout {name!r} has the folders {', '.join(SPLIT_FOLDERS)}; there is no {folder}"
            )
        samples = tuple(_samples(root / folder, name, _DUKE_NAME if duke else _MARKET_LIKE_NAME))
        if not samples:
            raise DataError(f"{root / folder}: expected images, found none")
        splits.append(samples)
    junk = [s.path.name for s in splits[0] if s.person in ("-1", *protocol.junk)]
    if junk:
        stray(
            DataError(
                f"{root / SPLIT_FOLDERS[0]}: person -1 marks junk and cannot be trained on; {len(junk)} images, "
                f"first: {junk[0]}"
            )
        )
        splits[0] = tuple(s for s in splits[0] if s.person not in ("-1", *protocol.junk))
    return ReidDataset(name, root, splits[0], splits[1], splits[2], protocol, expected)


def _samples(folder: Path, layout: str, pattern: re.Pattern[str]) -> Iterator[Sample]:
    files = image_files(folder)
    matches = [pattern.fullmatch(path.name) for path in files]
    other = is_market_name if pattern is _DUKE_NAME else is_duke_name
    strange = [path.name for path, match in zip(files, matches, strict=True) if match is None or other(path.name)]
    if strange:
        example = "0002_c1_f0044158.jpg" if pattern is _DUKE_NAME else "0002_c1s1_000451_03.jpg"
        stray(
            DataError(
                f"{folder}: the layout {layout!r} names files like {example}; {len(strange)} of {len(files)} files are "
                f"named otherwise, first: {strange[0]}"
            )
        )
    aside = set(strange)
    for path, match in zip(files, matches, strict=True):
        if match is not None and path.name not in aside:
            time = match["time"]
            yield Sample(path, match["person"], match["camera"], time=None if time is None else int(time))
