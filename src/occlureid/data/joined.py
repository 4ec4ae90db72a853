"""Several training sets as one, and a set to evaluate on that need not be among them (cross-domain protocols)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from occlureid.data.dataset import ReidDataset
from occlureid.errors import DataError, UsageError
from occlureid.types import Sample

__all__ = ["join_training", "with_training"]


def join_training(*datasets: ReidDataset) -> tuple[Sample, ...]:
    """The training images of several sets; persons and cameras get the set's name in front, as in ``market1501:0002``.

    Without it, person 0002 of one set would be taken for person 0002 of another. Of several sets of one layout, the
    second and further ones are told apart by their place: ``folder:ann``, ``folder.2:ann``.

    Raises:
        UsageError: no set is given, or one folder is given twice.
        DataError: a set has no training images.
    """
    if not datasets:
        raise UsageError("there must be at least one training set to join, got none")
    roots = [dataset.root.resolve() for dataset in datasets]
    if twice := [root for root, number in Counter(roots).items() if number > 1]:
        raise UsageError(f"{twice[0]}: is given twice; each set is trained on once")
    for dataset in datasets:
        if not dataset.train:
            raise DataError(f"{dataset.root}: the layout {dataset.name!r} has no training images; join another set")
    seen: Counter[str] = Counter()
    joined: list[Sample] = []
    for dataset in datasets:
        seen[dataset.name] += 1
        number = seen[dataset.name]
        key = dataset.name if number == 1 else f"{dataset.name}.{number}"
        joined += [replace(s, person=f"{key}:{s.person}", camera=f"{key}:{s.camera}") for s in dataset.train]
    return tuple(joined)


def with_training(evaluated: ReidDataset, *training: ReidDataset) -> ReidDataset:
    """A dataset with the query and gallery of one set and the training images of others.

    ``with_training(occluded_reid, market)`` is the cross-domain protocol; ``with_training(market, market, msmt17)`` trains
    on both and evaluates on the first.

    Args:
        evaluated: gives query, gallery, protocol, name and root; its own training images only count if it is among the
            training sets too.
        training: see ``join_training``.

    Returns:
        A dataset whose ``more_roots`` are the folders of the other training sets, and whose published counts are those of
        query and gallery alone.

    Raises:
        UsageError: as ``join_training``.
        DataError: as ``join_training``.
    """
    train = join_training(*training)
    counts = evaluated.expected
    expected = None if counts is None else replace(counts, train_images=None, train_persons=None)
    more: list[Path] = [root for dataset in training for root in dataset.roots if root not in evaluated.roots]
    return replace(
        evaluated,
        train=train,
        expected=expected,
        more_roots=(*evaluated.more_roots, *dict.fromkeys(more)),
        joined=tuple(name for dataset in training for name in dataset.trained_on),
    )
