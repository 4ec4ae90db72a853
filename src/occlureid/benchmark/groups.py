"""Which queries belong together: by how much of the person is visible, what hides it, and who else stands in the box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from occlureid.data.truth import TruthRecord, read_truth
from occlureid.errors import DataError
from occlureid.synthetic.obstacles import BORDER, KINDS, NONE, PERSON
from occlureid.types import Sample

__all__ = ["COARSE", "FINE", "Groups", "query_groups"]

Rows = npt.NDArray[np.bool_]
Groups = Mapping[str, Mapping[str, Rows]]
"""By axis ("visible", "obstacle", ...) and name of the group: (Q,) which queries belong to it; none is empty."""

FINE: tuple[tuple[float, float], ...] = tuple((k / 10, (k + 1) / 10) for k in range(10))
"""Bins of the visible fraction, the points of the curves: [low, high), the last one with its upper edge."""

COARSE: tuple[tuple[float, float], ...] = ((0.2, 0.5), (0.5, 0.7), (0.7, 0.95))
"""Bins of the visible fraction of occluded queries, where they are also told apart by what hides them."""

_NEAR = 0.04
"""Share of an image's pixels from which on another person counts as one in the box, and not as one far off."""


def query_groups(root: Path, query: Sequence[Sample]) -> Groups:
    """The groups of a rendered world's queries, from its truth.

    - "visible": the bins of ``FINE``;
    - "coarse": "unoccluded", and the bins of ``COARSE`` of the occluded ones;
    - "obstacle": its kind, "border" for those that the image's own edge cuts, "none" for those that nothing hides;
    - "obstacle and visible": both of those;
    - "second person": "in front", where another person is what hides the target; "beside or behind", where another one
      has at least 4 % of the image's pixels; else "nobody near";
    - "box": of the occluded queries: drawn around the "whole" person or the "visible" part.

    Args:
        root: of the world.
        query: Q samples of it.

    Raises:
        DataError: the truth does not know a query, its obstacle or its visible fraction.
    """
    truth = read_truth(root)
    records = [_record(truth, root, sample) for sample in query]
    visible = np.array([record.visible_fraction for record in records], dtype=float)
    obstacle = np.array([record.obstacle for record in records], dtype=str)
    occluded = obstacle != NONE
    coarse = {"unoccluded": ~occluded}
    coarse |= {f"{low:g}-{high:g}": occluded & (visible >= low) & (visible <= high) for low, high in COARSE}
    for (low, high), following in pairwise(COARSE):
        coarse[f"{low:g}-{high:g}"] &= visible < following[0]
    kinds = {kind: obstacle == kind for kind in (*KINDS, NONE)}
    front = obstacle == PERSON
    near = np.array([_somebody_near(record) for record in records], dtype=bool)
    tight = np.array([record.box == "visible" for record in records], dtype=bool)
    axes = {
        "visible": {f"{low:.1f}-{high:.1f}": _between(visible, low, high) for low, high in FINE},
        "coarse": coarse,
        "obstacle": kinds,
        "obstacle and visible": {
            f"{kind}, {name}": kinds[kind] & rows for kind in KINDS for name, rows in coarse.items()
        },
        "second person": {"nobody near": ~front & ~near, "beside or behind": ~front & near, "in front": front},
        "truncation": {"cut by the border": obstacle == BORDER, "hidden by something": occluded & (obstacle != BORDER)},
        "box": {"whole person": occluded & ~tight, "visible part": occluded & tight},
    }
    return {axis: {name: rows for name, rows in named.items() if rows.any()} for axis, named in axes.items()}


def _record(truth: Mapping[str, TruthRecord], root: Path, sample: Sample) -> TruthRecord:
    record = truth.get(sample.path.relative_to(root).as_posix())
    if record is None or record.visible_fraction is None or record.obstacle is None:
        raise DataError(
            f"{sample.path}: the world's truth does not tell what hides the person and how much; render it again"
        )
    return record


def _between(values: npt.NDArray[np.float64], low: float, high: float) -> Rows:
    return np.asarray((values >= low) & ((values < high) if high < 1.0 else (values <= high)))


def _somebody_near(record: TruthRecord) -> bool:
    height, width = record.size or (0, 0)
    return any((other.pixels or 0) >= max(1.0, _NEAR * height * width) for other in record.others)
