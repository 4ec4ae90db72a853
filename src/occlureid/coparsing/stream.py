"""Co-parsing a stream of persons: as many decoders at a time as fit into the memory that may be taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from occlureid.coparsing.decoders import decoder_bytes, room, train_decoders
from occlureid.coparsing.labels import reassign
from occlureid.coparsing.persons import PersonImages, PersonParsing
from occlureid.coparsing.settings import CoparseSettings
from occlureid.errors import UsageError

__all__ = ["MEMORY", "coparse", "coparse_batches"]

MEMORY = 2**29
"""Bytes that co-parsing takes unless told otherwise."""

Kind = tuple[int, tuple[int, int, int]]
"""What the persons of a batch share: room for images, and q, h, w of the features."""


def coparse(
    persons: Iterable[PersonImages],
    settings: CoparseSettings | None = None,
    *,
    seed: int,
    device: str | torch.device = "cpu",
    memory: int = MEMORY,
) -> Iterator[PersonParsing]:
    """Part labels for all images of each of some persons (HCGA, section III-B), persons in batches as memory allows.

    What is found for a person follows from its images, the settings and the seed; neither from the others nor from ``memory``.

    Args:
        persons: asked for one after another, only as they are needed. Batches are fullest where persons are sorted by their
            number of images.
        settings: of the decoders, and of what their labels become.
        seed: of the run, at least 0.
        device: where the decoders are trained.
        memory: bytes, at least 1, that features waiting for their turn and decoders in training take together, about; a person
            that needs more than this is parsed alone, and takes what it needs.

    Yields:
        One result a person, in the order in which batches are done.

    Raises:
        UsageError: ``memory`` is below 1.
        ShapeError: a feature is not finite.
    """
    settings = settings or CoparseSettings()
    for batch in coparse_batches(persons, settings, memory=memory, device=device):
        if len(batch[0]) < settings.min_images:
            yield from (_not_parsed(person) for person in batch)
            continue
        for person, decoded in zip(batch, train_decoders(batch, settings, seed=seed, device=device), strict=True):
            labels, known, reason = reassign(decoded.clusters, settings)
            yield PersonParsing(
                person.person, person.indices, labels, known, decoded.clusters, decoded.steps, decoded.left, reason
            )


def coparse_batches(
    persons: Iterable[PersonImages], settings: CoparseSettings, *, memory: int, device: str | torch.device = "cpu"
) -> Iterator[list[PersonImages]]:
    """The batches in which persons are parsed: alike in what they need room for, and within ``memory`` bytes, see ``coparse``.

    Raises:
        UsageError: ``memory`` is below 1.
    """
    if memory < 1:
        raise UsageError(f"memory must be at least 1 byte, got {memory}")
    waiting: dict[Kind, list[PersonImages]] = {}

    def work(kind: Kind, more: int = 0) -> int:
        return decoder_bytes(len(waiting.get(kind, ())) + more, *kind, settings, device)

    for person in persons:
        if len(person) < settings.min_images:
            yield [person]
            continue
        channels, height, width = person.features.shape[1:]
        kind = room(len(person)), (channels, height, width)
        while waiting:
            held = person.features.nbytes + sum(p.features.nbytes for group in waiting.values() for p in group)
            if held + max(work(kind, 1), *(work(other) for other in waiting)) <= memory:
                break
            yield waiting.pop(max(waiting, key=work))
        waiting.setdefault(kind, []).append(person)
    while waiting:
        yield waiting.pop(max(waiting, key=work))


def _not_parsed(person: PersonImages) -> PersonParsing:
    empty = torch.zeros(len(person), *person.features.shape[2:], dtype=torch.uint8)
    reason = "one image" if len(person) == 1 else "few images"
    return PersonParsing(
        person.person, person.indices, empty, torch.zeros(len(person), dtype=torch.bool), empty.clone(), 0, 0, reason
    )
