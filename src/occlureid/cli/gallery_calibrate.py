"""Set the thresholds of the verdicts, from the gallery's own labelled persons or from validation data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from occlureid.cli.gallery_place import beside, opened, say, who
from occlureid.cli.gallery_search import CALIBRATION
from occlureid.described import Described
from occlureid.errors import DataError, FingerprintError, UsageError
from occlureid.gallery import Gallery
from occlureid.gallery.openset import Calibration, Level
from occlureid.gallery.thresholds import calibrate as thresholds_of
from occlureid.gallery.trials import Labelled, trial_distances, trials

__all__ = ["calibrate"]


def calibrate(options: argparse.Namespace) -> int:
    """The command ``gallery calibrate``."""
    if options.images < 2:
        raise UsageError(f"--images must be at least 2, got {options.images}")
    gallery, by = opened(options), who(options)
    out = options.out or beside(gallery, CALIBRATION)
    if out is None:
        raise UsageError("a gallery in an object store has no folder for its threshold: name a file with --out")
    query, other = _own(gallery, options.images) if options.described is None else _validation(gallery, options)
    genuine, impostors = trial_distances(gallery.rule, query, other, 1, options.unit)
    if len(genuine) == 0:
        raise DataError(
            f"{options.described or gallery.path}: no person is known in two cameras; nothing says how far apart images of "
            "one person are; calibrate on a described validation set: --described FOLDER"
        )
    made = thresholds_of(
        genuine, impostors, rate=options.rate, fingerprint=gallery.fingerprint, rule=gallery.rule, unit=options.unit,
        miss=options.miss, several=trials(gallery.rule, query, other, options.unit),
    )  # fmt: skip
    try:
        made.save(out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror})") from error
    gallery.audit.write(by, "calibrate", threshold=made.threshold, rate=made.rate)
    return say(options, made.to_json(), f"{_text(made)}\n{out}")


def _own(gallery: Gallery, most: int) -> tuple[Labelled, Labelled]:
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
    side = Labelled(
        read(ids).to(dtype=torch.float32),
        np.array(ids),
        np.array(columns.persons.to_pylist()),
        np.array(columns.cameras.to_pylist()),
    )
    return side, side


def _validation(gallery: Gallery, options: argparse.Namespace) -> tuple[Labelled, Labelled]:
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
        side = Labelled(
            descriptor[kept],
            np.array([str(samples[n].path) for n in kept]),
            np.array([samples[n].person for n in kept]),
            np.array([samples[n].camera for n in kept]),
        )
        sides.append(side.some(options.images))
    return sides[0], sides[1]


def _text(made: Calibration) -> str:
    of = "pairs of two people" if made.unit == "pair" else "searches for somebody who is not there"
    lines = [
        f"asked for: false positives in at most {100 * made.rate:g} % of {of}, at most {100 * made.miss:g} % of the pairs of "
        "one person in two cameras beyond the last doubt"
    ]
    for level in made.levels:
        lines += _level(level, of)
    most = made.levels[-1].images
    lines.append(
        f"queries of more than {most} {'image' if most == 1 else 'images'} get no verdict: too few persons have so many images"
    )
    return "\n".join(lines)


def _level(level: Level, of: str) -> list[str]:
    low, high = (100 * value for value in level.interval)
    least, most = (100 * value for value in level.found_interval)
    pairs = f"{level.genuine} pairs of one person in two cameras"
    found = "no pair of one person in two cameras was there to say how many are found"
    if level.genuine:
        found = (
            f"found: {100 * level.found / level.genuine:.1f} % of {pairs} (95 % interval {least:.1f} to {most:.1f} %)"
        )
    far = "no distance is called probably not: too few pairs of one person, or too many that share nothing to compare"
    if level.far is not None:
        far = f"probably not beyond {level.far:.4f}: {100 * level.missed / level.genuine:.2f} % of {pairs} lie there"
    return [
        f"\nqueries of {level.images} {'image' if level.images == 1 else 'images'}: threshold {level.threshold:.4f}",
        f"  false positives: {100 * level.false_positives / level.impostors:.2f} % of {level.impostors} {of} (95 % interval "
        f"{low:.2f} to {high:.2f} %)",
        f"  {found}",
        f"  {far}",
    ]
