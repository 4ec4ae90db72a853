"""Descriptors of anyone: read from both forms of file, scored as they should be, refused by name where they are wrong."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from occlureid.benchmark import Benchmark
from occlureid.benchmark.external import read_descriptors
from occlureid.cli import main
from occlureid.errors import DataError
from occlureid.evaluation import evaluate
from occlureid.types import Descriptor
from tests.benchmark.conftest import command


def content(benchmark: Benchmark, parts: int = 0) -> dict[str, Any]:
    """Random descriptors of all query and gallery images, in an order of their own."""
    data = benchmark.world.dataset
    samples = [*data.gallery, *data.query]
    random = np.random.default_rng(7)
    random.shuffle(samples)  # type: ignore[arg-type]
    count = len(samples)
    found: dict[str, Any] = {
        "names": np.array([s.path.relative_to(data.root).as_posix() for s in samples]),
        "global": random.normal(size=(count, 5)).astype(np.float32),
    }
    if parts:
        found["local"] = random.normal(size=(count, parts, 3)).astype(np.float16)
        found["visibility"] = random.uniform(size=(count, parts))
    return found


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_both_forms_are_read_in_the_worlds_order(benchmark: Benchmark, tmp_path: Path, suffix: str) -> None:
    found = content(benchmark, parts=2)
    path = tmp_path / f"mine.{suffix}"
    if suffix == "npz":
        np.savez(path, **found)
    else:
        arrays = {name: array for name, array in found.items() if name != "names"}
        save_file(arrays, path, metadata={"names": json.dumps(found["names"].tolist())})
    described = read_descriptors(path, benchmark.world.dataset)
    rows = {name: row for row, name in enumerate(found["names"])}
    for descriptor, samples in (
        (described.query, described.query_samples),
        (described.gallery, described.gallery_samples),
    ):
        order = [rows[s.path.relative_to(benchmark.world.dataset.root).as_posix()] for s in samples]
        assert torch.equal(descriptor.global_, torch.from_numpy(found["global"][order]))
        assert torch.equal(descriptor.parts, torch.from_numpy(found["local"][order].astype(np.float32)))
        assert torch.equal(descriptor.visibility, torch.from_numpy(found["visibility"][order].astype(np.float32)))
    assert (described.rule.metric, described.rule.visibility) == ("cosine", "soft")
    assert read_descriptors(path, benchmark.world.dataset, "euclidean").rule.metric == "euclidean"


def test_names_may_begin_elsewhere_and_parts_without_visibility_are_visible(
    benchmark: Benchmark, tmp_path: Path
) -> None:
    found = content(benchmark, parts=2)
    del found["visibility"]
    found["names"] = np.array([f"/data/world/{name}" for name in found["names"]])
    np.savez(tmp_path / "a.npz", **found)
    assert bool((read_descriptors(tmp_path / "a.npz", benchmark.world.dataset).query.visibility == 1).all())


def test_the_files_own_rule_counts_unless_a_distance_is_given(benchmark: Benchmark, tmp_path: Path) -> None:
    found = content(benchmark, parts=2)
    path = tmp_path / "a.npz"
    np.savez(path, **found, rule=np.array(json.dumps({"global_weight": 0.0, "threshold": 0.25})))
    rule = read_descriptors(path, benchmark.world.dataset).rule
    assert (rule.global_weight, rule.threshold, rule.visibility) == (0.0, 0.25, "binary")
    assert read_descriptors(path, benchmark.world.dataset, "cosine").rule.global_weight == 1.0
    for text in ("[]", "{", '{"gamma": 1}', '{"spatial_weight": 0.5}'):
        np.savez(path, **found, rule=np.array(text))
        with pytest.raises(DataError, match=r"a\.npz: its rule"):
            read_descriptors(path, benchmark.world.dataset)


def wrong(found: dict[str, Any], how: str) -> dict[str, Any]:
    names, vectors = found["names"].astype("U200"), found["global"].copy()
    count = len(names)
    spoiled, huge = vectors.copy(), vectors.astype(np.float64)
    spoiled[2, 1], huge[2, 1] = np.nan, 1e300
    parts, visibility = np.ones((count, 2, 3)), np.ones((count, 2))
    changed: dict[str, Any] = {
        "unknown": {"names": np.array(["query/9999_c1s1_000000_01.jpg", *names[1:]])},
        "twice": {"names": np.array([names[1], *names[1:]])},
        "missing": {"names": names[1:], "global": vectors[1:]},
        "not finite": {"global": spoiled},
        "overflow": {"global": huge},
        "rows": {"global": vectors[:-1]},
        "dimensions": {"global": vectors[:, 0]},
        "complex": {"global": vectors.astype(np.complex64)},
        "visibility": {"local": parts, "visibility": visibility * 1.5},
        "visibility alone": {"visibility": visibility},
        "shapes": {"local": parts, "visibility": np.ones((count, 3))},
        "spatial alone": {"spatial": parts},
        "no vectors": {"global": None},
        "no names": {"names": None},
        "names of objects": {"names": names.astype(object)},
        "names of numbers": {"names": np.arange(count)},
    }[how]
    return {name: array for name, array in {**found, **changed}.items() if array is not None}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("unknown", r"1 of 24 names are no images of the benchmark's world: 'query/9999_c1s1_000000_01\.jpg'"),
        ("twice", "are the same image"),
        ("missing", "1 of 24 images of the benchmark are missing"),
        ("not finite", "global of '.*' is not finite"),
        ("overflow", "global of '.*' is not finite"),
        ("rows", "the first of the 24 names"),
        ("dimensions", "2 dimensions"),
        ("complex", "must hold numbers"),
        ("visibility", r"visibility must lie in \[0, 1\]"),
        ("visibility alone", "no local"),
        ("shapes", "visibility must be float of shape"),
        ("spatial alone", "spatial and saliency come together"),
        ("no vectors", "holds no global"),
        ("no names", "holds no names"),
        ("names of objects", "cannot be read as an .npz file of plain arrays"),
        ("names of numbers", "one text an image"),
    ],
)
def test_what_is_wrong_is_said_with_the_files_name(
    benchmark: Benchmark, tmp_path: Path, how: str, message: str
) -> None:
    path = tmp_path / "theirs.npz"
    np.savez(path, **wrong(content(benchmark), how))
    with pytest.raises(DataError, match=message) as error:
        read_descriptors(path, benchmark.world.dataset)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", [b"", b"PK\x03\x04rubbish", b"\x93NUMPY", b"\x80\x04cos\nsystem\n"])
@pytest.mark.parametrize("suffix", ["npz", "safetensors", "pkl"])
def test_rubbish_is_no_file_of_descriptors(benchmark: Benchmark, tmp_path: Path, suffix: str, text: bytes) -> None:
    path = tmp_path / f"rubbish.{suffix}"
    path.write_bytes(text)
    with pytest.raises(DataError, match="rubbish"):
        read_descriptors(path, benchmark.world.dataset)
    with pytest.raises(DataError, match="rubbish"):
        read_descriptors(tmp_path / f"no-rubbish.{suffix}", benchmark.world.dataset)


@pytest.mark.parametrize("names", ["3", '["a", 1]', "{", None])
def test_names_of_a_safetensors_file(benchmark: Benchmark, tmp_path: Path, names: str | None) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"global": np.ones((24, 2), np.float32)}, path, metadata=None if names is None else {"names": names})
    with pytest.raises(DataError, match="JSON list of texts"):
        read_descriptors(path, benchmark.world.dataset)


def test_descriptors_and_weights_stand_beside_the_methods(
    finished: Path, benchmark: Benchmark, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    found = content(benchmark)
    np.savez(tmp_path / "mine.npz", **found)
    assert main(command(out, "--descriptors", str(tmp_path / "mine.npz"))) == 0
    weights = str(finished / "baseline-1" / "weights.safetensors")
    assert main(command(out, "--weights", weights, "--name", "again")) == 0
    record = json.loads((out / "results.json").read_text())
    assert list(record["entries"]) == ["baseline", "pgfa", "again", "mine"]
    mine, again = record["entries"]["mine"], record["entries"]["again"]
    assert (mine["kind"], again["kind"], mine["file"]) == ("descriptors", "weights", "mine.npz")
    assert again["rank_1"]["mean"] == record["entries"]["baseline"]["rank_1"]["seeds"][1]
    rows = {name: row for row, name in enumerate(found["names"])}
    data = benchmark.world.dataset
    query, gallery = (
        Descriptor.from_vectors(
            torch.from_numpy(found["global"])[[rows[s.path.relative_to(data.root).as_posix()] for s in some]]
        )
        for some in (data.query, data.gallery)
    )
    described = read_descriptors(tmp_path / "mine.npz", data)
    report = evaluate((query, gallery), data.query, data.gallery, data.protocol, rule=described.rule)
    assert mine["mAP_hits"]["mean"] == pytest.approx(report.average_precision, abs=2e-6)
    pairs = [(row["of"], row["to"]) for row in record["differences"]]
    assert pairs == [("pgfa", "baseline"), ("again", "baseline"), ("mine", "baseline")]
    assert "mine" in (out / "visible.svg").read_text()
    capsys.readouterr()
    assert main(command(out, "--descriptors", str(tmp_path / "mine.npz"), "--name", "pgfa")) == 2
    assert "name of a method" in capsys.readouterr().err
    assert main(command(out, "--descriptors", str(tmp_path / "mine.npz"), "--name", "../mine")) == 2
    assert "a name has 1 to 64" in capsys.readouterr().err
