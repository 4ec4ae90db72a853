"""A training may start from the backbone of an embedder that comes with the package."""

from pathlib import Path

import pytest
import torch

from occlureid import methods
from occlureid.benchmark.run import _initial_weights
from occlureid.benchmark.settings import BenchmarkSettings
from occlureid.errors import MissingWeightsError
from occlureid.runs import initialise
from occlureid.zoo import catalogue, read_record


@pytest.fixture
def ours(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package holds the tiny models."""
    monkeypatch.setattr(catalogue, "FOLDER", zoo)
    return zoo


def test_the_backbone_is_that_of_the_model(ours: Path) -> None:
    source = methods.restore(catalogue.weights_path("sorn-tiny")).backbone
    method = methods.create("gasm", 3, {"backbone": "resnet10t", "size": [64, 32]}, seed=1)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    initialise(method, "sorn-tiny")
    for name, value in method.state_dict().items():
        inside = name.startswith("backbone.")
        expected = source.state_dict()[name.removeprefix("backbone.")] if inside else before[name]  # type: ignore[union-attr]
        assert torch.equal(value, expected), name
    assert any(not torch.equal(before[name], value) for name, value in method.state_dict().items())


def test_another_backbone_is_refused(ours: Path) -> None:
    method = methods.create("gasm", 3, {"backbone": "resnet18", "size": [64, 32]}, seed=1)
    with pytest.raises(MissingWeightsError, match="has a resnet10t, the method is to have a resnet18"):
        initialise(method, "sorn-tiny")


def test_a_parser_is_no_embedder(ours: Path) -> None:
    method = methods.create("gasm", 3, {"backbone": "resnet10t", "size": [64, 32]}, seed=1)
    with pytest.raises(MissingWeightsError, match="has no embedder"):
        initialise(method, "parser-tiny")


def test_what_is_nowhere_names_what_there_is(ours: Path) -> None:
    method = methods.create("gasm", 3, {"backbone": "resnet10t", "size": [64, 32]}, seed=1)
    with pytest.raises(MissingWeightsError, match=r"an embedder of the package \(.*sorn-tiny"):
        initialise(method, "nothing-like-it")


def test_the_benchmark_knows_first_weights_by_their_checksum(ours: Path) -> None:
    settings = BenchmarkSettings.build({"every": {"initial_weights": "sorn-tiny"}})
    assert _initial_weights(settings) == {"name": "sorn-tiny", "sha256": read_record("sorn-tiny").sha256}
    with pytest.raises(MissingWeightsError, match="there is no file 'nothing-like-it'"):
        _initial_weights(BenchmarkSettings.build({"every": {"initial_weights": "nothing-like-it"}}))
