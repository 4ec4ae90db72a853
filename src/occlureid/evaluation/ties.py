r"""Ranking scores in expectation over the orders of tied items, in closed form.

Gallery images at the same distance from the query form a *group*: ``before`` items are strictly nearer, ``hits`` of them
right; the group has ``size`` items, ``right`` of them right. Every order of the group is equally likely. Then, with
x = before + i the position of the group's i-th item (i from 1), it is right with probability right / size, and if it is, the
i - 1 items before it in the group hold (i - 1) rho right ones on average, rho = (right - 1) / (size - 1). Sums over i become
differences of harmonic numbers H. Without ties every group of one gives the ordinary score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Groups", "first_rank", "hit_curve", "inverse_last_rank", "precision_sums"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Groups:
    """Tie groups that hold at least one right image; arrays of one length, integers.

    Attributes:
        before: items strictly nearer than the group.
        hits: right items among those.
        size: items in the group, at least 1.
        right: right items in the group, at least 1.
    """

    before: Integers
    hits: Integers
    size: Integers
    right: Integers

    def __getitem__(self, rows: Integers) -> Groups:
        """Some of the groups."""
        return Groups(self.before[rows], self.hits[rows], self.size[rows], self.right[rows])


def precision_sums(groups: Groups) -> tuple[Floats, Floats]:
    r"""What each group adds to the sum over right items, whose mean is the average precision.

    For a right item at position x with h right ones before it, "hits" adds (h + 1)/x; "trapezoid" adds the mean of that and
    the precision before it, h/(x - 1), which at x = 1 counts as 1.

    Returns:
        Two arrays, for "hits" and for "trapezoid"; divide a query's sums by the number of its right items.
    """
    before, hits, size, right = groups.before, groups.hits, groups.size, groups.right
    top = int((before + size).max(initial=0))
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, top + 1))])
    rho = (right - 1) / np.maximum(size - 1, 1)
    share = right / size
    # sum_i (h + 1 + (i-1) rho) / (before + i), with (i-1)/(before+i) = 1 - (before+1)/(before+i)
    after = (hits + 1 - rho * (before + 1)) * (harmonic[before + size] - harmonic[before]) + rho * size
    # sum_i (h + (i-1) rho) / (before + i - 1), likewise; the item at position 1 adds 1 instead
    first = before == 0
    lower = harmonic[np.maximum(before, 1) - 1]
    old = (hits - rho * before) * (harmonic[before + size - 1] - lower) + rho * (size - first) + first
    return share * after, share * (after + old) / 2


def hit_curve(groups: Groups, ranks: int) -> Floats:
    """The probability that a right item stands among the first k, for k = 1 ... ranks, given each query's *first* group.

    No hit among the first j of the group has probability prod_{t<j} (size - right - t) / (size - t) (hypergeometric).

    Returns:
        (queries, ranks).
    """
    position = np.arange(ranks) - groups.before[:, None]  # t of the item that rank k adds
    size, wrong = groups.size[:, None], (groups.size - groups.right)[:, None]
    inside = (position >= 0) & (position < size)
    factor = np.where(inside, np.maximum(wrong - position, 0) / np.where(inside, size - position, 1), position < 0)
    return np.asarray(1.0 - np.cumprod(factor, axis=1))


def first_rank(groups: Groups) -> Floats:
    """The expected position of the first right item, given each query's first group."""
    return np.asarray(groups.before + (groups.size + 1) / (groups.right + 1))


def inverse_last_rank(groups: Groups) -> Floats:
    """The expectation of 1 / (position of the last right item), given each query's *last* group.

    The last of ``right`` items stands i-th in its group with probability p_i, p_size = right / size and
    p_{i-1} = p_i (i - right)/(i - 1).
    """
    result = 1.0 / (groups.before + groups.size)
    for row in np.flatnonzero(groups.size > groups.right):
        before, size, right = int(groups.before[row]), int(groups.size[row]), int(groups.right[row])
        places = np.arange(size, right - 1, -1)
        steps = (places[:-1] - right) / (places[:-1] - 1)
        chance = right / size * np.concatenate([[1.0], np.cumprod(steps)])
        result[row] = np.sum(chance / (before + places))
    return np.asarray(result)
