"""Requests at the same time are answered together, and each as if it were alone."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from occlureid.describing import Prepared
from occlureid.errors import BusyError, DataError
from occlureid.service.batches import Batcher
from occlureid.service.describer import BatchedDescriber
from occlureid.service.settings import ServiceSettings
from tests.service.crops import crop, fill, images, picture, served

COUNT = 24


def doubled(asks: Sequence[int]) -> list[int]:
    if -1 in asks:
        raise DataError("minus one")
    return [2 * ask for ask in asks]


def test_concurrent_searches_share_scans_and_answers_equal_single_ones(
    tmp_path: Path, describer: BatchedDescriber
) -> None:
    with served(tmp_path, describer, batch_seconds=0.3) as (client, engine):
        fill(client, 8)
        bodies = [{"ids": [f"item-{n % 8}"], "k": 3 if n % 3 else 4} for n in range(COUNT)]
        url = "/api/galleries/one/search/items"
        alone = [client.post(url, json=body).json() for body in bodies[:8]]
        assert engine.searches.scans == engine.searches.searches == 8
        with ThreadPoolExecutor(COUNT) as pool:
            together = list(pool.map(lambda body: client.post(url, json=body), bodies))
        assert {answer.status_code for answer in together} == {200}
        assert [answer.json() for answer in together[:8]] == alone
        assert engine.searches.searches == 8 + COUNT
        assert engine.searches.scans - 8 <= COUNT // 2


def test_concurrent_images_are_described_together(tmp_path: Path, describer: BatchedDescriber) -> None:
    calls: list[int] = []
    whole = describer._describe

    def counted(batch: Sequence[Prepared]) -> object:
        calls.append(len(batch))
        return whole(batch)

    with served(tmp_path, describer, batch_seconds=0.3) as (client, _):
        fill(client, 4)
        url = "/api/galleries/one/search/images"
        alone = [client.post(url, files=images([crop(n)])).json() for n in range(4)]
        describer._describe = counted  # type: ignore[method-assign, assignment]
        describer._batcher._wait = 0.3
        with ThreadPoolExecutor(12) as pool:
            together = list(pool.map(lambda n: client.post(url, files=images([crop(n % 4)])).json(), range(12)))
    assert sum(calls) == 12
    assert len(calls) <= 6
    for answer, single in zip(together, alone * 3, strict=True):
        assert [hit["id"] for hit in answer["hits"]] == [hit["id"] for hit in single["hits"]]
        assert [hit["distance"] for hit in answer["hits"]] == pytest.approx(
            [hit["distance"] for hit in single["hits"]], abs=1e-5
        )


def test_one_that_fails_does_not_spoil_the_others() -> None:
    batcher: Batcher[int, int] = Batcher("sum", doubled, most=10, wait=0.2, queue=10, patience=10)
    batcher.start()

    def ask(number: int) -> object:
        try:
            return batcher.ask(number)
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(5) as pool:
        replies = list(pool.map(ask, [1, 2, -1, 3, 4]))
    batcher.close()
    assert replies == [2, 4, "minus one", 6, 8]


def test_too_many_are_told_to_try_again_and_what_was_accepted_is_answered() -> None:
    go, begun = threading.Event(), threading.Event()

    def slow(asks: Sequence[int]) -> list[int]:
        begun.set()
        go.wait(10)
        return list(asks)

    batcher: Batcher[int, int] = Batcher("sum", slow, most=1, wait=0, queue=2, patience=10)
    batcher.start()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(batcher.ask, 1)
        begun.wait(10)
        others = [pool.submit(batcher.ask, n) for n in (2, 3)]
        while batcher.waiting < 2:
            begun.wait(0.001)
        with pytest.raises(BusyError, match="too many requests wait for the sum"):
            batcher.ask(4)
        go.set()
        batcher.close()
        assert [future.result(10) for future in (first, *others)] == [1, 2, 3]


def test_nobody_waits_for_ever() -> None:
    batcher: Batcher[int, int] = Batcher("sum", doubled, most=1, wait=0, queue=2, patience=0.01)
    with pytest.raises(BusyError, match=r"within 0\.01 s"):  # it was not started
        batcher.ask(1)
    batcher.start()
    batcher.close()  # passes over the one that was given up


def test_many_pictures_of_one_request_go_in_groups(describer: BatchedDescriber) -> None:
    describer.start()
    pictures = [picture(n) for n in range(20)]
    many = describer.describe(pictures)
    assert (len(many), describer.described) == (20, 20)
    one = describer.describe(pictures[17:18])
    torch.testing.assert_close(many[17:18].parts, one.parts, atol=1e-5, rtol=1e-5)
    describer.close()
    assert ServiceSettings().batch_images >= 16
