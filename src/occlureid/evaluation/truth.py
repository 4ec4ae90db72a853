"""Which gallery images are right, and which are ignored, for each query under a protocol: index lists, no Q x G table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from occlureid.errors import DataError
from occlureid.types import Protocol, Sample

__all__ = ["Truth", "find_truth"]

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Truth:
    """For each of Q queries, the gallery images that are right and those that are ignored.

    Attributes:
        gallery: G, the number of gallery images.
        positives: Q ascending lists of the gallery indices of the same person that are not ignored.
        ignored: Q ascending lists of the gallery indices that this query is not scored against, without ``junk``.
        junk: the gallery indices that no query is scored against, ascending.
    """

    gallery: int
    positives: tuple[Indices, ...]
    ignored: tuple[Indices, ...]
    junk: Indices

    def __post_init__(self) -> None:
        if len(self.positives) != len(self.ignored):
            raise DataError(f"truth needs two lists a query, got {len(self.positives)} and {len(self.ignored)}")

    def __len__(self) -> int:
        return len(self.positives)

    def __getitem__(self, rows: slice) -> Truth:
        """The truth of some of the queries."""
        return Truth(self.gallery, self.positives[rows], self.ignored[rows], self.junk)


def find_truth(query: Sequence[Sample], gallery: Sequence[Sample], protocol: Protocol) -> Truth:
    """Applies a protocol to two lists of samples, by their persons, cameras and paths as texts.

    Args:
        query: Q samples.
        gallery: G samples.
        protocol: which gallery images are ignored.

    Returns:
        The right and the ignored gallery images of each query.
    """
    same_person = _rows_by_value([sample.person for sample in gallery])
    same_path = _rows_by_value([sample.path for sample in gallery]) if protocol.ignore == "same_image" else {}
    cameras = np.array([sample.camera for sample in gallery], dtype=object)
    nothing = np.empty(0, dtype=np.int64)
    junk_rows = [same_person.pop(person) for person in dict.fromkeys(protocol.junk) if person in same_person]
    junk = np.sort(np.concatenate([nothing, *junk_rows]))

    positives: list[Indices] = []
    ignored: list[Indices] = []
    for sample in query:
        candidates = same_person.get(sample.person, nothing)
        drop, right = nothing, candidates
        if protocol.ignore == "same_camera":
            same = cameras[candidates] == sample.camera
            drop, right = candidates[same], candidates[~same]
        elif protocol.ignore == "same_image" and sample.path in same_path:
            drop = np.setdiff1d(same_path[sample.path], junk)
            right = np.setdiff1d(candidates, drop)
        ignored.append(drop)
        positives.append(right)
    return Truth(len(gallery), tuple(positives), tuple(ignored), junk)


def _rows_by_value(values: Sequence[Any]) -> dict[Any, Indices]:
    rows: dict[Any, list[int]] = {}
    for row, value in enumerate(values):
        rows.setdefault(value, []).append(row)
    return {value: np.array(some, dtype=np.int64) for value, some in rows.items()}
