"""Thresholds that keep their false-positive rate, and come back from JSON as they were."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from occlureid.errors import DataError, FingerprintError, ShapeError, UsageError
from occlureid.gallery.openset import Calibration
from occlureid.gallery.search import Searcher
from occlureid.gallery.thresholds import calibrate, wilson
from occlureid.matching import MatchRule, distance_matrix
from tests.gallery.described import describe, source

RULE = MatchRule()


def made(genuine: list[float], impostor: list[float], rate: float = 0.25) -> Calibration:
    return calibrate(torch.tensor(genuine), torch.tensor(impostor), rate=rate, fingerprint="model", rule=RULE)


@pytest.mark.parametrize(
    ("impostor", "rate", "threshold", "passed"),
    [
        ([0.5, 0.6, 0.7, 0.8], 0.25, 0.5, 1),
        ([0.5, 0.6, 0.7, 0.8], 0.5, 0.6, 2),
        ([0.8, 0.5, 0.7, 0.5], 0.5, 0.5, 2),
        ([0.5, 0.6, 0.6, 0.8], 0.5, 0.5, 1),  # a tie would let a third pass
        ([0.5, math.inf, math.inf, math.inf], 0.5, 0.5, 1),
    ],
)
def test_the_threshold_is_the_largest_that_keeps_the_rate(
    impostor: list[float], rate: float, threshold: float, passed: int
) -> None:
    found = made([0.1, 0.55, math.inf], impostor, rate)
    assert found.threshold == pytest.approx(threshold)
    assert (found.false_positives, found.impostors) == (passed, len(impostor))
    assert (found.genuine, found.found) == (3, 1 + (threshold >= 0.55))


def test_a_tie_of_all_impostors_lets_none_pass() -> None:
    found = made([0.1], [0.5] * 8)
    assert found.false_positives == 0
    assert found.threshold < 0.5


def test_the_rate_holds_on_pairs_that_were_not_seen() -> None:
    stored, fresh = describe(400, 1), describe(400, 2)
    person = torch.arange(400) % 40
    same = person[:, None] == person
    kept = []
    for images, other in ((stored, describe(400, 3)), (fresh, describe(400, 4))):
        kept.append(distance_matrix(RULE, images, other))
    found = calibrate(kept[0][same], kept[0][~same], rate=0.01, fingerprint="model", rule=RULE)
    rate = float((kept[1][~same] <= found.threshold).float().mean())
    assert rate == pytest.approx(0.01, abs=0.003)
    assert found.interval[0] < 0.01 < found.interval[1]
    assert float((kept[1][same] <= found.threshold).float().mean()) > 0.9


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(400):
        low, high = wilson(int((torch.rand(300, generator=random) < 0.05).sum()), 300)
        covered += low <= 0.05 <= high
    assert 0.91 < covered / 400 < 0.99
    assert wilson(0, 100)[0] == 0
    assert wilson(100, 100)[1] == 1
    assert wilson(0, 100)[1] == pytest.approx(0.037, abs=0.001)


def test_a_search_says_who_is_probably_not_there() -> None:
    gallery, person = source(400, RULE), torch.arange(400) % 40
    pairs = distance_matrix(RULE, describe(400, 5), describe(400, 6))
    same = person[:, None] == person
    found = calibrate(pairs[same], pairs[~same], rate=1e-4, miss=0.9, fingerprint="model", rule=RULE)
    assert found.far == found.threshold
    strangers = torch.Generator().manual_seed(3)
    known = describe(20, 8)
    unknown = replace(
        known, global_=torch.randn(20, 24, generator=strangers), parts=torch.randn(20, 4, 24, generator=strangers)
    )
    searcher = Searcher(gallery)
    there = searcher.search(known, k=5, calibration=found)
    away = searcher.search(unknown, k=5, calibration=found)
    assert sum(bool(result.absent) for result in there) <= 1
    assert sum(bool(result.absent) for result in away) >= 18
    assert all(hit.probable == (hit.distance <= found.threshold) for result in there + away for hit in result.hits)
    without = searcher.search(known, k=5)[0]
    assert without.absent is None
    assert without.hits[0].probable is None
    assert found.expected_false(10_000) == pytest.approx(1.0)


def test_json_brings_it_back(tmp_path: Path) -> None:
    found = calibrate(torch.rand(50), torch.rand(70) + 0.5, rate=0.1, fingerprint="model", rule=RULE, unit="search")
    found.save(tmp_path / "threshold.json")
    assert Calibration.load(tmp_path / "threshold.json") == found
    with pytest.raises(UsageError, match="pairs"):
        found.expected_false(3)


def test_another_models_threshold_is_refused() -> None:
    found, query = made([0.1], [0.5] * 8), describe(1, 2)
    with pytest.raises(FingerprintError, match="calibrate again"):
        Searcher(source(20, RULE)).search(query, calibration=replace(found, fingerprint="other"))
    with pytest.raises(FingerprintError, match="calibrate again"):
        Searcher(source(20, MatchRule(part_factor=0.5))).search(query, calibration=found)


@pytest.mark.parametrize(
    ("genuine", "impostor", "rate", "error"),
    [
        (torch.rand(0), torch.rand(9), 0.5, ShapeError),
        (torch.rand(3), torch.rand(3, 3), 0.5, ShapeError),
        (torch.tensor([torch.nan]), torch.rand(9), 0.5, ShapeError),
        (torch.rand(3), torch.rand(9), 0.1, UsageError),
        (torch.rand(3), torch.rand(9), 1.0, UsageError),
        (torch.rand(3), torch.full((9,), torch.inf), 0.5, UsageError),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    genuine: torch.Tensor, impostor: torch.Tensor, rate: float, error: type[Exception]
) -> None:
    with pytest.raises(error):
        calibrate(genuine, impostor, rate=rate, fingerprint="model", rule=RULE)


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": "0.5"},
        {"threshold": float("nan")},
        {"rate": 2.0},
        {"unit": "person"},
        {"impostors": -1},
        {"found": 10**9},
        {"interval": [0.1]},
        {"interval": 3},
        {"interval": [2, 3]},
        {"found_interval": [0.9, 0.1]},
        {"rule": {"metric": "manhattan"}},
        {"rule": 3},
        {"fingerprint": None},
        {"extra": 1},
    ],
    ids=str,
)
def test_damaged_files_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "threshold.json"
    path.write_text(json.dumps({**made([0.1], [0.5] * 8).to_json(), **change}))
    with pytest.raises(DataError, match=r"threshold\.json: .*; calibrate again"):
        Calibration.load(path)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b"\xff\xfe", b"[" * 100_000])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "threshold.json").write_bytes(content)
    with pytest.raises(DataError):
        Calibration.load(tmp_path / "threshold.json")
    with pytest.raises(DataError):
        Calibration.load(tmp_path / "missing.json")
