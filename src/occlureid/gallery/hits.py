"""What a search answers: who was found, how far away, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from occlureid.errors import UsageError

__all__ = ["NAMED", "VERDICTS", "Hit", "PartReason", "Reason", "SearchResult", "Verdict", "merge_results"]

Verdict = Literal["likely", "uncertain", "unlikely"]
"""Judgement of a calibration on one hit."""

VERDICTS: dict[Verdict, str] = {"likely": "match likely", "uncertain": "uncertain", "unlikely": "probably not"}
"""The words for people."""

NAMED = 20
"""The most damaged items that an answer names."""


@dataclass(frozen=True, slots=True)
class PartReason:
    """What one part said about a pair.

    Attributes:
        distance: of the two part vectors: 1 - cosine in [0, 2], or Euclidean; None where the pair does not share the part.
        weight: w_k in [0, 1] as the rule takes it, 0 where the pair does not share the part.
        in_query: whether the query shows the part, as the rule sees it.
        in_hit: whether the hit does.
    """

    distance: float | None
    weight: float
    in_query: bool
    in_hit: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a hit is as far away as it is.

    Attributes:
        global_distance: of the global vectors, None where the rule does not use them.
        global_weight: the rule's, beside the weights of the parts.
        parts: top to bottom; empty where the rule uses none.
        spatial_distance: of the local vectors in [0, 2], None where the rule does not use them.
    """

    global_distance: float | None
    global_weight: float
    parts: tuple[PartReason, ...]
    spatial_distance: float | None


@dataclass(frozen=True, slots=True)
class Hit:
    """One item that a search found.

    Attributes:
        id: of the item.
        distance: by the method's own rule, lower is closer.
        camera: of the item.
        person: of the item, where it is known.
        time: of the item in seconds since 1970, where it is known.
        reason: what the distance is made of.
        probable: whether a match is likely (``verdict``); None without a calibration for so many query images.
        verdict: of the calibration: likely up to its threshold, unlikely where few of the person's own images lie, uncertain
            between; None likewise.
    """

    id: str
    distance: float
    camera: str
    person: str | None
    time: float | None
    reason: Reason
    probable: bool | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one query.

    Attributes:
        hits: the nearest first, of equally near ones the first by id; only items that can be compared.
        searched: how many items passed the filter.
        incomparable: how many of those share nothing with the query that could be compared. Images without any local
            vector are noticed only among those whose maps were read.
        exact: whether these are for certain the nearest by the rule; False where a shortlist was cut short.
        coverage: share of the gallery that was searched, in [0, 1].
        absent: whether the query's person is probably not among what was compared: every hit is unlikely; None without a
            calibration for so many query images.
        damaged: how many items that passed the filter were left out, because they are not what was stored.
        damaged_ids: of the first of those, at most 20.
    """

    hits: tuple[Hit, ...]
    searched: int
    incomparable: int
    exact: bool
    coverage: float = 1.0
    absent: bool | None = None
    damaged: int = 0
    damaged_ids: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)


def merge_results(results: Sequence[SearchResult], k: int, coverage: float = 1.0) -> SearchResult:
    """One answer from the answers of disjoint parts of a gallery to the same query, each asked for ``k`` hits or more.

    Raises:
        UsageError: there are none, or ``k`` is not positive.
    """
    if not results or k < 1:
        raise UsageError(f"expected at least one result and k of at least 1, got {len(results)} and {k}")
    hits = sorted((hit for result in results for hit in result.hits), key=lambda hit: (hit.distance, hit.id))
    absent = [result.absent for result in results]
    return SearchResult(
        tuple(hits[:k]),
        sum(result.searched for result in results),
        sum(result.incomparable for result in results),
        all(result.exact for result in results),
        coverage,
        None if None in absent else all(absent),
        sum(result.damaged for result in results),
        tuple(one for result in results for one in result.damaged_ids)[:NAMED],
    )
