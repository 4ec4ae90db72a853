"""Erased means that the disk does not have it: the bytes of every file are searched."""

from pathlib import Path

import numpy as np
import pytest
import torch

from occlureid.gallery import maps, table
from occlureid.gallery.records import Item
from occlureid.gallery.store import Gallery
from occlureid.types import Descriptor
from tests.gallery.crops import FINGERPRINT, contents, new_gallery

LOCALS = 3


def marked(count: int, seed: int) -> tuple[list[Item], Descriptor, list[dict[str, bytes]]]:
    """Items of which every trace is random and long enough not to be met by chance, and those traces."""
    draw = np.random.default_rng(seed)
    given, traces = [], []
    tensors = {
        "global_": torch.from_numpy(draw.standard_normal((count, 16)).astype(np.float16)),
        "parts": torch.from_numpy(draw.standard_normal((count, 3, 8)).astype(np.float16)),
        "visibility": torch.from_numpy(draw.random((count, 3)).astype(np.float32)),
        "spatial": torch.from_numpy(draw.standard_normal((count, LOCALS, 4)).astype(np.float16)),
        "saliency": torch.from_numpy(draw.random((count, LOCALS)).astype(np.float32)),
    }
    for number in range(count):
        words = {name: draw.bytes(9).hex() for name in ("id", "person", "source", "camera")}
        picture = b"\xff\xd8\xff" + draw.bytes(300)
        box = tuple((draw.random(4) + np.array([0.0, 0.0, 1.0, 1.0])).tolist())
        given.append(Item(**words, time=1e9 + draw.random(), box=box, thumbnail=picture))
        trace = {name: word.encode() for name, word in words.items()} | {"thumbnail": picture[3:]}
        trace["box"] = np.array(box).tobytes()
        # a window of each tensor, because a file may cut a row in two
        trace |= {name: bytes(t[number].numpy().tobytes()[:12]) for name, t in tensors.items()}
        trace["start of picture"] = picture[3:40]
        traces.append(trace)
    return given, Descriptor(**tensors, fingerprint=FINGERPRINT), traces


def left(folder: Path, traces: list[dict[str, bytes]]) -> list[str]:
    files = contents(folder)
    return [
        f"{name} in {file}" for t in traces for name, trace in t.items() for file, raw in files.items() if trace in raw
    ]


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Gallery, list[Item], list[dict[str, bytes]]]:
    gallery = new_gallery(tmp_path / "gallery", spatial=True)
    given, vectors, traces = marked(12, seed=1)
    for start in range(0, 12, 4):
        gallery.add(given[start : start + 4], vectors[start : start + 4], by="test")
    return gallery, given, traces


def test_the_search_finds_what_is_there(filled: tuple[Gallery, list[Item], list[dict[str, bytes]]]) -> None:
    gallery, _, traces = filled
    for trace in traces:
        named = {one.split(" in ")[0] for one in left(Path(gallery.path), [trace])}
        assert named == set(trace)


@pytest.mark.parametrize("how", ["ids", "person", "removed before"])
def test_no_byte_is_left_of_what_was_erased(
    filled: tuple[Gallery, list[Item], list[dict[str, bytes]]], how: str
) -> None:
    gallery, given, traces = filled
    gone = [5]
    if how == "ids":
        gone = [0, 5, 8, 9, 10, 11]  # parts of two files, and the whole of the third
        assert gallery.erase(ids=[given[i].id for i in gone], by="test") == 6
    elif how == "person":
        assert gallery.erase(person=given[5].person, by="test") == 1
    else:
        gallery.remove([given[5].id], by="test")
        assert left(Path(gallery.path), [traces[5]])
        assert gallery.erase(ids=[given[5].id], by="test") == 0
    kept = [i for i in range(12) if i not in gone]
    assert left(Path(gallery.path), [traces[i] for i in gone]) == []
    for i in kept:  # the search would still find them: nothing is compressed out of its sight
        assert {one.split(" in ")[0] for one in left(Path(gallery.path), [traces[i]])} == set(traces[i])
    assert gallery.get([given[i].id for i in kept]) == [given[i] for i in kept]
    assert len(gallery.spatial([given[i].id for i in kept])) == len(kept)
    assert gallery.erase(ids=[given[i].id for i in kept], by="test") == len(kept)
    assert left(Path(gallery.path), traces) == []


def test_one_row_of_a_full_file_is_erased_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "ROWS_PER_FILE", 4)
    gallery = new_gallery(tmp_path / "gallery", spatial=True)
    given, vectors, traces = marked(8, seed=4)
    gallery.add(given, vectors, by="test")
    gallery.erase(ids=[given[2].id], by="test")
    assert left(tmp_path / "gallery", [traces[2]]) == []
    assert len(gallery) == 7


def test_what_expires_is_erased(tmp_path: Path) -> None:
    given, vectors, traces = marked(4, seed=2)
    gallery = new_gallery(tmp_path / "gallery", spatial=True, retention=100.0, clock=lambda: 1e9 + 50)
    gallery.add(given, vectors, by="test")
    assert gallery.expire(1e9 + 102, by="test", sure=True) == 4
    assert left(tmp_path / "gallery", traces) == []


def test_what_an_interrupted_writer_left_is_erased_too(
    filled: tuple[Gallery, list[Item], list[dict[str, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery, given, traces = filled
    late, vectors, late_traces = marked(2, seed=3)

    class Killed(BaseException):
        pass

    def kill(*_: object) -> int:
        raise Killed

    folder = Path(gallery.path)
    # killed when the maps are in and the items are written, but not committed
    with monkeypatch.context() as patch:
        patch.setattr(gallery._items, "_commit", kill)
        with pytest.raises(Killed):
            gallery.add(late, vectors, by="test")
    assert len(gallery) == 12
    for trace in late_traces:
        assert {one.split(" in ")[0] for one in left(folder, [trace])} == set(trace)
    # the same again is added whole, and nothing of it twice
    assert gallery.add(late[:1], vectors[:1], by="test").added == 1
    assert isinstance(gallery._maps, maps.Maps)
    assert gallery._maps.table.select(["id"]).column("id").to_pylist().count(late[0].id) == 1
    # killed between deleting the items and anything else
    with monkeypatch.context() as patch:
        patch.setattr(gallery._maps, "delete", kill)
        with pytest.raises(Killed):
            gallery.erase(ids=[given[1].id], by="test")
    gallery.erase(ids=[given[2].id], by="test")
    assert left(folder, [late_traces[1], traces[1], traces[2]]) == []
    assert len(gallery) == len(gallery.spatial([i.id for i in gallery.items()])) == 11
