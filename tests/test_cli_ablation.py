"""The commands for ablation tables, parsers and figures, run as a user runs them."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from occlureid.cli import main
from occlureid.cues import PartFolder
from occlureid.data import open_dataset
from occlureid.parsing import load_parser

SMALL = [
    "--set", "initial_weights=none", "--set", "model.backbone=resnet10t", "--set", "model.size=[64,32]",
    "--set", "train.epochs=1", "--set", "train.batch_size=4", "--set", "train.workers=0", "--set", "train.accelerator=cpu",
    "--set", "train.warmup_epochs=0", "--set", "train.milestones=[]",
]  # fmt: skip


@pytest.mark.parametrize("command", ["ablate", "train-parser", "figures"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert f"example:\n  occlureid {command}" in capsys.readouterr().out


def test_ablate_lists_and_runs(
    rendered_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where OpenPose's files would be looked for
    out = tmp_path / "out"
    command = ["ablate", str(rendered_world), "ablations/pgfa/table5-alphapose-pgfa", "--out", str(out), *SMALL]
    assert main([*command, "--list"]) == 0
    assert capsys.readouterr().out == "1 training for 1 row\npgfa (pgfa)\n  Table 5: AlphaPose, PGFA\n"
    assert not out.exists()
    command.insert(3, "ablations/pgfa/table5-openpose-pgfa")
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "table5-openpose-pgfa could not be run: the cue 'keypoints' needs openpose/pose" in printed.err
    assert "| AlphaPose, PGFA (reference) |" in printed.out
    assert (
        "| OpenPose, PGFA | not run: the cue 'keypoints' needs openpose/pose, which is not there | 49.1 |"
        in printed.out
    )
    assert printed.out.splitlines()[-1] == str(out / "ablation.md")
    assert json.loads((out / "ablation.json").read_text())["changes"]["model"]["size"] == [64, 32]
    # a setting of another method, said before anything is trained
    assert main([*command, "--set", "model.channel_sets=2"]) == 2
    assert "channel_sets" in capsys.readouterr().err


def test_ablate_runs_shares_of_the_trainings(
    rendered_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["ablations/pgfa/table5-alphapose-pgfa", "ablations/pgfa/table5-alphapose-no-global"]
    out = tmp_path / "out"
    command = ["ablate", str(rendered_world), *rows, "--out", str(out), *SMALL]
    for index in (1, 2):
        assert main([*command, "--shard", f"{index}/2", "--list"]) == 0
        assert capsys.readouterr().out.startswith("1 training for 1 row")
        assert main([*command, "--shard", f"{index}/2"]) == 0
        printed = capsys.readouterr().out
        assert printed == f"share {index}/2 is done; once all are, the same call without --shard writes the tables\n"
        assert len(list(out.glob("*/weights.safetensors"))) == len(list(out.iterdir())) == index
    made = {path: path.stat().st_mtime_ns for path in out.rglob("weights.safetensors")}
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "ablation.md")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("weights.safetensors")} == made
    assert main([*command, "--shard", "3/2"]) == 2
    assert "such as 1/2 and 2/2" in capsys.readouterr().err


def test_a_parser_is_trained_and_gives_cues(
    rendered_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "parser"
    command = [
        "train-parser", str(rendered_world), "--small", "--out", str(out), "--set", "train.epochs=1", "--set", "train.workers=0",
        "--set", "train.batch_size=4", "--set", "parser.size=[64,32]", "--set", "parser.width=16",
        "--set", "train.warmup_epochs=0", "--set", "train.accelerator=cpu",
    ]  # fmt: skip
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "pixel accuracy" in printed
    assert printed.splitlines()[-1] == str(out / "parser.safetensors")
    assert load_parser(out / "parser.safetensors").settings.architecture == "light"  # --small, under what --set says
    assert main(command) == 2  # a finished run is not overwritten without a word
    assert main([*command, "--resume"]) == 0
    bare = tmp_path / "bare"
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        shutil.copytree(rendered_world / folder, bare / folder)
    capsys.readouterr()
    assert main(["cues", "parsing", str(bare), "--provider", str(out / "parser.safetensors")]) == 0
    source = PartFolder(bare / "parts", bare, {"part_map"}, grouping="sgam5")
    for sample in open_dataset(bare, "market1501").query:
        with Image.open(sample.path) as image:
            size = (image.height, image.width)
        assert tuple(source(sample, size).require("part_map").shape) == (4, *size)
    assert main(["train-parser", str(tmp_path), "--out", str(tmp_path / "x")]) == 3
    assert main(["cues", "parsing", str(bare), "--provider", str(tmp_path / "none.safetensors")]) == 4
    capsys.readouterr()
    assert main(["cues", "parsing", str(bare), "--provider", "parser"]) == 2
    assert "or a file .safetensors of train-parser" in capsys.readouterr().err
    assert main(["cues", "pose", str(bare), "--provider", str(out / "parser.safetensors")]) == 3
    assert "not a landmark network" in capsys.readouterr().err


def test_figures_are_drawn(rendered_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = {}
    for method, more in (
        ("sorn", ["--set", "model.set_channels=4", "--set", "model.semantic_channels=8"]),
        ("baseline", []),
    ):
        out = tmp_path / method
        assert main(["train", str(rendered_world), "--method", method, "--out", str(out), *SMALL, *more]) == 0
        weights[method] = str(out / "weights.safetensors")
    capsys.readouterr()
    out = tmp_path / "figures"
    command = ["figures", str(rendered_world), "--out", str(out), "--count", "2", "--weights"]
    assert main([*command, weights["sorn"], "--set", "model.threshold=0.5"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(out / "parts.png"), str(out / "attention.png")]
    with Image.open(out / "parts.png") as sheet:
        assert sheet.height > 192
    assert main([*command, weights["baseline"]]) == 2
    assert "nothing to draw" in capsys.readouterr().err
