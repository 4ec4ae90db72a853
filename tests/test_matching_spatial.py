"""Matching by local vectors: maps of different sizes, locations that do not exist, precision, memory, and what matched what."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occlureid.errors import FingerprintError, ShapeError
from occlureid.matching import (
    MatchRule,
    best_matches,
    distance_matrix,
    explain,
    join_padded,
    pad_locations,
    pairwise_distances,
    prune,
    spatial,
)
from occlureid.types import Descriptor
from tests.reference import matching as slow
from tests.test_matching import LiveBytes, assert_same, loop

INF = math.inf
GASM = MatchRule(part_factor=0, spatial_weight=0.5)
ALONE = MatchRule(part_factor=0, spatial_weight=1.0)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def describe(n, places, seed, size=6, missing=0.3):
    """n images of ``places`` locations each, of which some do not exist."""
    random = torch.Generator().manual_seed(seed)
    saliency = torch.rand(n, places, generator=random) + 0.01
    saliency = saliency * (torch.rand(n, places, generator=random) >= missing)
    local = torch.randn(n, places, size, generator=random)
    nothing = torch.zeros(n, 0, 1), torch.zeros(n, 0)
    return Descriptor(torch.randn(n, 5, generator=random), *nothing, local, saliency, "m@1")


RULES = st.sampled_from([GASM, ALONE, MatchRule(part_factor=0, spatial_weight=0.2, metric="euclidean")])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    images=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    places=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    missing=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    rule=RULES,
    memory=st.sampled_from([1, 3000, 20_000, 10**6]),
)
def test_maps_of_two_sizes_equal_the_loop(seed, images, places, missing, rule, memory):
    query = describe(images[0], places[0], seed, missing=missing)
    gallery = describe(images[1], places[1], seed + 1, missing=missing)
    expected = loop(rule, query, gallery).view(len(query), len(gallery))
    assert_same(distance_matrix(rule, query, gallery, memory=memory), expected)
    assert_same(pairwise_distances(rule, query, gallery), expected)


def test_worked_by_hand():
    """Two query locations of weights 3/4 and 1/4; their nearest of three are at 1 - 0.6 and 1 - 1, on a map of another size."""
    query = Descriptor(
        torch.tensor([[1.0, 0]]),
        torch.zeros(1, 0, 1),
        torch.zeros(1, 0),
        torch.tensor([[[2.0, 0], [0, 5]]]),
        torch.tensor([[0.6, 0.2]]),
    )
    gallery = Descriptor(
        torch.tensor([[0.0, 1]]),
        torch.zeros(1, 0, 1),
        torch.zeros(1, 0),
        torch.tensor([[[0.0, 1], [3, 4], [-1, 0], [1, 0]]]),
        torch.tensor([[0.1, 7, 0.1, 0]]),  # the last would be at distance 0, but does not exist
    )
    assert distance_matrix(ALONE, query, gallery).item() == pytest.approx(0.75 * 0.4)
    assert distance_matrix(GASM, query, gallery).item() == pytest.approx((1 + 0.3) / 2)
    found = best_matches(query, gallery)
    assert found.indices.tolist() == [1, 0]
    assert found.distances.tolist() == pytest.approx([0.4, 0])
    assert found.weights.tolist() == pytest.approx([0.75, 0.25])
    assert found.distance == pytest.approx(0.3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), more=st.integers(0, 7), rule=RULES, memory=st.sampled_from([1, 5000, 10**6]))
def test_padding_and_other_images_change_no_distance(seed, more, rule, memory):
    query, gallery = describe(4, 5, seed), describe(3, 6, seed + 1)
    expected = distance_matrix(rule, query, gallery)
    padded = pad_locations(query, 5 + more), pad_locations(gallery, 6 + more)
    assert_same(distance_matrix(rule, *padded, memory=memory), expected, 1e-6)
    large, small = describe(2, 11, seed + 2), describe(3, 2, seed + 3)
    joined = join_padded([large, gallery, small])
    assert joined.spatial.shape == (8, 11, 6)
    assert_same(distance_matrix(rule, query, joined, memory=memory)[:, 2:5], expected, 1e-6)
    others = join_padded([small, query, large])
    assert_same(distance_matrix(rule, others, gallery, memory=memory)[3:7], expected, 1e-6)


def test_a_location_of_saliency_zero_does_not_exist_on_either_side():
    query, gallery = describe(3, 6, 1, missing=0), describe(4, 7, 2, missing=0)
    here, there = torch.tensor([0, 2, 5]), torch.tensor([1, 2, 6])
    without = [
        replace(item, spatial=item.spatial[:, rest], saliency=item.saliency[:, rest])
        for item, rest in ((query, [1, 3, 4]), (gallery, [0, 3, 4, 5]))
    ]
    query.saliency[:, here] = 0
    gallery.saliency[:, there] = 0
    assert_same(distance_matrix(ALONE, query, gallery), distance_matrix(ALONE, *without), 1e-6)


@pytest.mark.parametrize("garbage", [math.nan, INF, -INF, 1e38])
def test_what_does_not_exist_reaches_neither_distance_nor_gradient(garbage):
    query, gallery = describe(4, 6, 3), describe(5, 8, 4)
    query.saliency[1], gallery.saliency[2] = 0, 0
    expected = distance_matrix(ALONE, query, gallery)
    for item in (query, gallery):
        item.spatial[item.saliency == 0] = garbage
    assert_same(distance_matrix(ALONE, query, gallery), expected, 1e-6)
    assert torch.equal(
        expected.isinf(), torch.tensor([[0], [1], [0], [0]]).bool() | torch.tensor([0, 0, 1, 0, 0]).bool()
    )
    bfloat = distance_matrix(ALONE, query, gallery, precision="bfloat16")
    torch.testing.assert_close(bfloat, expected, rtol=0.02, atol=0.01)
    vectors = [item.spatial.requires_grad_() for item in (query, gallery)]
    got = pairwise_distances(ALONE, query, gallery)
    got[got.isfinite()].sum().backward()
    for item, vector in zip((query, gallery), vectors, strict=True):
        assert vector.grad.isfinite().all()
        assert (vector.grad[item.saliency == 0] == 0).all()
        assert (vector.grad != 0).any()


def test_gradient_reaches_the_saliency():
    """Its shares are part of the distance: a location that lies nearer than the mean pulls, one beyond it pushes."""
    query, gallery = describe(2, 4, 5, missing=0), describe(2, 4, 6, missing=0)
    saliency = query.saliency.requires_grad_()
    pairwise_distances(ALONE, query, gallery)[0, 1].backward()
    matched = best_matches(query[:1], gallery[1:])
    beyond = matched.distances - matched.distance
    assert torch.equal(saliency.grad[0].sign().double(), beyond.sign())
    assert (saliency.grad[1] == 0).all()


@pytest.mark.parametrize("places", [(24, 24), (24, 40), (7, 1)])
def test_bfloat16_is_close_and_keeps_near_matches_in_order(places):
    query, gallery = describe(6, places[0], 7, size=64), describe(9, places[1], 8, size=64)
    exact = distance_matrix(ALONE, query, gallery)
    torch.testing.assert_close(
        distance_matrix(ALONE, query, gallery, precision="bfloat16"), exact, rtol=0.01, atol=0.003
    )
    noise = torch.randn(query.spatial[:1].shape, generator=torch.Generator().manual_seed(9))
    near = [replace(query[:1], spatial=query.spatial[:1] + (0.1 + 0.02 * i) * noise) for i in range(10)]
    got = distance_matrix(ALONE, query[:1], Descriptor.cat(near), precision="bfloat16")[0]
    assert torch.equal(got.argsort(), torch.arange(10))


def test_bfloat16_vectors_longer_than_one_do_not_turn_the_minimum_round():
    """Rounded to bfloat16, some vectors have a square above 1: 1 - s is below 0, where bits sort the other way round."""
    item = describe(40, 6, 22, size=3, missing=0)
    squares = torch.nn.functional.normalize(item.spatial, dim=2).bfloat16().double().square().sum(2)
    assert (squares > 1.002).any()
    got = distance_matrix(ALONE, item, item, precision="bfloat16").diagonal()
    torch.testing.assert_close(got, torch.zeros(40), rtol=0, atol=0.006)
    assert (got < 0).any()


def test_pruning_keeps_the_most_salient_in_their_order():
    item = describe(3, 7, 10)
    item.saliency[0] = torch.tensor([0.5, 0.1, 0.9, 0.5, 0.0, 0.5, 0.2])
    got = prune(item, 3)
    assert got.saliency[0].tolist() == pytest.approx([0.5, 0.9, 0.5])
    assert torch.equal(got.spatial[0], item.spatial[0, [0, 2, 3]])  # of the three equal ones, the first two
    assert got.saliency.sum(1).tolist() == pytest.approx(item.saliency.topk(3).values.sum(1).tolist())
    assert prune(item, 7) is item
    assert (got.fingerprint, len(got.global_)) == (item.fingerprint, 3)
    gallery = describe(4, 5, 11)
    zeroed = replace(item, saliency=torch.where(item.saliency >= item.saliency.topk(3).values[:, 2:], item.saliency, 0))
    assert_same(distance_matrix(ALONE, got[1:], gallery), distance_matrix(ALONE, zeroed[1:], gallery), 1e-6)


def test_only_existing_locations_are_multiplied(monkeypatch):
    """Nine of ten query locations and half of the gallery's do not exist: the product has a twentieth of the numbers."""
    query, gallery = describe(8, 40, 12, missing=0), describe(6, 30, 13, missing=0)
    query.saliency[:, 4:], gallery.saliency[:, :15] = 0, 0
    multiplied = []

    def counted(vectors, others, buffer=None):
        multiplied.append(len(vectors) * others.shape[0] * others.shape[1])
        return nearest(vectors, others, buffer)

    nearest = spatial._nearest
    monkeypatch.setattr(spatial, "_nearest", counted)
    distance_matrix(ALONE, query, gallery)
    assert sum(multiplied) == 8 * 4 * 6 * 15


