"""Out as Parquet and back: exact; and a file from elsewhere is hostile until checked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from occlureid.errors import DataError, FingerprintError
from occlureid.gallery import exchange
from occlureid.gallery.store import Gallery
from tests.gallery.crops import CHANNELS, GLOBAL, NOW, PARTS, contents, descriptor, items, new_gallery


def same(one: Gallery, other: Gallery, *, spatial: bool) -> None:
    ids = [item.id for item in one.items()]
    assert other.get(ids) == one.get(ids)
    assert len(other) == len(one)
    ask = (one.spatial, other.spatial) if spatial else (one.descriptor, other.descriptor)
    first, second = (question(ids) for question in ask)
    for name in ("global_", "parts", "visibility", *(("spatial", "saliency") if spatial else ())):
        a, b = getattr(first, name), getattr(second, name)
        assert a.dtype == b.dtype
        assert torch.equal(a, b), name


@pytest.mark.parametrize("spatial", [False, True])
def test_out_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spatial: bool) -> None:
    monkeypatch.setattr(exchange, "_BATCH", 4)
    gallery = new_gallery(tmp_path / "gallery", spatial=spatial)
    gallery.add(items(0, 15), descriptor(15, local=3 if spatial else None), by="test")
    gallery.remove([gallery.items()[2].id], by="test")
    assert gallery.export_parquet(tmp_path / "all.parquet") == 14
    assert [p.name for p in tmp_path.glob("all*")] == ["all.parquet"]
    other = new_gallery(tmp_path / "other", spatial=spatial)
    result = other.import_parquet(tmp_path / "all.parquet", by="test")
    assert (result.added, result.present, result.version) == (14, 0, other.version)
    same(gallery, other, spatial=spatial)
    assert other.import_parquet(tmp_path / "all.parquet", by="test").present == 14


def test_how_long_an_item_has_been_kept_travels_along(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery", clock=lambda: NOW - 300)
    gallery.add(items(0, 1), descriptor(1), by="test")  # of no known time
    gallery.export_parquet(tmp_path / "all.parquet")
    strict = new_gallery(tmp_path / "strict", retention=200.0)
    with pytest.raises(DataError, match="would expire at once"):
        strict.import_parquet(tmp_path / "all.parquet", by="test")
    lenient = new_gallery(tmp_path / "lenient", retention=400.0)
    lenient.import_parquet(tmp_path / "all.parquet", by="test")
    assert lenient.expire(NOW + 101, by="test", sure=True) == 1


def test_an_empty_gallery(tmp_path: Path) -> None:
    assert new_gallery(tmp_path / "gallery", spatial=True).export_parquet(tmp_path / "all.parquet") == 0
    assert new_gallery(tmp_path / "other", spatial=True).import_parquet(tmp_path / "all.parquet", by="x").added == 0


def column(name: str, values: Any) -> Callable[[pa.Table], pa.Table]:
    def change(rows: pa.Table) -> pa.Table:
        index = rows.column_names.index(name)
        field = rows.schema.field(name)
        array = values if isinstance(values, pa.Array) else pa.array(values, field.type)
        return rows.set_column(index, pa.field(name, array.type, nullable=field.nullable), array)

    return change


def marked(**metadata: str) -> Callable[[pa.Table], pa.Table]:
    return lambda rows: rows.replace_schema_metadata(metadata)


def vectors(values: np.ndarray, width: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), width)


HOSTILE: dict[str, tuple[Callable[[pa.Table], pa.Table], type[Exception], str]] = {
    "no mark": (marked(), DataError, "lacks the mark"),
    "a mark of another model": (
        marked(occlureid="gallery items", format="1", fingerprint="x@2"), FingerprintError, "described by x@2",
    ),
    "a column less": (lambda rows: rows.drop_columns(["box"]), DataError, r"or missing: \['box'\]"),
    "a column more": (lambda rows: rows.append_column("x", pa.array([1, 2])), DataError, "expected the columns"),
    "a column of another type": (column("camera", pa.array([1, 2])), DataError, r"other type or missing: \['camera'\]"),
    "a control character": (column("id", ["a\0", "b"]), DataError, "control characters"),
    "a long text": (column("source", ["a" * 5000, "b"]), DataError, "source must be"),
    "no JPEG": (column("thumbnail", [b"MZ", None]), DataError, "JPEG"),
    "a box without area": (column("box", [[0, 0, 0, 0], None]), DataError, "x0 < x1"),
    "a time that is no time": (column("time", [float("nan"), 1.0]), DataError, "time must be a finite"),
    "the same id twice": (column("id", ["a", "a"]), DataError, "two items to add have the id 'a'"),
    "added in the future": (column("added", [NOW + 1, NOW]), DataError, "in the future"),
    "added never": (column("added", [float("nan"), NOW]), DataError, "no time"),
    "a vector that is no number": (
        column("global", vectors(np.full((2, GLOBAL), np.nan, np.float16), GLOBAL)), DataError, "global_ must be finite",
    ),
    "a visibility above one": (
        column("visibility", vectors(np.full((2, PARTS), 2.0, np.float32), PARTS)), DataError, "visibility must lie",
    ),
    "narrow parts": (
        column("parts", vectors(np.zeros((2, PARTS * CHANNELS - 1), np.float16), PARTS * CHANNELS - 1)),
        DataError, r"other type or missing: \['parts'\]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_file_is_refused(tmp_path: Path, how: str) -> None:
    change, error, message = HOSTILE[how]
    gallery = new_gallery(tmp_path / "gallery")
    gallery.add(items(0, 2), descriptor(2), by="test")
    gallery.export_parquet(tmp_path / "good.parquet")
    pq.write_table(change(pq.read_table(tmp_path / "good.parquet")), tmp_path / "bad.parquet")
    other = new_gallery(tmp_path / "other")
    with pytest.raises(error, match=message):
        other.import_parquet(tmp_path / "bad.parquet", by="test")
    assert len(other) == 0


def test_maps_of_uneven_length_are_refused(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery", spatial=True)
    gallery.add(items(0, 2), descriptor(2, local=3), by="test")
    gallery.export_parquet(tmp_path / "good.parquet")
    rows = pq.read_table(tmp_path / "good.parquet")
    uneven = pa.array([[0.0] * 12, [0.0] * 8], rows.schema.field("spatial").type)
    pq.write_table(column("spatial", uneven)(rows), tmp_path / "bad.parquet")
    with pytest.raises(DataError, match="local vectors with"):
        new_gallery(tmp_path / "other", spatial=True).import_parquet(tmp_path / "bad.parquet", by="test")


def test_a_file_with_any_byte_changed_is_read_or_refused_but_never_breaks(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery", spatial=True)
    gallery.add(items(0, 5), descriptor(5, local=2), by="test")
    gallery.export_parquet(tmp_path / "good.parquet")
    raw = (tmp_path / "good.parquet").read_bytes()
    draw = np.random.default_rng(0)
    told = []
    for number in range(300):
        damaged = bytearray(raw)
        if number % 3 == 0:
            del damaged[int(draw.integers(len(raw))) :]
        else:
            # most of what decides lies in the footer
            first = 0 if number % 3 == 1 else len(raw) - 3000
            for place in draw.integers(first, len(raw), size=3):
                damaged[place] = int(draw.integers(256))
        (tmp_path / "bad.parquet").write_bytes(damaged)
        try:
            for _ in exchange.read_parquet(tmp_path / "bad.parquet", gallery.shape, NOW):
                pass
        except DataError as error:
            told.append(str(error))
    assert len(told) > 150
    assert all(str(tmp_path / "bad.parquet") in message for message in told)


def test_what_cannot_be_read_or_written(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    for path in (tmp_path / "nothing", tmp_path, tmp_path / "gallery" / "audit.jsonl"):
        with pytest.raises(DataError, match="cannot be read as items of a gallery"):
            gallery.import_parquet(path, by="test")
    before = contents(tmp_path)
    with pytest.raises(DataError, match="cannot be written"):
        gallery.export_parquet(tmp_path / "no" / "such" / "folder")
    assert contents(tmp_path) == before
