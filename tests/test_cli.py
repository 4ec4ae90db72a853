"""The command, run as a user runs it: from a rendered world to a report, and what it says when something is wrong."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from occlureid import methods
from occlureid.cli import main
from occlureid.synthetic import WorldSettings, write_world

SMALL = [
    "--set", "initial_weights=none", "--set", "model.backbone=resnet10t", "--set", "model.size=[96,32]",
    "--set", "train.epochs=1", "--set", "train.batch_size=8", "--set", "train.workers=0", "--set", "train.accelerator=cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = WorldSettings(
        train_persons=6, test_persons=4, cameras=2, train_images=2, gallery_images=1, size=(96, 48)
    )
    return write_world(settings, tmp_path_factory.mktemp("cli") / "world")


@pytest.fixture(scope="module")
def trained(world: Path) -> Path:
    out = world.parent / "pgfa"
    assert main(["train", str(world), "--method", "pgfa", "--out", str(out), *SMALL]) == 0
    return out


@pytest.fixture(scope="module")
def described(world: Path, trained: Path) -> Path:
    out = trained / "described"
    assert main(["describe", str(world), "--weights", str(trained / "weights.safetensors"), "--out", str(out)]) == 0
    return out


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "occlureid.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "100"})


@pytest.mark.parametrize("command", ["synth", "train", "describe", "evaluate", "methods", "demo"])
def test_help_has_an_example(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"example:\n  occlureid {command}" in done.stdout


def test_help_version_and_nothing() -> None:
    assert run("--version").stdout.startswith("occlureid 0.")
    done = run()
    assert done.returncode == 2
    assert "describe" in done.stdout


def test_synth_writes_a_world_and_leaves_another_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--set", "train_persons=2", "--set", "test_persons=2", "--set", "cameras=2", "--set", "size=[64,32]"]
    config = tmp_path / "world.yaml"
    config.write_text("train_images: 1\ngallery_images: 1\n")
    assert main(["synth", str(tmp_path / "w"), "--config", str(config), *settings]) == 0
    assert len(list((tmp_path / "w" / "bounding_box_train").iterdir())) == 4
    assert main(["synth", str(tmp_path / "w"), "--set", "seed=5"]) == 3
    assert "other settings" in capsys.readouterr().err


def test_train_leaves_settings_and_weights(trained: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"settings.yaml", "weights.safetensors", "log.jsonl", "checkpoint.pt"} <= {p.name for p in trained.iterdir()}
    again = ["train", str(world), "--method", "pgfa", "--out", str(trained)]
    assert main([*again, *SMALL]) == 2  # a finished run is not overwritten without a word
    assert main([*again, *SMALL, "--resume"]) == 0
    assert "kept the last epoch" in capsys.readouterr().out


def test_train_on_held_out_persons_says_what_was_chosen(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = ["--set", "train.validation_fraction=0.4", "--set", "train.validate_every=1"]
    assert main(["train", str(world), "--method", "baseline", "--out", str(tmp_path / "b"), *SMALL, *extra]) == 0
    assert "chose epoch 1: mAP" in capsys.readouterr().out


def test_describe_does_not_overwrite_other_descriptors(
    world: Path, described: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(world), "--method", "pcb", "--out", str(tmp_path / "pcb"), *SMALL]) == 0
    command = [
        "describe",
        str(world),
        "--weights",
        str(tmp_path / "pcb" / "weights.safetensors"),
        "--out",
        str(described),
    ]
    assert main(command) == 2
    assert "holds descriptors by pgfa@" in capsys.readouterr().err


def test_evaluate_prints_writes_and_compares(
    described: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(described), "--report", str(tmp_path / "r.html")]) == 0
    shown = capsys.readouterr().out
    assert "mAP" in shown
    page = (tmp_path / "r.html").read_text()
    assert "rendered" in page
    assert "from random weights" in page
    figures = json.loads((tmp_path / "r.json").read_text())
    assert len(figures["runs"]) == 1
    assert main(["evaluate", str(described), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)["pgfa"]
    assert (
        main(["evaluate", str(described), "--json", "--set", "rule.visibility=ignore", "--set", "rule.global_weight=0"])
        == 0
    )
    changed = json.loads(capsys.readouterr().out)["pgfa"]
    assert plain["rule"]["visibility"] == "binary"
    assert (changed["rule"]["visibility"], changed["rule"]["global_weight"]) == ("ignore", 0)
    assert plain["provenance"]["training"]["initial_weights"] == "none"


def test_the_report_shows_sheets(
    trained: Path, world: Path, described: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheets, report = tmp_path / "sheets", ["evaluate", str(described), "--report", str(tmp_path / "r.html")]
    assert main([*report, "--sheets", str(sheets)]) == 2
    assert 'draw them with "occlureid figures"' in capsys.readouterr().err
    sheets.mkdir()
    Image.new("RGB", (60, 40), (200, 30, 30)).save(sheets / "parts.png")
    assert main([*report, "--sheets", str(sheets)]) == 0
    page = (tmp_path / "r.html").read_text()
    assert "What the methods see" in page
    assert 'alt="pgfa: Parts"' in page
    assert main([*report, "--sheets", str(sheets), str(sheets)]) == 2
    assert main(["evaluate", str(described), "--sheets", str(sheets)]) == 2


def test_a_shortlist_needs_local_vectors(
    world: Path, described: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(described), "--shortlist", "2"]) == 2
    weights, out = tmp_path / "gasm.safetensors", tmp_path / "described"
    methods.save(methods.create("gasm", 3, {"backbone": "resnet10t", "size": [64, 32]}), weights)
    assert main(["describe", str(world), "--weights", str(weights), "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(out), "--json", "--shortlist", "2"]) == 0
    (report,) = json.loads(capsys.readouterr().out).values()
    assert report["shortlist"] == 2


def test_methods_lists_and_explains(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods"]) == 0
    assert "pgfa" in capsys.readouterr().out
    assert main(["methods", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("| method |")
    assert main(["methods", "pgfa"]) == 0
    assert "balance = 0.2" in capsys.readouterr().out


WRONG: list[tuple[Sequence[str], int, str]] = [
    (["train", "{world}", "--out", "{tmp}/x"], 2, "train needs --recipe or --method"),
    (
        ["train", "{world}", "--recipe", "nothing", "--out", "{tmp}/x"],
        2,
        "no recipe and no file 'nothing'; recipes: baseline",
    ),
    (["train", "{world}", "--recipe", "pgfa", "--method", "pcb", "--out", "{tmp}/x"], 2, "is for method 'pgfa'"),
    (["train", "{world}", "--method", "pgfb", "--out", "{tmp}/x"], 2, "no method 'pgfb'"),
    (
        ["train", "{world}", "--method", "pgfa", "--out", "{tmp}/x", "--set", "train.epoch=3"],
        2,
        "did you mean 'epochs'",
    ),
    (["train", "{world}", "--method", "pgfa", "--out", "{tmp}/x", "--set", "epochs"], 2, "--set expects key=value"),
    (["train", "{tmp}/nowhere", "--method", "pgfa", "--out", "{tmp}/x"], 3, "nowhere"),
    (["train", "{world}", "--method", "pgfa", "--out", "{tmp}/x", "--layout", "rome"], 2, "no layout 'rome'"),
    (
        ["train", "{world}", "--method", "pgfa", "--out", "{tmp}/x", "--set", "initial_weights=w.pth"],
        4,
        "no file 'w.pth'",
    ),
    (["train", "{bare}", "--method", "pgfa", "--out", "{tmp}/x", "--set", "initial_weights=none"], 4, "keypoints"),
    (["describe", "{world}", "--weights", "{tmp}/w.safetensors", "--out", "{tmp}/d"], 4, "no weights there"),
    (["evaluate", "{tmp}"], 3, 'make it with "occlureid describe"'),
    (["evaluate", "{described}", "--set", "metric=cosine"], 2, "changes only the rule"),
    (["evaluate", "{described}", "--set", "rule=3"], 2, "for example rule.visibility=ignore; got 3"),
    (["evaluate", "{described}", "--set", "rule.metric=manhattan"], 3, "rule.metric must be one of"),
    (["evaluate", "{described}", "--report", "{tmp}/r.pdf"], 2, ".html"),
    (["methods", "nothing"], 2, "no method 'nothing'"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), WRONG, ids=[w[2] for w in WRONG])
def test_wrong_input_ends_with_one_clear_message(
    arguments: Sequence[str],
    code: int,
    message: str,
    world: Path,
    described: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for folder in ("bounding_box_train", "query", "bounding_box_test"):  # the same images, without cues
        (bare / folder).symlink_to(world / folder)
    places = {"world": world, "tmp": tmp_path, "described": described, "bare": bare}
    assert main([argument.format(**places) for argument in arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "x" / "weights.safetensors").exists()


def test_argparse_errors_exit_with_two() -> None:
    done = run("evaluate")
    assert done.returncode == 2
    assert "DESCRIBED" in done.stderr