@pytest.mark.parametrize(("memory", "gallery_times"), [(64 * 2**20, 1), (60_000, 2), (30_000, 3)])
def test_vectors_are_made_ready_once_where_memory_allows(monkeypatch, memory, gallery_times):
    query, gallery = describe(12, 16, 14, size=24), describe(30, 16, 15, size=24)
    made = {"query": 0, "gallery": 0}

    def counted(side, prepare):
        def inner(item, *rest):
            made[side] += len(item)
            return prepare(item, *rest)

        return inner

    monkeypatch.setattr(spatial, "prepare_query", counted("query", spatial.prepare_query))
    monkeypatch.setattr(spatial, "prepare_gallery", counted("gallery", spatial.prepare_gallery))
    distance_matrix(ALONE, query, gallery, memory=memory)
    assert made == {"query": 12, "gallery": 30 * gallery_times}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("images", "places", "size", "memory"),
    [
        ((20, 300), (12, 12), 64, 400_000),
        ((40, 400), (1, 1), 8, 200_000),  # as many minima as products
        ((6, 30), (192, 96), 32, 1_000_000),
        ((3, 4), (400, 500), 16, 2_000_000),  # one pair does not fit at once
    ],
)
def test_memory_stays_within_its_bound(precision, images, places, size, memory):
    query = describe(images[0], places[0], 16, size)
    gallery = describe(images[1], places[1], 17, size)
    out = torch.empty(images)
    with LiveBytes() as live, torch.no_grad():
        distance_matrix(GASM, query, gallery, memory=memory, precision=precision, out=out)
    assert memory // 10 < live.peak <= memory
    assert_same(out[:2, :2], loop(GASM, query[:2], gallery[:2]), 2e-6 if precision == "float32" else 0.01)


