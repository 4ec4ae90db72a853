"""Compares descriptors on what both images show: pure tensors, no model code.

Distances only: lower is closer everywhere, similarities stay inside, and a pair with nothing to compare is infinitely far.
The one thing that is an order and no distance, because it depends on the rest of the gallery, is ``stream_order``.
Re-ranking belongs in a module of its own beside these, taking distances and giving distances.
"""

from occlureid.matching.distance import (
    MEMORY,
    Precision,
    distance_matrix,
    pairwise_distances,
    settled_precision,
    stream_distances,
)
from occlureid.matching.explain import Explanation, LocationMatches, best_matches, explain
from occlureid.matching.kernel import part_weights
from occlureid.matching.locations import join_padded, pad_locations, prune
from occlureid.matching.rule import MatchRule
from occlureid.matching.shortlist import OrderBlock, Shortlist, base_rule, shortlist_distances, stream_order

__all__ = [
    "MEMORY",
    "Explanation",
    "LocationMatches",
    "MatchRule",
    "OrderBlock",
    "Precision",
    "Shortlist",
    "base_rule",
    "best_matches",
    "distance_matrix",
    "explain",
    "join_padded",
    "pad_locations",
    "pairwise_distances",
    "part_weights",
    "prune",
    "settled_precision",
    "shortlist_distances",
    "stream_distances",
    "stream_order",
]
