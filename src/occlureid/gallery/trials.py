"""Measure genuine and impostor distances of labelled images, for queries of one image and of several of one person.

The images of a person are dealt out, in an order that is drawn once, into queries of n images each, so that no image is in two
queries of one size. A query and an image of the other side are a genuine pair if they show one person and no image of the query
is from the other's camera; they are an impostor pair if they show two people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.gallery.crops import join_crops
from occlureid.matching import MatchRule, distance_matrix
from occlureid.types import Descriptor

__all__ = ["LEAST_PERSONS", "SIZES", "Labelled", "query_groups", "trial_distances", "trials"]

SIZES = (2, 3, 4, 6, 8, 12, 16)
"""Numbers of images of a query that thresholds are measured for, besides one."""

LEAST_PERSONS = 20
"""Persons of whom there must be so many images: the pairs of a person are alike, and a few people say little of others."""


@dataclass(frozen=True, eq=False, slots=True)
class Labelled:
    """N described images whose persons are known.

    Attributes:
        descriptor: of the images.
        ids: (N,) by which an image is known on both sides, so that it is never compared with itself.
        persons: (N,) who is on each.
        cameras: (N,) that it was taken by.
    """

    descriptor: Descriptor
    ids: NDArray[np.str_]
    persons: NDArray[np.str_]
    cameras: NDArray[np.str_]

    def some(self, most: int) -> Labelled:
        """At most so many of them, drawn at random, always the same."""
        if len(self.persons) <= most:
            return self
        chosen = np.sort(np.random.default_rng(0).permutation(len(self.persons))[:most])
        picked = self.descriptor[torch.from_numpy(chosen)]
        return Labelled(picked, self.ids[chosen], self.persons[chosen], self.cameras[chosen])


def query_groups(persons: NDArray[np.str_], images: int) -> NDArray[np.int64]:
    """(M, images) rows of one person each, no row twice; what is left over of a person is in none."""
    order = np.random.default_rng(0).permutation(len(persons))
    order = order[np.argsort(persons[order], kind="stable")]
    _, starts, counts = np.unique(persons[order], return_index=True, return_counts=True)
    whole = [
        order[start : start + count // images * images].reshape(-1, images)
        for start, count in zip(starts, counts, strict=True)
    ]
    return np.concatenate(whole) if whole else np.empty((0, images), np.int64)


def trial_distances(
    rule: MatchRule, query: Labelled, other: Labelled, images: int, unit: Literal["pair", "search"]
) -> tuple[Tensor, Tensor]:
    """Distances of queries of so many images of a person to the images of the other side.

    Args:
        rule: how images are compared.
        query: from which the queries are made.
        other: what they are compared with; may be the same.
        images: of each query.
        unit: "pair" gives every impostor pair, "search" the nearest impostor of each query.

    Returns:
        (N,) genuine and (M,) impostor distances; either may be empty.
    """
    groups = query_groups(query.persons, images)
    if len(groups) == 0:
        return torch.empty(0), torch.empty(0)
    rows = torch.from_numpy(groups)
    joined = query.descriptor[rows[:, 0]]
    if images > 1:
        joined = Descriptor.cat(join_crops(rule, query.descriptor[row]) for row in rows)
    distances = distance_matrix(rule, joined, other.descriptor)
    same = query.persons[groups[:, 0], None] == other.persons[None]
    apart = np.ones_like(same)
    for column in groups.T:
        apart &= (query.cameras[column, None] != other.cameras[None]) & (query.ids[column, None] != other.ids[None])
    genuine = distances[torch.from_numpy(same & apart)]
    told = torch.from_numpy(same)
    return genuine, distances.masked_fill(told, torch.inf).amin(1) if unit == "search" else distances[~told]


def trials(
    rule: MatchRule, query: Labelled, other: Labelled, unit: Literal["pair", "search"]
) -> dict[int, tuple[Tensor, Tensor]]:
    """``trial_distances`` for queries of several images: of each of ``SIZES`` that enough persons have images for."""
    _, counts = np.unique(query.persons, return_counts=True)
    sizes = [images for images in SIZES if int((counts >= images).sum()) >= LEAST_PERSONS]
    return {images: trial_distances(rule, query, other, images, unit) for images in sizes}
