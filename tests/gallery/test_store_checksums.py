"""Damage inside data files is seen: a damaged item is named, left out and counted, and all others are found as ever."""

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from occlureid.errors import DamagedError, DataError
from occlureid.gallery import Filter, Gallery, Searcher, merge_results
from occlureid.gallery.checksums import record_sums, row_sums
from occlureid.scaleout.shard import Striped
from tests.gallery.crops import descriptor, halves, item, items, new_gallery, old_gallery, spoil, swap
from tests.gallery.test_store_flush import Disk, disk, survivor

__all__ = ["disk"]


def filled(path: Path, make: Callable[..., Gallery] = new_gallery, count: int = 40, **options: Any) -> Gallery:
    gallery = make(path, **options)
    gallery.add(items(0, count), descriptor(count, local=2 if options.get("spatial") else None), by="test")
    return gallery


def found(result: Any) -> set[str]:
    return {hit.id for hit in result.hits}


ALL = {item(n).id for n in range(40)}


@pytest.mark.parametrize("make", [new_gallery, old_gallery])
@pytest.mark.parametrize("memory", [1, 9000, 2**30])
def test_one_number_that_is_none_costs_one_item(tmp_path: Path, make: Callable[..., Gallery], memory: int) -> None:
    filled(tmp_path / "g", make)
    spoil(tmp_path / "g", descriptor(40).global_[7])
    gallery = Gallery.open(tmp_path / "g")
    searcher = Searcher(gallery, memory=memory)
    for _ in range(2):
        (result,) = searcher.search(descriptor(1), k=100)
        assert found(result) == ALL - {item(7).id}
        assert (result.searched, result.damaged, result.damaged_ids) == (39, 1, (item(7).id,))
        gallery.add(items(40, 41), descriptor(1, seed=3), by="test")  # what is damaged is not read again for this
        gallery.remove([item(40).id], by="test")
        searcher.refresh()
    cameras = [searcher.search(descriptor(1), filter=Filter(cameras=(name,)))[0] for name in ("camera 0", "camera 1")]
    assert [one.damaged for one in cameras] == [0, 1]
    assert gallery.erase(ids=[item(7).id], by="test") == 1
    searcher.refresh()
    assert searcher.search(descriptor(1), k=100)[0].damaged == 0
    assert searcher.damaged == ()


def test_flipped_bits_never_reach_a_distance(tmp_path: Path) -> None:
    vectors = filled(tmp_path / "g").descriptor([item(n).id for n in range(40)])
    draw = np.random.default_rng(0)
    (path,) = (tmp_path / "g" / "items.lance" / "data").iterdir()
    good = path.read_bytes()
    places = [
        range(start, start + tensor[n].nbytes)
        for n in range(40)
        for tensor in (vectors.global_, vectors.parts, vectors.visibility)
        if (start := good.find(tensor[n].numpy().tobytes())) >= 0
    ]
    assert len(places) > 80  # Lance leaves vectors as they are
    for _ in range(40):
        raw, hit = bytearray(good), set()
        for _ in range(8):
            place = int(draw.integers(len(places)))
            raw[int(draw.choice(places[place]))] ^= 1 << int(draw.integers(8))
            hit.add(place)
        path.write_bytes(bytes(raw))
        gallery = Gallery.open(tmp_path / "g")
        (block,) = gallery.blocks()
        kept = [int(one.removeprefix("item-")) for one in block.columns.ids.to_pylist()]
        for name in ("global_", "parts", "visibility"):
            assert torch.equal(getattr(block.descriptor, name), getattr(vectors, name)[kept])
        damaged = block.damaged.ids.to_pylist()
        assert len(damaged) > 0
        assert gallery.verify().damaged == dict.fromkeys(damaged, ("vectors",))
        with pytest.raises(DamagedError, match=damaged[0]):
            gallery.descriptor(damaged[:1])
        with pytest.raises(DamagedError) as error:
            gallery.take(gallery.rows())
        assert sorted(error.value.ids) == sorted(damaged)
        assert pickle.loads(pickle.dumps(error.value)).ids == error.value.ids


@pytest.mark.parametrize("make", [new_gallery, old_gallery])
def test_damaged_maps_are_left_out_when_they_are_read(tmp_path: Path, make: Callable[..., Gallery]) -> None:
    filled(tmp_path / "g", make, spatial=True)
    spatial = descriptor(40, local=2).spatial
    assert spatial is not None
    spoil(tmp_path / "g", spatial[5], table="maps")
    gallery = Gallery.open(tmp_path / "g")
    assert gallery.verify().damaged == {item(5).id: ("maps",)}
    (result,) = Searcher(gallery).search(descriptor(1, local=2), k=100)
    assert found(result) == ALL - {item(5).id}
    assert (result.damaged, result.damaged_ids) == (1, (item(5).id,))
    with pytest.raises(DamagedError, match=item(5).id):
        gallery.spatial([item(4).id, item(5).id])
    assert len(gallery.spatial([item(4).id])) == 1


