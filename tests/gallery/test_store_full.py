"""A full disk: what is said, and that erasing works all the same."""

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from occlureid.errors import DataError, DiskFullError
from occlureid.gallery import Gallery, writing
from occlureid.gallery.library import clear_errors
from occlureid.gallery.reserve import RESERVE
from occlureid.gallery.table import Table
from tests.gallery.crops import descriptor, item, items, new_gallery

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full(*_: Any, **__: Any) -> Any:
    raise FULL


@pytest.mark.parametrize("step", ["put", "append", "log", "flush"])
def test_add_says_what_to_free_and_adds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    gallery = new_gallery(tmp_path / "g", spatial=True)
    gallery.add(items(0, 3), descriptor(3, local=2), by="test")
    where = {
        "put": (gallery._maps, "put"),
        "append": (gallery._items, "append"),
        "log": (gallery.audit, "_append"),
        "flush": (gallery._items, "_flush"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*where[step], full)
        with pytest.raises(
            DiskFullError, match=r"the disk is full \([\d,.]+ MB are left\)\. Nothing was added\. Free about"
        ):
            gallery.add(items(3, 6), descriptor(3, local=2), by="test")
    again = Gallery.open(tmp_path / "g")
    assert [one.id for one in again.items()] == [item(n).id for n in range(3)]
    assert again.add(items(3, 6), descriptor(3, local=2), by="test").added == 3
    assert not again.verify().damaged


def test_what_was_added_is_acknowledged_though_joining_files_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_SMALL_FILES", 0)
    gallery = new_gallery(tmp_path / "g")
    with monkeypatch.context() as patch:
        patch.setattr(gallery, "_compact_if_due", lambda alone: (_ for _ in ()).throw(DiskFullError("full")))
        assert gallery.add(items(0, 3), descriptor(3), by="test").added == 3


def test_erasing_gives_up_the_reserve_and_keeps_one_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = new_gallery(tmp_path / "g", spatial=True)
    gallery.add(items(0, 20), descriptor(20, local=2), by="test")
    reserve = tmp_path / "g" / RESERVE
    kept = reserve.stat().st_size
    largest = max(p.stat().st_size for p in (tmp_path / "g").rglob("*.lance") if p.is_file())
    assert kept > largest
    assert reserve.stat().st_blocks * 512 >= kept  # space that is really taken
    real = Table.compact

    def compact(self: Table, after_each: Any = None) -> None:
        if reserve.exists():
            raise FULL
        assert after_each is not None  # file by file
        real(self, after_each)

    with monkeypatch.context() as patch:
        patch.setattr(Table, "compact", compact)
        assert gallery.erase(ids=[item(3).id], person=item(5).person, by="test") == 3
    assert reserve.stat().st_size >= kept // 2
    files = b"".join(p.read_bytes() for p in (tmp_path / "g").rglob("*") if p.is_file())
    assert item(3).id.encode() not in files
    assert len(gallery) == len(gallery.spatial([one.id for one in gallery.items()])) == 17


def test_erasing_without_a_reserve_says_what_to_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = new_gallery(tmp_path / "g")
    gallery.add(items(0, 20), descriptor(20), by="test")
    (tmp_path / "g" / RESERVE).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Table, "compact", full)
        with pytest.raises(DiskFullError, match=r"It cannot be said that the 1 items are gone\. Free about \d+ MB"):
            gallery.erase(ids=[item(3).id], by="test")
    assert gallery.erase(ids=[item(3).id], by="test") == 0  # it was taken out; now its bytes are gone as well
    assert item(3).id.encode() not in b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A disk in memory; skips where this process may not have one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this process may not mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of eight megabytes."""
    with mounted(tmp_path / "disk", "-o", "size=8m") as folder:
        yield folder


def test_a_disk_that_is_really_full(small: Path) -> None:
    gallery = new_gallery(small / "g", spatial=True)
    pictures = [b"\xff\xd8\xff" + os.urandom(20_000) for _ in range(80)]
    given = [item(n, thumbnail=picture) for n, picture in enumerate(pictures)]
    gallery.add(given[:60], descriptor(60, local=2), by="test")
    with (small / "filling").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    with pytest.raises(DiskFullError, match=r"the disk is full .* Nothing was added\. Free about"):
        gallery.add(given[60:], descriptor(20, local=2), by="test")
    assert gallery.erase(ids=[item(3).id], by="test") == 1
    assert item(3).id.encode() not in b"".join(p.read_bytes() for p in (small / "g").rglob("*") if p.is_file())
    again = Gallery.open(small / "g")
    assert len(again) == 59
    assert not again.verify().damaged
    (small / "filling").unlink()
    assert again.add([item(3)], descriptor(1, local=2), by="test").added == 1
    assert (small / "g" / RESERVE).stat().st_size > 1_000_000


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A gallery of four items on a disk that nothing can be written to."""
    new_gallery(tmp_path / "made").add(items(0, 4), descriptor(4), by="test")
    with mounted(tmp_path / "disk") as folder:
        shutil.copytree(tmp_path / "made", folder / "g")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield folder / "g"


def test_a_gallery_on_a_read_only_disk(read_only: Path, tmp_path: Path) -> None:
    from occlureid.cli import main

    assert main(["gallery", "search", str(read_only), "--item", item(0).id]) == 3
    log = tmp_path / "log.jsonl"
    assert main(["gallery", "search", str(read_only), "--item", item(0).id, "--audit", str(log)]) == 0
    assert log.read_text().count("\n") == 1
    assert main(["gallery", "verify", str(read_only)]) == 0


def test_what_lance_says_comes_without_the_names_and_places_of_its_source() -> None:
    said = "LanceError(IO): Read-only file system (os error 30), /build/lance/rust/lance-io/src/local.rs:12:3"
    with (
        pytest.raises(DataError, match=r"^items\.lance: Read-only file system \(os error 30\)$"),
        clear_errors("items.lance"),
    ):
        raise OSError(said)
