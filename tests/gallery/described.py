"""Made-up galleries for the tests of searching: people with occluded crops, and the slow way to search them."""

from dataclasses import replace

import numpy as np
import torch

from occlureid.gallery import Filter, Item
from occlureid.gallery.hits import SearchResult
from occlureid.gallery.source import MemorySource
from occlureid.matching import MatchRule, pairwise_distances
from occlureid.types import Descriptor

RULES = {
    "binary": MatchRule(),
    "soft": MatchRule(visibility="soft"),
    "ignore": MatchRule(visibility="ignore"),
    "parts only": MatchRule(global_weight=0),
    "parts only, soft": MatchRule(global_weight=0, visibility="soft"),
    "half parts": MatchRule(part_factor=0.5, visibility="soft"),
    "global only": MatchRule(part_factor=0),
    "odd weights": MatchRule(global_weight=0.3, part_factor=2.5, threshold=0.3),
    "sum": MatchRule(form="sum"),
    "sum of parts": MatchRule(form="sum", global_weight=0, part_factor=0.7, visibility="soft"),
    "euclidean": MatchRule(metric="euclidean"),
    "euclidean parts": MatchRule(metric="euclidean", global_weight=0, visibility="soft"),
    "euclidean global": MatchRule(metric="euclidean", part_factor=0),
}


def describe(count: int, seed: int, *, people: int = 40, size: int = 24, locations: int = 0) -> Descriptor:
    """Crops of people, of each of which some of 4 parts are hidden; hidden parts hold noise, and sometimes no number."""
    random = torch.Generator().manual_seed(seed)
    person = torch.arange(count) % people
    faces = torch.randn(people, 5, size, generator=torch.Generator().manual_seed(7))
    vectors = faces[person] + 0.7 * torch.randn(count, 5, size, generator=random)
    visibility = torch.rand(count, 4, generator=random)
    visibility[torch.rand(count, 4, generator=random) < 0.3] = 0
    parts = vectors[:, 1:].clone()
    parts[(visibility == 0) & (torch.rand(count, 4, generator=random) < 0.1)] = torch.nan
    spatial = saliency = None
    if locations:
        spatial = torch.randn(count, locations, 8, generator=random) + faces[person][:, :1, :8]
        saliency = torch.rand(count, locations, generator=random)
        saliency[:, 0] = 0
        saliency[3::17] = 0
    return Descriptor(vectors[:, 0], parts, visibility, spatial, saliency, fingerprint="model")


def items(count: int, start: int = 0, people: int = 40) -> list[Item]:
    """Items whose ids do not sort in the order of adding."""
    return [
        Item(
            f"{(i * 7919) % 100_003:06}", f"c{i % 3}", f"p{i % people}" if i % 5 else None, float(i) if i % 4 else None
        )
        for i in range(start, start + count)
    ]


def source(count: int, rule: MatchRule, seed: int = 1, **kinds: int) -> MemorySource:
    return MemorySource(items(count), describe(count, seed, **kinds), rule)


def slow(gallery: MemorySource, query: Descriptor, k: int, filter: Filter = Filter()) -> list[list[tuple[str, float]]]:  # noqa: B008
    """Everything compared in float64, sorted by distance and id, without pairs that cannot be compared."""
    answers = []
    blocks = list(gallery.blocks())
    columns = [block.columns for block in blocks]
    ids = np.array([i for c in columns for i in c.ids.to_pylist()])
    passed = np.concatenate([filter.mask(c) for c in columns])
    stored = gallery.spatial(list(ids)) if gallery.rule.spatial_weight else Descriptor.cat(b.descriptor for b in blocks)
    query = replace(query, parts=query.parts.nan_to_num(nan=0))
    distances = pairwise_distances(gallery.rule, query.to(dtype=torch.float64), stored.to(dtype=torch.float64)).float()
    for row in distances.numpy():
        found = [(float(d), str(i)) for d, i, p in zip(row, ids, passed, strict=True) if p and np.isfinite(d)]
        answers.append([(i, d) for d, i in sorted(found)[:k]])
    return answers


def agree(results: list[SearchResult], answers: list[list[tuple[str, float]]], tolerance: float = 2e-6) -> None:
    """The same distances, and the same ids wherever the distances tell them apart."""
    assert len(results) == len(answers)
    for result, answer in zip(results, answers, strict=True):
        got = [hit.distance for hit in result.hits]
        np.testing.assert_allclose(got, [d for _, d in answer], atol=tolerance, rtol=0)
        for place, (hit, (id, distance)) in enumerate(zip(result.hits, answer, strict=True)):
            beside = [answer[p][1] for p in (place - 1, place + 1) if 0 <= p < len(answer)]
            last = place == len(answer) - 1
            if all(abs(distance - other) > tolerance for other in beside) and not last:
                assert hit.id == id
