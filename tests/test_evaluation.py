"""Metrics and reports against slow loops, enumerated ties, an outside library, and cases worked by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, dcg_score

from occlureid.errors import DataError, ShapeError, UsageError
from occlureid.evaluation import Report, Truth, bootstrap_intervals, evaluate, find_truth, score_block, score_blocks
from occlureid.matching import MatchRule, distance_matrix
from occlureid.types import Descriptor, Protocol, Sample
from tests.reference import ranking as slow

INF = math.inf
NONE = np.empty(0, dtype=np.int64)


def truth_of(positives, gallery, ignored=None, junk=()):
    """Index lists as arrays."""
    lists = [np.array(rows, dtype=np.int64) for rows in positives]
    drop = [np.array(rows, dtype=np.int64) for rows in (ignored or [()] * len(lists))]
    return Truth(gallery, tuple(lists), tuple(drop), np.array(junk, dtype=np.int64))


def one(distances, positives, **options):
    """The scores of a single query as (curve, AP, trapezoid AP, INP, first match)."""
    truth = truth_of([positives], len(distances), ignored=[options.pop("ignored", ())], junk=options.pop("junk", ()))
    scores = score_block(torch.tensor([distances], dtype=torch.float32), truth, **options)
    return [*row_of(scores, 0)]


def row_of(scores, i):
    return [
        *scores.curve[i],
        scores.average_precision[i],
        scores.average_precision_trapezoid[i],
        scores.inverse_negative_penalty[i],
        scores.first_match[i],
    ]


def sample(person, camera="1", name=None, **more):
    return Sample(Path(name or f"{person}_c{camera}.jpg"), str(person), str(camera), **more)


# Metrics ---------------------------------------------------------------------------------------------------------------


def test_worked_by_hand():
    # right images at positions 2 and 4 of 5
    *curve, ap, trapezoid, inp, first = one([0.1, 0.2, 0.3, 0.4, 0.5], [1, 3])
    assert curve == [0, 1, 1, 1, 1]
    assert ap == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert trapezoid == pytest.approx(((0 / 1 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2)
    assert inp == pytest.approx(2 / 4)
    assert first == 2


def test_a_perfect_ranking_scores_one_by_every_definition():
    assert one([0.1, 0.2, 0.3, 0.4], [0, 1]) == [1, 1, 1, 1, 1, 1, 1, 1]


def test_all_tied_with_one_right_image():
    size = 200
    *curve, ap, _, inp, first = one([0.5] * size, [17])
    expected = sum(1 / x for x in range(1, size + 1)) / size
    assert ap == pytest.approx(expected)
    assert inp == pytest.approx(expected)
    np.testing.assert_allclose(curve, np.arange(1, 51) / size)
    assert first == pytest.approx((size + 1) / 2)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_ties_equal_the_mean_over_all_orders(data):
    size = data.draw(st.integers(1, 7))
    distances = data.draw(st.lists(st.sampled_from([0.1, 0.2, 0.3, INF]), min_size=size, max_size=size))
    right = data.draw(st.lists(st.booleans(), min_size=size, max_size=size).filter(any))
    got = one(distances, np.flatnonzero(right), ranks=size)
    np.testing.assert_allclose(got, slow.expected_scores(distances, right, size), rtol=1e-9, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), gallery=st.integers(4, 60))
def test_without_ties_equals_the_classic_loop(seed, gallery):
    random = np.random.default_rng(seed)
    distances = np.stack([random.permutation(gallery) for _ in range(6)]) / 7.0
    split = [np.split(random.permutation(gallery)[:4], [random.integers(1, 4)]) for _ in range(6)]
    positives, ignored = zip(*split, strict=True)
    scores = score_block(torch.tensor(distances), truth_of(positives, gallery, ignored), ranks=gallery)
    expected = slow.classic_loop(distances, positives, ignored, gallery)
    np.testing.assert_allclose([row_of(scores, i) for i in range(6)], expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_average_precision_and_cmc_equal_scikit_learn_after_dropping_the_ignored(seed):
    random = np.random.default_rng(seed)
    distances = random.permutation(80) / 80
    roles = random.permutation(80)
    positives, ignored, junk = roles[:9], roles[9:15], roles[15:20]
    scores = score_block(torch.tensor(distances)[None], truth_of([positives], 80, [ignored], junk))
    kept = np.setdiff1d(np.arange(80), [*ignored, *junk])
    expected = average_precision_score(np.isin(kept, positives), -distances[kept])
    assert scores.average_precision[0] == pytest.approx(expected, abs=1e-12)
    right, near = np.isin(kept, positives)[None], -distances[kept][None]
    for k in (1, 2, 5, 10, 50):  # discounted gain up to k is above 0 just where a right image is among the first k
        assert scores.curve[0, k - 1] == (dcg_score(right, near, k=k) > 0)


def test_the_trapezoid_definition_is_never_above_precision_at_hits():
    random = np.random.default_rng(0)
    distances = torch.tensor(random.random((50, 100)))
    scores = score_block(distances, truth_of([random.permutation(100)[:8] for _ in range(50)], 100))
    assert (scores.average_precision_trapezoid <= scores.average_precision).all()
    assert (scores.average_precision_trapezoid < scores.average_precision).any()


def test_scores_do_not_depend_on_the_order_of_files():
    random = np.random.default_rng(1)
    distances = random.integers(0, 4, (5, 30)).astype(np.float32)
    distances[:, 28:] = np.inf
    positives = [random.permutation(30)[:6] for _ in range(5)]
    order = random.permutation(30)
    where = np.argsort(order)
    a = score_block(torch.tensor(distances), truth_of(positives, 30))
    b = score_block(torch.tensor(distances[:, order]), truth_of([where[p] for p in positives], 30))
    assert [row_of(a, i) for i in range(5)] == [row_of(b, i) for i in range(5)]


def test_ignored_images_change_nothing_and_may_hold_anything():
    distances = [0.3, 0.1, 0.2, 0.0, 0.4]
    plain = one([0.3, 0.1, 0.2, 0.4], [0, 2])
    for value in (0.0, INF, math.nan, -5.0):
        distances[3] = value
        assert one(distances, [0, 2], ignored=[3], ranks=4) == plain
        assert one(distances, [0, 2], junk=[3], ranks=4) == plain


def test_infinite_distances_are_one_last_group_and_counted():
    distances = torch.tensor([[INF, 0.2, INF, INF, 0.1]])
    scores = score_block(distances, truth_of([[0]], 5, [[3]]))
    assert scores.incomparable.tolist() == [2]
    assert scores.average_precision[0] == pytest.approx((1 / 3 + 1 / 4) / 2)


def test_not_a_number_names_query_and_gallery_image():
    distances = torch.zeros(3, 6)
    distances[1, [2, 4]] = math.nan
    truth = truth_of([[0]] * 3, 6, ignored=[[], [2], []])
    with pytest.raises(DataError, match=r"query 101 to gallery image 4 is not a number \(1 in this row\)"):
        score_block(distances, truth, first_query=100)


def test_a_gallery_of_one_image():
    assert one([0.5], [0]) == [1, 1, 1, 1, 1]


def test_a_query_without_a_right_image_is_not_a_number_and_not_scored():
    scores = score_block(torch.rand(2, 3), truth_of([[1], []], 3))
    assert scores.scored.tolist() == [True, False]
    assert np.isnan(row_of(scores, 1)).all()
    assert scores.nearest.shape == (2, 10)


def test_nearest_images_leave_out_the_ignored_and_break_ties_by_index():
    distances = torch.tensor([[0.5, 0.1, 0.5, 0.0, 0.5, 0.2]])
    scores = score_block(distances, truth_of([[1]], 6, [[3]]), top=4)
    assert scores.nearest.tolist() == [[1, 5, 0, 2]]
    assert scores.nearest_distances.tolist() == [pytest.approx([0.1, 0.2, 0.5, 0.5])]
    few = score_block(distances, truth_of([[1]], 6, [[0, 2, 3]]), top=4)
    assert few.nearest.tolist() == [[1, 5, 4, -1]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_float_type_and_the_caller_s_tensor_is_left_alone(dtype):
    distances = torch.tensor([[0.5, 0.25, 0.75]], dtype=dtype)
    before = distances.clone()
    scores = score_block(distances, truth_of([[0]], 3, [[1]]))
    assert scores.average_precision.tolist() == [1]
    assert torch.equal(distances, before)


def test_blocks_equal_the_whole():
    random = np.random.default_rng(2)
    distances = torch.tensor(random.integers(0, 5, (10, 20)).astype(np.float32))
    truth = truth_of([random.permutation(20)[:3] for _ in range(9)] + [[]], 20)
    whole = score_block(distances, truth)
    parts = score_blocks(((slice(i, i + 4), distances[i : i + 4]) for i in (0, 4)), truth[:8])
    np.testing.assert_array_equal(whole.average_precision[:8], parts.average_precision)
    with pytest.raises(ShapeError, match="must cover 10 queries"):
        score_blocks([(slice(0, 4), distances[:4])], truth)
    with pytest.raises(ShapeError, match="must begin at query 4, got 5"):
        score_blocks([(slice(0, 4), distances[:4]), (slice(5, 10), distances[5:])], truth)


def test_wrong_distances_are_named():
    with pytest.raises(ShapeError, match=r"\(Q, G\) = \(1, 3\), got \(1, 4\)"):
        score_block(torch.rand(1, 4), truth_of([[0]], 3))
    with pytest.raises(ShapeError, match=r"floating point, got torch.int64"):
        score_block(torch.zeros(1, 3, dtype=torch.int64), truth_of([[0]], 3))


# Protocols -------------------------------------------------------------------------------------------------------------

GALLERY = [
    sample("7", "1", "g0"),
    sample("7", "2", "g1"),
    sample("8", "1", "g2"),
    sample("-1", "2", "g3"),
    sample("7", "1", "g4"),
    sample("0000", "3", "g5"),
]


def lists(query, protocol):
    truth = find_truth([query], GALLERY, protocol)
    return truth.positives[0].tolist(), truth.ignored[0].tolist(), truth.junk.tolist()


@pytest.mark.parametrize(
    ("ignore", "query", "expected"),
    [
        ("same_camera", sample("7", "1"), ([1], [0, 4], [3])),
        ("same_camera", sample("7", "3"), ([0, 1, 4], [], [3])),
        ("same_camera", sample("8", "1"), ([], [2], [3])),  # its only image is of the same camera
        ("same_image", sample("7", "1", "g4"), ([0, 1], [4], [3])),
        ("same_image", sample("7", "1", "elsewhere"), ([0, 1, 4], [], [3])),
        ("none", sample("7", "1"), ([0, 1, 4], [], [3])),
        ("none", sample("-1", "9"), ([], [], [3])),  # junk is never a right answer
        ("none", sample("0000", "3"), ([5], [], [3])),  # distractors are ordinary images
        ("same_camera", sample("nobody", "1"), ([], [], [3])),
    ],
)
def test_a_protocol_says_what_is_right_and_what_is_ignored(ignore, query, expected):
    assert lists(query, Protocol("test", ignore=ignore)) == expected


def test_a_protocol_without_junk():
    assert lists(sample("-1", "9"), Protocol("test", junk=())) == ([3], [], [])


def test_the_query_s_own_file_among_the_junk_is_counted_once():
    assert lists(sample("-1", "2", "g3"), Protocol("test", ignore="same_image")) == ([], [], [3])


# Reports ---------------------------------------------------------------------------------------------------------------


def world(persons=12, per_person=3, gallery_per_person=4, seed=0):
    """Samples and descriptors of persons that can mostly be told apart."""
    random = torch.Generator().manual_seed(seed)
    centre = torch.randn(persons, 2, 8, generator=random)

    def side(count, kind):
        samples, rows = [], []
        for p in range(persons):
            for i in range(count):
                camera = str(1 + i % 3)
                fraction = (p * count + i) / (persons * count - 1) if kind == "query" else None
                obstacle = ("car", "none")[i % 2] if kind == "query" else None
                samples.append(Sample(Path(f"{kind}/{p:02}_{i}.jpg"), str(p), camera, None, fraction, obstacle))
                rows.append(centre[p] + 1.2 * torch.randn(2, 8, generator=random))
        both = torch.stack(rows)
        return samples, Descriptor(
            both[:, 0], both[:, 1:], torch.rand(len(samples), 1, generator=random), fingerprint="m"
        )

    query, query_descriptor = side(per_person, "query")
    gallery, gallery_descriptor = side(gallery_per_person, "gallery")
    return query, gallery, query_descriptor, gallery_descriptor


PROTOCOL = Protocol("made up", ranks=(1, 5, 100))


def test_descriptors_and_distances_give_the_same_report():
    query, gallery, q, g = world()
    rule = MatchRule()
    steps = []
    streamed = evaluate(
        (q, g),
        query,
        gallery,
        PROTOCOL,
        rule=rule,
        memory=4000,
        progress=lambda done, total: steps.append((done, total)),
    )
    whole = evaluate(distance_matrix(rule, q, g), query, gallery, PROTOCOL, rule=rule)
    assert streamed.curve == whole.curve
    assert streamed.average_precision == pytest.approx(whole.average_precision, abs=1e-9)
    assert [r.matches for r in streamed.queries] == [r.matches for r in whole.queries]
    assert len(steps) > 1
    assert steps[-1] == (36, 36)


def test_a_report_says_what_was_measured():
    query, gallery, q, g = world()
    query = [*query, sample("stranger", name="query/stranger.jpg", visible_fraction=1.0, obstacle="tree")]
    gallery = [*gallery, sample("-1", name="junk.jpg")]
    distances = torch.ones(len(query), len(gallery))
    distances[:-1, :-1] = distance_matrix(MatchRule(), q, g)
    distances[0, 5] = INF
    report = evaluate(distances, query, gallery, PROTOCOL, rule=None, provenance={"seed": 3})
    assert report.without_match == ("query/stranger.jpg",)
    counts = report.counts
    assert (counts.query, counts.gallery, counts.scored, counts.junk) == (37, 49, 36, 1)
    assert counts.incomparable == 1
    assert counts.ignored == 12 * (2 + 1 + 1)  # gallery cameras are 1, 2, 3, 1; queries one of each
    assert 0.05 < report.rank(1) < 1
    assert report.rank(1) <= report.rank(5) <= report.rank(100) == report.curve[-1] == 1
    assert report.ranks == {1: report.rank(1), 5: report.rank(5), 100: 1}
    scored = [r for r in report.queries if r.average_precision is not None]
    assert len(scored) == 36
    assert report.average_precision == pytest.approx(np.mean([r.average_precision for r in scored]))
    assert report.rank(1) == pytest.approx(np.mean([r.rank_1 for r in scored]))
    for key, value in (("rank_1", report.rank(1)), ("average_precision", report.average_precision)):
        assert report.intervals[key].low < value < report.intervals[key].high
    assert report.queries[-1].average_precision is None
    assert len(report.queries[0].matches) == len(report.queries[0].right) == 10
    assert report.queries[3].right == tuple(gallery[i].person == query[3].person for i in report.queries[3].matches)
    assert report.provenance["seed"] == 3
    assert report.provenance["bootstrap"]["seed"] == 0


def test_slices_partition_the_queries_that_are_scored():
    query, gallery, q, g = world()
    report = evaluate((q, g), query, gallery, PROTOCOL, rule=MatchRule())
    assert [s.name for s in report.by_visible_fraction] == ["0.0-0.2", "0.2-0.4", "0.4-0.6", "0.6-0.8", "0.8-1.0"]
    assert sum(s.queries for s in report.by_visible_fraction) == 36
    assert [(s.name, s.queries) for s in report.by_obstacle] == [("car", 24), ("none", 12)]
    for slices in (report.by_visible_fraction, report.by_obstacle):
        assert sum(s.queries * s.rank_1 for s in slices) / 36 == pytest.approx(report.rank(1))
        total = sum(s.queries * s.average_precision_trapezoid for s in slices) / 36
        assert total == pytest.approx(report.average_precision_trapezoid)
    bare = [Sample(s.path, s.person, s.camera, visible_fraction=0.2 if i == 0 else None) for i, s in enumerate(query)]
    report = evaluate((q, g), bare, gallery, PROTOCOL, rule=MatchRule())
    assert [s.queries for s in report.by_visible_fraction] == [0, 1, 0, 0, 0]  # 0.2 opens the second bin
    assert report.by_visible_fraction[0].rank_1 is None
    assert report.by_obstacle == ()


def test_a_report_survives_json():
    query, gallery, q, g = world()
    distances = distance_matrix(MatchRule(), q, g)
    distances[0, 12:] = INF
    distances[0, 6:] = INF
    report = evaluate(distances, query, gallery, PROTOCOL, rule=MatchRule(), provenance={"versions": {"torch": "x"}})
    assert any(math.isinf(d) for d in report.queries[0].distances)
    again = Report.from_json(report.to_json())
    assert again == report
    assert "Infinity" not in report.to_json()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"protocol": 3}', '"text"', '{"by_visible_fraction": [1]}'])
def test_what_is_not_a_report_is_refused(text):
    with pytest.raises(DataError, match="not a report"):
        Report.from_json(text)


def test_a_report_with_an_unknown_key_is_refused():
    query, gallery, q, g = world()
    text = evaluate((q, g), query, gallery, PROTOCOL, rule=MatchRule()).to_json()
    with pytest.raises(DataError, match="surprise"):
        Report.from_json(text.replace('"curve"', '"surprise": 1, "curve"', 1))


def test_provenance_that_is_not_json_is_refused():
    query, gallery, q, g = world()
    report = evaluate((q, g), query, gallery, PROTOCOL, rule=MatchRule(), provenance={"weights": torch.ones(1)})
    with pytest.raises(DataError, match="provenance"):
        report.to_json()


def test_the_summary_quotes_what_the_protocol_asks_for():
    query, gallery, q, g = world()
    query = [*query[:-1], sample("stranger", name="query/stranger.jpg")]
    for quoted in ("hits", "trapezoid"):
        protocol = Protocol("made up", ranks=(1, 5), average_precision=quoted)
        lines = evaluate((q, g), query, gallery, protocol, rule=MatchRule()).summary().splitlines()
        assert lines[0] == "made up: 35 queries against 48 gallery images"
        assert [line.split()[0] for line in lines[1:3]] == ["rank-1", "rank-5"]
        assert quoted in lines[3]
        assert any("1 queries have no right image" in line and "query/stranger.jpg" in line for line in lines)
        assert any(line.split()[:2] == ["obstacle", "car"] for line in lines)


def test_the_bootstrap_resamples_persons_and_is_repeatable():
    column = np.repeat([0.0, 1.0] * 10, 50)  # persons all right or all wrong, 50 queries each
    persons = [str(p) for p in np.repeat(np.arange(20), 50)]
    got = bootstrap_intervals({"x": column}, persons, seed=1, resamples=2000)["x"]
    # The mean of 20 coin flips has standard deviation 0.112; of 1000 it would have 0.016.
    assert got.low == pytest.approx(0.5 - 1.96 * 0.112, abs=0.04)
    assert got.high == pytest.approx(0.5 + 1.96 * 0.112, abs=0.04)
    smooth = {"x": np.linspace(0, 1, 1000)}
    again = [bootstrap_intervals(smooth, persons, seed=seed, resamples=100)["x"] for seed in (1, 1, 2)]
    assert again[0] == again[1] != again[2]
    assert bootstrap_intervals({"x": column[:50]}, persons[:50], seed=1, resamples=10) == {}


def test_evaluating_nothing_is_an_error():
    query, gallery, q, g = world(persons=2)
    with pytest.raises(DataError, match=r"none of 6 queries has a right image.*check that both lists name persons"):
        evaluate((q, g), [sample("x", name="a.jpg")] * 6, gallery, PROTOCOL, rule=MatchRule())
    with pytest.raises(UsageError, match="descriptors need a rule"):
        evaluate((q, g), query, gallery, PROTOCOL, rule=None)
    with pytest.raises(ShapeError, match=r"\(6, 8\) descriptors as the samples, got \(5, 8\)"):
        evaluate((q[:5], g), query, gallery, PROTOCOL, rule=MatchRule())
    with pytest.raises(ShapeError, match=r"\(Q, G\) = \(6, 8\)"):
        evaluate(torch.rand(8, 6), query, gallery, PROTOCOL, rule=None)
    with pytest.raises(UsageError, match="at least 1"):
        evaluate((q, g), query, gallery, PROTOCOL, rule=MatchRule(), resamples=0)
