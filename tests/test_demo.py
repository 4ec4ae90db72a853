"""The demo at a size for tests: every stage runs, a second call neither renders nor trains again, the report is complete."""

import json
from pathlib import Path

from occlureid.config import read_yaml
from occlureid.demo import DEMO_WORLD, FROM_ENCODER, demo

TINY = DEMO_WORLD.with_changes(train_persons=6, test_persons=4, cameras=2, train_images=2, size=(64, 32))
CHANGES = {
    "model": {"size": [64, 32]},
    "train": {"epochs": 1, "batch_size": 8, "workers": 0, "accelerator": "cpu", "warmup_epochs": 0},
}


def test_demo_goes_the_whole_path_and_goes_on(tmp_path: Path) -> None:
    labels: list[str] = []

    def bar(label: str):
        labels.append(label)
        return lambda done, of: None

    report = demo(tmp_path, world=TINY, changes=CHANGES, date="2026-01-01", bar=bar)
    figures = json.loads(report.with_suffix(".json").read_text())
    assert [run["name"] for run in figures["runs"]] == ["pgfa", "pgfa, all parts taken as visible", "baseline"]
    assert figures["date"] == "2026-01-01"
    assert any("random weights" in note for note in figures["notes"])
    assert any("rendered" in note for note in figures["notes"])
    assert labels[0] == "render the world"
    assert "demo-pgfa: describe gallery" in labels
    weights = tmp_path / "demo-pgfa" / "weights.safetensors"
    before = (weights.stat().st_mtime_ns, report.read_bytes())
    assert demo(tmp_path, world=TINY, changes=CHANGES, date="2026-01-01") == report
    assert (weights.stat().st_mtime_ns, report.read_bytes()) == before


def test_trainings_start_from_weights_of_the_package(tmp_path: Path) -> None:
    shorter = {"model": CHANGES["model"], "train": {**CHANGES["train"], "epochs": 2}}
    usual = {"model": CHANGES["model"], "train": {k: v for k, v in CHANGES["train"].items() if k != "epochs"}}
    report = demo(
        tmp_path, world=TINY, recipes=("demo-pgfa",), changes=usual, initial_weights="sorn-resnet10t", date="2026-01-01"
    )
    settings = read_yaml(tmp_path / "demo-pgfa" / "settings.yaml")
    assert (settings["initial_weights"], settings["train"]["epochs"]) == ("sorn-resnet10t", FROM_ENCODER)
    assert settings["train"]["precision"] in ("32-true", "bf16-mixed")
    assert not any("random weights" in note for note in json.loads(report.with_suffix(".json").read_text())["notes"])
    other = demo(
        tmp_path / "other", world=TINY, recipes=("demo-pgfa",), changes=shorter, initial_weights="sorn-resnet10t"
    )
    assert read_yaml(other.parent / "demo-pgfa" / "settings.yaml")["train"]["epochs"] == 2  # what is asked for wins


def test_the_packages_weights_rank_before_anything_is_trained(tmp_path: Path) -> None:
    from occlureid import methods
    from occlureid.zoo.loaded import Embedder
    from occlureid.zoo.record import ModelRecord

    method = methods.create("baseline", 2, {"backbone": "resnet10t", "size": [64, 32]}).eval()
    shipped = Embedder(ModelRecord.model_construct(name="some-model"), method)  # type: ignore[call-arg]
    told: list[tuple[str, bool]] = []

    def tell(line: str) -> None:
        told.append((line, (tmp_path / "demo-baseline").exists()))

    report = demo(tmp_path, world=TINY, recipes=("demo-baseline",), changes=CHANGES, shipped=shipped, tell=tell)
    first = json.loads((tmp_path / "first.json").read_text())
    assert [run["name"] for run in first["runs"]] == ["some-model, as it comes with the package"]
    [(line, trained)] = told
    assert str(tmp_path / "first.html") in line
    assert not trained
    figures = json.loads(report.with_suffix(".json").read_text())
    assert [run["name"] for run in figures["runs"]] == ["some-model, as it comes with the package", "baseline"]
