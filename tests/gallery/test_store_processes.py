"""Real processes: writers that are killed at any moment, and writers that meet."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from occlureid.gallery.store import Gallery
from occlureid.gallery.table import lance
from tests.gallery.crops import new_gallery
from tests.gallery.writer_process import acknowledged, check_whole

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: what a killed process leaves does not depend on when the disk has it."""
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as made:
        yield Path(made)


def run(*arguments: object) -> None:
    command = [sys.executable, "-m", "tests.gallery.writer_process", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_writers_killed_fifty_four_times_lose_nothing_that_they_acknowledged(folder: Path) -> None:
    log = folder / "acknowledged"
    log.touch()
    new_gallery(folder / "gallery", spatial=True)
    run("kill", folder / "gallery", log, 27)
    added, _, gone = acknowledged(log)
    assert len(added) > 30
    assert len(gone) > 5
    gallery = Gallery.open(folder / "gallery")
    check_whole(gallery, log)
    # what killed writers have left behind goes with the next clean-up, and nothing else does
    gallery.compact()
    check_whole(gallery, log)
    for name in ("items", "maps"):
        table = folder / "gallery" / f"{name}.lance"
        named = [file.path for f in lance().dataset(str(table)).get_fragments() for file in f.metadata.files]
        assert sorted(path.name for path in (table / "data").iterdir()) == sorted(named)
        assert len(list((table / "_versions").glob("*.manifest"))) == 1


def test_two_writers_and_a_reader_at_once(folder: Path) -> None:
    new_gallery(folder / "gallery", spatial=True)
    run("race", folder / "gallery", 2, 12)
    ids = Gallery.open(folder / "gallery").columns().ids.to_pylist()
    shared, own = 4, 8
    assert len(ids) == len(set(ids)) == 5 * (shared + 2 * own)
