"""A searcher over a gallery on disk."""

from pathlib import Path

import numpy as np
import pytest
import torch

from occlureid.gallery import Filter, Gallery
from occlureid.gallery.search import Searcher
from occlureid.gallery.source import Source
from occlureid.matching import pairwise_distances
from tests.gallery.crops import descriptor, items, new_gallery


def filled(path: Path, *, spatial: bool = False) -> Gallery:
    gallery = new_gallery(path / "gallery", spatial=spatial)
    gallery.add(items(0, 150), descriptor(150, seed=1, local=3 if spatial else None), by="test")
    return gallery


def check(searcher: Searcher, gallery: Gallery, *, filter: Filter = Filter(), local: int | None = None) -> None:  # noqa: B008
    query = descriptor(3, seed=99, local=local)
    ids = [item.id for item in gallery.items(filter)]
    stored = gallery.spatial(ids) if local else gallery.descriptor(ids)
    distances = pairwise_distances(gallery.rule, query.to(dtype=torch.float64), stored.to(dtype=torch.float64)).float()
    for result, row in zip(searcher.search(query, k=7, filter=filter, exact=True), distances, strict=True):
        best = sorted(zip(row.tolist(), ids, strict=True))[:7]
        np.testing.assert_allclose([hit.distance for hit in result.hits], [d for d, _ in best], atol=5e-6)
        assert {hit.id for hit in result.hits[:-1]} <= {id for _, id in best}
        assert result.searched == len(ids)


@pytest.mark.parametrize("memory", [1, 20_000, 2**30])
def test_a_gallery_on_disk_is_searched_and_followed(tmp_path: Path, memory: int) -> None:
    gallery = filled(tmp_path)
    source: Source = gallery
    searcher = Searcher(source, memory=memory)
    check(searcher, gallery)
    check(searcher, gallery, filter=Filter(cameras=("camera 1",)))
    gallery.add(items(150, 170), descriptor(20, seed=2), by="test")
    gallery.remove([item.id for item in items(0, 30)], by="test")
    searcher.refresh()
    check(searcher, gallery)
    gallery.erase(person="person-003", by="test")
    gallery.compact()
    searcher.refresh()
    check(searcher, gallery)
    assert searcher.complete == (memory == 2**30)
    assert searcher.nbytes <= memory


@pytest.mark.parametrize("memory", [1, 2**30])
def test_maps_are_read_from_disk(tmp_path: Path, memory: int) -> None:
    gallery = filled(tmp_path, spatial=True)
    check(Searcher(gallery, memory=memory), gallery, local=4)


def test_an_item_that_was_erased_meanwhile_is_no_hit(tmp_path: Path) -> None:
    gallery = filled(tmp_path, spatial=True)
    searcher = Searcher(gallery)
    query = descriptor(1, seed=99, local=4)
    first = searcher.search(query, k=3)[0].hits
    gallery.erase(ids=[hit.id for hit in first], by="test")
    again = searcher.search(query, k=3)[0].hits
    assert not {hit.id for hit in first} & {hit.id for hit in again}
