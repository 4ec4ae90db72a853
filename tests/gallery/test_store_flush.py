"""Before anything is acknowledged it is flushed: every flush is watched, and a power cut is played from what was flushed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from occlureid.gallery.store import Gallery
from tests.gallery.crops import descriptor, item, items, new_gallery


class Disk:
    """What of a tree has reached the disk: the contents of each file and the names in each folder when last flushed."""

    def __init__(self) -> None:
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, dict[str, tuple[int, bool]]] = {}
        self.flushed: list[tuple[str, frozenset[str]]] = []
        self.watched: Path | None = None

    def flush(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        number = os.fstat(descriptor).st_ino
        if path.is_dir():
            names = {}
            for entry in os.scandir(path):
                names[entry.name] = (entry.inode(), entry.is_dir(follow_symlinks=False))
            self.folders[number] = names
        else:
            self.files[number] = path.read_bytes()
        if self.watched is not None:
            manifests = frozenset(p.name for p in self.watched.rglob("*.manifest"))
            self.flushed.append((str(path), manifests))

    def after_power_cut(self, folder: int, to: Path) -> None:
        """Writes what the disk has: a name that was not flushed is gone, a file that was not flushed is empty."""
        to.mkdir()
        for name, (number, is_folder) in self.folders.get(folder, {}).items():
            if is_folder:
                self.after_power_cut(number, to / name)
            else:
                (to / name).write_bytes(self.files.get(number, b""))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk, real = Disk(), os.fsync

    def watched(descriptor: int) -> None:
        real(descriptor)
        disk.flush(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    return disk


def survivor(disk: Disk, folder: Path, to: Path) -> Gallery:
    """The gallery as a power cut now would leave it."""
    disk.after_power_cut(folder.parent.stat().st_ino, to)
    return Gallery.open(to / folder.name)


STEPS: list[tuple[Callable[[Gallery], object], set[int]]] = [
    (lambda g: g.add(items(0, 4), descriptor(4, local=2), by="t"), {0, 1, 2, 3}),
    (lambda g: g.add(items(2, 6), descriptor(4, local=2), by="t"), {0, 1, 2, 3, 4, 5}),
    (lambda g: g.remove([item(1).id], by="t"), {0, 2, 3, 4, 5}),
    (lambda g: g.add(items(6, 7), descriptor(1, local=2), by="t"), {0, 2, 3, 4, 5, 6}),
    (lambda g: g.erase(ids=[item(0).id], by="t"), {2, 3, 4, 5, 6}),
    (lambda g: g.compact(), {2, 3, 4, 5, 6}),
    (lambda g: g.add(items(7, 9), descriptor(2, local=2), by="t"), {2, 3, 4, 5, 6, 7, 8}),
]


def test_a_power_cut_after_an_acknowledgement_loses_nothing(tmp_path: Path, disk: Disk) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    gallery = new_gallery(root / "gallery", spatial=True)
    assert len(survivor(disk, root / "gallery", tmp_path / "new")) == 0
    for number, (step, expected) in enumerate(STEPS):
        step(gallery)
        found = survivor(disk, root / "gallery", tmp_path / f"after-{number}")
        assert {one.id for one in found.items()} == {item(n).id for n in expected}
        assert found.get([item(n).id for n in expected]) == [item(n) for n in expected]
        assert len(found.spatial([item(n).id for n in expected])) == len(expected)
        assert [e["action"] for e in found.audit.read()] == [e["action"] for e in gallery.audit.read()]


def test_a_power_cut_between_two_flushes_loses_nothing_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    disk, real, cuts = Disk(), os.fsync, []
    acknowledged: set[int] = set()
    in_doubt: set[int] = set()

    def watched(descriptor: int) -> None:
        real(descriptor)
        disk.flush(descriptor)
        if gallery is not None:
            found = survivor(disk, root / "gallery", tmp_path / f"cut-{len(cuts)}")
            cuts.append({int(one.id.removeprefix("item-")) for one in found.items()})
            assert acknowledged - in_doubt <= cuts[-1] <= acknowledged | in_doubt
            if cuts[-1]:
                found.spatial([item(n).id for n in cuts[-1]])  # no item without its map

    gallery: Gallery | None = None
    monkeypatch.setattr("occlureid.gallery.flush._AT_ONCE", 1)  # a flush at a time
    monkeypatch.setattr(os, "fsync", watched)
    made = new_gallery(root / "gallery", spatial=True)
    gallery = made
    for step, expected in STEPS[:5]:
        in_doubt = acknowledged ^ expected
        step(made)
        acknowledged = expected
    assert len(cuts) > 40


def test_every_file_and_folder_is_flushed_and_data_before_their_commit(tmp_path: Path, disk: Disk) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    disk.watched = tmp_path / "gallery"
    gallery.add(items(0, 3), descriptor(3), by="t")
    flushed = {path for path, _ in disk.flushed}
    there = {str(path) for path in (tmp_path / "gallery").rglob("*")}
    assert there | {str(tmp_path / "gallery")} <= flushed
    first = min(p.name for p in (tmp_path / "gallery").rglob("*.manifest"))  # Lance counts backwards
    data = [event for event in disk.flushed if event[0].endswith(".lance") and "/data/" in event[0]]
    assert data
    assert all(first not in manifests for _, manifests in data)


def test_what_another_writer_left_unflushed_is_flushed(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    killed = new_gallery(root / "gallery")
    ours = Gallery.open(root / "gallery")
    ours.add(items(5, 6), descriptor(1), by="ours")
    with monkeypatch.context() as patch:  # it commits, and dies before it flushes and acknowledges
        patch.setattr(killed, "_flush", lambda: 0)
        patch.setattr(killed._items, "_flush", lambda: 0)
        killed.add(items(0, 3), descriptor(3), by="killed")
    assert ours.add(items(0, 3), descriptor(3), by="ours").present == 3
    assert len(survivor(disk, root / "gallery", tmp_path / "after")) == 4