def test_a_vector_that_rots_after_loading_is_left_out_too(tmp_path: Path) -> None:
    gallery = filled(tmp_path / "g")
    searcher = Searcher(gallery, memory=9000)
    assert searcher.complete
    spoil(tmp_path / "g", descriptor(40).global_[7], 0.5)
    (result,) = searcher.search(descriptor(1), k=100)
    assert (result.damaged, found(result)) == (1, ALL - {item(7).id})


def test_thumbnails_and_texts_are_looked_at_when_they_are_asked_for(tmp_path: Path) -> None:
    filled(tmp_path / "g")
    swap(tmp_path / "g", "items", b"picture-000012", b"picturE-000012")
    gallery = Gallery.open(tmp_path / "g")
    for ask in (lambda: gallery.get([item(11).id, item(12).id]), lambda: gallery.thumbnail(item(12).id)):
        with pytest.raises(DamagedError, match=item(12).id):
            ask()
    assert gallery.thumbnail(item(11).id) == item(11).thumbnail
    assert gallery.verify().damaged == {item(12).id: ("record",)}
    assert Searcher(gallery).search(descriptor(1))[0].damaged == 0


def test_every_column_of_a_row_has_its_share_in_the_sums(tmp_path: Path) -> None:
    gallery = filled(tmp_path / "g", count=4)
    rows = gallery._items.select(gallery.shape.item_schema(sealed=True).names)
    before = record_sums(rows)
    for name, other in (("id", "x"), ("camera", "x"), ("person", "x"), ("time", 1.5), ("added", 1.5), ("source", "x"),
                        ("box", [0.0, 0.0, 1.0, 1.0]), ("thumbnail", b"x")):  # fmt: skip
        values = rows.column(name).to_pylist()
        kind, place = rows.schema.field(name).type, rows.schema.get_field_index(name)
        changed = rows.set_column(place, rows.schema.field(name), pa.array([other, *values[1:]], kind))
        assert (record_sums(changed) != before).tolist() == [True, False, False, False]


