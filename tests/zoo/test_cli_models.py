"""The commands: models, release, and describe, figures, galleries and cues with models by their names."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from occlureid.cli import main
from occlureid.described import Described
from occlureid.zoo import load, read_record


def test_models_are_listed_and_shown(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["model", "task", "method", "parameters", "size", "MB", "score", "licence"]
    assert table[4].startswith("sorn-tiny       embedder (default)   sorn")
    assert " ".join(table[4].split()).endswith("rank_1 25.0 % MIT")
    assert main(["models", "sorn-tiny"]) == 0
    assert capsys.readouterr().out == (shipped / "sorn-tiny.md").read_text()
    assert main(["models", "sorn-tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_record("sorn-tiny").to_dict()
    assert main(["models", "--json"]) == 0
    assert [record["name"] for record in json.loads(capsys.readouterr().out)][-1] == "sorn-tiny"
    assert main(["models", "sorn"]) == 2
    assert "did you mean 'sorn-tiny'?" in capsys.readouterr().err


def test_looking_at_models_loads_no_torch() -> None:
    check = "import sys; from occlureid.cli import main; main(['models']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False, capture_output=True).returncode == 0


def test_release_writes_file_record_and_card(
    runs: Path, rendered_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "scores.json"
    scores.write_text('{"rank_1": 0.5, "mAP": 0.25}')
    arguments = [
        "release", str(runs / "sorn"), "tiny", "--folder", str(tmp_path / "zoo"), "--summary", "for a test", "--world",
        str(rendered_world), "--world", str(rendered_world), "--score", f"another world = 3={scores}", "--made-with",
        "occlureid train", "--not-tried", "photographs", "--not-tried", "other seeds", "--default",
    ]  # fmt: skip
    assert main(arguments) == 0
    assert "tiny.md: read the card" in capsys.readouterr().out
    record = load("tiny", folder=tmp_path / "zoo").record
    assert (record.data.images, record.data.persons, record.default) == (16, 4, True)
    assert record.data.worlds[1]["seed"] == 3
    assert (record.scores[0].measured_on, record.scores[0].values["mAP"]) == ("another world = 3", 0.25)
    assert record.not_tried == ("photographs", "other seeds")
    assert main(arguments) == 2
    assert "a model 'tiny' already" in capsys.readouterr().err
    assert main([*arguments, "--overwrite", "--images", "900", "--score", "x"]) == 2
    assert "--score expects two texts around =" in capsys.readouterr().err
    scores.write_text('{"rank_1": "high"}')
    assert main([*arguments, "--overwrite"]) == 3
    assert "must be names and numbers" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_images_are_described_into_one_file_offline(
    shipped: Path, rendered_world: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"described{suffix}"
    command = ["describe", str(rendered_world / "query"), str(rendered_world / "bounding_box_test"), "--out", str(out)]
    assert main(command) == 0
    queries = sorted((rendered_world / "query").iterdir())
    paths = [*queries, *sorted((rendered_world / "bounding_box_test").iterdir())]
    if suffix == ".npz":
        with np.load(out, allow_pickle=False) as file:
            names, arrays = file["names"].tolist(), {name: file[name] for name in ("global", "local", "visibility")}
            fingerprint, rule = str(file["fingerprint"]), json.loads(str(file["rule"]))
    else:
        with safe_open(out, framework="np") as file:
            metadata = file.metadata()
            names, fingerprint, rule = (
                json.loads(metadata["names"]),
                metadata["fingerprint"],
                json.loads(metadata["rule"]),
            )
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert names == [path.relative_to(rendered_world).as_posix() for path in paths]
    model = load()
    found = model.describe(paths[:2])
    assert np.allclose(arrays["global"][:2], found.global_.numpy(), atol=1e-5)
    assert np.allclose(arrays["local"][:2], found.parts.numpy(), atol=1e-5)
    assert arrays["visibility"].shape == (len(paths), 3)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert (fingerprint, rule) == (found.fingerprint, model.rule.to_json())
    assert main(command) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["describe", str(queries[0]), "--out", str(out), "--overwrite"]) == 0


def test_the_benchmark_reads_what_describe_writes(shipped: Path, rendered_world: Path, tmp_path: Path) -> None:
    from occlureid.benchmark.external import read_descriptors
    from occlureid.data import open_dataset

    assert main(["describe", str(rendered_world), "--out", str(tmp_path / "x.safetensors")]) == 0
    dataset = open_dataset(rendered_world)
    found = read_descriptors(tmp_path / "x.safetensors", dataset)
    expected = load().describe([sample.path for sample in dataset.query])
    assert np.allclose(found.query.global_, expected.global_, atol=1e-5)


def test_unreadable_images_are_named(
    shipped: Path, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "crops"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(pictures[0].read_bytes())
    (folder / "b.jpg").write_bytes(b"no image")
    out = tmp_path / "x.npz"
    assert main(["describe", str(folder), "--out", str(out)]) == 3
    assert main(["describe", str(folder), "--out", str(out), "--on-corrupt", "skip"]) == 0
    assert "left out, unreadable" in capsys.readouterr().err
    with np.load(out) as file:
        assert file["names"].tolist() == ["a.jpg"]


def test_a_dataset_is_described_by_name_and_with_the_packages_cues(
    shipped: Path, rendered_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (bare / name).symlink_to(rendered_world / name)
    assert main(["describe", str(bare), "--weights", "pgfa-tiny", "--out", str(tmp_path / "d")]) == 0
    described = Described.load(tmp_path / "d")
    assert described.record["method"] == "pgfa"
    assert [one["name"] for one in described.record["cue_networks"]] == ["landmarks"]
    model = load("pgfa-tiny")
    expected = model.describe([sample.path for sample in described.query_samples])
    assert np.allclose(described.query.global_, expected.global_, atol=1e-5)
    ray = ["describe", str(bare), "--cues", "landmarks-tiny", "--out", str(tmp_path / "e"), "--ray", "auto"]
    assert main(ray) == 2
    assert "occlureid cues" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["describe", "{world}", "--weights", "sorn-tni", "--out", "{tmp}/x.npz"], 2, "no model 'sorn-tni'"),
        (["describe", "{world}", "{world}", "--out", "{tmp}/x"], 2, "a folder --out is for one dataset, got 2"),
        (["describe", "{world}", "--out", "{tmp}/x.npz", "--layout", "auto"], 2, "go with a dataset"),
        (["describe", "{tmp}/gone", "--out", "{tmp}/x.npz"], 3, "no such image or folder"),
        (["describe", "{world}", "--cues", "sorn-tiny", "--out", "{tmp}/x.npz"], 2, "cues come from a parser"),
        (["serve", "{tmp}/galleries", "--weights", "pgfa-tiny", "--cues", "sorn-tiny"], 2, "cues come from a parser"),
        (["cues", "parsing", "{world}", "--provider", "sorn-tiny", "--out", "{tmp}/c"], 3, "not a human parser"),
    ],
)
def test_wrong_calls(
    arguments: list[str], code: int, message: str, shipped: Path, rendered_world: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main([part.format(world=rendered_world, tmp=tmp_path) for part in arguments]) == code
    assert message in capsys.readouterr().err


def test_galleries_figures_and_cues_take_names(
    shipped: Path, rendered_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery, crops = str(tmp_path / "g"), tmp_path / "crops"
    crops.mkdir()
    for path in sorted((rendered_world / "query").iterdir())[:3]:
        (crops / path.name).write_bytes(path.read_bytes())
    assert main(["gallery", "create", gallery, "--weights", "pgfa-tiny"]) == 0
    assert main(["gallery", "add", gallery, str(crops), "--weights", "pgfa-tiny"]) == 0
    assert "3 items added" in capsys.readouterr().out
    first = next(iter(sorted(crops.iterdir())))
    search = ["gallery", "search", gallery, str(first), "--weights", "pgfa-tiny", "--cues", "landmarks-tiny"]
    assert main([*search, "--json"]) == 0
    assert first.name in capsys.readouterr().out
    figures = ["figures", str(rendered_world), "--weights", "sorn-tiny", "--out", str(tmp_path / "f"), "--count", "2"]
    assert main(figures) == 0
    assert (tmp_path / "f" / "parts.png").is_file()
    assert main(["cues", "parsing", str(crops), "--provider", "parser-tiny", "--out", str(tmp_path / "c")]) == 0
    assert main(["cues", "pose", str(crops), "--provider", "landmarks-tiny", "--out", str(tmp_path / "c")]) == 0
    assert len(list((tmp_path / "c" / "pose").glob("*.json"))) >= 3
