"""A real cluster: answers are those of one machine, and a machine that dies takes nothing with it."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from occlureid.errors import BusyError, FingerprintError
from occlureid.gallery import Filter
from occlureid.gallery.hits import SearchResult
from occlureid.gallery.search import Searcher
from occlureid.scaleout import RaySearcher
from tests.gallery.described import describe, items
from tests.scaleout.conftest import RAY_WARNINGS, add_node
from tests.scaleout.test_shard import make_gallery

pytestmark = RAY_WARNINGS


def until_complete(searcher: RaySearcher) -> None:
    """Waits for a shard to be loaded again; ends with an error rather than never."""
    for _ in range(600):
        if not searcher.coverage.missing:
            return
        time.sleep(0.1)
    pytest.fail(f"the shards did not come back: {searcher.coverage}")


def test_the_ranking_is_that_of_one_machine(connected: Any, tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path / "gallery", 300)
    query = describe(6, 2)
    with RaySearcher(gallery.path, shards=3, cpus=0.3, stripe=16, memory=2**24, in_flight=2) as searcher:
        alone = Searcher(gallery)
        assert (len(searcher), searcher.complete, searcher.nbytes > 0) == (300, True, True)
        assert searcher.search(query, k=7) == alone.search(query, k=7)
        filter = Filter(cameras=("c1",))
        assert searcher.search(query, filter=filter) == alone.search(query, filter=filter)
        assert searcher.search_person(query[:2]) == alone.search_person(query[:2])

        gallery.add(items(50, 300), describe(50, 9), by="test")
        gallery.remove([items(1)[0].id], by="test")
        assert searcher.search(query) == alone.search(query)
        assert searcher.refresh() == alone.refresh()
        assert searcher.search(query) == alone.search(query)
        assert len(searcher) == 349

        # more callers than may be in flight: each gets its answer
        answers: list[list[SearchResult]] = []
        threads = [threading.Thread(target=lambda: answers.append(searcher.search(query))) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [alone.search(query)] * 5
        with pytest.raises(FingerprintError, match="another"):
            searcher.search(describe(1, 2).__class__.from_vectors(query.global_, "another"))


def test_too_few_processors_are_said_at_once(connected: Any, tmp_path: Path) -> None:
    make_gallery(tmp_path / "gallery", 30)
    with pytest.raises(BusyError, match=r"1 of 1 shards were not loaded.*cpus=64"):
        RaySearcher(tmp_path / "gallery", shards=1, cpus=64, loading=0.5)


def test_a_node_that_dies_during_searches(connected: Any, tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path / "gallery", 300)
    query = describe(2, 2)
    wanted = Searcher(gallery).search(query)
    victims = {node.node_id: node for node in connected.worker_nodes}
    # every node holds one shard and has room for no other, so that there is no place for it until a node joins
    with RaySearcher(gallery.path, cpus=0.6, shards=3, stripe=16, memory=2**24, patience=2) as searcher:
        lost = next(index for index, node in enumerate(searcher.nodes) if node in victims)
        was_on = searcher.nodes[lost]
        answers: list[list[SearchResult]] = []
        stop = threading.Event()

        def search() -> None:
            while not stop.is_set():
                answers.append(searcher.search(query))

        thread = threading.Thread(target=search)
        thread.start()
        try:
            connected.remove_node(victims[was_on], allow_graceful=False)
            for _ in range(600):
                if lost in searcher.coverage.missing:
                    break
                time.sleep(0.1)
            short = searcher.search(query)
            add_node(connected)
            until_complete(searcher)
        finally:
            stop.set()
            thread.join()
        assert all(0 < result.coverage < 1 and not result.exact for result in short)
        for answer in [*answers, short]:
            for result, whole in zip(answer, wanted, strict=True):
                if result.coverage == 1:
                    assert result == whole
                else:
                    assert result.searched == round(300 * result.coverage) < 300
                    assert not result.exact
        for _ in range(20):  # on a busy machine an answer may be late again, and says so
            until_complete(searcher)
            last = searcher.search(query)
            assert [(r.coverage < 1) or r == whole for r, whole in zip(last, wanted, strict=True)] == [True, True]
            if last[0].coverage == 1:
                break
        assert last == wanted
        searcher.refresh()
        assert searcher.nodes[lost] != was_on
