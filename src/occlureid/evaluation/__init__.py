"""Scores descriptors or distances under a dataset's protocol: no model code, nothing that can be tuned."""

from occlureid.evaluation.evaluate import VISIBLE_BINS, bootstrap_intervals, evaluate
from occlureid.evaluation.metrics import Scores, score_block, score_blocks
from occlureid.evaluation.report import Counts, Interval, QueryResult, Report, Slice
from occlureid.evaluation.truth import Truth, find_truth

__all__ = [
    "VISIBLE_BINS",
    "Counts",
    "Interval",
    "QueryResult",
    "Report",
    "Scores",
    "Slice",
    "Truth",
    "bootstrap_intervals",
    "evaluate",
    "find_truth",
    "score_block",
    "score_blocks",
]
