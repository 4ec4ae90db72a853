"""The threshold that says "probably not in the gallery", from the gallery's own labelled persons or from validation data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from occlureid.cli.gallery_place import beside, opened, say, who
from occlureid.cli.gallery_search import CALIBRATION
from occlureid.described import Described
from occlureid.errors import DataError, FingerprintError, UsageError
from occlureid.gallery import Gallery
from occlureid.gallery.openset import Calibration
from occlureid.gallery.openset import calibrate as threshold_of
from occlureid.matching import distance_matrix
from occlureid.types import Descriptor

__all__ = ["calibrate"]


@dataclass(frozen=True, eq=False, slots=True)
class _Side:
    """N images whose persons are known."""

    descriptor: Descriptor
    persons: NDArray[np.str_]
    cameras: NDArray[np.str_]

    def some(self, most: int) -> _Side:
        """At most so many of them, drawn at random, always the same."""
        if len(self.persons) <= most:
            return self
        chosen = np.sort(np.random.default_rng(0).permutation(len(self.persons))[:most])
        return _Side(self.descriptor[torch.from_numpy(chosen)], self.persons[chosen], self.cameras[chosen])


def calibrate(options: argparse.Namespace) -> int:
    """The command ``gallery calibrate``."""
    if options.images < 2:
        raise UsageError(f"--images must be at least 2, got {options.images}")
    gallery, by = opened(options), who(options)
    out = options.out or beside(gallery, CALIBRATION)
    if out is None:
        raise UsageError("a gallery in an object store has no folder for its threshold: name a file with --out")
    query, other = _own(gallery, options.images) if options.described is None else _validation(gallery, options)
    distances = distance_matrix(gallery.rule, query.descriptor, other.descriptor)
    if options.described is None:
        distances.fill_diagonal_(torch.nan)  # an image and itself are no pair
    same = torch.from_numpy(query.persons[:, None] == other.persons[None])
    apart = torch.from_numpy(query.cameras[:, None] != other.cameras[None])
    if not bool((same & apart).any()):
        raise DataError(
            f"{options.described or gallery.path}: no person is known in two cameras; nothing says how far apart images of "
            "one person are; calibrate on a described validation set: --described FOLDER"
        )
    genuine = distances[same & apart]
    impostors = distances.masked_fill(same, torch.inf).amin(1) if options.unit == "search" else distances[~same]
    made = threshold_of(
        genuine, impostors, rate=options.rate, fingerprint=gallery.fingerprint, rule=gallery.rule, unit=options.unit
    )
    try:
        made.save(out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror})") from error
    gallery.audit.write(by, "calibrate", threshold=made.threshold, rate=made.rate)
    return say(options, made.to_json(), f"{_text(made)}\n{out}")


def _own(gallery: Gallery, most: int) -> tuple[_Side, _Side]:
    """The gallery's labelled items, against themselves."""
    columns = gallery.columns()
    known = np.flatnonzero(np.asarray(columns.persons.is_valid()))
    if len(known) < 2:
        raise DataError(
            f"{gallery.path}: the persons of {len(known)} items are known; calibrate on a described validation set: "
            "--described FOLDER"
        )
    chosen = np.sort(np.random.default_rng(0).permutation(known)[:most])
    columns = columns[chosen]
    ids: Sequence[str] = columns.ids.to_pylist()
    read = gallery.spatial if gallery.rule.spatial_weight > 0 else gallery.descriptor
    side = _Side(
        read(ids).to(dtype=torch.float32), np.array(columns.persons.to_pylist()), np.array(columns.cameras.to_pylist())
    )
    return side, side


def _validation(gallery: Gallery, options: argparse.Namespace) -> tuple[_Side, _Side]:
    """The queries and the gallery of a described dataset, without those whose person means nothing."""
    described = Described.load(options.described)
    if described.query.fingerprint != gallery.fingerprint:
        raise FingerprintError(
            f"{options.described} was described by {described.query.fingerprint}, {gallery.path} holds descriptors of "
            f"{gallery.fingerprint}; describe the validation set with the gallery's weights"
        )
    sides = []
    for descriptor, samples in (
        (described.query, described.query_samples),
        (described.gallery, described.gallery_samples),
    ):
        kept = [n for n, sample in enumerate(samples) if sample.person not in described.protocol.junk]
        if gallery.rule.spatial_weight == 0:
            descriptor = replace(descriptor, spatial=None, saliency=None)  # noqa: PLW2901
        side = _Side(
            descriptor[kept],
            np.array([samples[n].person for n in kept]),
            np.array([samples[n].camera for n in kept]),
        )
        sides.append(side.some(options.images))
    return sides[0], sides[1]


def _text(made: Calibration) -> str:
    low, high = (100 * value for value in made.interval)
    least, most = (100 * value for value in made.found_interval)
    false = 100 * made.false_positives / made.impostors
    found = 100 * made.found / made.genuine
    of = "pairs of two people" if made.unit == "pair" else "searches for somebody who is not there"
    return (
        f"threshold {made.threshold:.4f}\n"
        f"false positives: {false:.2f} % of {made.impostors} {of} (95 % interval {low:.2f} to {high:.2f} %, asked for at most "
        f"{100 * made.rate:g} %)\n"
        f"found: {found:.1f} % of {made.genuine} pairs of one person in two cameras (95 % interval {least:.1f} to {most:.1f} %)"
    )
