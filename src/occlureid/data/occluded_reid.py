"""Occluded-REID (Zhuo et al., ICME 2018): 200 persons, five occluded and five whole images each, no cameras.

Two protocols are in use, and their numbers do not compare:

- cross-domain (``read_occluded_reid``): trained on another set; 1,000 occluded queries, 1,000 whole gallery images.
- half (``read_occluded_reid_half``): trained on half of the persons, tested on the other half. No list of the halves was
  published; the preset is the one that public code fixes, any other is drawn from a seed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from occlureid.data.body_folders import Cameras, body_protocol, body_samples, check_cameras
from occlureid.data.dataset import Counts, ReidDataset
from occlureid.errors import DataError, UsageError
from occlureid.types import Sample

__all__ = [
    "HALF_COUNTS",
    "OCCLUDED_REID_COUNTS",
    "PRESET_HALF",
    "SPLIT_ON_DISK",
    "read_occluded_reid",
    "read_occluded_reid_half",
]

OCCLUDED_REID_COUNTS = Counts(0, 0, 1_000, 200, 1_000, 200)
HALF_COUNTS = Counts(1_000, 100, 500, 100, 500, 100)

PRESET_HALF = range(88, 188)
"""The persons trained on where no seed is given, as numbers: those that the code of IGOAS (TIP 2021) takes."""

SPLIT_ON_DISK: tuple[str, str, str] = ("train", "query", "test")
"""The folders of a half that somebody has already made, with cameras in the names."""

_PAIRS = (("occluded_body_images", "whole_body_images"), ("query", "gallery"))


def read_occluded_reid(root: Path, cameras: Cameras = "split") -> ReidDataset:
    """The cross-domain protocol: every occluded image is a query, every whole one is in the gallery; nothing to train on.

    The folders are ``occluded_body_images`` and ``whole_body_images`` (or ``query`` and ``gallery``), flat or with a
    folder a person; names without cameras (``002/002_01.tif``) or with (``002_c1_01.tif``).

    Args:
        root: the folder.
        cameras: what stands for the camera where names have none; see ``Cameras``.

    Raises:
        DataError: a folder is missing or empty, or a name does not say who.
        UsageError: ``cameras`` is neither of its values.
    """
    query, gallery = _occluded_and_whole(root, "occluded-reid", cameras)
    protocol = body_protocol("occluded-reid", cameras, (*query, *gallery))
    return ReidDataset("occluded-reid", root, (), query, gallery, protocol, OCCLUDED_REID_COUNTS)


def read_occluded_reid_half(root: Path, seed: int | None = None, cameras: Cameras = "split") -> ReidDataset:
    """The half protocol: both kinds of image of half the persons are trained on; the others are query and gallery.

    Args:
        root: the folder, as for ``read_occluded_reid``; or one with ``train``, ``query``, ``test``, where the halves are
            made already and every name says a camera.
        seed: draws the persons who are trained on (half, rounded down); None takes ``PRESET_HALF``.
        cameras: as for ``read_occluded_reid``.

    Raises:
        DataError: as ``read_occluded_reid``; or one of the halves is empty.
        UsageError: a value out of its range, or a seed for halves that are made already.
    """
    name = "occluded-reid-half"
    if seed is not None and seed < 0:
        raise UsageError(f"seed must not be negative, got {seed}")
    if all((root / folder).is_dir() for folder in SPLIT_ON_DISK):
        if seed is not None:
            raise UsageError(f"{root}: the halves are made already ({', '.join(SPLIT_ON_DISK)}); leave out the seed")
        train, query, gallery = (body_samples(root / folder, folder, cameras) for folder in SPLIT_ON_DISK)
    else:
        occluded, whole = _occluded_and_whole(root, name, cameras)
        chosen = _half(sorted({sample.person for sample in (*occluded, *whole)}), seed)
        train = tuple(sample for sample in (*occluded, *whole) if sample.person in chosen)
        query = tuple(sample for sample in occluded if sample.person not in chosen)
        gallery = tuple(sample for sample in whole if sample.person not in chosen)
        name_of_half = "persons 88 to 187" if seed is None else f"a half drawn with seed {seed}"
        for what, samples in (("training", train), ("query", query), ("gallery", gallery)):
            if not samples:
                raise DataError(f"{root}: with {name_of_half} to train on, no image is left for the {what} split")
    protocol = body_protocol(name, cameras, (*query, *gallery))
    return ReidDataset(name, root, train, query, gallery, protocol, HALF_COUNTS)


def _half(persons: list[str], seed: int | None) -> set[str]:
    if seed is None:
        return {person for person in persons if int(person) in PRESET_HALF}
    order = np.random.default_rng(seed).permutation(len(persons))
    return {persons[index] for index in order[: len(persons) // 2]}


def _occluded_and_whole(root: Path, name: str, cameras: Cameras) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    check_cameras(cameras)
    for occluded, whole in _PAIRS:
        if (root / occluded).is_dir() and (root / whole).is_dir():
            return (
                body_samples(root / occluded, "occluded", cameras),
                body_samples(root / whole, "whole", cameras),
            )
    either = " or ".join(" and ".join(pair) for pair in _PAIRS)
    raise DataError(f"{root}: the layout {name!r} has the folders {either}; neither pair is there")
