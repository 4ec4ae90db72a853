"""The matching rule, one pair and one part at a time."""

import math


def distance(rule, query, gallery, i, j):
    """Query image i against gallery image j, in Python floats."""
    if rule.spatial_weight == 1:
        return spatial(query, gallery, i, j)
    weights, parts = [], []
    if rule.part_factor > 0:
        for k in range(query.parts.shape[1]):
            w = seen(rule, query.visibility[i, k].item()) * seen(rule, gallery.visibility[j, k].item())
            if w > 0:
                weights.append(w)
                parts.append((query.parts[i, k].tolist(), gallery.parts[j, k].tolist()))
    whole = (query.global_[i].tolist(), gallery.global_[j].tolist())
    gamma, beta = rule.global_weight, rule.part_factor
    if gamma + sum(weights) == 0:
        return math.inf
    if rule.metric == "euclidean":
        total = gamma * math.dist(*whole) + sum(w * math.dist(*p) for w, p in zip(weights, parts, strict=True))
        result = total / (gamma + sum(weights))
    elif rule.form == "mean":
        near = gamma * cosine(*whole) + beta * sum(w * cosine(*p) for w, p in zip(weights, parts, strict=True))
        result = 1 - near / (gamma + sum(weights))
    else:
        near = gamma * (1 + cosine(*whole)) / 2
        near += beta * sum(w * (1 + cosine(*p)) / 2 for w, p in zip(weights, parts, strict=True))
        result = gamma + beta * query.parts.shape[1] - near
    if rule.spatial_weight == 0:
        return result
    return (1 - rule.spatial_weight) * result + rule.spatial_weight * spatial(query, gallery, i, j)


def seen(rule, v):
    if rule.visibility == "ignore":
        return 1.0
    return float(v >= rule.threshold) if rule.visibility == "binary" else v


def cosine(a, b):
    lengths = math.hypot(*a) * math.hypot(*b)
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths > 0 else 0.0


def spatial(query, gallery, i, j):
    saliency = query.saliency[i].tolist()
    others = [y for u, y in zip(gallery.saliency[j].tolist(), gallery.spatial[j].tolist(), strict=True) if u > 0]
    if sum(saliency) == 0 or not others:
        return math.inf
    total = 0.0
    for s, x in zip(saliency, query.spatial[i].tolist(), strict=True):
        if s > 0:
            total += s / sum(saliency) * min(1 - cosine(x, y) for y in others)
    return total
