"""The false-positive rate of queries of several images: measured by their number, kept, or no verdict."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from occlureid.errors import DataError
from occlureid.gallery import Item, join_crops
from occlureid.gallery.openset import Calibration
from occlureid.gallery.search import Searcher
from occlureid.gallery.source import MemorySource
from occlureid.gallery.thresholds import calibrate
from occlureid.gallery.trials import SIZES, Labelled, query_groups, trial_distances, trials
from occlureid.matching import MatchRule, distance_matrix
from occlureid.types import Descriptor

RULES = {"cosine": MatchRule(), "euclidean": MatchRule(metric="euclidean", visibility="soft")}
RATE = 0.01


SPREAD, ALIKE = 1.5, 1.5
"""Sizes of what differs from image to image, and of what all people have in common, over that in which people differ: joining
images averages the first out, and so brings everybody nearer."""


def crops(persons: int, each: int, seed: int, alike: float = ALIKE) -> Descriptor:
    """So many images of each of some people nobody else has seen, some of their 4 parts hidden; one person after the other."""
    random = torch.Generator().manual_seed(seed)
    faces = torch.randn(persons, 1, 5, 24, generator=random)
    common = alike * torch.randn(1, 1, 5, 24, generator=torch.Generator().manual_seed(7))
    vectors = (common + faces + SPREAD * torch.randn(persons, each, 5, 24, generator=random)).flatten(0, 1)
    visibility = (torch.rand(persons * each, 4, generator=random) < 0.75).float()
    return Descriptor(vectors[:, 0], vectors[:, 1:], visibility, fingerprint="model")


def labelled(persons: int, each: int, seed: int, cameras: int = 20, alike: float = ALIKE) -> Labelled:
    numbers = np.arange(persons * each)
    names = np.char.add("p", (numbers // each).astype(np.str_))
    return Labelled(
        crops(persons, each, seed, alike), numbers.astype(np.str_), names, (numbers % each % cameras).astype(np.str_)
    )


def calibrated(rule: MatchRule, unit: str = "pair", rate: float = RATE, alike: float = ALIKE) -> Calibration:
    side = labelled(150, 9, 1, alike=alike)
    kind = "pair" if unit == "pair" else "search"
    genuine, impostors = trial_distances(rule, side, side, 1, kind)
    return calibrate(
        genuine, impostors, rate=rate, fingerprint="model", rule=rule, unit=kind, several=trials(rule, side, side, kind)
    )


def strangers(rule: MatchRule, images: int, alike: float = ALIKE, count: int = 4000) -> Tensor:
    """(count,) distances of a query to an item, both of people of their own."""
    many, items = crops(count, images, 100 + images, alike), crops(count, 1, 99, alike)
    joined = Descriptor.cat(join_crops(rule, many[n * images : (n + 1) * images]) for n in range(count))
    block = 200
    return torch.cat(
        [distance_matrix(rule, joined[n : n + block], items[n : n + block]).diagonal() for n in range(0, count, block)]
    )


def interval(rate: float, count: int, sigmas: float = 3.3) -> tuple[float, float]:
    """A share of so many independent trials lies here in 999 of 1,000 cases."""
    half = sigmas * math.sqrt(rate * (1 - rate) / count)
    return rate - half, rate + half


@pytest.mark.parametrize("name", RULES)
def test_strangers_pass_no_more_often_with_several_images(name: str) -> None:
    rule = RULES[name]
    found = calibrated(rule)
    low, high = interval(RATE, 4000)
    for images in (1, 2, 4, 8):
        at = found.at(images)
        assert at is not None
        assert at.images == images
        share = float((strangers(rule, images) <= at.threshold).float().mean())
        assert low <= share <= high, images
    between = found.at(5)
    assert between is not None
    assert between.images == 6
    assert float((strangers(rule, 5) <= between.threshold).float().mean()) <= high
    # the threshold of one image does not do for eight: the test would notice
    assert float((strangers(rule, 8) <= found.threshold).float().mean()) > high


def test_searches_for_strangers_keep_the_rate() -> None:
    rule, rate, searches = RULES["euclidean"], 0.1, 300
    people = labelled(150, 9, 1)
    found = calibrated(rule, "search", rate)
    gallery = MemorySource(
        [Item(id, camera, person) for id, camera, person in zip(people.ids, people.cameras, people.persons, strict=True)],
        people.descriptor, rule,
    )  # fmt: skip
    searcher, (low, high) = Searcher(gallery), interval(rate, searches)
    for images in (1, 2, 4, 8):
        many, wrong, old = crops(searches, images, 200 + images), 0, 0
        for n in range(searches):
            answer = searcher.search_person(many[n * images : (n + 1) * images], k=1, calibration=found)
            wrong += answer.hits[0].verdict == "likely"
            old += answer.hits[0].distance <= found.threshold
        assert low <= wrong / searches <= high, images
    assert old / searches > high


def test_true_pairs_are_missed_as_seldom_as_was_asked() -> None:
    rule = RULES["cosine"]
    found, fresh = calibrated(rule), labelled(300, 9, 2)
    for images in (1, 2, 4, 8):
        at = found.at(images)
        assert at is not None
        assert at.far is not None
        genuine, _ = trial_distances(rule, fresh, fresh, images, "pair")
        low, high = interval(0.05, len(genuine) // 8)  # pairs share images
        missed = float((genuine > at.far).float().mean())
        assert missed <= high, images
        assert missed >= low or images > 1  # the last doubt of one image is kept for more
        assert at.missed <= 0.05 * at.genuine


def test_thresholds_fall_and_the_last_doubt_rises() -> None:
    levels = calibrated(RULES["cosine"]).levels
    assert [level.images for level in levels] == [1, 2, 3, 4, 6, 8]
    for fewer, more in pairwise(levels):
        assert more.threshold <= fewer.threshold
        assert more.far is not None
        assert fewer.far is not None
        assert more.far >= fewer.far
    assert levels[-1].threshold < levels[0].threshold
    assert levels[-1].found / levels[-1].genuine > levels[0].found / levels[0].genuine  # more images find more


def test_more_images_than_were_measured_get_no_verdict() -> None:
    rule = RULES["cosine"]
    found, people = calibrated(rule), labelled(20, 9, 1)
    items = [Item(id, camera) for id, camera in zip(people.ids, people.cameras, strict=True)]
    searcher = Searcher(MemorySource(items, people.descriptor, rule))
    for count, judged in ((8, True), (9, False)):
        answer = searcher.search_person(people.descriptor[:count], k=3, calibration=found)
        assert (answer.absent is not None) == judged
        assert all((hit.verdict is not None) == (hit.probable is not None) == judged for hit in answer.hits)
    assert found.at(9) is None
    assert "9 images" in found.limit(9)
    assert "at most 8 images" in found.limit(9)


def test_few_persons_promise_nothing_for_several_images() -> None:
    rule, few, enough = RULES["cosine"], labelled(19, 9, 1), labelled(20, 9, 1)
    assert trials(rule, few, few, "pair") == {}
    assert list(trials(rule, enough, enough, "pair")) == [size for size in SIZES if size <= 9]
    alone = calibrate(*trial_distances(rule, few, few, 1, "pair"), rate=0.1, fingerprint="model", rule=rule)
    assert alone.at(1) == alone
    assert alone.at(2) is None
    # a rate that the pairs keep and the few searches cannot
    short = {2: (torch.rand(5), torch.rand(9))}
    assert calibrate(torch.rand(50), torch.rand(500), rate=0.1, fingerprint="m", rule=rule, several=short).several == ()


def test_queries_of_a_person_share_no_image() -> None:
    persons = np.repeat(np.array(["ann", "bob", "eve"]), [7, 2, 4])
    groups = query_groups(persons, 3)
    assert groups.shape == (3, 3)
    assert len(set(groups.flatten().tolist())) == 9
    assert all(len(set(persons[row])) == 1 for row in groups)
    assert query_groups(persons, 8).shape == (0, 8)
    np.testing.assert_array_equal(np.sort(query_groups(persons, 1)[:, 0]), np.arange(13))


def test_pairs_are_of_other_cameras_and_other_images() -> None:
    rule, two = RULES["cosine"], labelled(2, 4, 1, cameras=2)
    genuine, impostors = trial_distances(rule, two, two, 1, "pair")
    assert (len(genuine), len(impostors)) == (2 * 4 * 2, 2 * 4 * 4)
    assert float(genuine.min()) > 0.01  # no image and itself
    both = replace(two, cameras=np.full(8, "c"))
    assert len(trial_distances(rule, both, both, 1, "pair")[0]) == 0
    assert len(trial_distances(rule, two, two, 4, "pair")[0]) == 0  # the query was in both cameras
    _, nearest = trial_distances(rule, two, two, 1, "search")
    expected = distance_matrix(rule, two.descriptor, two.descriptor)
    torch.testing.assert_close(
        nearest.sort().values, torch.cat([expected[:4, 4:].amin(1), expected[4:, :4].amin(1)]).sort().values
    )


def test_where_joined_images_tell_better_no_more_strangers_pass() -> None:
    """People who have nothing in common: thresholds could rise, and do not, for queries whose images are much the same."""
    rule = RULES["cosine"]
    found = calibrated(rule, alike=0)
    assert {level.threshold for level in found.levels} == {found.threshold}
    for images in (2, 5, 8):
        at = found.at(images)
        assert at is not None
        assert float((strangers(rule, images, alike=0) <= at.threshold).float().mean()) <= interval(RATE, 4000)[1]


# -- words and files ---------------------------------------------------------------------------------------------------


def judge(genuine: list[float], miss: float = 0.05) -> Calibration:
    impostors = torch.linspace(0.5, 1.0, 100)
    return calibrate(torch.tensor(genuine), impostors, rate=0.01, miss=miss, fingerprint="model", rule=MatchRule())


def test_a_hit_beyond_a_threshold_that_misses_many_is_uncertain() -> None:
    quarter = judge([0.1] * 75 + [0.7] * 20 + [0.9] * 5)
    assert (quarter.threshold, quarter.far, quarter.missed) == (0.5, pytest.approx(0.7), 5)
    words = [quarter.verdict(distance) for distance in (0.2, 0.5, 0.501, 0.69, 0.71)]
    assert words == ["likely", "likely", "uncertain", "uncertain", "unlikely"]
    assert not quarter.absent(["uncertain", "unlikely"])
    assert quarter.absent(["unlikely", "unlikely"])
    assert judge([0.1] * 99 + [0.7]).far == 0.5  # hardly any is missed: there is no doubt between
    for unsure in (judge([0.1] * 19), judge([0.1] * 90 + [math.inf] * 10)):  # too few, and too many that share nothing
        assert unsure.far is None
        assert unsure.verdict(1.9) == "uncertain"
        assert not unsure.absent([])


def test_a_file_of_an_older_version_is_for_one_image() -> None:
    record = judge([0.1] * 40).to_json()
    for name in ("images", "far", "missed", "miss", "several"):
        del record[name]
    old = Calibration.from_json(record)
    assert (old.at(1), old.at(2), old.far) == (old, None, None)
    assert "one image" in old.limit(2)


@pytest.mark.parametrize(
    "change",
    [
        {"several": [{}]},
        {"several": 3},
        {"several": [3]},
        {"several": "images"},
        {"far": 0.1},
        {"far": math.nan},
        {"missed": 99},
        {"miss": 1.0},
        {"miss": None},
        {"images": 0},
        {"images": 7},
    ],
    ids=str,
)
def test_damaged_levels_are_refused(change: dict[str, object]) -> None:
    made = calibrate(
        torch.full((40,), 0.1), torch.linspace(0.5, 1, 100), rate=0.1, fingerprint="model", rule=MatchRule(),
        several={2: (torch.full((40,), 0.1), torch.linspace(0.4, 1, 100))},
    )  # fmt: skip
    assert Calibration.from_json(made.to_json()) == made
    with pytest.raises(DataError):
        Calibration.from_json({**made.to_json(), **change})
