"""Choosing the epoch on persons held out from the training identities; the test queries are never looked at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from occlureid.data.loader import CueSource
from occlureid.described import describe
from occlureid.errors import DataError
from occlureid.evaluation import evaluate
from occlureid.methods import Method
from occlureid.training.settings import TrainSettings
from occlureid.types import Protocol, Sample

__all__ = ["VALIDATION_PROTOCOL", "ValidationSplit", "score", "split_validation"]

VALIDATION_PROTOCOL = Protocol(name="validation", ignore="same_camera", junk=())
"""How the held-out persons are scored: a query ignores its own person in its own camera."""

OCCLUDED_BELOW = 0.95
"""An image whose visible_fraction is known and lower counts as occluded."""


@dataclass(frozen=True)
class ValidationSplit:
    """The training samples, parted by person; no person is in both parts.

    Attributes:
        train: what is trained on.
        query: at most one image for each held-out person and camera, an occluded one where it is known.
        gallery: the other images of the held-out persons.
    """

    train: tuple[Sample, ...]
    query: tuple[Sample, ...] = ()
    gallery: tuple[Sample, ...] = ()


def split_validation(samples: Sequence[Sample], fraction: float, seed: int) -> ValidationSplit:
    """Holds out a share of the persons; which ones depends on the seed and the set of ids alone.

    Args:
        samples: the training samples of a dataset.
        fraction: share of the persons to hold out, in [0, 1); 0 holds out nobody.
        seed: decides who is held out.

    Raises:
        DataError: too few persons for two on either side, or no held-out person is seen by two cameras.
    """
    samples = sorted(samples, key=lambda sample: (sample.path.as_posix(), sample.person, sample.camera))
    if fraction == 0:
        return ValidationSplit(tuple(samples))
    persons = sorted({sample.person for sample in samples})
    count = max(2, round(fraction * len(persons)))
    if len(persons) - count < 2:
        raise DataError(
            f"validation_fraction {fraction} of {len(persons)} training persons leaves fewer than two on one side; "
            "lower it, or set it to 0"
        )
    order = torch.randperm(len(persons), generator=torch.Generator().manual_seed(seed)).tolist()
    held_out = {persons[index] for index in order[:count]}
    by_person: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_person[sample.person].append(sample)
    query = [sample for person in sorted(held_out) for sample in _queries(by_person[person])]
    if not query:
        raise DataError(
            f"none of the {count} held-out persons is seen by two cameras, so no epoch can be chosen on them; "
            "set validation_fraction to 0 and keep the last epoch"
        )
    taken = set(query)
    gallery = [s for person in sorted(held_out) for s in by_person[person] if s not in taken]
    return ValidationSplit(tuple(s for s in samples if s.person not in held_out), tuple(query), tuple(gallery))


def _queries(samples: Sequence[Sample]) -> list[Sample]:
    """One image a camera, as long as each one taken still finds the person in another camera of what is left."""
    cameras: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        cameras[sample.camera].append(sample)
    taken: list[Sample] = []
    for camera in sorted(cameras):
        occluded = [
            s for s in cameras[camera] if s.visible_fraction is not None and s.visible_fraction < OCCLUDED_BELOW
        ]
        candidate = (occluded or cameras[camera])[0]
        left = [s.camera for s in samples if s not in taken and s is not candidate]
        if all(any(other != query.camera for other in left) for query in [*taken, candidate]):
            taken.append(candidate)
    return taken


def score(
    method: Method[Any],
    split: ValidationSplit,
    cues: CueSource | None,
    settings: TrainSettings,
    device: torch.device,
) -> float:
    """How well a method finds the held-out persons again, by its own matching rule.

    Returns:
        mAP in [0, 1] (mean precision at the hits).

    Raises:
        DataError: an image is damaged and that is fatal, or no query is left.
        MissingCueError: the method needs a cue to describe that ``cues`` does not give.
    """
    found = {}
    for name in ("query", "gallery"):
        samples: tuple[Sample, ...] = getattr(split, name)
        descriptor, kept = describe(
            method,
            samples,
            cues=cues,
            batch_size=settings.batch_size,
            workers=settings.workers,
            device=device,
            precision="bfloat16" if settings.precision == "bf16-mixed" else "float32",
            on_corrupt=settings.on_corrupt,
        )
        found[name] = descriptor, tuple(samples[index] for index in kept)
    (query, query_samples), (gallery, gallery_samples) = found["query"], found["gallery"]
    report = evaluate(
        (query, gallery), query_samples, gallery_samples, VALIDATION_PROTOCOL, rule=method.rule, resamples=1, top=1
    )
    return report.average_precision
