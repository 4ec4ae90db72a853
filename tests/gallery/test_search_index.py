"""An index finds almost everything while it compares little, and says how much that is."""

import pytest
import torch

from occlureid.errors import UsageError
from occlureid.gallery import Filter
from occlureid.gallery.approximate import ApproximateSearcher
from occlureid.gallery.search import Searcher
from occlureid.matching import MatchRule
from tests.gallery.described import RULES, agree, describe, items, slow, source
from tests.trained import Figures


@pytest.mark.trained
@pytest.mark.parametrize("name", ["binary", "soft", "parts only", "global only", "half parts"])
def test_most_is_found_by_comparing_little(name: str, figures: Figures, training_seed: int) -> None:
    gallery, query = source(2000, RULES[name], people=100), describe(40, 2, people=100)
    searcher = ApproximateSearcher(gallery, cells=40, probes=8, wanted=80, queries=80, seed=training_seed)
    found = [{hit.id for hit in result.hits} for result in searcher.search(query, k=10)]
    true = [{id for id, _ in answer} for answer in slow(gallery, query, 10)]
    recall = sum(len(a & b) for a, b in zip(found, true, strict=True)) / sum(map(len, true))
    # the worst of 5 seeds, AVX-512: recall 0.957, 0.023 from that of the report, 0.127 compared
    figures.above("recall", recall, 0.85)
    figures.below("recall, from that of the report", abs(searcher.report.recall - recall), 0.1)
    figures.below("share of the gallery compared", searcher.report.scanned, 0.2)
    assert not any(result.exact for result in searcher.search(query))
    agree(searcher.search(query, exact=True), slow(gallery, query, 10))


@pytest.mark.trained
def test_the_global_vector_alone_finds_less(figures: Figures, training_seed: int) -> None:
    gallery = source(2000, MatchRule(visibility="ignore"), people=100)
    every = ApproximateSearcher(gallery, cells=40, probes=2, wanted=20, seed=training_seed)
    index = every._index
    assert index is not None
    less = type(index)(index.centroids[:1], index.pieces[:1], index.probes, index.wanted, ()).caught_up(
        every._held.shards
    )
    full = every.report.recall
    every._index = less
    # 0.127 in the worst of 5 seeds, 0.171 in the best
    figures.above("recall lost", full - every._measured(*every._sample(0, 100)).recall, 0.05)


def test_all_cells_find_everything() -> None:
    gallery, query = source(300, MatchRule()), describe(5, 2)
    searcher = ApproximateSearcher(gallery, cells=10, probes=10, wanted=300)
    assert searcher.report.recall == 1
    agree(searcher.search(query), slow(gallery, query, 10))
    filter = Filter(cameras=("c2",))
    agree(searcher.search(query, filter=filter), slow(gallery, query, 10, filter))
    assert searcher.search(query, filter=Filter(cameras=()))[0].hits == ()


def test_new_items_are_sorted_in_and_removed_ones_vanish() -> None:
    gallery, query = source(300, MatchRule()), describe(3, 2)
    searcher = ApproximateSearcher(gallery, cells=10, probes=10, wanted=400)
    gallery.add(items(50, 300), describe(50, 5))
    gallery.remove([item.id for item in items(60)])
    searcher.refresh()
    agree(searcher.search(query), slow(gallery, query, 10))


def test_the_same_seed_builds_the_same_index() -> None:
    gallery = source(300, MatchRule())
    one, two = (ApproximateSearcher(gallery, seed=3) for _ in range(2))
    assert one.report == two.report
    assert (one.report.items, one.report.cells, one.report.probes) == (300, 17, 2)
    assert one._index is not None
    assert two._index is not None
    assert all(torch.equal(a, b) for a, b in zip(one._index.centroids, two._index.centroids, strict=True))


def test_local_vectors_rescore_the_candidates() -> None:
    gallery = source(120, MatchRule(spatial_weight=0.5), locations=4)
    searcher = ApproximateSearcher(gallery, cells=4, probes=4, wanted=120)
    query = describe(2, 2, locations=4)
    agree(searcher.search(query, shortlist=120), slow(gallery, query, 10), tolerance=5e-6)


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        (MatchRule(metric="euclidean"), {}),
        (MatchRule(), {"cells": 500}),
        (MatchRule(), {"cells": 5, "probes": 6}),
        (MatchRule(), {"wanted": 0}),
        (MatchRule(), {"queries": 0}),
        (MatchRule(), {"memory": 1000}),
    ],
)
def test_what_cannot_be_indexed_is_refused(rule: MatchRule, options: dict[str, int]) -> None:
    gallery = source(200, rule)
    with pytest.raises(UsageError):
        ApproximateSearcher(gallery, **options)  # type: ignore[arg-type]
    assert len(Searcher(gallery)) == 200
