"""What a service does about items that are too old, damaged, or too many for the disk."""

import errno
import time
from pathlib import Path
from threading import Event

import pytest
import torch

from occlureid.gallery import Gallery, Item
from occlureid.service.ageing import Ageing
from occlureid.service.describer import BatchedDescriber
from occlureid.service.settings import ServiceSettings
from occlureid.service.shelf import Shelf
from occlureid.types import Descriptor
from tests.gallery.crops import spoil
from tests.service.crops import fill, served

DAY = 86_400.0


def aged(folder: Path, describer: BatchedDescriber, count: int, old: int, future: int = 0) -> Gallery:
    """A gallery of the service, of two days' retention, some of whose items are three days old."""
    moment = [time.time() - 3 * DAY]
    shape = describer.shape
    gallery = Gallery.create(
        folder, fingerprint=describer.fingerprint, rule=describer.describer.rule, global_size=shape.global_size,
        parts=shape.parts, part_size=shape.part_size, local_size=shape.local_size, retention=2 * DAY,
        clock=lambda: moment[0],
    )  # fmt: skip
    given = (("old", old, -3), ("new", count - old, 0), ("future", future, 9))
    for name, many, days in given:
        moment[0] = time.time() + days * DAY
        gallery._expired_at = moment[0]
        vectors = Descriptor(
            torch.ones(many, shape.global_size), torch.ones(many, shape.parts, shape.part_size),
            torch.ones(many, shape.parts), fingerprint=describer.fingerprint,
        )  # fmt: skip
        gallery.add([Item(f"{name} {n}", "gate") for n in range(many)], vectors, by="test")
    return gallery


def test_items_expire_while_nobody_adds_any(
    tmp_path: Path, describer: BatchedDescriber, caplog: pytest.LogCaptureFixture
) -> None:
    few, many = aged(tmp_path / "few", describer, 30, 2), aged(tmp_path / "many", describer, 30, 9, future=1)
    (tmp_path / "damaged").mkdir()
    ageing = Ageing(Shelf(tmp_path, describer, ServiceSettings()), 3600)
    assert ageing.look() == 2
    assert (len(few), len(many)) == (28, 31)
    assert "gallery many: 9 items are too old and stay, for 9 of 31 items" in caplog.text
    assert "gallery many: 1 items are from the future" in caplog.text
    assert "gallery damaged: items cannot expire" in caplog.text
    assert ageing.look() == 0
    assert [e["who"] for e in few.audit.read() if e["action"] == "expire"] == ["retention", "retention"]


def test_a_service_that_starts_lets_items_expire(
    tmp_path: Path, describer: BatchedDescriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery, looked, look = aged(tmp_path / "few", describer, 30, 2), Event(), Ageing.look

    def told(ageing: Ageing) -> int:
        count = look(ageing)
        looked.set()
        return count

    monkeypatch.setattr(Ageing, "look", told)
    with served(tmp_path, describer):
        assert looked.wait(60)
    assert len(gallery) == 28


def test_expiry_in_doubt_is_refused_unless_it_is_sure(tmp_path: Path, describer: BatchedDescriber) -> None:
    aged(tmp_path / "many", describer, 30, 9, future=1)
    with served(tmp_path, describer) as (client, _):
        url = "/api/galleries/many"
        said = client.post(f"{url}/expire")
        assert said.status_code == 409
        assert "9 of 31 items are more than a tenth of the gallery. Nothing was erased" in said.json()["detail"]
        assert client.get(url).json()["items"] == 31
        assert client.post(f"{url}/expire", params={"sure": True}).json() == {"count": 9, "future": ["future 0"]}


def test_a_damaged_item_is_counted_and_named_in_the_answer(tmp_path: Path, describer: BatchedDescriber) -> None:
    with served(tmp_path, describer) as (client, _):
        fill(client, 6)
        gallery = Gallery.open(tmp_path / "one")
        spoil(tmp_path / "one", gallery.descriptor(["item-3"]).global_[0])
        answer = client.post("/api/galleries/one/search/items", json={"ids": ["item-0"]}).json()
        assert {hit["id"] for hit in answer["hits"]} == {"item-1", "item-2", "item-4", "item-5"}
        assert (answer["searched"], answer["damaged"], answer["damaged_ids"]) == (5, 1, ["item-3"])
        said = client.post("/api/galleries/one/search/items", json={"ids": ["item-3"]})
        assert said.status_code == 500
        assert "item 'item-3' is damaged" in said.json()["detail"]
        assert client.get("/api/galleries/one").json()["sealed"] is True


def test_a_full_disk_is_said(tmp_path: Path, describer: BatchedDescriber, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with served(tmp_path, describer) as (client, engine):
        fill(client, 6)
        monkeypatch.setattr(engine.shelf.get("one").gallery._items, "compact", full)
        said = client.post("/api/galleries/one/erase", json={"ids": ["item-3"]})
    assert said.status_code == 507
    assert "the disk is full" in said.json()["detail"]
    assert "Free about" in said.json()["detail"]
