"""Searching gives what comparing everything gives, however the gallery lies in memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from occlureid.errors import FingerprintError, ShapeError, UsageError
from occlureid.gallery import Filter, Item
from occlureid.gallery.hits import merge_results
from occlureid.gallery.scan import lower_bounds, prepare_probe, prepare_shard, scan_rule
from occlureid.gallery.search import Searcher
from occlureid.gallery.source import MemorySource
from occlureid.matching import MatchRule, pairwise_distances
from occlureid.types import Descriptor
from tests.gallery.described import RULES, agree, describe, items, slow, source


def finite(item: Descriptor) -> Descriptor:
    return replace(item, parts=item.parts.nan_to_num(nan=0))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("queries", [1, 9])
def test_the_ranking_is_that_of_comparing_everything(rule: MatchRule, queries: int) -> None:
    gallery, query = source(700, rule), describe(queries, 2)
    results = Searcher(gallery).search(query, k=10)
    agree(results, slow(gallery, query, 10))
    assert all(result.exact and result.searched == 700 and result.coverage == 1 for result in results)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_bounds_lie_below_the_distances_and_near_them(rule: MatchRule) -> None:
    stored, query = finite(describe(600, 3, size=96).to(dtype=torch.float16)), finite(describe(20, 4, size=96))
    block = next(MemorySource(items(600), stored, rule).blocks())
    low = lower_bounds(rule, prepare_probe(rule, query), prepare_shard(rule, block, keep=False))
    exact = pairwise_distances(rule, query.to(dtype=torch.float64), stored.to(dtype=torch.float64)).float()
    assert torch.equal(low.isinf(), exact.isinf())
    gap = (exact - low)[exact.isfinite()]
    assert gap.min() >= 0
    scale = exact[exact.isfinite()].mean() if rule.metric == "euclidean" else 1 + 5 * (rule.form == "sum")
    assert gap.median() < 0.02 * scale * max(1, rule.part_factor)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 300.0])
@pytest.mark.parametrize("rule", [RULES["soft"], RULES["euclidean"]], ids=["soft", "euclidean"])
def test_bounds_hold_for_vectors_of_any_length_and_of_zeros(rule: MatchRule, scale: float) -> None:
    stored = describe(200, 5)
    stored = replace(stored, global_=stored.global_ * scale, parts=stored.parts * scale).to(dtype=torch.float16)
    stored = finite(stored)
    stored.global_[0] = 0
    query = replace(stored[:5].to(dtype=torch.float32))
    block = next(MemorySource(items(200), stored, rule).blocks())
    low = lower_bounds(rule, prepare_probe(rule, query), prepare_shard(rule, block, keep=False))
    exact = pairwise_distances(rule, query.to(dtype=torch.float64), stored.to(dtype=torch.float64)).float()
    assert bool((low <= exact).all())
    assert float((exact - low)[exact.isfinite()].max()) < 0.05 * max(1.0, float(exact.max()))


def near_ties(count: int) -> tuple[Descriptor, Descriptor]:
    """A query, and items whose distances to it differ by less than bfloat16 can tell."""
    random = torch.Generator().manual_seed(0)
    query = torch.nn.functional.normalize(torch.randn(1, 256, generator=random))
    across = torch.randn(count, 256, generator=random)
    across = torch.nn.functional.normalize(across - (across @ query.T) * query)
    angle = 0.9 + 1e-3 * torch.rand(count, 1, generator=random)
    vectors = query * angle.cos() + across * angle.sin()
    return Descriptor.from_vectors(query, "model"), Descriptor.from_vectors(vectors, "model")


def test_near_ties_that_rounding_confuses_are_found() -> None:
    rule = MatchRule(part_factor=0)
    query, stored = near_ties(3000)
    gallery = MemorySource(items(3000), stored, rule)
    wanted = slow(gallery, query, 10)
    agree(Searcher(gallery).search(query, k=10), wanted)
    short = Searcher(gallery).search(query, k=10, exact=False)[0]
    assert not short.exact
    assert (
        len({hit.id for hit in short.hits} & {id for id, _ in wanted[0]}) < 10
    )  # so that the first line had work to do


def test_ties_are_broken_by_id() -> None:
    stored = describe(1, 0)[[0] * 500]
    gallery = MemorySource(items(500), stored, MatchRule())
    hits = Searcher(gallery, memory=100_000).search(describe(1, 1), k=20)[0].hits
    assert [hit.id for hit in hits] == sorted(item.id for item in items(500))[:20]
    assert len({hit.distance for hit in hits}) == 1


def test_pairs_with_nothing_to_compare_are_counted_and_never_hits() -> None:
    rule = MatchRule(global_weight=0, visibility="binary")
    stored = finite(describe(50, 1))
    stored.visibility[:] = torch.tensor([1.0, 0, 0, 0])
    stored.visibility[10:] = torch.tensor([0, 1.0, 0, 0])
    query = finite(describe(1, 2))
    query.visibility[:] = torch.tensor([1.0, 0, 0, 1])
    result = Searcher(MemorySource(items(50), stored.to(dtype=torch.float16), rule)).search(query, k=30)[0]
    assert (len(result.hits), result.searched, result.incomparable) == (10, 50, 40)


@pytest.mark.parametrize(
    "filter",
    [
        Filter(cameras=("c1",)),
        Filter(not_cameras=("c1",), since=30.0, until=400.0),
        Filter(persons=("p3",)),
        Filter(ids=(items(700)[5].id,)),
        Filter(cameras=()),
    ],
)
@pytest.mark.parametrize("memory", [1, 2**30])
def test_filters_hold_before_the_nearest_are_chosen(filter: Filter, memory: int) -> None:
    gallery, query = source(300, MatchRule()), describe(3, 2)
    results = Searcher(gallery, memory=memory).search(query, k=10, filter=filter)
    wanted = slow(gallery, query, 10, filter)
    agree(results, wanted)
    assert results[0].searched == int(filter.mask(next(gallery.blocks()).columns).sum())


@pytest.mark.parametrize("memory", [1, 60_000, 150_000, 400_000])
@pytest.mark.parametrize("rule", [RULES["soft"], RULES["euclidean"]], ids=["soft", "euclidean"])
def test_a_gallery_larger_than_memory_gives_the_same(rule: MatchRule, memory: int) -> None:
    gallery, query = source(600, rule), describe(7, 2)
    searcher = Searcher(gallery, memory=memory)
    assert searcher.nbytes <= memory
    agree(searcher.search(query, k=10), slow(gallery, query, 10))
    gallery.add(items(40, 600), describe(40, 9))
    gallery.remove([item.id for item in items(100)])
    searcher.refresh()
    agree(searcher.search(query, k=10), slow(gallery, query, 10))


def test_each_amount_of_memory_holds_what_it_should() -> None:
    gallery = source(600, MatchRule())
    states = [Searcher(gallery, memory=m) for m in (1, 100_000, 2**20)]
    assert [searcher.complete for searcher in states] == [False, False, True]
    assert len(states[0]) == 0
    assert 0 < len(states[1]) < 600
    held = [Searcher(gallery, memory=m).nbytes for m in (300_000, 2**20)]
    assert held[0] < held[1]  # without the descriptors in half precision, and with them


class Counting(MemorySource):
    """Notes which rows are read."""

    read: list[int]

    def changes(self, known, *, rows=8192, span=(0, None)):
        found = super().changes(known, rows=rows, span=span)
        blocks = list(found.blocks)
        self.read = [int(row) for block in blocks for row in block.columns.rows]
        return replace(found, blocks=iter(blocks))


def test_new_rows_appear_and_removed_ones_vanish_without_reading_the_rest() -> None:
    rule, query = MatchRule(), describe(4, 2)
    gallery = Counting(items(500), describe(500, 1), rule)
    searcher = Searcher(gallery)
    for step in range(6):
        gallery.add(items(3 + step, 500 + 100 * step), describe(3 + step, 20 + step))
        gone = [hit.id for hit in searcher.search(query, k=5)[0].hits]
        gallery.remove(gone)
        change = searcher.refresh()
        assert (change.added, change.removed) == (3 + step, 5)
        assert len(gallery.read) == 3 + step
        agree(searcher.search(query, k=10), slow(gallery, query, 10))
        assert searcher.refresh().added == 0
    assert len(searcher) == len(gallery)


def test_removed_items_that_must_be_read_are_noticed_during_a_search() -> None:
    gallery, query = source(300, MatchRule()), describe(1, 2)
    searcher = Searcher(gallery, memory=150_000)
    assert searcher.complete
    gallery.remove([hit.id for hit in searcher.search(query, k=3)[0].hits])
    agree(searcher.search(query, k=5), slow(gallery, query, 5))


def test_an_empty_gallery_answers_and_fills() -> None:
    gallery = source(20, MatchRule())
    gallery.remove([item.id for item in items(20)])
    searcher, query = Searcher(gallery), describe(1, 2)
    result = searcher.search(query)[0]
    assert (result.hits, result.searched) == ((), 0)
    gallery.add(items(15, 100), describe(15, 3))
    searcher.refresh()
    assert len(searcher.search(query, k=100)[0].hits) == 15


def test_spans_of_a_gallery_merge_to_the_whole() -> None:
    gallery, query = source(500, MatchRule()), describe(2, 2)
    pieces = [Searcher(gallery, span=span) for span in ((0, 100), (100, 350), (350, None))]
    merged = [merge_results(found, 10) for found in zip(*(p.search(query, k=10) for p in pieces), strict=True)]
    assert merged == Searcher(gallery).search(query, k=10)


LOCAL = {
    "mixed": MatchRule(spatial_weight=0.5),
    "mixed, soft parts": MatchRule(spatial_weight=0.4, global_weight=0, visibility="soft"),
    "local only": MatchRule(spatial_weight=1.0, global_weight=0, part_factor=0),
    "euclidean": MatchRule(metric="euclidean", spatial_weight=0.3),
}


@pytest.mark.parametrize("rule", LOCAL.values(), ids=LOCAL.keys())
@pytest.mark.parametrize("memory", [1, 2**30])
def test_local_vectors_are_read_from_the_source(rule: MatchRule, memory: int) -> None:
    gallery, query = source(260, rule, locations=6), describe(4, 2, locations=5)
    query.saliency[3] = torch.tensor([0, 1.0, 0, 0, 2])  # type: ignore[index]
    results = Searcher(gallery, memory=memory).search(query, k=10, exact=True)
    agree(results, slow(gallery, query, 10), tolerance=5e-6)
    assert all(result.exact for result in results)


def test_a_shortlist_of_local_vectors_says_whether_it_was_enough() -> None:
    rule = MatchRule(spatial_weight=0.5)
    gallery, query = source(600, rule, locations=6), describe(3, 2, locations=6)
    short = Searcher(gallery).search(query, k=5, shortlist=10)
    enough = Searcher(gallery).search(query, k=5, shortlist=600)
    assert not any(result.exact for result in short)
    assert all(result.exact for result in enough)
    agree(enough, slow(gallery, query, 5), tolerance=5e-6)
    assert all(a.hits[0].distance >= b.hits[0].distance - 1e-6 for a, b in zip(short, enough, strict=True))


def test_images_without_locations_are_no_hits() -> None:
    rule = MatchRule(spatial_weight=0.5)
    gallery, query = source(100, rule, locations=4), describe(1, 2, locations=4)
    result = Searcher(gallery).search(query, k=100)[0]
    assert result.incomparable == 6  # every seventeenth, from the fourth
    assert len(result.hits) == 94
    query.saliency.zero_()  # type: ignore[union-attr]
    assert Searcher(gallery).search(query, k=100)[0].hits == ()


def test_hits_say_why() -> None:
    gallery = source(200, MatchRule(threshold=0.3))
    query = finite(describe(1, 2))
    query.visibility[:] = torch.tensor([0.9, 0.1, 0.8, 0.4])
    for hit in Searcher(gallery).search(query, k=8)[0].hits:
        reason = hit.reason
        assert [part.in_query for part in reason.parts] == [True, False, True, True]
        compared = [part for part in reason.parts if part.distance is not None]
        assert all(part.weight == 1 and part.in_query and part.in_hit for part in compared)
        assert all(
            part.weight == 0 and not (part.in_query and part.in_hit) for part in reason.parts if part.distance is None
        )
        total = reason.global_distance + sum(part.distance for part in compared)  # type: ignore[misc, operator]
        assert hit.distance == pytest.approx(total / (1 + len(compared)), abs=1e-6)
        item = next(item for item in items(200) if item.id == hit.id)
        assert (hit.camera, hit.person, hit.time) == (item.camera, item.person, item.time)


@pytest.mark.parametrize(
    ("rule", "parts", "has_global", "has_spatial"),
    [
        (MatchRule(part_factor=0), 0, True, False),
        (MatchRule(global_weight=0), 4, False, False),
        (MatchRule(spatial_weight=0.5), 4, True, True),
        (MatchRule(spatial_weight=1.0), 0, False, True),
    ],
)
def test_what_a_rule_does_not_use_is_not_explained(
    rule: MatchRule, parts: int, has_global: bool, has_spatial: bool
) -> None:
    reason = Searcher(source(60, rule, locations=4)).search(describe(1, 2, locations=4))[0].hits[0].reason
    assert (len(reason.parts), reason.global_distance is not None) == (parts, has_global)
    assert (reason.spatial_distance is not None) == has_spatial


def test_queries_that_do_not_fit_are_refused() -> None:
    searcher, query = Searcher(source(30, MatchRule())), describe(1, 2)
    with pytest.raises(FingerprintError, match="two models"):
        searcher.search(replace(query, fingerprint="other"))
    with pytest.raises(ShapeError, match="gallery must have"):
        searcher.search(describe(1, 2, size=25))
    with pytest.raises(ShapeError, match="finite"):
        searcher.search(replace(query, global_=query.global_ * np.nan))
    with pytest.raises(UsageError, match="k and shortlist"):
        searcher.search(query, k=0)
    with pytest.raises(UsageError, match="memory"):
        Searcher(source(3, MatchRule()), memory=0)
    with pytest.raises(ShapeError, match="spatial is None"):
        Searcher(source(30, MatchRule(spatial_weight=0.5), locations=3)).search(query)


def test_a_rule_without_anything_but_local_vectors_looks_by_the_global_vector() -> None:
    assert scan_rule(LOCAL["local only"]).global_weight == 1
    assert scan_rule(MatchRule(global_weight=0.0, spatial_weight=0.5)).global_weight == 0


def test_a_result_is_plain_data() -> None:
    record = Searcher(source(30, MatchRule())).search(describe(1, 2), k=1)[0].to_json()
    assert set(record["hits"][0]) == {"id", "distance", "camera", "person", "time", "reason", "probable", "verdict"}
    assert isinstance(Item(record["hits"][0]["id"], "c").id, str)
