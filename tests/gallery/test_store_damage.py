"""A damaged or foreign folder: a clear error, and not a byte is changed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from occlureid.errors import DataError, UsageError
from occlureid.gallery.recovery import recover
from occlureid.gallery.store import Gallery
from occlureid.gallery.table import lance
from tests.gallery.crops import contents, descriptor, item, items, new_gallery


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("good")) / "gallery"
    gallery = new_gallery(folder, spatial=True)
    gallery.add(items(0, 20), descriptor(20, local=2), by="test")
    gallery.add(items(20, 30), descriptor(10, local=2), by="test")
    return folder


def newest(folder: Path, table: str, pattern: str) -> Path:
    return min((folder / f"{table}.lance").rglob(pattern))  # Lance counts manifests backwards


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {name: (raw, (folder / name).stat().st_mtime_ns) for name, raw in contents(folder).items()}


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no manifest": lambda f: [p.unlink() for p in (f / "items.lance" / "_versions").glob("*.manifest")],
    "empty manifest": lambda f: newest(f, "items", "*.manifest").write_bytes(b""),
    "manifest of zeros": lambda f: newest(f, "items", "*.manifest").write_bytes(bytes(1500)),
    "half a manifest": lambda f: cut(newest(f, "items", "*.manifest"), 700),
    "manifest of noise": lambda f: newest(f, "items", "*.manifest").write_bytes(bytes(range(256)) * 6),
    "older manifest under a new name": lambda f: shutil.copy(
        max((f / "items.lance").rglob("*.manifest")), newest(f, "items", "*.manifest")
    ),
    "data file gone": lambda f: newest(f, "items", "data/*.lance").unlink(),
    "half a data file": lambda f: cut(newest(f, "items", "data/*.lance"), 500),
    "maps gone": lambda f: shutil.rmtree(f / "maps.lance"),
    "half a file of maps": lambda f: cut(newest(f, "maps", "data/*.lance"), 300),
    "empty manifest of maps": lambda f: newest(f, "maps", "*.manifest").write_bytes(b""),
    "maps of another gallery": lambda f: (
        shutil.rmtree(f / "maps.lance"),
        new_gallery(f.parent / "other", spatial=True),
        shutil.copytree(f.parent / "other" / "maps.lance", f / "maps.lance"),
    ),
    "tables exchanged": lambda f: (
        (f / "maps.lance").rename(f / "x"),
        (f / "items.lance").rename(f / "maps.lance"),
        (f / "x").rename(f / "items.lance"),
    ),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_gallery_is_refused_and_not_touched(good: Path, tmp_path: Path, how: str) -> None:
    folder = tmp_path / "gallery"
    shutil.copytree(good, folder)
    Gallery.open(folder)
    DAMAGE[how](folder)
    before = state(folder)
    with pytest.raises(DataError, match=str(tmp_path)):
        Gallery.open(folder)
    with pytest.raises(DataError, match="is there already"):
        new_gallery(folder)
    assert state(folder) == before


TORN = ("empty manifest", "manifest of zeros", "half a manifest", "manifest of noise", "older manifest under a new name",
        "empty manifest of maps", "data file gone", "half a data file")  # fmt: skip


@pytest.mark.parametrize("how", TORN)
def test_a_torn_commit_is_taken_back_when_asked(good: Path, tmp_path: Path, how: str) -> None:
    folder = tmp_path / "gallery"
    shutil.copytree(good, folder)
    assert recover(folder, by="owner") == []
    gallery = Gallery.open(folder)
    gallery.erase(ids=[item(0).id], by="test")  # one version left
    shutil.copytree(folder, tmp_path / "before")
    before = gallery.items()
    gallery.add(items(40, 45), descriptor(5, local=2), by="test")
    if "data file" in how:
        news = contents(folder).keys() - contents(tmp_path / "before").keys()
        (path,) = (folder / name for name in news if name.startswith("items.lance/data"))
        path.unlink() if how == "data file gone" else cut(path, 500)
    else:
        DAMAGE[how](folder)
    with pytest.raises(DataError):
        Gallery.open(folder)
    (removed,) = recover(folder, by="owner")
    assert removed.endswith(".manifest")
    gallery = Gallery.open(folder)
    if "maps" in how:  # never alone in a power cut: the items are committed after their maps
        before += gallery.items()[-5:]
    assert gallery.items() == before
    gallery.add(items(40, 45), descriptor(5, local=2), by="test")
    gallery.compact()
    assert len(gallery) == 34
    assert [e["who"] for e in gallery.audit.read() if e["action"] == "recover"] == ["owner"]


@pytest.mark.parametrize("how", ["no manifest", "maps gone", "half a file of maps"])
def test_what_cannot_be_recovered_is_not_touched(good: Path, tmp_path: Path, how: str) -> None:
    folder = tmp_path / "gallery"
    shutil.copytree(good, folder)
    Gallery.open(folder).compact()
    DAMAGE[how](folder)
    before = state(folder)
    with pytest.raises(DataError):
        recover(folder, by="owner")
    assert state(folder) == before


def test_an_object_store_has_nothing_to_recover(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to recover"):
        recover(f"file-object-store://{tmp_path}/remote", by="owner")
    with pytest.raises(DataError, match="no such folder"):
        recover(tmp_path / "nothing", by="owner")


def test_bytes_that_rot_inside_a_file_are_told_when_they_are_read(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    shutil.copytree(good, folder)
    for path in (folder / "items.lance" / "data").iterdir():
        raw = path.read_bytes()
        path.write_bytes(bytes(len(raw) - 300) + raw[-300:])
    gallery = Gallery.open(folder)
    for ask in (lambda: list(gallery.blocks()), lambda: gallery.get([item(1).id]), gallery.items):
        with pytest.raises(DataError, match=r"items\.lance"):
            ask()


def plain_table(folder: Path, metadata: dict[str, str] | None) -> None:
    lance().write_dataset(pa.table({"id": ["x"]}).replace_schema_metadata(metadata), folder / "items.lance")


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda f: None, "no such folder"),
    "a file": (lambda f: f.write_text("x"), "no such folder"),
    "pictures": (lambda f: (f.mkdir(), (f / "a.jpg").write_bytes(b"x")), "without a gallery"),
    "another table": (lambda f: plain_table(f, None), "damaged, or not a table of a gallery"),
    "a false gallery": (lambda f: plain_table(f, {"occlureid": "gallery", "format": "1"}), "not a table of a gallery"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_folder_is_refused_and_not_touched(tmp_path: Path, what: str) -> None:
    make, message = FOREIGN[what]
    make(tmp_path / "foreign")
    before = state(tmp_path)
    with pytest.raises(DataError, match=message):
        Gallery.open(tmp_path / "foreign")
    assert state(tmp_path) == before


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "not of a gallery"),
        ({"occlureid": "gallery", "format": "9"}, "a gallery of format '9', this version reads '1'"),
        ({"occlureid": "gallery", "format": "1"}, "metadata of this gallery is damaged"),
        ({"occlureid": "gallery", "format": "1", "gallery": "[" * 100_000}, "metadata of this gallery is damaged"),
        ({"occlureid": "gallery", "format": "1", "gallery": '{"rule": {}}'}, "metadata of this gallery is damaged"),
        ({"occlureid": "gallery", "format": "1", "gallery": '{"rule": 5}'}, "metadata of this gallery is damaged"),
    ],
)
def test_false_metadata_is_refused(tmp_path: Path, metadata: dict[str, str] | None, message: str) -> None:
    rows = pa.table({"id": ["x"]}).replace_schema_metadata(metadata)
    lance().write_dataset(rows, tmp_path / "g" / "items.lance", enable_stable_row_ids=True)
    before = state(tmp_path)
    with pytest.raises(DataError, match=message):
        Gallery.open(tmp_path / "g")
    assert state(tmp_path) == before


def test_a_gallery_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError):
            new_gallery(path)
    (tmp_path / "empty").mkdir()
    assert len(new_gallery(tmp_path / "empty")) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file"]


def test_opening_and_reading_change_nothing(good: Path) -> None:
    before = state(good)
    gallery = Gallery.open(f"file://{good}")
    list(gallery.blocks())
    gallery.stats()
    gallery.get([item(3).id])
    list(gallery.audit.read())
    assert state(good) == before
