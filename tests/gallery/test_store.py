"""A gallery on disk: what goes in comes out, once, and readers go on."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from occlureid.errors import BusyError, DataError, FingerprintError, ShapeError, UsageError
from occlureid.gallery import store, table, writing
from occlureid.gallery.records import Filter, Item
from occlureid.gallery.store import Gallery
from occlureid.matching import MatchRule
from tests.gallery.crops import GLOBAL, NOW, descriptor, item, items, new_gallery


def ids(gallery: Gallery) -> list[str]:
    return [one.id for one in gallery.items()]


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    given, vectors = items(0, 25), descriptor(25, local=5)
    gallery = new_gallery(tmp_path / "gallery", spatial=True)
    result = gallery.add(given, vectors, by="test")
    assert (result.added, result.present, result.version) == (25, 0, gallery.version)
    for reader in (gallery, Gallery.open(tmp_path / "gallery")):
        assert len(reader) == 25
        assert reader.get([one.id for one in reversed(given)]) == given[::-1]
        assert reader.items() == [replace(one, thumbnail=None) for one in given]
        assert reader.items(limit=3, offset=4) == reader.items()[4:7]
        assert [reader.thumbnail(one.id) for one in given[:6]] == [one.thumbnail for one in given[:6]]
        order = [7, 3, 24]
        back = reader.spatial([given[i].id for i in order])
        assert torch.equal(back.global_, vectors.global_[order].half())
        assert torch.equal(back.parts, vectors.parts[order].half())
        assert torch.equal(back.visibility, vectors.visibility[order])  # exact: a threshold decides as before
        assert back.spatial is not None
        assert vectors.spatial is not None
        assert torch.equal(back.spatial, vectors.spatial[order].half())
        assert back.saliency is not None
        assert vectors.saliency is not None
        assert torch.equal(back.saliency, vectors.saliency[order])
        back.check_same_model(vectors)
        taken = reader.take(reader.columns().rows[order])
        assert taken.columns.ids.to_pylist() == [given[i].id for i in order]
        assert torch.equal(taken.descriptor.global_, back.global_)
        assert (reader.rule, reader.fingerprint) == (gallery.rule, gallery.fingerprint)


def test_vectors_without_parts(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery", parts=0, part_size=0)
    vectors = type(descriptor(1)).from_vectors(torch.randn(4, GLOBAL), descriptor(1).fingerprint)
    gallery.add(items(0, 4), vectors, by="test")
    (block,) = gallery.blocks()
    assert block.descriptor.parts.shape == (4, 0, 1)
    assert torch.equal(block.descriptor.global_, vectors.global_.half())


def test_adding_again_changes_nothing(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery", spatial=True)
    gallery.add(items(0, 6), descriptor(6, local=2), by="test")
    other = [replace(one, camera="elsewhere") for one in items(3, 9)]
    result = gallery.add(other, descriptor(6, seed=1, local=2), by="test")
    assert (result.added, result.present) == (3, 3)
    version = gallery.version
    assert gallery.add(other, descriptor(6, seed=1, local=2), by="test").added == 0
    assert gallery.add([], descriptor(0, local=2), by="test").added == 0
    assert gallery.version == version
    assert gallery.get([item(5).id]) == [item(5)]
    assert torch.equal(gallery.descriptor([item(5).id]).global_, descriptor(6).global_[5:].half())
    assert gallery.get([item(8).id])[0].camera == "elsewhere"


def test_removed_and_added_again(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery", spatial=True)
    gallery.add(items(0, 6), descriptor(6, local=2), by="test")
    assert gallery.remove([item(2).id, "nobody", item(2).id], by="test") == 1
    assert item(2).id not in ids(gallery)
    with pytest.raises(DataError, match="no item 'item-000002' \\(1 of 2 ids"):
        gallery.get([item(1).id, item(2).id])
    gallery.add([item(2)], descriptor(1, seed=9, local=2), by="test")
    spatial = descriptor(1, seed=9, local=2).spatial
    assert spatial is not None
    back = gallery.spatial([item(2).id]).spatial
    assert back is not None
    assert torch.equal(back, spatial.half())
    assert ids(gallery)[-1] == item(2).id


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda d: replace(d, fingerprint="other@2"), FingerprintError, "built with made-up@1.*described by other@2"),
        (lambda d: replace(d, global_=d.global_[:, 1:]), ShapeError, "expected global size D=16.*got D=15"),
        (lambda d: replace(d, parts=d.parts[:, 1:], visibility=d.visibility[:, 1:]), ShapeError, "K=3.*K=2"),
        (lambda d: replace(d, parts=d.parts[:, :, 1:]), ShapeError, "C=8.*C=7"),
        (lambda d: replace(d, global_=d.global_ * torch.nan), ShapeError, "global_ must be finite"),
        (lambda d: replace(d, global_=d.global_ * 1e6), ShapeError, "item 'item-000000' exceeds 65504"),
        (lambda d: replace(d, parts=d.parts * 1e6), ShapeError, "parts of item 'item-000000' exceeds"),
        (lambda d: replace(d, spatial=d.spatial * 1e6), ShapeError, "spatial of item 'item-000000' exceeds"),
        (lambda d: replace(d, visibility=d.visibility + 2), ShapeError, "visibility must lie"),
        (lambda d: replace(d, spatial=None, saliency=None), ShapeError, "keeps spatial maps of size S=4"),
        (lambda d: replace(d, spatial=d.spatial[:, :, 1:]), ShapeError, "and S=4"),
        (lambda d: replace(d, spatial=d.spatial[:, 1:], saliency=d.saliency[:, 1:]), ShapeError, "T=2 local.*got T=1"),
        (lambda d: d[:2], DataError, "got 3 for 2"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, change: Callable[[Any], Any], error: Any, message: str) -> None:
    gallery = new_gallery(tmp_path / "gallery", spatial=True)
    gallery.add(items(10, 12), descriptor(2, local=2), by="test")
    with pytest.raises(error, match=message):
        gallery.add(items(0, 3), change(descriptor(3, local=2)), by="test")
    with pytest.raises(DataError, match="two items to add have the id"):
        gallery.add([item(0), item(0)], descriptor(2, local=2), by="test")
    assert ids(gallery) == [item(10).id, item(11).id]


def test_parts_that_are_not_visible_may_be_anything(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    vectors = descriptor(1)
    vectors.visibility[0] = torch.tensor([0.0, 0.0, 1.0])
    vectors.parts[0, 0] = torch.nan
    gallery.add([item(0)], vectors, by="test")
    back = gallery.descriptor([item(0).id]).check()
    assert not back.parts[0, 0].any()
    assert torch.equal(back.parts[0, 1:], vectors.parts[0, 1:].half())  # a rule may ignore visibility


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"global_size": 0}, "global_size must be"),
        ({"parts": 2, "part_size": 0}, "part_size must be"),
        ({"local_size": 0}, "local_size must be"),
        ({"fingerprint": ""}, "fingerprint must be"),
        ({"retention": 0.0}, "retention must be"),
        ({"rule": MatchRule(spatial_weight=0.5)}, "give local_size"),
    ],
)
def test_an_impossible_gallery_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        new_gallery(tmp_path / "gallery", **options)
    assert not list(tmp_path.iterdir())


def test_a_running_copy_takes_in_what_changed(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    gallery.add(items(0, 10), descriptor(10), by="test")
    known = np.random.default_rng(0).permutation(gallery.rows())
    gallery.remove([item(3).id], by="test")
    gallery.add(items(10, 15), descriptor(5, seed=1), by="test")
    gallery.erase(ids=[item(12).id, item(4).id], by="test")  # no old version is left
    gallery.add(items(15, 16), descriptor(1, seed=2), by="test")
    changes = gallery.changes(known, rows=2)
    assert sorted(known[changes.removed].tolist()) == [3, 4]
    assert changes.version == gallery.version
    blocks = list(changes.blocks)
    assert max(len(block.columns) for block in blocks) <= 2
    assert [one for block in blocks for one in block.columns.ids.to_pylist()] == [
        item(n).id for n in (10, 11, 13, 14, 15)
    ]
    assert torch.equal(blocks[-1].descriptor.global_, descriptor(1, seed=2).global_.half())
    now = gallery.rows()
    assert now.tolist() == sorted(now.tolist())
    again = gallery.changes(now)
    assert not again.removed.any()
    assert not list(again.blocks)
    part = gallery.changes(known[:0], span=(2, 11))
    assert [one for block in part.blocks for one in block.columns.ids.to_pylist()] == [
        item(n).id for n in (2, 5, 6, 7, 8, 9, 10)
    ]


def test_blocks_go_on_while_the_ground_moves(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    for start in range(0, 40, 8):
        gallery.add(items(start, start + 8), descriptor(8, seed=start), by="test")
    reader = Gallery.open(tmp_path / "gallery").blocks(rows=4)
    seen = [next(reader)]
    gallery.erase(ids=[item(0).id, item(39).id], by="test")
    seen += list(reader)
    found = [one for block in seen for one in block.columns.ids.to_pylist()]
    assert len(found) == len(set(found))
    assert {item(n).id for n in range(1, 39)} <= set(found)
    spans = [list(gallery.blocks(span=span)) for span in ((0, 10), (10, 30), (30, None))]
    assert sorted(one for s in spans for b in s for one in b.columns.ids.to_pylist()) == sorted(ids(gallery))
    with pytest.raises(UsageError, match="rows must be positive"):
        next(gallery.blocks(rows=0))


def test_many_small_additions_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_SMALL_FILES", 5)
    gallery = new_gallery(tmp_path / "gallery", spatial=True)
    for number in range(14):
        gallery.add([item(number)], descriptor(1, seed=number, local=2), by="test")
    assert ids(gallery) == [item(number).id for number in range(14)]
    assert gallery.rows().tolist() == list(range(14))
    stats = gallery.stats()
    assert stats.files <= 6
    assert gallery.get([item(13).id, item(0).id]) == [item(13), item(0)]


def test_stats(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    empty = gallery.stats()
    assert (empty.items, empty.persons, empty.cameras, empty.first, empty.last) == (0, 0, {}, None, None)
    gallery.add(items(0, 10), descriptor(10), by="test")
    stats = gallery.stats()
    assert (stats.items, stats.persons, stats.unnamed, stats.files) == (10, 5, 5, 1)
    assert stats.cameras == {"camera 0": 4, "camera 1": 3, "camera 2": 3}
    assert (stats.first, stats.last) == (item(1).time, item(8).time)
    assert stats.bytes == sum(path.stat().st_size for path in (tmp_path / "gallery").rglob("*") if path.is_file())


def test_what_is_too_old_expires(tmp_path: Path) -> None:
    moment = [NOW]
    gallery = new_gallery(tmp_path / "gallery", retention=500.0, clock=lambda: moment[0])
    first = [Item("taken", "c", time=NOW - 400), Item("added", "c"), Item("late", "c", time=NOW + 50)]
    gallery.add(first, descriptor(3), by="test")
    for time in (NOW - 501, NOW + 2e5):
        with pytest.raises(DataError, match="would expire at once, or lies in the future"):
            gallery.add([Item("x", "c", time=time)], descriptor(1), by="test")
    assert gallery.expire(by="test") == 0
    with pytest.raises(UsageError, match=r"1 of 3 items are more than a tenth of the gallery\. Nothing was erased"):
        gallery.expire(NOW + 101, by="test")
    assert gallery.expire(NOW + 101, by="test", sure=True) == 1
    assert ids(gallery) == ["added", "late"]
    moment[0] = NOW + 3601  # a later addition looks by itself, and leaves what is in doubt
    result = gallery.add([Item("new", "c")], descriptor(1), by="test")
    assert (result.expired, result.overdue) == (0, 2)
    assert gallery.expire(by="test", sure=True) == 2
    assert ids(gallery) == ["new"]
    assert b"taken" not in b"".join(p.read_bytes() for p in (tmp_path / "gallery").rglob("*.*") if p.is_file())
    forever = new_gallery(tmp_path / "forever")
    forever.add([Item("old", "c", time=-1e9)], descriptor(1), by="test")
    assert forever.expire(NOW * 10, by="test") == 0


def test_the_log_says_who_did_what_and_names_nobody(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery", by="owner")
    gallery.add(items(0, 3), descriptor(3), by="camera service")
    gallery.remove([item(1).id], by="clerk")
    gallery.erase(person="person-001", by="clerk")
    gallery.audit.write("visitor", "search", count=10, ids=[item(0).id], cameras=2)
    told = [(e["who"], e["action"], e["state"], e.get("count")) for e in gallery.audit.read()]
    assert told == [
        ("owner", "create", "done", None),
        ("camera service", "add", "begun", 3),
        ("camera service", "add", "done", 3),
        ("clerk", "remove", "begun", 1),
        ("clerk", "remove", "done", 1),
        ("clerk", "erase", "begun", 0),
        ("clerk", "erase", "done", 0),
        ("visitor", "search", "done", 10),
    ]
    again = Gallery.open(tmp_path / "gallery")
    assert [e["action"] for e in again.audit.read(item(1).id)] == ["add", "add", "remove", "remove"]
    assert [e["action"] for e in again.audit.read(item(0).id)] == ["add", "add", "search"]
    assert all(e["time"] == "2027-01-15T08:00:00+00:00" for e in again.audit.read())
    raw = (tmp_path / "gallery" / "audit.jsonl").read_bytes()
    assert b"item-" not in raw
    assert b"person-" not in raw
    with pytest.raises(DataError, match="who did it"):
        gallery.remove([item(0).id], by="")
    with pytest.raises(DataError, match="fields of every event"):
        gallery.audit.write("me", "search", time="yesterday")
    assert ids(gallery) == [item(0).id, item(2).id]


def test_half_a_line_of_the_log_spoils_no_other(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    path = tmp_path / "gallery" / "audit.jsonl"
    path.write_bytes(path.read_bytes() + b'{"time": "20')
    gallery.audit.write("me", "search")
    assert [e["action"] for e in gallery.audit.read()] == ["create", "damaged", "search"]
    assert json.loads(path.read_bytes().splitlines()[-1])["who"] == "me"


def test_a_writer_that_waits_too_long_is_told_to_try_again(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery", patience=0.02)
    with store.only_writer(tmp_path / "gallery", 1.0) as alone:
        assert alone
        with pytest.raises(BusyError, match="nothing was changed, try again"):
            gallery.add(items(0, 1), descriptor(1), by="test")
        assert len(gallery) == 0
    gallery.add(items(0, 1), descriptor(1), by="test")
    assert len(gallery) == 1


@pytest.fixture
def remote(tmp_path: Path) -> str:
    """An object store, as far as Lance and the gallery can tell."""
    return f"file-object-store://{tmp_path}/remote"


def test_an_object_store(tmp_path: Path, remote: str) -> None:
    with pytest.raises(UsageError, match="name a local file for the audit log"):
        new_gallery(remote)
    gallery = new_gallery(remote, audit=tmp_path / "log", spatial=True)
    gallery.add(items(0, 5), descriptor(5, local=2), by="test")
    assert gallery.erase(ids=[item(3).id], by="test") == 1
    again = Gallery.open(remote, audit=tmp_path / "log")
    assert again.get([item(4).id]) == [item(4)]
    assert again.stats().bytes is None
    assert len(list(again.audit.read())) == 5
    with pytest.raises(DataError, match="already exists"):
        new_gallery(remote, audit=tmp_path / "log")
    with pytest.raises(DataError, match="not found"):
        Gallery.open(remote + "-elsewhere", audit=tmp_path / "log")


def test_two_writers_without_a_lock_add_one_id_once(
    tmp_path: Path, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = new_gallery(remote, audit=tmp_path / "log"), Gallery.open(remote, audit=tmp_path / "log")
    commit = slow._items._commit

    def overtaken(*arguments: Any) -> int:
        monkeypatch.setattr(slow._items, "_commit", commit)
        quick.add(items(2, 6), descriptor(4, seed=1), by="quick")
        return commit(*arguments)

    monkeypatch.setattr(slow._items, "_commit", overtaken)
    slow.add(items(0, 4), descriptor(4), by="slow")
    assert sorted(ids(slow)) == [item(n).id for n in range(6)]
    assert torch.equal(slow.descriptor([item(2).id]).global_, descriptor(4, seed=1).global_[:1].half())


@pytest.mark.parametrize("times", [1, 99])
def test_a_removal_that_collides_is_repeated(
    tmp_path: Path, remote: str, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    slow, quick = new_gallery(remote, audit=tmp_path / "log"), Gallery.open(remote, audit=tmp_path / "log")
    slow.add(items(0, 30), descriptor(30), by="test")
    commit, meetings = slow._items._commit, []

    def overtaken(*arguments: Any) -> int:
        if len(meetings) < times:
            meetings.append(quick.remove([item(10 + len(meetings)).id], by="quick"))
        return commit(*arguments)

    monkeypatch.setattr(slow._items, "_commit", overtaken)
    if times == 1:
        assert slow.remove([item(0).id], by="slow") == 1
    else:
        with pytest.raises(BusyError, match="other writers came first 6 times; try again"):
            slow.remove([item(0).id], by="slow")
    expected = set(range(30)) - set(range(10, 10 + len(meetings))) - ({0} if times == 1 else set())
    assert set(ids(slow)) == {item(n).id for n in expected}


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lance", None)
    with pytest.raises(UsageError, match=r"pip install 'occlureid\[gallery\]'"):
        table.lance()


def test_questions_that_make_no_sense(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    with pytest.raises(UsageError, match="must not be negative"):
        gallery.items(limit=-1)
    with pytest.raises(UsageError, match="without spatial maps"):
        gallery.spatial(["x"])
    with pytest.raises(DataError, match="1 of 1 rows are gone"):
        gallery.take(np.array([5], np.uint64))
    assert len(gallery.take(np.array([], np.uint64)).columns) == 0
    assert gallery.items(Filter(cameras=("none",))) == []
    assert len(gallery.descriptor([])) == 0
