"""Describing on a cluster gives what one machine gives, whoever dies on the way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from occlureid import methods
from occlureid.arithmetic import FORCE
from occlureid.cli import main
from occlureid.data import ReidDataset
from occlureid.described import Described, describe_dataset
from occlureid.errors import DataError, UsageError
from occlureid.scaleout import describe_on_ray
from occlureid.scaleout.chunks import Chunk, ChunkFolder, join_descriptors
from occlureid.types import Descriptor, Protocol
from tests.scaleout.conftest import RAY_WARNINGS, add_node
from tests.scaleout.fatal_method import FatalMethod
from tests.tiny_method import Config, make_samples

pytestmark = RAY_WARNINGS

Bar = Callable[[str], Callable[[int, int], None]]


@pytest.fixture
def dataset(tmp_path: Path) -> ReidDataset:
    root = tmp_path / "images"
    query = make_samples(root / "query", 3, 2)
    gallery = make_samples(root / "gallery", 8, 3)
    return ReidDataset("tiny", root, (), tuple(query), tuple(gallery), Protocol("tiny"))


@pytest.fixture
def method(tmp_path: Path) -> FatalMethod:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        found = FatalMethod(Config(), 3).eval()
    found.account = tmp_path / "account"
    found.account.mkdir()
    return found


def described_images(method: FatalMethod) -> int:
    assert method.account is not None
    return sum(int(path.read_text()) for path in method.account.iterdir())


def same(folder: Path, wanted: Described) -> None:
    found = Described.load(folder)
    for name in ("query", "gallery"):
        mine, other = getattr(found, name), getattr(wanted, name)
        assert torch.equal(mine.global_, other.global_)
        assert torch.equal(mine.visibility, other.visibility)
        assert mine.parts.shape == other.parts.shape
        assert mine.fingerprint == other.fingerprint
        assert getattr(found, f"{name}_samples") == getattr(wanted, f"{name}_samples")
    assert found.record == json.loads(json.dumps(wanted.record))
    assert (found.rule, found.protocol, found.regions) == (wanted.rule, wanted.protocol, wanted.regions)
    assert sorted(p.name for p in folder.iterdir()) == ["described.json", "gallery.safetensors", "query.safetensors"]


def test_a_worker_and_a_node_die_and_each_image_is_there_once(
    connected: Any, dataset: ReidDataset, method: FatalMethod, tmp_path: Path
) -> None:
    wanted = describe_dataset(method, dataset, batch_size=2)
    method.fatal = tmp_path / "fatal"
    method.fatal.touch()
    alive = list(connected.worker_nodes)
    seen: list[tuple[str, int, int]] = []

    def bar(split: str) -> Callable[[int, int], None]:
        def show(done: int, of: int) -> None:
            if not seen:
                connected.remove_node(alive[0], allow_graceful=False)
            seen.append((split, done, of))

        return show

    out = describe_on_ray(method, dataset, tmp_path / "out", batch_size=2, batches=1, bar=bar)
    add_node(connected)
    assert not method.fatal.exists()
    same(out, wanted)
    assert len(seen) == 3 + 12
    assert {s: max(d for n, d, _ in seen if n == s) for s in ("query", "gallery")} == {"query": 6, "gallery": 24}


def test_what_is_done_is_not_done_again(
    connected: Any, dataset: ReidDataset, method: FatalMethod, tmp_path: Path
) -> None:
    class Interrupted(Exception):
        pass

    def bar(split: str) -> Callable[[int, int], None]:
        def show(done: int, of: int) -> None:
            if split == "gallery" and done >= 12:
                raise Interrupted

        return show

    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        describe_on_ray(method, dataset, out, batch_size=2, batches=2, bar=bar)
    chunks = next(out.glob("chunks-*"))
    kept = sum(len(json.loads(p.read_text())["kept"]) for p in chunks.glob("*-*.json"))
    assert kept >= 12
    with pytest.raises(UsageError, match="another"):
        describe_on_ray(method, dataset, out, batch_size=3, batches=2)
    before = described_images(method)
    describe_on_ray(method, dataset, out, batch_size=2, batches=2)
    # a chunk in the air at the interruption may have been finished afterwards
    assert described_images(method) - before <= 30 - kept
    again = described_images(method)
    describe_on_ray(method, dataset, out, batch_size=2, batches=2, address="nowhere:1")
    assert described_images(method) == again
    same(out, describe_dataset(method, dataset, batch_size=2))


def test_unreadable_images_are_left_out_or_fatal(
    connected: Any, dataset: ReidDataset, method: FatalMethod, tmp_path: Path
) -> None:
    for sample in dataset.gallery[4:9]:
        sample.path.write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read as an image"):
        describe_on_ray(method, dataset, tmp_path / "out", batch_size=2, batches=2)
    with pytest.raises(UsageError, match="chunks of other"):
        describe_on_ray(method, dataset, tmp_path / "out", batch_size=2, batches=2, on_corrupt="skip")
    out = describe_on_ray(method, dataset, tmp_path / "out", batch_size=2, batches=2, on_corrupt="skip", overwrite=True)
    same(out, describe_dataset(method, dataset, batch_size=2, on_corrupt="skip"))


def described_piece(count: int, seed: int, kind: torch.dtype) -> Descriptor:
    random = torch.Generator().manual_seed(seed)
    parts, spatial = torch.randn(count, 3, 4, generator=random), torch.randn(count, 5, 2, generator=random)
    return Descriptor(
        torch.randn(count, 6, generator=random).to(kind), parts.to(kind), torch.rand(count, 3, generator=random),
        spatial.to(kind), torch.rand(count, 5, generator=random), "model",
    )  # fmt: skip


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_joined_descriptors_are_those_of_the_pieces(kind: torch.dtype, tmp_path: Path) -> None:
    pieces = [described_piece(count, count, kind) for count in (3, 1, 2)]
    paths = []
    for number, piece in enumerate(pieces):
        paths.append((tmp_path / f"{number}", len(piece)))
        piece.save(paths[-1][0])
    join_descriptors(paths, tmp_path / "joined")
    Descriptor.cat(pieces).save(tmp_path / "wanted")
    found, wanted = Descriptor.load(tmp_path / "joined"), Descriptor.load(tmp_path / "wanted")
    for name in ("global_", "parts", "visibility", "spatial", "saliency"):
        assert torch.equal(getattr(found, name), getattr(wanted, name))
    assert found.fingerprint == "model"

    described_piece(2, 1, torch.float64).save(tmp_path / "1")
    with pytest.raises(DataError, match="do not go with"):
        join_descriptors(paths, tmp_path / "joined")


def test_damaged_chunks_count_as_missing(tmp_path: Path) -> None:
    folder, chunk = ChunkFolder(tmp_path, {"job": 1}), Chunk("gallery", 3, 10, 14)
    folder.begin(overwrite=False)
    assert folder.read(chunk) is None
    record = folder.write(chunk, described_piece(2, 0, torch.float32), [10, 12], 0)
    assert folder.read(chunk) == record
    path = folder.descriptors(chunk)
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    assert folder.read(chunk) is None
    path.write_bytes(b"\xff" * len(good))  # of the right size: noticed when they are joined
    assert folder.read(chunk) == record
    folder.discard_if_damaged(chunk, record)
    assert folder.read(chunk) is None
    folder.write(chunk, described_piece(2, 0, torch.float32), [10, 14], 0)  # 14 is the next chunk's
    assert folder.read(chunk) is None
    (folder.path / "gallery-00000003.json").write_text("[]")
    assert folder.read(chunk) is None


def test_the_command_line_describes_on_the_cluster(
    connected: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "market"
    for folder, camera in (("bounding_box_train", 1), ("query", 1), ("bounding_box_test", 2)):
        (root / folder).mkdir(parents=True)
        for person in (1, 2, 3):
            picture = Image.new("RGB", (32, 64), (80 * person, 40 * camera, 90))
            picture.save(root / folder / f"{person:04d}_c{camera}s1_{person:06d}_00.jpg")
    weights = tmp_path / "weights.safetensors"
    methods.save(methods.create("baseline", 3, {"backbone": "resnet10t", "size": [64, 32]}), weights)
    command = ["describe", str(root), "--layout", "market1501", "--weights", str(weights), "--out"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as on the nodes
    try:
        assert main([*command, str(tmp_path / "here")]) == 0
    finally:
        torch.set_num_threads(threads)
    assert main([*command, str(tmp_path / "there"), "--ray", "auto"]) == 0
    same(tmp_path / "there", Described.load(tmp_path / "here"))
    assert main([*command, str(tmp_path / "third"), "--ray", "auto", "--workers", "2"]) == 2
    assert "the cluster's processes do" in capsys.readouterr().err


def test_auto_goes_on_with_what_was_begun(connected, dataset, method, tmp_path, monkeypatch) -> None:
    """A job begun where "auto" is bfloat16 goes on in it where "auto" is float32; overwriting chooses anew."""
    monkeypatch.setenv(FORCE, "bfloat16")
    out = describe_on_ray(method, dataset, tmp_path / "out", address=connected.address, precision="auto")
    assert Described.load(out).record["precision"] == "bfloat16"
    monkeypatch.setenv(FORCE, "float32")
    before = (out / "described.json").stat().st_mtime_ns
    describe_on_ray(method, dataset, out, address=connected.address, precision="auto")
    assert (out / "described.json").stat().st_mtime_ns == before
    describe_on_ray(method, dataset, out, address=connected.address, precision="auto", overwrite=True)
    assert Described.load(out).record["precision"] == "float32"
    same(out, describe_dataset(method, dataset))
