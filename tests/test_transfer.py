"""The cross-domain matrix: every training once, every test set by its own protocol, nothing of it seen while training."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from occlureid import methods
from occlureid.ablation import Shard
from occlureid.ablation import scoring as stages
from occlureid.cli import main
from occlureid.data import ReidDataset, open_dataset
from occlureid.described import describe_dataset, score
from occlureid.errors import DataError, SettingsError, UsageError
from occlureid.synthetic import WorldSettings, write_world
from occlureid.transfer import matrix, open_sets, transfer
from occlureid.types import Protocol, Sample

SMALL: dict[str, Any] = {
    "initial_weights": "none",
    "model": {"backbone": "resnet10t", "size": [32, 16]},
    "train": {"epochs": 1, "batch_size": 4, "workers": 0, "accelerator": "cpu", "warmup_epochs": 0, "milestones": []},
}
ASSIGNED = [f"--set={key}" for key in (
    "initial_weights=none", "model.backbone=resnet10t", "model.size=[32,16]", "train.epochs=1", "train.batch_size=4",
    "train.workers=0", "train.accelerator=cpu", "train.warmup_epochs=0", "train.milestones=[]", "train.sampler=shuffle",
)]  # fmt: skip
WHOLE = """method: pgfa
train: {sampler: shuffle}
row:
  name: Whole
  transferred: {near: {far: {rank_1: 50.0, mAP: 40.0}, near: {rank_1: 90.0, mAP: 80.0}}}
