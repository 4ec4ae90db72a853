"""The matching kernel against slow loops, and the rules that a distance must obey."""

import math
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from occlureid.errors import FingerprintError, ShapeError, UsageError
from occlureid.matching import MatchRule, distance_matrix, explain, pairwise_distances, stream_distances
from occlureid.types import Descriptor
from tests.reference import matching as slow

INF = math.inf

RULES = {
    "pgfa": MatchRule(),
    "sorn": MatchRule(threshold=0.15),
    "soft": MatchRule(visibility="soft"),
    "sgam": MatchRule(metric="euclidean", visibility="soft"),
    "sgam without global": MatchRule(metric="euclidean", visibility="soft", global_weight=0),
    "hcga": MatchRule(part_factor=0.5),
    "hcga released": MatchRule(form="sum"),
    "sum of half parts": MatchRule(form="sum", part_factor=0.5, visibility="soft"),
    "sum of parts": MatchRule(form="sum", global_weight=0),
    "all visible": MatchRule(visibility="ignore"),
    "parts only": MatchRule(global_weight=0),
    "soft parts only": MatchRule(global_weight=0, visibility="soft", part_factor=2.0),
    "global only": MatchRule(part_factor=0),
    "euclidean global only": MatchRule(metric="euclidean", part_factor=0),
    "gasm": MatchRule(part_factor=0, spatial_weight=0.5),
    "gasm alone": MatchRule(global_weight=0, part_factor=0, spatial_weight=1.0),
    "gasm with parts": MatchRule(global_weight=0, spatial_weight=0.25),
    "gasm euclidean": MatchRule(metric="euclidean", visibility="soft", spatial_weight=0.5),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tensors are tiny here: on a busy machine, threads would wait for each other far longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def describe(n, seed, k=3, dtype=torch.float32, places=5):
    """n images of which some show no part at all, some no saliency, and some vectors are zero."""
    random = torch.Generator().manual_seed(seed)
    visibility = torch.rand(n, k, generator=random) * (torch.rand(n, k, generator=random) > 0.4)
    visibility[0] = 0
    saliency = torch.rand(n, places, generator=random) * (torch.rand(n, places, generator=random) > 0.3)
    saliency[-1] = 0
    global_, parts = torch.randn(n, 7, generator=random), torch.randn(n, k, 4, generator=random)
    if n > 2:
        global_[1], parts[2] = 0, 0
    spatial = torch.randn(n, places, 6, generator=random)
    return Descriptor(
        global_.to(dtype), parts.to(dtype), visibility.to(dtype), spatial.to(dtype), saliency.to(dtype), "m@1"
    )


def loop(rule, query, gallery):
    return torch.tensor(
        [[slow.distance(rule, query, gallery, i, j) for j in range(len(gallery))] for i in range(len(query))]
    )


def assert_same(got, expected, tolerance=2e-6):
    torch.testing.assert_close(got, expected.to(got.dtype), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_equals_the_loop_over_pairs_and_parts(name):
    query, gallery = describe(6, 1), describe(9, 2)
    expected = loop(RULES[name], query, gallery)
    assert_same(distance_matrix(RULES[name], query, gallery), expected)
    assert_same(pairwise_distances(RULES[name], query, gallery), expected)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    parts=st.integers(0, 4),
    rule=st.sampled_from(list(RULES.values())),
    memory=st.sampled_from([1, 3000, 10**6]),
)
def test_random_sizes_equal_the_loop(seed, sizes, parts, rule, memory):
    query, gallery = describe(sizes[0], seed, parts), describe(sizes[1], seed + 1, parts)
    assert_same(distance_matrix(rule, query, gallery, memory=memory), loop(rule, query, gallery))


def test_worked_by_hand():
    # Global cosine 0, part 0 shared with cosine 1, part 1 not shared.
    query = Descriptor(torch.tensor([[1.0, 0]]), torch.tensor([[[2.0, 0], [1, 0]]]), torch.tensor([[1.0, 1]]))
    gallery = Descriptor(torch.tensor([[0.0, 3]]), torch.tensor([[[5.0, 0], [0, 1]]]), torch.tensor([[1.0, 0]]))
    assert distance_matrix(MatchRule(), query, gallery).item() == pytest.approx(0.5)  # (1 + 0) / (1 + 1)
    assert distance_matrix(MatchRule(part_factor=0.5), query, gallery).item() == pytest.approx(1 - 0.5 / 2)
    assert distance_matrix(MatchRule(form="sum"), query, gallery).item() == pytest.approx(3 - (0.5 + 1))
    euclidean = MatchRule(metric="euclidean")
    assert distance_matrix(euclidean, query, gallery).item() == pytest.approx((math.sqrt(10) + 3) / 2)
    assert distance_matrix(MatchRule(visibility="ignore"), query, gallery).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", RULES)
def test_a_distance_does_not_depend_on_chunks(name):
    query, gallery = describe(11, 3), describe(23, 4)
    whole = distance_matrix(RULES[name], query, gallery)
    for memory in (1, 2_000, 20_000):
        chunked = distance_matrix(RULES[name], query, gallery, memory=memory)
        assert_same(chunked, whole, 1e-6)
        assert torch.equal(chunked.isinf(), whole.isinf())


@pytest.mark.parametrize("name", RULES)
def test_a_distance_does_not_depend_on_other_images_or_their_order(name):
    query, gallery = describe(7, 5), describe(13, 6)
    whole = distance_matrix(RULES[name], query, gallery)
    order = torch.randperm(13, generator=torch.Generator().manual_seed(0))
    assert_same(distance_matrix(RULES[name], query, gallery[order]), whole[:, order], 1e-6)
    outlier = Descriptor.cat(
        [gallery, Descriptor(*[1000 * t for t in (gallery.global_, gallery.parts)], *gallery_rest(gallery))]
    )
    assert_same(distance_matrix(RULES[name], query, outlier)[:, :13], whole, 1e-6)
    one = torch.cat([distance_matrix(RULES[name], query[i : i + 1], gallery) for i in range(7)])
    assert_same(one, whole, 1e-6)
    assert torch.equal(one.isinf(), whole.isinf())


def gallery_rest(item):
    return item.visibility, item.spatial, item.saliency, item.fingerprint


@pytest.mark.parametrize("rule", [MatchRule(), MatchRule(visibility="soft"), MatchRule(threshold=0.15), RULES["sgam"]])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_distance_does_not_depend_on_the_type_of_the_visibility(rule, dtype):
    levels = torch.tensor([[0.0, 0.5, 1.0], [0.25, 0.75, 0.5], [1.0, 0.125, 0.0]])  # exact in every type
    query, gallery = describe(3, 7), describe(3, 8)
    a = Descriptor(query.global_, query.parts, levels), Descriptor(gallery.global_, gallery.parts, levels.flip(0))
    b = [Descriptor(d.global_, d.parts, d.visibility.to(dtype)) for d in a]
    assert torch.equal(distance_matrix(rule, *a), distance_matrix(rule, *b))  # to the bit


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("threshold", [0.15, 0.3, 0.5, 0.7])
def test_a_part_on_the_threshold_is_visible_in_every_type(dtype, threshold):
    item = Descriptor(torch.ones(1, 2), torch.ones(1, 1, 2), torch.tensor([[threshold]], dtype=dtype))
    rule = MatchRule(global_weight=0, threshold=threshold)
    assert distance_matrix(rule, item, item).item() == pytest.approx(0, abs=1e-6)


def test_a_pair_with_nothing_to_compare_is_infinite_and_no_other():
    query, gallery = describe(8, 9), describe(8, 10)
    got = distance_matrix(MatchRule(global_weight=0), query, gallery)
    shared = ((query.visibility[:, None] >= 0.5) & (gallery.visibility >= 0.5)).any(2)
    assert torch.equal(got.isinf(), ~shared)
    assert not torch.isnan(got).any()
    assert 0 < int(shared.sum()) < 64
    assert not distance_matrix(MatchRule(), query, gallery).isinf().any()


def test_an_image_without_saliency_is_infinite_on_either_side():
    got = distance_matrix(RULES["gasm"], describe(4, 11), describe(3, 12))
    nothing = torch.tensor([[False], [False], [False], [True]]) | torch.tensor([False, False, True])
    assert torch.equal(got.isinf(), nothing)


@pytest.mark.parametrize("garbage", [math.nan, INF, 1e30])
@pytest.mark.parametrize("name", [name for name in RULES if name != "all visible"])
def test_what_is_hidden_is_excluded(name, garbage):
    rule = RULES[name]
    query, gallery = describe(5, 13), describe(5, 14)
    expected = distance_matrix(rule, query, gallery)
    for item in (query, gallery):
        item.parts[slow_hidden(rule, item)] = garbage
        item.spatial[item.saliency == 0] = garbage
    for item in (query, gallery):
        item.parts.requires_grad_()
        item.spatial.requires_grad_()
    assert_same(distance_matrix(rule, query, gallery), expected, 1e-6)
    got = pairwise_distances(rule, query, gallery)
    assert_same(got.detach(), expected, 1e-6)
    if got.requires_grad:
        got[got.isfinite()].sum().backward()
        for vectors in (query.parts, query.spatial, gallery.parts, gallery.spatial):
            assert vectors.grad is None or vectors.grad.isfinite().all()


def slow_hidden(rule, item):
    if rule.part_factor == 0:
        return torch.ones_like(item.visibility, dtype=torch.bool)
    return item.visibility < rule.threshold if rule.visibility == "binary" else item.visibility == 0


def test_a_zero_vector_is_similar_to_nothing():
    zero = Descriptor(torch.zeros(1, 3), torch.zeros(1, 0, 0), torch.zeros(1, 0))
    one = Descriptor(torch.ones(1, 3), torch.zeros(1, 0, 0), torch.zeros(1, 0))
    assert distance_matrix(MatchRule(), zero, one).item() == 1
    assert distance_matrix(MatchRule(), zero, zero).item() == 1


def test_identical_images_are_at_euclidean_distance_zero_exactly():
    item = describe(6, 15)
    got = distance_matrix(RULES["sgam"], item, item)
    assert torch.equal(got.diagonal(), torch.zeros(6))
    assert (got + torch.eye(6) > 0).all()


@pytest.mark.parametrize("name", RULES)
def test_streaming_gives_the_rows_of_the_matrix(name):
    query, gallery = describe(11, 16), describe(5, 17)
    whole = distance_matrix(RULES[name], query, gallery)
    blocks = [(rows, block.clone()) for rows, block in stream_distances(RULES[name], query, gallery, memory=200)]
    assert [rows.start for rows, _ in blocks] == [0, 5, 10]
    assert_same(torch.cat([block for _, block in blocks]), whole, 1e-6)


@pytest.mark.parametrize(
    "rule", [MatchRule(), MatchRule(visibility="soft"), RULES["hcga"], RULES["hcga released"], RULES["gasm"]]
)
def test_bfloat16_is_close(rule):
    query, gallery = describe(20, 18), describe(30, 19)
    exact = distance_matrix(rule, query, gallery)
    got = distance_matrix(rule, query, gallery, precision="bfloat16")
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, exact, rtol=0.01, atol=0.01)


