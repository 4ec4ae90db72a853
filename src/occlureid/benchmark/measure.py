"""The scores of every single query, by a method's rule and by that rule with one thing left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from occlureid.described import Described
from occlureid.errors import DataError
from occlureid.evaluation.metrics import score_blocks
from occlureid.evaluation.truth import find_truth
from occlureid.matching import MatchRule, stream_distances

__all__ = ["FIGURES", "WHOLE", "Columns", "measure", "variants"]

Columns = dict[str, npt.NDArray[np.float64]]
"""(Q,) scores in [0, 1] by figure."""

FIGURES: tuple[str, ...] = ("rank_1", "mAP_hits", "mAP_trapezoid", "mINP")
"""Rank-1, mAP as the mean of the precision at hits, mAP by the trapezoid definition, mean inverse negative penalty."""

WHOLE = "whole"
"""The name of the method's own rule among the variants of it."""


def variants(rule: MatchRule, parts: int) -> dict[str, dict[str, Any]]:
    """The rule as it is, and what can be left out of it with the same weights: the fields to change, by a name.

    Args:
        rule: of a method.
        parts: how many part vectors its descriptors have.
    """
    found: dict[str, dict[str, Any]] = {WHOLE: {}}
    if parts and rule.part_factor > 0 and rule.spatial_weight < 1:
        if rule.visibility != "ignore":
            found["all parts as visible"] = {"visibility": "ignore"}
        if rule.global_weight > 0:
            found["global vector only"] = {"part_factor": 0.0}
            found["parts only"] = {"global_weight": 0.0}
    if 0 < rule.spatial_weight < 1:
        found["no local vectors"] = {"spatial_weight": 0.0}
    return found


def measure(described: Described, changes: Mapping[str, Any] | None = None) -> Columns:
    """The scores of each query of a described dataset.

    Args:
        described: the descriptors.
        changes: fields of the method's rule to change.

    Raises:
        DataError: a query has no right image in the gallery, or the changes do not make a rule.
    """
    rule = MatchRule.from_json({**described.rule.to_json(), **(changes or {})})
    truth = find_truth(described.query_samples, described.gallery_samples, described.protocol)
    scores = score_blocks(stream_distances(rule, described.query, described.gallery), truth, ranks=1, top=1)
    if not scores.scored.all():
        path = described.query_samples[int(np.flatnonzero(~scores.scored)[0])].path
        raise DataError(f"{path}: this query has no right image in the gallery; every query of the benchmark needs one")
    return {
        "rank_1": scores.curve[:, 0],
        "mAP_hits": scores.average_precision,
        "mAP_trapezoid": scores.average_precision_trapezoid,
        "mINP": scores.inverse_negative_penalty,
    }
