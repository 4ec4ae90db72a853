"""A shard is a fixed share of the rows; all shards together are the gallery. No cluster is needed for that."""

import inspect
from pathlib import Path

import numpy as np
import pytest

from occlureid.errors import DataError, UsageError
from occlureid.gallery import Filter, Gallery
from occlureid.gallery.hits import merge_results
from occlureid.gallery.search import Searcher
from occlureid.matching import MatchRule
from occlureid.scaleout import RaySearcher
from occlureid.scaleout import connection as connection_module
from occlureid.scaleout.shard import Question, ShardHost, Striped
from tests.gallery.described import describe, items, source


def rows_of(view: Striped) -> list[int]:
    return [int(row) for block in view.blocks(rows=7) for row in block.columns.rows]


def make_gallery(path: Path, count: int) -> Gallery:
    described = describe(count, 1)
    gallery = Gallery.create(
        path, fingerprint="model", rule=MatchRule(), global_size=24, parts=4, part_size=24, by="test"
    )
    gallery.add(items(count), described, by="test")
    return gallery


class Numbered:
    """A gallery in memory that tells its row numbers, as one on disk does."""

    def __init__(self, count: int) -> None:
        self.inner = source(count, MatchRule())

    def rows(self) -> np.ndarray:
        return np.concatenate([block.columns.rows for block in self.inner.blocks()])

    def __len__(self) -> int:
        return len(self.inner)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


def test_shards_share_the_rows_and_keep_them() -> None:
    gallery = Numbered(100)
    views = [Striped(gallery, 3, index, 8) for index in range(3)]
    before = [rows_of(view) for view in views]
    assert sorted(row for rows in before for row in rows) == list(range(100))
    assert [len(view) for view in views] == [len(rows) for rows in before]
    assert max(map(len, before)) - min(map(len, before)) <= 8
    gallery.inner.add(items(50, 100), describe(50, 3))
    gallery.inner.remove([items(1)[0].id])
    after = [rows_of(view) for view in views]
    assert [sorted({*a} & {*range(100)}) for a in after] == [[r for r in b if r != 0] for b in before]
    assert sorted(row for rows in after for row in rows) == list(range(1, 150))


def test_changes_are_those_of_the_shard() -> None:
    gallery = Numbered(40)
    view = Striped(gallery, 2, 1, 8)
    known = np.array(rows_of(view), np.uint64)
    gallery.inner.add(items(20, 40), describe(20, 3))
    gallery.inner.remove([items(40)[8].id])
    changes = view.changes(known)
    assert known[changes.removed].tolist() == [8]
    assert [int(r) for block in changes.blocks for r in block.columns.rows] == list(range(40, 48)) + list(range(56, 60))
    assert changes.version == view.version


def test_hosts_together_answer_as_one_searcher(tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path / "gallery", 300)
    hosts = [ShardHost(gallery.path, 3, index, 16, 2**24, 1, "here") for index in range(3)]
    assert sum(host.refresh().items for host in hosts) == 300
    query = describe(4, 2)
    for filter in (Filter(), Filter(cameras=("c1",))):
        question = Question(5, filter, None, None, None)
        answers = zip(*(host.search(query, question) for host in hosts), strict=True)
        merged = [merge_results(results, 5) for results in answers]
        assert merged == Searcher(gallery).search(query, k=5, filter=filter)
    gallery.add(items(60, 300), describe(60, 9), by="test")
    assert sum(host.refresh().added for host in hosts) == 60


def test_a_host_says_what_is_wrong_when_it_is_asked(tmp_path: Path) -> None:
    host = ShardHost(str(tmp_path / "nothing"), 1, 0, 16, 2**24, 1, "here")
    with pytest.raises(DataError, match="no such folder"):
        host.refresh()


@pytest.mark.parametrize("name", ["search", "search_person", "refresh"])
def test_the_interface_is_that_of_one_machine(name: str) -> None:
    assert inspect.signature(getattr(RaySearcher, name)) == inspect.signature(getattr(Searcher, name))


def test_without_ray_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    make_gallery(tmp_path / "gallery", 3)
    monkeypatch.setattr(connection_module.importlib, "import_module", missing)
    with pytest.raises(UsageError, match=r"pip install 'occlureid\[ray\]'"):
        RaySearcher(tmp_path / "gallery")


@pytest.mark.parametrize("wrong", ["shards", "memory", "cpus", "patience", "loading", "in_flight", "stripe"])
def test_options_out_of_range(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(UsageError, match=f"{wrong} must be positive, got 0"):
        RaySearcher(tmp_path, **{wrong: 0})
