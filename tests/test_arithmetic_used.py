"""What "auto" does wherever there is a precision: both answers are forced, and each is what is asked for by its name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from occlureid import methods
from occlureid.ablation.record import arithmetic
from occlureid.arithmetic import FORCE, processor
from occlureid.benchmark import BenchmarkSettings
from occlureid.benchmark.run import open_benchmark
from occlureid.cli import main
from occlureid.config import merge
from occlureid.data import ReidDataset, open_dataset
from occlureid.described import Described, describe, describe_dataset, score
from occlureid.errors import DataError, UsageError
from occlureid.evaluation import evaluate
from occlureid.gallery.scan import _product
from occlureid.gallery.search import Searcher
from occlureid.matching import MatchRule, distance_matrix, shortlist_distances, stream_distances
from occlureid.scaleout.chunks import began_with
from occlureid.types import Descriptor
from tests.gallery.described import RULES, agree, slow, source
from tests.gallery.described import describe as made_up

ANSWERS = ["float32", "bfloat16"]
OTHER = {"float32": "bfloat16", "bfloat16": "float32"}


@pytest.fixture(params=ANSWERS)
def answer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(FORCE, request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def world(rendered_world: Path) -> ReidDataset:
    return open_dataset(rendered_world)


@pytest.fixture(scope="module")
def method() -> methods.Method:
    return methods.create("baseline", 3, {"backbone": "resnet10t", "size": [64, 32]}, seed=1).eval()


# -- describing ----------------------------------------------------------------------------------------------------------


def test_describing(world: ReidDataset, method: methods.Method, answer: str) -> None:
    auto, named, other = (
        describe(method, world.query, precision=precision)[0].global_ for precision in ("auto", answer, OTHER[answer])
    )
    assert torch.equal(auto, named)
    assert not torch.equal(auto, other)
    assert torch.equal(describe(method, world.query)[0].global_, named if answer == "float32" else other)


def test_a_described_dataset_says_what_it_was_described_and_compared_in(
    world: ReidDataset, method: methods.Method, answer: str, tmp_path: Path
) -> None:
    described = describe_dataset(method, world, precision="auto")
    assert (described.record["precision"], described.record["processor"]) == (answer, processor())
    back = Described.load(described.save(tmp_path / "described"))
    assert back.record["precision"] == began_with(tmp_path / "described") == answer
    assert score(back).provenance["distance_precision"] == "float32"  # figures do not depend on the processor
    report = score(back, precision="auto")
    assert report.provenance["distance_precision"] == answer
    assert arithmetic(report) == {"describing": answer, "described_on": processor(), "distances": answer}
    assert arithmetic(None) == {}
    assert describe_dataset(method, world).record["precision"] == "float32"


def test_the_command_line(rendered_world: Path, method: methods.Method, answer: str, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    methods.save(method, weights)
    out = tmp_path / "described"
    assert (
        main(["describe", str(rendered_world), "--weights", str(weights), "--precision", "auto", "--out", str(out)])
        == 0
    )
    assert Described.load(out).record["precision"] == answer
    report = tmp_path / "report.html"
    assert main(["evaluate", str(out), "--precision", "auto", "--report", str(report)]) == 0
    assert answer in report.with_suffix(".json").read_text()


def test_what_was_begun_elsewhere_is_read_from_chunks_or_not_at_all(tmp_path: Path) -> None:
    assert began_with(tmp_path) is None
    for content, expected in (
        ("{", None),
        ("[]", None),
        ('{"precision": "auto"}', None),
        ('{"precision": "bfloat16"}', "bfloat16"),
    ):
        folder = tmp_path / "chunks-0123"
        folder.mkdir(exist_ok=True)
        (folder / "job.json").write_text(content)
        assert began_with(tmp_path) == expected


# -- matching ------------------------------------------------------------------------------------------------------------

GASM = MatchRule(spatial_weight=0.5, visibility="ignore", part_factor=0.0)


def random_descriptor(count: int, seed: int) -> Descriptor:
    random = torch.Generator().manual_seed(seed)
    made = Descriptor.from_vectors(torch.randn(count, 64, generator=random), "model")
    return replace(
        made, spatial=torch.randn(count, 6, 32, generator=random), saliency=torch.rand(count, 6, generator=random)
    )


@pytest.mark.parametrize("rule", [MatchRule(part_factor=0.0), GASM], ids=["vectors", "local vectors"])
def test_matching(rule: MatchRule, answer: str) -> None:
    query, gallery = random_descriptor(5, 0), random_descriptor(9, 1)
    auto, named, other = (
        distance_matrix(rule, query, gallery, precision=precision) for precision in ("auto", answer, OTHER[answer])
    )
    assert torch.equal(auto, named)
    assert not torch.equal(auto, other)
    assert torch.equal(distance_matrix(rule, query, gallery), named if answer == "float32" else other)
    rows = torch.cat([block.clone() for _, block in stream_distances(rule, query, gallery, precision="auto")])
    assert torch.equal(
        rows, torch.cat([b.clone() for _, b in stream_distances(rule, query, gallery, precision=answer)])
    )
    if rule.spatial_weight:
        short = [shortlist_distances(rule, query, gallery, 3, precision=p).distances for p in ("auto", answer)]
        assert torch.equal(*short)


def test_a_euclidean_rule_bears_auto_and_stays_what_it_is(answer: str) -> None:
    rule = MatchRule(metric="euclidean", part_factor=0.0)
    query, gallery = random_descriptor(5, 0), random_descriptor(9, 1)
    assert torch.equal(distance_matrix(rule, query, gallery, precision="auto"), distance_matrix(rule, query, gallery))
    with pytest.raises(UsageError, match="Euclidean"):
        distance_matrix(rule, query, gallery, precision="bfloat16")


# -- searching -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("queries", [1, 2, 9])
@pytest.mark.parametrize("items", [1, 511, 512, 1100])
def test_the_product_of_a_scan_errs_by_no_more_than_its_bound(answer: str, queries: int, items: int) -> None:
    """Numbers of one sign, so that a sum kept in bfloat16 would stop to grow; the bound allows one rounding of the result."""
    random = torch.Generator().manual_seed(items)
    vectors = (1 + torch.rand(items, 1792, generator=random)).bfloat16()
    query = (1 + torch.rand(queries, 1792, generator=random)).bfloat16()
    true = vectors.double() @ query.double().T
    found = _product(vectors, query)
    assert found.dtype == torch.float32
    assert bool(((found - true).abs() <= 2.0**-8 * true.abs() * 1.01).all())


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("queries", [1, 9])
def test_searching_is_exact_in_both(rule: MatchRule, queries: int, answer: str) -> None:
    gallery, query = source(700, rule), made_up(queries, 2)
    results = Searcher(gallery).search(query, k=10)
    agree(results, slow(gallery, query, 10))
    assert all(result.exact for result in results)


# -- evaluation and the benchmark ------------------------------------------------------------------------------------------


def test_a_report_from_distances_knows_no_arithmetic(world: ReidDataset, method: methods.Method) -> None:
    described = describe_dataset(method, world)
    distances = distance_matrix(described.rule, described.query, described.gallery)
    samples = described.query_samples, described.gallery_samples
    report = evaluate(distances, *samples, described.protocol, rule=described.rule, resamples=1)
    assert "distance_precision" not in report.provenance


def test_all_trainings_of_a_benchmark_are_alike_wherever_they_run(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = BenchmarkSettings()
    assert usual.every["train"]["precision"] == "auto"
    small = usual.world.with_changes(train_persons=2, test_persons=2, cameras=2, size=(32, 16))
    settings = usual.with_changes(world=small)
    used = {"float32": "32-true", "bfloat16": "bf16-mixed"}
    begun = open_benchmark(tmp_path, settings).settings
    assert begun.every["train"]["precision"] == used[answer]
    monkeypatch.setenv(FORCE, OTHER[answer])
    assert open_benchmark(tmp_path, settings).settings == begun
    named = settings.with_changes(every=merge(settings.every, {"train": {"precision": used[OTHER[answer]]}}))
    with pytest.raises(UsageError, match=r"other settings or data \(.*precision"):
        open_benchmark(tmp_path, named)
    written = json.loads((tmp_path / "benchmark.json").read_text())
    (tmp_path / "benchmark.json").write_text(json.dumps(written | {"every": {"train": 3}}))
    with pytest.raises(UsageError, match="other settings"):
        open_benchmark(tmp_path, settings)
    (tmp_path / "benchmark.json").write_text("{")
    with pytest.raises(DataError):
        open_benchmark(tmp_path, settings)
