"""What an evaluation found: plain numbers, readable as JSON and as a short table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from occlureid.errors import DataError, reason
from occlureid.matching import MatchRule
from occlureid.types import Protocol

__all__ = ["Counts", "Interval", "QueryResult", "Report", "Slice"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % bootstrap interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Counts:
    """How much was compared.

    Attributes:
        query: query images.
        gallery: gallery images.
        scored: queries with a right image left in the gallery; means are over these.
        junk: gallery images that no query is scored against.
        ignored: further (query, gallery) pairs left out by the protocol.
        incomparable: (query, gallery) pairs with nothing to compare, of those that were not left out.
    """

    query: int
    gallery: int
    scored: int
    junk: int
    ignored: int
    incomparable: int


@dataclass(frozen=True, slots=True)
class Slice:
    """The scores of some of the scored queries: those with this visible fraction, or this obstacle.

    Attributes:
        name: "0.2-0.4", "car".
        queries: how many; 0 leaves the scores None.
        rank_1: rank-1 accuracy in [0, 1].
        average_precision: mean of the precision at hits, in [0, 1].
        average_precision_trapezoid: by the trapezoid definition, in [0, 1].
    """

    name: str
    queries: int
    rank_1: float | None
    average_precision: float | None
    average_precision_trapezoid: float | None


@dataclass(frozen=True, slots=True)
class QueryResult:
    """One query; scores are None where the gallery holds no right image for it.

    Attributes:
        path: the query image.
        person: its person.
        rank_1: probability in [0, 1] that a right image comes first: 0 or 1 unless there are ties.
        average_precision: precision at hits, in [0, 1].
        average_precision_trapezoid: by the trapezoid definition, in [0, 1].
        first_match: (expected) rank of the first right image, from 1.
        incomparable: gallery images that could not be compared with it.
        matches: gallery indices of its nearest images, nearest first, ignored ones left out.
        distances: their distances; infinite where nothing could be compared.
        right: whether each of them shows the same person.
    """

    path: str
    person: str
    rank_1: float | None
    average_precision: float | None
    average_precision_trapezoid: float | None
    first_match: float | None
    incomparable: int
    matches: tuple[int, ...]
    distances: tuple[float, ...]
    right: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The result of ``evaluate``. All accuracies lie in [0, 1].

    Attributes:
        protocol: which gallery images were ignored, and which ranks are quoted.
        rule: how images were compared; None where only distances were given.
        curve: the CMC curve: rank-k accuracy for k = 1, 2, ...; it stays at its last value beyond the gallery.
        average_precision: mAP, mean of the precision at hits.
        average_precision_trapezoid: mAP by the trapezoid definition (Market-1501's first evaluation, PGFA, HCGA).
        inverse_negative_penalty: mINP.
        intervals: 95 % intervals of "rank_1", "average_precision" and "average_precision_trapezoid", from resampling
            persons; empty where fewer than two persons were scored.
        counts: how much was compared.
        without_match: paths of the queries that have no right image left in the gallery, and are left out of every mean.
        by_visible_fraction: scores by the visible fraction of the query, where samples know it.
        by_obstacle: scores by what hides the query's person, where samples know it.
        queries: one result a query, in the order of the query list.
        provenance: settings, versions, checksums, seed and the like, as the caller gave them.
        shortlist: how many gallery images of each query were compared by the whole rule and ranked first, the others following
            in the order of the rule without local vectors; None where all were compared by the whole rule.
    """

    protocol: Protocol
    rule: MatchRule | None
    curve: tuple[float, ...]
    average_precision: float
    average_precision_trapezoid: float
    inverse_negative_penalty: float
    intervals: Mapping[str, Interval]
    counts: Counts
    without_match: tuple[str, ...]
    by_visible_fraction: tuple[Slice, ...]
    by_obstacle: tuple[Slice, ...]
    queries: tuple[QueryResult, ...]
    provenance: Mapping[str, Any]
    shortlist: int | None = None

    def rank(self, k: int) -> float:
        """Rank-k accuracy.

        Raises:
            DataError: k is not a positive rank.
        """
        if k < 1:
            raise DataError(f"a rank is at least 1, got {k}")
        return self.curve[min(k, len(self.curve)) - 1]

    @property
    def ranks(self) -> dict[int, float]:
        """The ranks that the protocol quotes."""
        return {k: self.rank(k) for k in self.protocol.ranks}

    @property
    def printed(self) -> tuple[tuple[str, dict[str, float]], ...]:
        """Figures that papers print of this method on this data, as (recipe, figures in percent), where the provenance says.

        Raises:
            DataError: the provenance says it in another form.
        """
        rows = self.provenance.get("printed", ())
        try:
            return tuple((str(row["recipe"]), {str(k): float(v) for k, v in row["figures"].items()}) for row in rows)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise DataError(
                f'provenance["printed"] must be a list of recipes and their figures, got {rows!r}'
            ) from error

    def summary(self) -> str:
        """A short table for the terminal, in percent."""
        rows = [
            (f"rank-{k}", value, self.intervals.get("rank_1") if k == 1 else None) for k, value in self.ranks.items()
        ]
        named = [
            ("hits", "mAP (precision at hits)", "average_precision"),
            ("trapezoid", "mAP (trapezoid)", "average_precision_trapezoid"),
        ]
        named.sort(key=lambda row: row[0] != self.protocol.average_precision)
        rows += [(label, getattr(self, key), self.intervals.get(key)) for _, label, key in named]
        rows.append(("mINP", self.inverse_negative_penalty, None))
        lines = [f"{self.protocol.name}: {self.counts.scored} queries against {self.counts.gallery} gallery images"]
        for label, value, interval in rows:
            spread = f"  [{100 * interval.low:5.1f}, {100 * interval.high:5.1f}]" if interval else ""
            lines.append(f"  {label:<24}{100 * value:6.1f} %{spread}")
        for recipe, figures in self.printed:
            said = ", ".join(f"{name.replace('_', '-')} {value:.1f}" for name, value in figures.items())
            lines.append(f"  the paper prints, of {recipe}: {said} (%)")
        if self.shortlist is not None:
            lines.append(f"  local vectors compared with the {self.shortlist} nearest gallery images only")
        if self.without_match:
            lines.append(
                f"  {len(self.without_match)} queries have no right image in the gallery, first: {self.without_match[0]}"
            )
        if self.counts.incomparable:
            lines.append(f"  {self.counts.incomparable} pairs had nothing to compare")
        for title, slices in (("visible", self.by_visible_fraction), ("obstacle", self.by_obstacle)):
            for part in slices:
                if part.rank_1 is not None and part.average_precision is not None:
                    name, rank_1, ap = f"{title} {part.name}", 100 * part.rank_1, 100 * part.average_precision
                    lines.append(f"  {name:<24}{rank_1:6.1f} % rank-1, {ap:5.1f} % mAP, {part.queries} queries")
        return "\n".join(lines)

    def to_json(self) -> str:
        """JSON text; an infinite distance becomes null, as JSON has no infinity.

        Raises:
            DataError: the provenance holds something that JSON cannot.
        """
        record = asdict(self)
        for query in record["queries"]:
            query["distances"] = [None if math.isinf(d) else d for d in query["distances"]]
        try:
            return json.dumps(record, indent=1, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise DataError(f"the report's provenance must be plain JSON values: {error}") from error

    @classmethod
    def from_json(cls, text: str) -> Report:
        """The inverse of ``to_json``.

        Raises:
            DataError: the text is not JSON, or not a report.
        """
        try:
            record = json.loads(text)
            slices = {key: tuple(Slice(**s) for s in record[key]) for key in ("by_visible_fraction", "by_obstacle")}
            return cls(
                **{
                    **record,
                    **slices,
                    "protocol": Protocol.from_json(record["protocol"]),
                    "rule": None if record["rule"] is None else MatchRule.from_json(record["rule"]),
                    "curve": tuple(record["curve"]),
                    "intervals": {name: Interval(**interval) for name, interval in record["intervals"].items()},
                    "counts": Counts(**record["counts"]),
                    "without_match": tuple(record["without_match"]),
                    "queries": tuple(_query(query) for query in record["queries"]),
                }
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"not a report: {reason(error)}") from error


def _query(record: Mapping[str, Any]) -> QueryResult:
    distances: Sequence[float | None] = record["distances"]
    return QueryResult(
        **{
            **record,
            "matches": tuple(record["matches"]),
            "right": tuple(record["right"]),
            "distances": tuple(math.inf if d is None else d for d in distances),
        }
    )