def test_bfloat16_keeps_near_matches_in_order():
    random = torch.Generator().manual_seed(20)
    base = torch.randn(1, 512, generator=random)
    noise = torch.randn(1, 512, generator=random)
    gallery = torch.cat([base + (0.1 + 0.02 * i) * noise for i in range(10)])
    nothing = torch.zeros(1, 0, 0), torch.zeros(1, 0)
    items = Descriptor(base, *nothing), Descriptor(gallery, torch.zeros(10, 0, 0), torch.zeros(10, 0))
    got = distance_matrix(MatchRule(), *items, precision="bfloat16")[0]
    assert torch.equal(got.argsort(), torch.arange(10))
    assert len(got.unique()) == 10  # similarities near 1, rounded to bfloat16, would fall together


@pytest.mark.parametrize("name", RULES)
def test_gradients(name):
    query, gallery = describe(3, 21, dtype=torch.float64), describe(4, 22, dtype=torch.float64)

    def finite(*vectors):
        sides = []
        for item, (global_, parts, spatial) in zip((query, gallery), (vectors[:3], vectors[3:]), strict=True):
            sides.append(Descriptor(global_, parts, item.visibility, spatial, item.saliency, item.fingerprint))
        got = pairwise_distances(RULES[name], *sides)
        return got[got.isfinite()]

    # Zero vectors have no derivative: give them a length.
    random = torch.Generator().manual_seed(0)
    vectors = [t for item in (query, gallery) for t in (item.global_, item.parts, item.spatial)]
    vectors = [torch.where(t == 0, torch.rand(t.shape, generator=random), t).requires_grad_() for t in vectors]
    assert torch.autograd.gradcheck(finite, vectors)