@pytest.mark.parametrize("width", [1, 3, 8, 33])
def test_a_sum_sees_every_bit_and_where_it_stands(width: int) -> None:
    draw = np.random.default_rng(1)
    rows = draw.integers(0, 256, (2, width), dtype=np.uint8)
    other = draw.integers(0, 256, (2, 5), dtype=np.uint8)
    before = row_sums(rows, other)
    for bit in range(8 * width):
        flipped = rows.copy()
        flipped[0, bit // 8] ^= 1 << bit % 8
        assert (row_sums(flipped, other) == before).tolist() == [False, True]
    if width == 33:
        for one, two in (
            (7, 15),
            (15, 23),
            (0, 8),
        ):  # the same bit of two numbers, which a plain sum or XOR would not see
            flipped = rows.copy()
            flipped[0, [one, two]] ^= 128
            assert row_sums(flipped, other)[0] != before[0]
        turned = rows[:, [*range(8, 16), *range(8), *range(16, 33)]]
        assert (row_sums(turned, other) != before).all()


def test_a_sum_is_the_same_everywhere() -> None:
    """What was stored once must be read by every later version."""
    rows = np.arange(24, dtype="<u2").reshape(2, 12)
    assert row_sums(rows[:, :7], rows[:, 7:]).tolist() == KNOWN


KNOWN = [1668246476410540834, 12675072301469669410]


def test_shards_leave_out_and_count_what_is_damaged(tmp_path: Path) -> None:
    filled(tmp_path / "g")
    for number in (3, 30):
        spoil(tmp_path / "g", descriptor(40).global_[number])
    shards = [Searcher(Striped(Gallery.open(tmp_path / "g"), 2, index, 8)) for index in range(2)]
    parts = [shard.search(descriptor(1), k=100)[0] for shard in shards]
    assert [part.damaged for part in parts] == [1, 1]
    whole = merge_results(parts, 100)
    assert (whole.damaged, set(whole.damaged_ids)) == (2, {item(3).id, item(30).id})
    assert found(whole) == ALL - set(whole.damaged_ids)
    assert whole == replace(
        Searcher(Gallery.open(tmp_path / "g")).search(descriptor(1), k=100)[0], damaged_ids=whole.damaged_ids
    )


def test_an_export_is_told_of_damage_or_fails(tmp_path: Path) -> None:
    filled(tmp_path / "g", spatial=True)
    spoil(tmp_path / "g", descriptor(40, local=2).parts[2], 0.25)
    gallery = Gallery.open(tmp_path / "g")
    with pytest.raises(DamagedError, match=item(2).id):
        gallery.export_parquet(tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()
    damaged: list[str] = []
    assert gallery.export_parquet(tmp_path / "out.parquet", left_out=damaged.append) == 39
    assert damaged == [item(2).id]
    again = new_gallery(tmp_path / "again", spatial=True)
    assert again.import_parquet(tmp_path / "out.parquet", by="test").added == 39
    assert not again.verify().damaged


# -- galleries from before there were checksums ------------------------------------------------------------------------


def test_an_old_gallery_goes_on_and_can_be_sealed(tmp_path: Path) -> None:
    gallery = filled(tmp_path / "g", old_gallery, spatial=True)
    gallery.remove([item(1).id], by="test")
    gallery.add(items(40, 50), descriptor(10, seed=2, local=2), by="test")
    gallery.erase(ids=[item(2).id], by="test")
    spoil(tmp_path / "g", descriptor(10, seed=2, local=2).global_[3])
    gallery, stale = Gallery.open(tmp_path / "g"), Gallery.open(tmp_path / "g")
    assert not gallery.sealed
    assert not gallery.stats().sealed
    assert not gallery.verify().sealed
    before, rows = gallery.items(), gallery.rows()
    assert gallery.seal(by="owner")
    assert gallery.sealed
    assert gallery.stats().sealed
    assert gallery.verify().damaged == {item(43).id: ("vectors",)}  # a seal blesses no damage
    assert (gallery.items(), gallery.rows().tolist()) == (before, rows.tolist())
    assert not gallery.seal(by="owner")
    assert stale.add(items(50, 52), descriptor(2, seed=4, local=2), by="test").added == 2  # opened before the seal
    gallery.compact()
    again = Gallery.open(tmp_path / "g")
    assert again.verify().damaged == {item(43).id: ("vectors",)}
    assert len(again) == 50
    spoil(tmp_path / "g", descriptor(2, seed=4, local=2).global_[1], 0.125)
    assert set(Gallery.open(tmp_path / "g").verify().damaged) == {item(43).id, item(51).id}
    assert [e["who"] for e in again.audit.read() if e["action"] == "seal"] == ["owner", "owner"]


def test_an_empty_old_gallery_is_sealed(tmp_path: Path) -> None:
    gallery = old_gallery(tmp_path / "g", spatial=True)
    assert gallery.seal(by="owner")
    gallery.add(items(0, 3), descriptor(3, local=2), by="test")
    assert Gallery.open(tmp_path / "g").verify().sealed
    spoil(tmp_path / "g", descriptor(3, local=2).global_[1], 0.5)
    assert list(Gallery.open(tmp_path / "g").verify().damaged) == [item(1).id]


def test_a_power_cut_at_any_moment_of_a_seal_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    cuts, real, watched = Disk(), os.fsync, [False]
    states: list[tuple[bool, bool]] = []

    def fsync(number: int) -> None:
        real(number)
        cuts.flush(number)
        if watched[0]:
            watched[0] = False  # what follows is not part of the seal
            cut = survivor(cuts, root / "g", tmp_path / f"cut-{len(states)}")
            assert {one.id for one in cut.items()} == ALL
            assert cut._maps is not None
            states.append((cut._maps.table.has("map_sum"), cut.sealed))
            if states.count(states[-1]) == 1:  # and what is left can be sealed and written
                cut.seal(by="owner")
                cut.add(items(50, 51), descriptor(1, seed=9, local=2), by="test")
                assert not cut.verify().damaged
            watched[0] = True

    monkeypatch.setattr("occlureid.gallery.flush._AT_ONCE", 1)
    monkeypatch.setattr(os, "fsync", fsync)
    gallery = filled(root / "g", old_gallery, spatial=True)
    watched[0] = True
    gallery.seal(by="owner")
    watched[0] = False
    assert {(False, False), (True, False), (True, True)} == set(states)  # each between two flushes
    assert survivor(cuts, root / "g", tmp_path / "after").sealed


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    filled(tmp_path / "g")
    (path,) = (tmp_path / "g" / "items.lance" / "data").iterdir()
    raw = path.read_bytes()
    path.write_bytes(bytes(len(raw) - 300) + raw[-300:])
    with pytest.raises(DataError, match=r"items\.lance"):
        Gallery.open(tmp_path / "g").verify()


def test_halves_are_stored_as_they_are(tmp_path: Path) -> None:
    """The tests above look for vectors in files."""
    filled(tmp_path / "g", count=3)
    assert halves(descriptor(3).global_[1]) in b"".join(
        p.read_bytes() for p in tmp_path.rglob("*.lance") if p.is_file()
    )
