"""Tiny networks with random weights, released into a folder of their own: nobody but the tests looks there."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from occlureid import methods
from occlureid.landmarks import LandmarkSettings, TrainedLandmarks, save_landmarks
from occlureid.landmarks.trainee import build_network as build_landmarks
from occlureid.methods import Method, Preprocess
from occlureid.parsing import ParserSettings, TrainedParser, save_parser
from occlureid.parsing.trainee import build_network as build_parser
from occlureid.synthetic import WorldSettings
from occlureid.zoo.record import Score, TrainingData
from occlureid.zoo.release import Statement, release

TRAINING = {"initial_weights": "none", "train": {"seed": 7, "epochs": 1}}
SORN = {"backbone": "resnet10t", "size": [64, 32], "set_channels": 16, "semantic_channels": 8}
PGFA = {"backbone": "resnet10t", "size": [64, 32], "parts": 3, "reduced": 16}
STATEMENT = Statement(
    "a network for tests",
    TrainingData(origin="rendered only", worlds=(WorldSettings().to_dict(),), images=40, persons=5),
    "occlureid train runs/world --recipe demo-sorn --out runs/tiny",
    ("photographs",),
    (Score(measured_on="2 test persons of another world", values={"rank_1": 0.25, "mAP": 0.125}),),
)


def settle(network: nn.Module, seed: int = 0) -> nn.Module:
    """Gives batch norms statistics as a training leaves them, some of which half precision cannot hold."""
    draw = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=draw) + 0.5)
        elif name.endswith("running_mean"):
            value.copy_(0.1 * torch.randn(value.shape, generator=draw))
    return network


def trained(name: str, settings: Mapping[str, Any], path: Path, **provenance: Any) -> Method[Any]:
    """The weights of a run that never was."""
    method = methods.create(name, 5, settings, seed=3)
    settle(method)
    method.provenance = {"method": name, "model": method.config.to_dict(), **TRAINING, **provenance}
    path.parent.mkdir(parents=True, exist_ok=True)
    methods.save(method, path)
    return method.eval()


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of three runs: sorn, parser, landmarks; and pgfa, which needs landmarks."""
    root = tmp_path_factory.mktemp("runs")
    trained("sorn", SORN, root / "sorn" / "weights.safetensors", cues={"source": "exact"})
    trained("pgfa", PGFA, root / "pgfa" / "weights.safetensors")
    settings = ParserSettings(architecture="light", size=(64, 32), width=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = settle(build_parser(settings))
        found = LandmarkSettings(backbone="mobilenetv3_small_100", size=(64, 32), width=8)
        landmarks = settle(build_landmarks(found))
    (root / "parser").mkdir()
    (root / "landmarks").mkdir()
    scores = {"images": 12, "pixel_accuracy": 0.5, "mean_iou": 0.25, "iou": {"head": None}}
    training = {**TRAINING, "parser": settings.to_dict(), "data": {"name": "synthetic", "images": 40}}
    preprocess = Preprocess(settings.size, network.mean, network.std)
    parser = TrainedParser(network.eval(), settings, preprocess, scores, training)
    save_parser(parser, root / "parser" / "parser.safetensors")
    (root / "parser" / "weights.safetensors").write_bytes(b"what the training goes on from")
    preprocess = Preprocess(found.size, landmarks.mean, landmarks.std)
    save_landmarks(
        TrainedLandmarks(landmarks.eval(), found, preprocess, {"images": 12, "pck_0.05": 0.5}, TRAINING),
        root / "landmarks" / "landmarks.safetensors",
    )
    return root


@pytest.fixture(scope="session")
def zoo(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of released models, changed by nobody."""
    folder = tmp_path_factory.mktemp("zoo")
    release(runs / "sorn", "sorn-tiny", replace(STATEMENT, default=True), folder=folder)
    release(runs / "parser", "parser-tiny", replace(STATEMENT, default=True, scores=()), folder=folder)
    release(runs / "landmarks", "landmarks-tiny", replace(STATEMENT, default=True), folder=folder)
    needs = {"keypoints": "landmarks-tiny"}
    release(runs / "pgfa", "pgfa-tiny", replace(STATEMENT, cues=needs), folder=folder)
    return folder


@pytest.fixture
def shipped(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as if they came with the package."""
    monkeypatch.setattr("occlureid.zoo.catalogue.FOLDER", zoo)
    return zoo


@pytest.fixture
def changed(zoo: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the folder, in whose record of sorn-tiny some values are changed."""

    def change(**values: Any) -> Path:
        for path in zoo.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        record = tmp_path / "sorn-tiny.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), **values}))
        return tmp_path

    return change