@pytest.mark.parametrize("name", ["pgfa", "sgam", "gasm"])
def test_gradients_are_finite_at_zero_vectors_and_at_distance_zero(name):
    item = describe(4, 23)
    vectors = [item.global_.requires_grad_(), item.parts.requires_grad_(), item.spatial.requires_grad_()]
    got = pairwise_distances(RULES[name], item, item)
    got[got.isfinite()].sum().backward()
    assert all(t.grad is None or t.grad.isfinite().all() for t in vectors)
    assert any(t.grad is not None and t.grad.abs().sum() > 0 for t in vectors)


@pytest.mark.parametrize("name", RULES)
def test_explain_adds_up_to_the_kernel(name):
    rule = RULES[name]
    query, gallery = describe(7, 24), describe(7, 25)
    got = explain(rule, query, gallery)
    assert_same(got.distance, distance_matrix(rule, query, gallery).diagonal())
    assert got.part_distances.shape == got.part_weights.shape == (7, 3)
    assert torch.equal(got.part_distances.isinf(), got.part_weights == 0)
    assert (got.spatial_distance is None) == (rule.spatial_weight == 0)
    if rule.form == "mean" and rule.part_factor == 1 and rule.spatial_weight == 0:
        seen = torch.where(got.part_weights > 0, got.part_distances, 0)
        total = rule.global_weight * got.global_distance + (got.part_weights * seen).sum(1)
        weight = rule.global_weight + got.part_weights.sum(1)
        assert_same(got.distance, torch.where(weight > 0, total / weight, INF))


