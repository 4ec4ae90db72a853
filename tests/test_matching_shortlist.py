"""Two stages: which images are shortlisted, in which order everything ranks, and how that is scored."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occlureid.described import Described, score
from occlureid.errors import DataError, ShapeError, UsageError
from occlureid.evaluation import Report, evaluate
from occlureid.matching import MatchRule, base_rule, distance_matrix, shortlist_distances, stream_order
from occlureid.types import Descriptor, Protocol, Sample
from tests.test_matching import LiveBytes

INF = math.inf
GASM = MatchRule(part_factor=0, spatial_weight=0.5)
RULES = {
    "gasm": GASM,
    "alone": MatchRule(global_weight=0, part_factor=0, spatial_weight=1.0),
    "with parts": MatchRule(spatial_weight=0.3),
    "parts only": MatchRule(global_weight=0, spatial_weight=0.3),  # some base distances are infinite
    "infinite base, finite whole": MatchRule(global_weight=0, spatial_weight=1.0),
    "euclidean": MatchRule(metric="euclidean", spatial_weight=0.5),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def describe(n, seed, places=4):
    random = torch.Generator().manual_seed(seed)
    saliency = torch.rand(n, places, generator=random) * (torch.rand(n, places, generator=random) > 0.4)
    visible = torch.rand(n, 2, generator=random) * (torch.rand(n, 2, generator=random) > 0.4)
    vectors = torch.randn(n, 5, generator=random), torch.randn(n, 2, 4, generator=random)
    return Descriptor(*vectors, visible, torch.randn(n, places, 6, generator=random), saliency, "m@1")


def keys_of(*args, **options):
    return torch.cat([block.keys for block in stream_order(*args, **options)])


@settings(max_examples=60, deadline=None)
@given(
    rule=st.sampled_from(list(RULES.values())),
    seed=st.integers(0, 10_000),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 9)),
    k=st.integers(1, 12),
    memory=st.sampled_from([1, 2000, 10**6]),
)
def test_a_shortlist_holds_the_nearest_by_the_base_rule_in_the_order_of_the_whole(rule, seed, sizes, k, memory):
    query, gallery = describe(sizes[0], seed), describe(sizes[1], seed + 1, places=6)
    base, full = distance_matrix(base_rule(rule), query, gallery), distance_matrix(rule, query, gallery)
    found = shortlist_distances(rule, query, gallery, k, memory=memory)
    assert found.indices.shape == found.distances.shape == (sizes[0], min(k, sizes[1]))
    keys = keys_of(rule, query, gallery, k, memory=memory)
    for i in range(sizes[0]):
        listed, rest = set(found.indices[i].tolist()), set(range(sizes[1])) - set(found.indices[i].tolist())
        assert len(listed) == min(k, sizes[1])
        assert all(base[i, a] <= base[i, b] + 1e-6 for a in listed for b in rest)
        torch.testing.assert_close(found.distances[i], full[i, found.indices[i]], rtol=2e-6, atol=2e-6)
        assert (found.distances[i].diff().nan_to_num(0) >= 0).all()  # infinite ones follow each other
        assert torch.equal(keys[i, found.indices[i]].float(), found.distances[i])
        order = keys[i, sorted(rest)]
        expected = base[i, sorted(rest)].double().diff()
        torch.testing.assert_close(order.diff(), expected, rtol=1e-5, atol=2e-6, equal_nan=True)
        finite = found.distances[i][found.distances[i].isfinite()]
        if len(finite) and rest:
            assert finite.max() < order.min()


@pytest.mark.parametrize("name", RULES)
def test_a_shortlist_of_everything_is_the_exhaustive_ranking(name):
    query, gallery = describe(5, 1), describe(8, 2)
    full = distance_matrix(RULES[name], query, gallery)
    for k in (8, 100):
        keys = keys_of(RULES[name], query, gallery, k)
        torch.testing.assert_close(keys.float(), full, rtol=2e-6, atol=2e-6)
        assert torch.equal(keys.argsort(dim=1, stable=True), full.argsort(dim=1, stable=True))


def test_what_is_skipped_does_not_fill_the_list():
    query, gallery = describe(3, 3), describe(9, 4)
    base = distance_matrix(base_rule(GASM), query, gallery)
    skip = [base[i].argsort()[:4].tolist() for i in range(2)] + [list(range(7))]
    found = shortlist_distances(GASM, query, gallery, 3, skip=skip)
    for i in range(2):
        assert set(found.indices[i].tolist()) == set(base[i].argsort()[4:7].tolist())
    assert set(found.indices[2].tolist()) == {7, 8, -1}
    assert found.indices[2, 2] == -1
    assert found.distances[2, 2] == INF
    keys = keys_of(GASM, query, gallery, 3, skip=skip)
    for i, dropped in enumerate(skip):
        assert keys[i, dropped].isinf().all()


def test_images_at_one_distance_are_listed_in_gallery_order():
    axis, nothing = torch.eye(4)[:1], (torch.zeros(6, 0, 1), torch.zeros(6, 0))
    alike = Descriptor(axis.repeat(6, 1), *nothing, axis.repeat(6, 3, 1), torch.ones(6, 3))
    found = shortlist_distances(GASM, alike[:2], alike, 4, skip=[[], [1, 3]])
    assert found.indices.tolist() == [[0, 1, 2, 3], [0, 2, 4, 5]]


def test_memory_stays_within_its_bound():
    query, gallery = describe(40, 7, places=12), describe(300, 8, places=12)
    memory = 150_000
    with LiveBytes() as live, torch.no_grad():
        found = shortlist_distances(GASM, query, gallery, 20, memory=memory)
    assert memory // 10 < live.peak - found.indices.nbytes - found.distances.nbytes <= memory


def test_wrong_input_is_named():
    query, gallery = describe(2, 9), describe(3, 10)
    with pytest.raises(UsageError, match="spatial_weight above 0"):
        shortlist_distances(MatchRule(), query, gallery, 2)
    with pytest.raises(UsageError, match="at least 1 image, got k=0"):
        shortlist_distances(GASM, query, gallery, 0)
    with pytest.raises(UsageError, match="memory"):
        shortlist_distances(GASM, query, gallery, 1, memory=0)
    with pytest.raises(ShapeError, match="a list for each of 2 queries, got 1"):
        shortlist_distances(GASM, query, gallery, 1, skip=[[0]])
    query.global_[1] = math.nan
    with pytest.raises(DataError, match="query 1 to gallery image 0 is not a number"):
        shortlist_distances(GASM, query, gallery, 1)


# Scoring -----------------------------------------------------------------------------------------------------------------

PROTOCOL = Protocol("made up", ranks=(1, 2))


def world(seed=0, persons=8):
    """Two queries and five gallery images of each person, of cameras 1 and 2, and one of nobody."""
    random = torch.Generator().manual_seed(seed)
    centre, local = torch.randn(persons, 5, generator=random), torch.randn(persons, 3, 6, generator=random)
    sides = []
    for name, count in (("query", 2), ("gallery", 5)):
        samples = [
            Sample(Path(f"{name}/{p}_{i}.jpg"), str(p), str(1 + i % 2)) for p in range(persons) for i in range(count)
        ]
        person = torch.tensor([int(s.person) for s in samples])
        vectors = centre[person] + 1.5 * torch.randn(len(person), 5, generator=random)
        places = local[person] + 1.5 * torch.randn(len(person), 3, 6, generator=random)
        saliency = torch.rand(len(person), 3, generator=random) + 0.1
        nothing = torch.zeros(len(person), 0, 1), torch.zeros(len(person), 0)
        sides.append((samples, Descriptor(vectors, *nothing, places, saliency, "m")))
    (query, q), (gallery, g) = sides
    gallery = [*gallery[:-1], Sample(Path("gallery/junk.jpg"), "-1", "1")]
    return query, gallery, q, g


def test_a_shortlist_of_the_whole_gallery_scores_as_no_shortlist():
    query, gallery, q, g = world()
    exhaustive = evaluate((q, g), query, gallery, PROTOCOL, rule=GASM)
    listed = evaluate((q, g), query, gallery, PROTOCOL, rule=GASM, shortlist=1000, memory=20_000)
    assert exhaustive.shortlist is None
    assert listed.shortlist == 1000
    same = replace(listed, shortlist=None)
    assert same.curve == exhaustive.curve
    assert same.average_precision == pytest.approx(exhaustive.average_precision, abs=1e-9)
    assert [r.matches for r in same.queries] == [r.matches for r in exhaustive.queries]
    for ours, theirs in zip(same.queries, exhaustive.queries, strict=True):
        assert ours.distances == pytest.approx(theirs.distances, abs=1e-6)


def test_a_shortlist_is_scored_as_its_order_written_out():
    query, gallery, q, g = world(1)
    steps = []
    report = evaluate(
        (q, g), query, gallery, PROTOCOL, rule=GASM, shortlist=4, memory=9000, progress=lambda *n: steps.append(n)
    )
    base, full = distance_matrix(base_rule(GASM), q, g), distance_matrix(GASM, q, g)
    places = torch.empty_like(full)
    for i, sample in enumerate(query):
        kept = [
            j
            for j, s in enumerate(gallery)
            if s.person != "-1" and (s.person, s.camera) != (sample.person, sample.camera)
        ]
        near = sorted(kept, key=lambda j: base[i, j])
        order = sorted(near[:4], key=lambda j: full[i, j]) + near[4:]
        places[i] = len(gallery)
        places[i, order] = torch.arange(len(order), dtype=torch.float32)
        assert report.queries[i].matches == tuple(order[:4])  # no more have a distance by the rule
        assert report.queries[i].distances == pytest.approx(full[i, order[:4]].tolist(), abs=1e-6)
    expected = evaluate(places, query, gallery, PROTOCOL, rule=GASM)
    assert report.curve == expected.curve
    assert report.average_precision == pytest.approx(expected.average_precision, abs=1e-9)
    assert report.curve != evaluate((q, g), query, gallery, PROTOCOL, rule=GASM).curve
    assert report.curve != evaluate((q, g), query, gallery, PROTOCOL, rule=base_rule(GASM)).curve
    assert len(steps) > 1
    assert steps[-1] == (16, 16)
    assert "with the 4 nearest gallery images only" in report.summary()
    assert Report.from_json(report.to_json()) == report


def test_reports_written_before_there_were_shortlists_can_be_read():
    query, gallery, q, g = world(2)
    report = evaluate((q, g), query, gallery, PROTOCOL, rule=GASM)
    record = json.loads(report.to_json())
    del record["shortlist"]
    assert Report.from_json(json.dumps(record)) == report


def test_described_datasets_are_scored_with_a_shortlist():
    query, gallery, q, g = world(3)
    described = Described(q, g, tuple(query), tuple(gallery), GASM, PROTOCOL)
    assert score(described, shortlist=5).shortlist == 5
    assert (
        score(described, shortlist=5).curve == evaluate((q, g), query, gallery, PROTOCOL, rule=GASM, shortlist=5).curve
    )
    with pytest.raises(UsageError, match="spatial_weight"):
        score(described, {"spatial_weight": 0}, shortlist=5)


def test_distances_cannot_be_shortlisted():
    query, gallery, q, g = world(4)
    with pytest.raises(UsageError, match="needs descriptors"):
        evaluate(distance_matrix(GASM, q, g), query, gallery, PROTOCOL, rule=GASM, shortlist=5)
    with pytest.raises(UsageError, match="need a rule"):
        evaluate((q, g), query, gallery, PROTOCOL, rule=None, shortlist=5)