def test_best_matches_explain_the_distance():
    query, gallery = describe(6, 5, 18), describe(6, 8, 19)
    query.saliency[2], gallery.saliency[3] = 0, 0
    expected = distance_matrix(ALONE, query, gallery).diagonal()
    assert_same(explain(GASM, query, gallery).spatial_distance, expected, 1e-6)
    for i in range(6):
        found = best_matches(query[i : i + 1], gallery[i : i + 1])
        assert found.distance == pytest.approx(slow.spatial(query, gallery, i, i))
        exists = (query.saliency[i] != 0) & (i != 3)
        assert torch.equal(found.indices >= 0, exists)
        assert torch.equal(found.distances.isfinite(), exists)
        assert (gallery.saliency[i, found.indices[exists]] > 0).all()
        assert float(found.weights.sum()) == pytest.approx(0 if i == 2 else 1)
        for t in exists.nonzero()[:, 0].tolist():
            near = 1 - slow.cosine(query.spatial[i, t].tolist(), gallery.spatial[i, found.indices[t]].tolist())
            assert float(found.distances[t]) == pytest.approx(near, abs=1e-9)


def test_hcga_s_three_forms_of_matching_are_rules():
    """Eq. 10, the released sum, and the mean that it came from, each as its similarity is written, must rank alike."""
    random = torch.Generator().manual_seed(20)
    sides = []
    for n in (4, 30):
        visible = (torch.rand(n, 3, generator=random) > 0.4).float()
        sides.append(Descriptor(torch.randn(n, 6, generator=random), torch.randn(n, 3, 5, generator=random), visible))
    query, gallery = sides
    unit = torch.nn.functional.normalize
    whole = unit(query.global_, dim=1) @ unit(gallery.global_, dim=1).T
    parts = torch.einsum("qkc,gkc->qgk", unit(query.parts, dim=2), unit(gallery.parts, dim=2))
    shared = query.visibility[:, None] * gallery.visibility
    count = shared.sum(2)
    similarities = {
        MatchRule(part_factor=0.5): (whole + (shared * parts).sum(2) / 2) / (1 + count),
        MatchRule(form="sum"): (whole + 1) / 2 + (shared * (parts + 1) / 2).sum(2),
        MatchRule(): ((whole + 1) / 2 + (shared * (parts + 1) / 2).sum(2)) / (1 + count),
    }
    orders = []
    for rule, similarity in similarities.items():
        orders.append(distance_matrix(rule, query, gallery).argsort(1))
        assert torch.equal(orders[-1], similarity.argsort(1, descending=True))
    assert not torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[1], orders[2])