"""
GLOBAL = """train_as: whole.yaml
rule: {part_factor: 0.0}
row: {name: Global, transferred: {near: {far: {rank_1: 45.0, mAP: 42.0}}}}
"""


@pytest.fixture(scope="module")
def other_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = WorldSettings(
        seed=5,
        size=(64, 32),
        cameras=2,
        train_persons=2,
        train_images=2,
        test_persons=2,
        query_images=1,
        gallery_images=1,
    )
    return write_world(settings, tmp_path_factory.mktemp("other") / "far")


@pytest.fixture
def near(rendered_world: Path) -> ReidDataset:
    return open_dataset(rendered_world)


@pytest.fixture
def far(other_world: Path) -> ReidDataset:
    return open_dataset(other_world)


@pytest.fixture
def recipes(tmp_path: Path) -> list[str]:
    """Two rows of one training."""
    (tmp_path / "whole.yaml").write_text(WHOLE)
    (tmp_path / "global.yaml").write_text(GLOBAL)
    return [str(tmp_path / "whole.yaml"), str(tmp_path / "global.yaml")]


def written(folder: Path) -> dict[str, int]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent != folder]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in files}


def test_every_training_is_scored_on_every_set(
    near: ReidDataset, far: ReidDataset, recipes: list[str], tmp_path: Path
) -> None:
    labels: list[str] = []

    def bar(label: str):
        labels.append(label)
        return lambda done, of: None

    only_tested = replace(far, train=())
    out = tmp_path / "out"
    result = transfer({"near": near}, {"near": near, "far": only_tested}, recipes, out, SMALL, bar=bar)
    record = json.loads((out / "transfer.json").read_text())
    assert record == result.record
    assert result.failed == {}
    assert labels == [
        f"near whole on {test}: describe {split}" for test in ("near", "far") for split in ("query", "gallery")
    ]
    whole, global_ = record["rows"]
    assert (whole["name"], global_["name"]) == ("Whole", "Global")
    assert (whole["reference"], global_["reference"]) == (True, False)
    assert whole["training"] == global_["training"] == "near/whole"
    assert {name: cell["in_domain"] for name, cell in whole["cells"].items()} == {"near": True, "far": False}
    method = methods.restore(out / "near" / "whole" / "weights.safetensors")
    for name, dataset in (("near", near), ("far", only_tested)):
        described = describe_dataset(method, dataset)
        for row, changes in ((whole, {}), (global_, {"part_factor": 0.0})):
            report = score(described, changes)
            cell = row["cells"][name]
            assert cell["measured"]["rank_1"] == pytest.approx(100 * report.rank(1), abs=0.001)
            assert cell["measured"]["mAP"] == pytest.approx(100 * report.average_precision, abs=0.001)
        for figure in ("rank_1", "mAP"):
            difference = global_["cells"][name]["measured"][figure] - whole["cells"][name]["measured"][figure]
            assert global_["cells"][name]["differences"][figure]["measured"] == pytest.approx(difference, abs=0.002)
    assert whole["cells"]["far"]["differences"] == {}
    reported = {figure: found["reported"] for figure, found in global_["cells"]["far"]["differences"].items()}
    assert reported == {"rank_1": -5.0, "mAP": 2.0}
    assert global_["cells"]["near"]["differences"]["mAP"]["reported"] is None
    text = (out / "transfer.md").read_text()
    assert matrix(record) in text
    assert str(tmp_path) not in text + json.dumps(record)


def test_shares_leave_what_one_call_does(
    near: ReidDataset, far: ReidDataset, recipes: list[str], tmp_path: Path
) -> None:
    out, training, test = tmp_path / "out", {"near": near, "far": far}, {"far": replace(far, train=())}
    whole = transfer(training, test, recipes, tmp_path / "at once", SMALL)
    given = {"weights": {"kept": tmp_path / "at once" / "near" / "whole" / "weights.safetensors"}}
    first = transfer(training, test, recipes, out, SMALL, **given, shard=Shard(1, 2))  # the given weights and the last
    assert first.failed == {}
    assert [(row["train"], row["name"]) for row in first.record["rows"]] == [
        ("", "kept"),
        ("far", "Whole"),
        ("far", "Global"),
    ]
    assert sorted(path.name for path in out.iterdir()) == ["far", "given"]
    transfer(training, test, recipes, out, SMALL, **given, shard=Shard(2, 2))
    assert not list(out.glob("transfer.*"))
    before = written(out)
    record = transfer(training, test, recipes, out, SMALL, **given).record
    assert written(out) == before
    assert record["rows"][1:] == whole.record["rows"]


def test_a_second_call_goes_on_and_may_ask_for_more(
    near: ReidDataset, far: ReidDataset, recipes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stages, "describe_dataset", stopped)
        with pytest.raises(KeyboardInterrupt):
            transfer({"near": near}, {"near": near}, recipes[:1], out, SMALL)
    trained = written(out)
    assert "near/whole/weights.safetensors" in trained
    transfer({"near": near}, {"near": near}, recipes[:1], out, SMALL)
    first = written(out)
    assert first.items() > trained.items()
    more = transfer({"near": near}, {"near": near, "far": far}, recipes, out, SMALL).record
    second = written(out)
    assert second.items() > first.items()
    assert transfer({"near": near}, {"near": near, "far": far}, recipes, out, SMALL).record == more
    assert written(out) == second
    with pytest.raises(UsageError, match="holds a run already"):
        transfer({"near": near}, {"near": near}, recipes, out, SMALL, resume=False)
    with pytest.raises(UsageError, match="holds a matrix in which near is a set in another place"):
        transfer({"near": far}, {"far": near}, recipes, out, SMALL)
    (out / "transfer.json").write_text('{"training_sets": []}')
    with pytest.raises(DataError, match=r"transfer.json: cannot be read as a record"):
        transfer({"near": near}, {"near": near}, recipes, out, SMALL)


def test_nothing_of_a_test_set_is_looked_at_while_training(
    rendered_world: Path, far: ReidDataset, recipes: list[str], tmp_path: Path
) -> None:
    shutil.copytree(rendered_world, tmp_path / "blind")
    for image in (tmp_path / "blind").glob("query/*.jpg"):
        image.write_bytes(b"no image at all")
    blind = open_dataset(tmp_path / "blind")
    out = tmp_path / "out"
    with pytest.raises(DataError, match="query"):  # nothing at all could be scored
        transfer({"blind": blind}, {"blind": blind}, recipes[:1], out, SMALL)
    weights = out / "blind" / "whole" / "weights.safetensors"
    result = transfer({"blind": blind}, {"blind": blind, "far": far}, recipes[:1], out, SMALL)
    assert weights.is_file()
    assert list(result.failed) == ["whole trained on blind, tested on blind"]
    (row,) = result.record["rows"]
    assert "query" in row["cells"]["blind"]["reason"]
    assert row["cells"]["far"]["measured"]
    assert "- whole trained on blind, tested on blind: " in (out / "transfer.md").read_text()


def test_weights_that_are_there_are_scored_beside(
    near: ReidDataset, far: ReidDataset, recipes: list[str], tmp_path: Path
) -> None:
    trained = transfer({"near": near}, {"far": far}, recipes[:1], tmp_path / "out", SMALL)
    weights = tmp_path / "out" / "near" / "whole" / "weights.safetensors"
    given = transfer({}, {"far": far}, [], tmp_path / "given", weights={"mine": weights})
    (row,) = given.record["rows"]
    assert (row["train"], row["name"]) == ("", "mine")
    assert row["cells"]["far"]["measured"] == trained.record["rows"][0]["cells"]["far"]["measured"]
    assert "| (given weights) | mine |" in matrix(given.record)


def test_a_training_that_fails_leaves_the_others(
    near: ReidDataset, far: ReidDataset, recipes: list[str], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere.yaml").write_text("base: whole.yaml\ncues: {folder: nowhere}\n")
    names = [str(tmp_path / "elsewhere.yaml"), recipes[0]]
    result = transfer({"near": near}, {"near": near, "far": far}, names, tmp_path / "out", SMALL)
    assert list(result.failed) == ["elsewhere trained on near"]
    assert "nowhere/pose" in result.failed["elsewhere trained on near"]
    first, second = result.record["rows"]
    assert not first["cells"]["far"]["measured"]
    assert second["cells"]["far"]["measured"]
    assert second["cells"]["far"]["differences"] == {}


# -- what is refused -----------------------------------------------------------------------------------------------------


def dataset(name: str, *splits: str) -> ReidDataset:
    samples = {
        split: (Sample(Path(f"/{name}/{split}/a.jpg"), "1", "1"),) if split in splits else ()
        for split in ("train", "query", "gallery")
    }
    return ReidDataset(name, Path(f"/{name}"), **samples, protocol=Protocol(name))


FULL = ("train", "query", "gallery")


@pytest.mark.parametrize(
    ("training", "test", "error", "message"),
    [
        ({"a": dataset("a", *FULL)}, {}, UsageError, "a set to test on, got none"),
        ({"a": dataset("a", "query")}, {"a": dataset("a", *FULL)}, DataError, "a at /a: has no training images"),
        ({"a": dataset("a", *FULL)}, {"b": dataset("b", "query")}, DataError, "b at /b: has no gallery images"),
        ({"a": dataset("a", *FULL)}, {"b": dataset("b", "train")}, DataError, "has no query and no gallery images"),
        ({"a": dataset("a", *FULL), "b": dataset("a", *FULL)}, {"a": dataset("a", *FULL)}, UsageError, "a and b are one"),
        ({"a/b": dataset("a", *FULL)}, {"c": dataset("c", *FULL)}, UsageError, "cannot be 'a/b'"),
        ({}, {"a": dataset("a", *FULL)}, UsageError, "got 1 recipes, 0 training sets, 0 weight files"),
    ],
)  # fmt: skip
def test_sets_that_make_no_matrix(
    training: Any, test: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        transfer(training, test, ["pgfa"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_image_is_not_both_trained_on_and_tested_with(tmp_path: Path) -> None:
    first = dataset("a", *FULL)
    second = replace(dataset("b", *FULL), gallery=first.train)
    with pytest.raises(DataError, match=r"1 images of a are trained on and are query or gallery of b, first: .*a\.jpg"):
        transfer({"a": first}, {"b": second}, ["pgfa"], tmp_path / "out")


def test_sets_are_named_by_layout_or_folder(rendered_world: Path, other_world: Path, tmp_path: Path) -> None:
    market = tmp_path / "market"
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        (market / split).mkdir(parents=True)
        (market / split / "0002_c1s1_000451_03.jpg").write_bytes(b"")
    training, test = open_sets([str(rendered_world), str(market)], [str(market), str(other_world)])
    assert list(training) == ["world", "market1501"]
    assert list(test) == ["market1501", "far"]
    assert training["market1501"] is test["market1501"]
    again, _ = open_sets([f"market1501={market}"], [])
    assert list(again) == ["market1501"]
    with pytest.raises(UsageError, match=r"--test .*far: is given twice"):
        open_sets([], [str(other_world), str(other_world / ".." / "far")])
    shutil.copytree(other_world, tmp_path / "far")
    with pytest.raises(UsageError, match="two sets would be called 'far'"):
        open_sets([str(other_world)], [str(tmp_path / "far")])
    with pytest.raises(DataError, match="no such file or folder"):
        open_sets(["rome=nowhere"], [])


def test_printed_figures_are_checked_as_settings(tmp_path: Path, near: ReidDataset) -> None:
    (tmp_path / "wrong.yaml").write_text("method: pgfa\nrow: {transferred: {near: {far: 3}}}\n")
    with pytest.raises(SettingsError, match="transferred"):
        transfer({"near": near}, {"near": near}, [str(tmp_path / "wrong.yaml")], tmp_path / "out")


# -- the table -----------------------------------------------------------------------------------------------------------


def cell(rank: float, precision: float, in_domain: bool = False, **more: Any) -> dict[str, Any]:
    measured = {"rank_1": rank, "mAP": precision}
    return {"in_domain": in_domain, "measured": measured, "reported": {}, "reason": "", "differences": {}, **more}


def test_the_matrix_by_hand() -> None:
    differences = {
        "rank_1": {"measured": 2.0, "interval": [0.5, 3.0], "reported": 4.0},
        "mAP": {"measured": -1.0, "interval": [-3.0, 1.0], "reported": None},
    }
    rows = [
        {"train": "A", "recipe": "base", "name": "Base", "reference": True,
         "cells": {"A": cell(90.0, 80.0, True), "B": cell(50.0, 40.0)}},
        {"train": "A", "recipe": "more", "name": "More | all", "reference": False,
         "cells": {"A": cell(91.0, 79.0, True, measured={}, reason="no image"),
                   "B": cell(52.0, 39.0, reported={"rank_1": 56.4, "mAP": 36.5}, differences=differences)}},
    ]  # fmt: skip
    text = matrix({"test_sets": {"A": {}, "B": {}}, "rows": rows}).splitlines()
    assert "| trained on | recipe | A | B |" in text
    assert "| A | Base | **90.0 (80.0)** | 50.0 (40.0) |" in text
    assert "|  | More \\| all | – | 52.0 (39.0), paper 56.4 (36.5) |" in text
    assert "| A | More \\| all | – | +2.0 (+4.0) ✓ / ~ -1.0 |" in text
    assert text[-1] == "- more trained on A, tested on A: no image"
    rows[1]["cells"]["B"] |= {
        "measured": {"rank_1": 52.0, "rank_3": 61.0, "mAP": 39.0}, "reported": {"rank_1": 68.0, "rank_3": 80.0}
    }  # fmt: skip
    text = matrix({"test_sets": {"A": {}, "B": {}}, "rows": rows}).splitlines()
    assert "|  | More \\| all | – | 52.0, Rank-3 61.0 (39.0), paper 68.0, Rank-3 80.0 |" in text


# -- the command ---------------------------------------------------------------------------------------------------------


def test_evaluate_across_datasets(
    rendered_world: Path, other_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["evaluate", "--train", str(other_world), "--test", str(rendered_world), str(other_world)]
    command += ["--recipe", "pgfa", "--out", str(out), *ASSIGNED]
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "| trained on | recipe | world | far |" in shown.out
    assert shown.out.splitlines()[-1] == str(out / "transfer.md")
    assert "far pgfa on world: describe query" in shown.err
    weights = str(out / "far" / "pgfa" / "weights.safetensors")
    test = ["evaluate", "--test", str(other_world), "--out", str(tmp_path / "given"), "--json", "--weights"]
    assert main([*test, weights, f"mine={weights}"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["name"] for row in rows] == ["pgfa", "mine"]
    assert main([*test, weights, weights]) == 2
    assert "two weight files would be called 'pgfa'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "evaluate needs a folder DESCRIBED"),
        (["--train", "a"], "needs --test, --out, --recipe too"),
        (["--test", "a", "--out", "b"], "needs --train and --recipe, or --weights too"),
        (["--test", "a", "--out", "b", "--weights", "w", "--recipe", "pgfa"], "needs --train too"),
        (["described", "--train", "a"], "either scores DESCRIBED folders"),
    ],
)
def test_which_form_of_evaluate_is_meant(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *arguments]) == 2
    assert message in capsys.readouterr().err
