"""Compares descriptors on what both images show: pure tensors, no model code.

Distances only: lower is closer everywhere, similarities stay inside, and a pair with nothing to compare is infinitely far.
Re-ranking belongs in a module of its own beside these, taking distances and giving distances.
"""

from occlureid.matching.distance import MEMORY, Precision, distance_matrix, pairwise_distances, stream_distances
from occlureid.matching.explain import Explanation, explain
from occlureid.matching.kernel import part_weights
from occlureid.matching.rule import MatchRule

__all__ = [
    "MEMORY",
    "Explanation",
    "MatchRule",
    "Precision",
    "distance_matrix",
    "explain",
    "pairwise_distances",
    "part_weights",
    "stream_distances",
]