def test_wrong_input_is_named():
    item = describe(2, 4, 21)
    plain = Descriptor(item.global_, item.parts, item.visibility, fingerprint="m@1")
    with pytest.raises(ShapeError, match="keep=0"):
        prune(item, 0)
    with pytest.raises(ShapeError, match="local vectors are needed"):
        prune(plain, 2)
    with pytest.raises(ShapeError, match="T=4 locations cannot be padded to 3"):
        pad_locations(item, 3)
    with pytest.raises(ShapeError, match="no descriptors"):
        join_padded([])
    with pytest.raises(FingerprintError):
        join_padded([item, replace(item, fingerprint="n@1")])
    with pytest.raises(ShapeError, match="got 2 and 1"):
        best_matches(item, item[:1])
    with pytest.raises(ShapeError, match=r"spatial \(N, T, 6\).*got.*spatial \(N, T, 7\)"):
        distance_matrix(GASM, item, describe(2, 4, 21, size=7))
    there = item.saliency[1].nonzero()[0, 0]
    for garbage in (math.nan, INF):  # it would reach the distances of other queries
        broken = replace(item, spatial=item.spatial.clone())
        broken.spatial[1, there, 2] = garbage
        with pytest.raises(ShapeError, match="the query's local vectors must be finite"):
            distance_matrix(GASM, broken, item)
        with pytest.raises(ShapeError, match="the gallery's local vectors must be finite"):
            distance_matrix(GASM, item, broken)