def test_writes_into_rows_of_a_larger_matrix():
    query, gallery = describe(4, 26), describe(6, 27)
    large = torch.full((10, 6), -1.0)
    got = distance_matrix(MatchRule(), query, gallery, out=large[3:7])
    assert got.data_ptr() == large[3:7].data_ptr()
    assert torch.equal(large[3:7], distance_matrix(MatchRule(), query, gallery))
    assert (large[:3] == -1).all()
    assert (large[7:] == -1).all()


@pytest.mark.parametrize("name", ["pgfa", "sgam", "gasm", "hcga released"])
def test_empty_sides(name):
    query, gallery = describe(3, 28), describe(4, 29)
    assert distance_matrix(RULES[name], query[:0], gallery).shape == (0, 4)
    assert distance_matrix(RULES[name], query, gallery[:0]).shape == (3, 0)


def test_wrong_input_is_named():
    query, gallery = describe(3, 30), describe(4, 31)
    rule = MatchRule()
    with pytest.raises(FingerprintError, match="m@1"):
        distance_matrix(rule, query, Descriptor(gallery.global_, gallery.parts, gallery.visibility, fingerprint="n@2"))
    with pytest.raises(ShapeError, match=r"parts \(N, 3, 4\).*got.*parts \(N, 2, 4\)"):
        distance_matrix(rule, query, describe(4, 31, k=2))
    plain = Descriptor(query.global_, query.parts, query.visibility, fingerprint="m@1")
    with pytest.raises(ShapeError, match="no local vectors"):
        distance_matrix(RULES["gasm"], plain, gallery)
    with pytest.raises(ShapeError, match=r"out must be float32 of shape \(Q, G\) = \(3, 4\).*got.*\(3, 5\)"):
        distance_matrix(rule, query, gallery, out=torch.empty(3, 5))
    with pytest.raises(UsageError, match="memory"):
        distance_matrix(rule, query, gallery, memory=0)
    with pytest.raises(UsageError, match="precision"):
        distance_matrix(rule, query, gallery, precision="float16")
    with pytest.raises(UsageError, match="Euclidean"):
        distance_matrix(RULES["sgam"], query, gallery, precision="bfloat16")
    with pytest.raises(ShapeError, match="N=3 images, got 4"):
        explain(rule, query, gallery)
    query.visibility[0, 0] = math.nan
    with pytest.raises(ShapeError, match=r"visibility must lie in \[0, 1\], the query's"):
        distance_matrix(rule, query, gallery)


class LiveBytes(TorchDispatchMode):
    """The most bytes that tensors made under it held at any one time; what was there before does not count."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self.known = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for storage in self.storages((args, kwargs)):
            self.note(storage, 0)
        result = func(*args, **(kwargs or {}))
        for storage in self.storages(result):
            self.note(storage, storage.nbytes())
        self.peak = max(self.peak, self.live)
        return result

    @staticmethod
    def storages(tree):
        return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]

    def note(self, storage, size):
        if storage._cdata not in self.known:
            self.known.add(storage._cdata)
            self.live += size
            weakref.finalize(storage, self.forget, storage._cdata, size)

    def forget(self, key, size):
        self.known.remove(key)
        self.live -= size


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("pgfa", "float32"),
        ("pgfa", "bfloat16"),
        ("soft parts only", "float32"),
        ("sgam", "float32"),
        ("hcga released", "bfloat16"),
        ("gasm", "float32"),
        ("gasm alone", "bfloat16"),
    ],
)
def test_memory_stays_within_its_bound(name, precision):
    random = torch.Generator().manual_seed(32)
    sides = []
    for n in (30, 600):
        vectors = torch.randn(n, 96, generator=random), torch.randn(n, 5, 64, generator=random)
        local = torch.randn(n, 4, 8, generator=random), torch.rand(n, 4, generator=random)
        sides.append(Descriptor(*vectors, torch.rand(n, 5, generator=random), *local))
    memory = 512 * 1024  # the prepared gallery alone would need twice as much
    out = torch.empty(30, 600)
    for run in (
        lambda: distance_matrix(RULES[name], *sides, memory=memory, precision=precision, out=out),
        lambda: [None for _ in stream_distances(RULES[name], *sides, memory=memory, precision=precision)],
    ):
        with LiveBytes() as bytes_, torch.no_grad():
            run()
        assert 0 < bytes_.peak <= memory


def test_the_memory_meter_sees_what_is_alive_at_once():
    with LiveBytes() as bytes_:
        a = torch.zeros(1000)
        for _ in range(5):
            b = a + 1  # the earlier b dies after the new one is made
        del a, b
    assert bytes_.peak == 3 * 4000
    assert bytes_.live == 0
