"""A training may start from the backbone of an embedder that comes with the package, or go on from another training."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from occlureid import methods
from occlureid.benchmark.run import _initial_weights
from occlureid.benchmark.settings import BenchmarkSettings
from occlureid.errors import DataError, MissingWeightsError
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


SORN = {"backbone": "resnet10t", "size": [64, 32], "set_channels": 16, "semantic_channels": 8}
PERSONS = {"a": 0, "b": 1, "c": 2}


def continued(file: Path, name: str, settings: dict[str, Any], persons: dict[str, int]) -> tuple[set[str], set[str]]:
    """What a new method takes from a file, and what it does not."""
    method = methods.create(name, len(persons), settings, seed=1)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    stored = load_file(file)
    initialise(method, str(file), persons)
    after = method.state_dict()
    taken = {key for key in after if key in stored and torch.equal(after[key], stored[key])}
    left = {key for key in after if torch.equal(after[key], before[key])}
    assert taken | left == set(after)
    return taken - left, left - taken


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished training of SORN, of which every number differs from that of a new one."""
    method = methods.create("sorn", 3, SORN, seed=7)
    for tensor in method.state_dict().values():
        tensor.add_(1)
    methods.save(method, tmp_path / "weights.safetensors")
    (tmp_path / "labels.json").write_text(json.dumps(PERSONS), encoding="utf-8")
    return tmp_path / "weights.safetensors"


def test_a_training_goes_on_with_all_that_fits(run: Path) -> None:
    assert continued(run, "sorn", SORN, PERSONS)[1] == set()
    assert continued(run, "sorn", {**SORN, "size": [96, 48]}, PERSONS)[1] == set()
    _, left = continued(run, "sorn", {**SORN, "set_channels": 24}, PERSONS)
    assert {key.split(".")[0] for key in left} == {"expand", "global_neck"}


def test_classifiers_of_other_persons_stay_behind(run: Path) -> None:
    taken, left = continued(run, "sorn", SORN, {"a": 0, "b": 1, "d": 2})
    assert left
    assert all(".classifier." in key for key in left)
    assert any(key.startswith("semantic_head.") for key in taken)
    run.with_name("labels.json").unlink()
    assert continued(run, "sorn", SORN, PERSONS)[1] == left
    run.with_name("labels.json").write_text("[1, ", encoding="utf-8")
    with pytest.raises(DataError, match=r"labels\.json: cannot be read"):
        continued(run, "sorn", SORN, PERSONS)


def test_another_method_takes_the_backbone_alone(run: Path) -> None:
    taken, _ = continued(run, "pcb", {"backbone": "resnet10t", "size": [64, 32]}, PERSONS)
    assert taken
    assert all(key.startswith("backbone.") for key in taken)
    with pytest.raises(MissingWeightsError, match="has a resnet10t, the method is to have a resnet18"):
        continued(run, "pcb", {"backbone": "resnet18", "size": [64, 32]}, PERSONS)


def test_the_benchmark_knows_first_weights_by_their_checksum(ours: Path) -> None:
    settings = BenchmarkSettings.build({"every": {"initial_weights": "sorn-tiny"}})
    assert _initial_weights(settings) == {"name": "sorn-tiny", "sha256": read_record("sorn-tiny").sha256}
    with pytest.raises(MissingWeightsError, match="there is no file 'nothing-like-it'"):
        _initial_weights(BenchmarkSettings.build({"every": {"initial_weights": "nothing-like-it"}}))
