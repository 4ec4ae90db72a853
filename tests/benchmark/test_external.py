"""Descriptors of anyone: read from both forms of file, scored as they should be, refused by name where they are wrong."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from occlureid.benchmark import Benchmark, open_benchmark
from occlureid.benchmark.external import read_descriptors
from occlureid.benchmark.pieces import Piece, Pieces
from occlureid.cli import main
from occlureid.errors import BusyError, DataError
from occlureid.evaluation import evaluate
from occlureid.gallery.lock import only_writer
from occlureid.types import Descriptor
from tests.benchmark.conftest import command, settings


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


def hostile(path: Path, how: str) -> None:
    """An .npz file that is wrong in its own way."""
    if how == "one array":
        with path.open("wb") as file:
            np.save(file, np.ones((3, 2)))
        return
    if how == "no arrays inside":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("names", "query/0251_c1s1_300000_01.jpg")
        return
    if how == "a header that is not one":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("names.npy", b"\x93NUMPY\x01\x00\x14\x00{'descr': '''abc(    ")
        return
    np.savez_compressed(path, names=np.array(["name" * 10] * 100))
    content = bytearray(path.read_bytes())
    if how == "damaged stream":
        start = content.find(b"names.npy") + 30
        content[start : start + 20] = b"\xff" * 20
    else:
        content[6] |= 1
        content[content.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("one array", "a single array"),
        ("no arrays inside", "names is not an array"),
        ("a header that is not one", "cannot be read as an .npz file"),
        ("damaged stream", "cannot be read as an .npz file"),
        ("encrypted", "encrypted"),
    ],
)
def test_a_hostile_npz_file_is_refused_by_name(benchmark: Benchmark, tmp_path: Path, how: str, message: str) -> None:
    path = tmp_path / "theirs.npz"
    hostile(path, how)
    with pytest.raises(DataError, match=message) as error:
        read_descriptors(path, benchmark.world.dataset)
    assert str(path) in str(error.value)


def test_what_unpacks_to_far_more_than_it_is_stays_packed(
    benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, **{**content(benchmark), "local": np.zeros((24, 50, 1000), np.float32)})
    assert read_descriptors(path, benchmark.world.dataset).query.parts.shape[1:] == (50, 1000)
    monkeypatch.setattr("occlureid.benchmark.external._HARMLESS", 1000)
    with pytest.raises(DataError, match=r"bomb\.npz: would unpack to 4,8\d\d,\d\d\d bytes"):
        read_descriptors(path, benchmark.world.dataset)


def test_complex_numbers_of_a_safetensors_file_are_refused(benchmark: Benchmark, tmp_path: Path) -> None:
    found = content(benchmark)
    path = tmp_path / "a.safetensors"
    tensor = torch.complex(*(torch.from_numpy(found["global"]),) * 2)
    save_tensors({"global": tensor}, path, metadata={"names": json.dumps(found["names"].tolist())})
    with pytest.raises(DataError, match="global must hold numbers, got complex64"):
        read_descriptors(path, benchmark.world.dataset)


@pytest.mark.parametrize("names", ["3", '["a", 1]', "{", None])
def test_names_of_a_safetensors_file(benchmark: Benchmark, tmp_path: Path, names: str | None) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"global": np.ones((24, 2), np.float32)}, path, metadata=None if names is None else {"names": names})
    with pytest.raises(DataError, match="JSON list of texts"):
        read_descriptors(path, benchmark.world.dataset)


def test_two_processes_do_not_write_the_same_piece_at_a_time(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    benchmark = open_benchmark(out, settings())
    np.savez(tmp_path / "mine.npz", **content(benchmark))
    written: list[str] = []

    def write(self: Pieces, piece: Piece) -> None:
        with pytest.raises(BusyError), only_writer(out, 0.0):
            pass
        written.append(piece.name)

    monkeypatch.setattr(Pieces, "write", write)
    benchmark.add_descriptors(tmp_path / "mine.npz")
    benchmark.add_weights(finished / "baseline-1" / "weights.safetensors", "again")
    assert written == ["other-mine", "other-again"]


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
