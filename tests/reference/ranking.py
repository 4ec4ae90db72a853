"""Ranking scores by walking down one ordered list; in expectation, by walking down every order of the ties."""

from itertools import chain, groupby, permutations, product


def scores_of_order(right, ranks):
    """What one ordered list of booleans scores: (curve, hits AP, trapezoid AP, INP, rank of the first hit)."""
    total = sum(right)
    hits = 0
    old_precision = 1.0
    ap = trapezoid = 0.0
    positions = []
    for position, is_right in enumerate(right, start=1):
        if is_right:
            hits += 1
            positions.append(position)
            ap += hits / position / total
            trapezoid += (old_precision + hits / position) / 2 / total
        old_precision = hits / position
    curve = [float(positions[0] <= k) for k in range(1, ranks + 1)]
    return [*curve, ap, trapezoid, total / positions[-1], positions[0]]


def expected_scores(distances, right, ranks):
    """The mean of ``scores_of_order`` over all orders in which ties can stand."""
    order = sorted(range(len(distances)), key=lambda i: distances[i])
    groups = [[right[i] for i in group] for _, group in groupby(order, key=lambda i: distances[i])]
    orders = product(*map(permutations, groups))
    every = [scores_of_order(list(chain.from_iterable(order)), ranks) for order in orders]
    return [sum(column) / len(every) for column in zip(*every, strict=True)]


def classic_loop(distances, positives, ignored, ranks):
    """A full argsort a query, then the usual loop; ties stand as they fall."""
    import numpy as np

    rows = []
    for row, good, drop in zip(distances, positives, ignored, strict=True):
        order = np.argsort(row)
        order = order[~np.isin(order, drop)]
        right = np.isin(order, good)
        at = np.flatnonzero(right) + 1
        before = np.arange(len(at))
        old = np.where(at > 1, before / np.maximum(at - 1, 1), 1.0)
        new = (before + 1) / at
        curve = np.arange(1, ranks + 1) >= at[0]
        rows.append([*curve, new.mean(), ((old + new) / 2).mean(), len(at) / at[-1], at[0]])
    return np.array(rows)
