"""What each route does when all is well, and what it says when something is not there."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from occlureid import methods
from occlureid.data.dataset import Sample
from occlureid.described import describe
from occlureid.describing import Describer
from occlureid.errors import MissingCueError
from occlureid.gallery import Filter, Gallery
from occlureid.gallery.openset import Calibration
from occlureid.gallery.search import Searcher
from occlureid.gallery.thresholds import calibrate
from occlureid.matching import pairwise_distances
from occlureid.service.describer import BatchedDescriber
from occlureid.service.settings import ServiceSettings
from occlureid.types import Descriptor
from occlureid.zoo.cue_models import model_cues
from tests.service.crops import crop, encoded, fields, fill, form, images, in_base64, picture, served


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


def test_about_and_health(client: TestClient) -> None:
    assert client.get("/api/health").json() == {"state": "ready"}
    about = client.get("/api/about").json()
    assert (about["name"], about["role"], about["method"], about["image_size"]) == ("local", "admin", "pcb", [64, 32])
    assert [part["name"] for part in about["parts"]] == ["head and chest", "hips and thighs", "shins and feet"]
    assert about["parts"][1]["region"] == {"top": 1 / 3, "left": 0.0, "bottom": 2 / 3, "right": 1.0}
    assert about["limits"]["k"] == 100


def test_galleries_are_made_listed_described_and_deleted(tmp_path: Path, describer: BatchedDescriber) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "Capital").mkdir()
    with served(tmp_path, describer) as (client, _):
        fill(client, 3, "street")
        assert client.post("/api/galleries", json={"name": "street"}).status_code == 409
        listed = client.get("/api/galleries").json()["galleries"]
        assert [(g["name"], g["items"], g["fits"]) for g in listed] == [("notes", None, False), ("street", 3, True)]
        assert str(tmp_path) not in json.dumps(listed)
        stats = client.get("/api/galleries/street").json()
        assert (stats["items"], stats["persons"], stats["cameras"]) == (3, 2, {"c0": 2, "c1": 1})
        assert (stats["first"], stats["last"], stats["retention"]) == (1000.0, 1002.0, None)
        assert client.delete("/api/galleries/notes").status_code == 422
        assert (tmp_path / "notes").is_dir()  # a foreign folder is not touched
        assert client.delete("/api/galleries/street").json() == {"count": 3}
        for again in (client.delete("/api/galleries/street"), client.get("/api/galleries/street")):
            assert (again.status_code, again.json()) == (404, {"detail": "there is no gallery street"})
        fill(client, 1, "street")
        assert client.get("/api/galleries/street").json()["items"] == 1
    kept = [path.name for path in tmp_path.iterdir() if path.name.startswith("street.deleted-")]
    assert len(kept) == 1  # its audit log
    events = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(e["action"], e["state"], e["gallery"]) for e in events[:3]] == [
        ("create", "done", "street"), ("delete", "begun", "street"), ("delete", "done", "street"),
    ]  # fmt: skip


def test_a_deletion_that_was_cut_short_is_finished(tmp_path: Path, describer: BatchedDescriber) -> None:
    left = tmp_path / ".street.deleted-0123abcd"
    left.mkdir()
    (left / "rest").write_bytes(b"of somebody")
    with served(tmp_path, describer):
        assert not left.exists()


def test_items_are_listed_with_filters_and_pages(client: TestClient) -> None:
    url = "/api/galleries/one/items"
    first = client.get(url, params={"limit": 4}).json()
    assert [item["id"] for item in first["items"]] == [f"item-{n}" for n in range(4)]
    rest = client.get(url, params={"limit": 4, "offset": first["next"]}).json()
    assert ([item["id"] for item in rest["items"]], rest["next"]) == (["item-4", "item-5"], None)
    some = client.get(url, params={"camera": ["c1", "c9"], "since": 1003, "until": 1005}).json()
    assert [item["id"] for item in some["items"]] == ["item-3"]
    assert [i["id"] for i in client.get(url, params={"person": "p2"}).json()["items"]] == ["item-4", "item-5"]
    one = client.get("/api/galleries/one/item", params={"id": "item-3"}).json()
    assert one == {"id": "item-3", "camera": "c1", "person": "p1", "time": 1003.0, "source": None, "box": None}
    assert client.get("/api/galleries/one/item", params={"id": "nobody"}).status_code == 404


def test_thumbnails_are_new_small_jpeg_files(client: TestClient, tmp_path: Path) -> None:
    client.post("/api/galleries", json={"name": "thumbs"})
    big = encoded(picture(3, (300, 900)))
    said = client.post(
        "/api/galleries/thumbs/items", files=images([big + b"secret behind"]), data=form("fields", [fields(0)])
    )
    assert said.json() == {"added": 1, "present": 0, "version": said.json()["version"], "expired": 0, "overdue": 0}
    answer = client.get("/api/galleries/thumbs/thumbnail", params={"id": "item-0"})
    (tmp_path / "thumb.jpg").write_bytes(answer.content)
    with Image.open(tmp_path / "thumb.jpg", formats=["JPEG"]) as shown:
        assert shown.size == (85, 256)
    assert b"secret" not in answer.content
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("image/jpeg", "no-store")
    assert client.get("/api/galleries/thumbs/thumbnail", params={"id": "item-1"}).status_code == 404


def test_adding_again_changes_nothing_and_wrong_uploads_add_nothing(client: TestClient) -> None:
    client.post("/api/galleries", json={"name": "again"})
    url, two = "/api/galleries/again/items", images([crop(1), crop(2)])
    box = [1.0, 2.0, 30.5, 40.0]
    whole = [fields(1, source="../../etc/passwd", box=box), fields(2)]
    assert client.post(url, files=two, data=form("fields", whole)).json()["added"] == 2
    assert client.post(url, files=two, data=form("fields", whole)).json()["present"] == 2
    said = client.get("/api/galleries/again/item", params={"id": "item-1"}).json()
    assert (said["source"], said["box"]) == ("../../etc/passwd", box)  # text, and never opened
    for wrong, words in (
        ([fields(3)], "1 objects and 2 images"),
        ([fields(3), fields(3)], "comes twice"),
        ([fields(3), fields(4, colour="red")], "fields.1.colour"),
        ([fields(3), fields(4, camera="")], "fields.1.camera"),
        ([fields(3), fields(4, id="a\nb")], "control characters"),
        ([fields(3), fields(4, box=[5, 5, 1, 1])], "x0 < x1"),
        ([fields(3), fields(4, time="noon")], "fields.1.time"),
        ('[{"id": "x", "camera": "c", "time": NaN}, {"id": "y", "camera": "c"}]', "fields"),
        ("[" * 100_000, "fields"),
        ("{}", "fields"),
    ):
        answer = client.post(url, files=two, data=form("fields", wrong))
        assert answer.status_code == 422, answer.text
        assert words in answer.json()["detail"]
    assert client.post(url, files=[*two, ("picture", ("x", b"x"))], data=form("fields", whole)).status_code == 422
    assert client.post(url, files=two, data={**form("fields", whole), "more": "x"}).status_code == 400
    assert client.post(url, files=two).status_code == 422
    assert client.post(url, json=whole).status_code == 415
    assert client.get("/api/galleries/again").json()["items"] == 2


def test_search_by_image_is_what_the_library_finds(
    client: TestClient, method: methods.Method[Any], tmp_path: Path
) -> None:
    url = "/api/galleries/one/search/images"
    data = crop(3)
    answer = client.post(url, files=images([data]), data=form("query", {"k": 4}))
    assert ids(answer)[0] == "item-3"
    (tmp_path / "crop.png").write_bytes(data)
    query, _ = describe(method, [Sample(tmp_path / "crop.png", "?", "?")])
    said = client.post("/api/galleries/one/search/descriptor", json={"descriptor": in_base64(query, tmp_path), "k": 4})
    assert said.json() == answer.json()
    hit = answer.json()["hits"][0]
    assert hit["distance"] == pytest.approx(0, abs=1e-5)
    assert (hit["camera"], hit["person"], hit["time"], hit["probable"]) == ("c1", "p1", 1003.0, None)
    assert [part["in_hit"] and part["in_query"] and part["weight"] == 1 for part in hit["reason"]["parts"]] == [
        True
    ] * 3
    assert [part["region"]["bottom"] for part in answer.json()["parts"]] == [1 / 3, 2 / 3, 1.0]
    assert answer.json()["exact"] is True
    assert (answer.json()["searched"], answer.json()["coverage"]) == (6, 1.0)


def test_a_box_on_a_larger_picture_is_cut_out_on_the_server(client: TestClient) -> None:
    scene = picture(99, (200, 150))
    scene.paste(picture(4), (100, 60))
    url, larger = "/api/galleries/one/search/images", images([encoded(scene)])
    cut = client.post(url, files=larger, data=form("query", {"boxes": [[100, 60, 124, 108]]}))
    whole = client.post(url, files=images([crop(4)]))
    assert cut.json() == whole.json()
    assert ids(cut)[0] == "item-4"
    for wrong in (
        [[100, 60, 201, 108]],
        [[-1, 0, 50, 50]],
        [[50, 50, 52, 90]],
        [[9, 9, 5, 5]],
        [None, None],
        [[1, 2, 3]],
    ):
        answer = client.post(url, files=larger, data=form("query", {"boxes": wrong}))
        assert answer.status_code == 422, wrong


def test_search_filters_bounds_and_exclusions(client: TestClient) -> None:
    url = "/api/galleries/one/search/items"
    assert "item-0" not in ids(client.post(url, json={"ids": ["item-0"]}))
    assert ids(client.post(url, json={"ids": ["item-0"], "include_query": True, "k": 1})) == ["item-0"]
    everyone = ids(client.post(url, json={"ids": ["item-0"]}))
    assert sorted(everyone) == [f"item-{n}" for n in range(1, 6)]
    assert ids(client.post(url, json={"ids": ["item-0"], "k": 2, "not_ids": everyone[:1]})) == everyone[1:3]
    for filters, kept in (
        ({"cameras": ["c1"]}, {"item-1", "item-3", "item-5"}),
        ({"not_cameras": ["c1"]}, {"item-2", "item-4"}),
        ({"persons": ["p1", "p2"]}, {"item-2", "item-3", "item-4", "item-5"}),
        ({"since": 1002, "until": 1004}, {"item-2", "item-3"}),
        ({"cameras": []}, set()),
    ):
        assert set(ids(client.post(url, json={"ids": ["item-0"], **filters}))) == kept
    assert client.post(url, json={"ids": ["item-0", "nobody"]}).status_code == 404
    for wrong in (
        {"k": 0}, {"k": 101}, {"k": "5"}, {"k": 2.5}, {"ids": []}, {"ids": ["x"] * 17}, {"since": 5, "until": 5}, {"path": "/"},
        {"cameras": "c1"}, {"cameras": ["\x00"]}, {"not_ids": ["a"] * 201},
    ):  # fmt: skip
        assert client.post(url, json={"ids": ["item-0"], **wrong}).status_code == 422, wrong
    bad = client.post(url, content='{"ids": ["item-0"], "since": NaN}', headers={"Content-Type": "application/json"})
    assert bad.status_code == 422


def test_several_crops_are_one_query(client: TestClient) -> None:
    url = "/api/galleries/one/search/images"
    both = client.post(url, files=images([crop(2), crop(3)]))
    by_items = client.post("/api/galleries/one/search/items", json={"ids": ["item-2", "item-3"], "include_query": True})
    assert ids(both)[2:] == ids(by_items)[2:]  # the first two are as near as each other
    assert set(ids(both)[:2]) == {"item-2", "item-3"}
    mixed = client.post(url, files=images([crop(2)]), data=form("query", {"items": ["item-3"]}))
    assert "item-3" not in ids(mixed)
    assert ids(mixed)[0] == "item-2"
    assert client.post(url, files=images([crop(1)] * 17)).status_code == 422


def test_hostile_descriptors(client: TestClient, tmp_path: Path) -> None:
    url = "/api/galleries/one/search/descriptor"
    fingerprint = client.get("/api/about").json()["fingerprint"]
    width = 512

    def send(**changes: Any) -> Any:
        values: dict[str, Any] = {
            "global_": torch.ones(1, width), "parts": torch.ones(1, 3, width), "visibility": torch.ones(1, 3),
            "fingerprint": fingerprint,
        }  # fmt: skip
        return client.post(url, json={"descriptor": in_base64(Descriptor(**{**values, **changes}), tmp_path)})

    assert send().status_code == 200
    assert send(fingerprint="pcb@000000000000").status_code == 409
    zero = send(global_=torch.zeros(1, width), parts=torch.zeros(1, 3, width))
    assert zero.status_code == 200
    for wrong in (
        {"global_": torch.full((1, width), float("nan"))},
        {"global_": torch.full((1, width), 1e30)},
        {"parts": torch.full((1, 3, width), float("inf"))},
        {"visibility": torch.full((1, 3), 2.0)},
        {"global_": torch.ones(1, width, dtype=torch.float64)},
        {"global_": torch.ones(1, 7)},
        {"parts": torch.ones(1, 2, width), "visibility": torch.ones(1, 2)},
        {"global_": torch.ones(0, width), "parts": torch.ones(0, 3, width), "visibility": torch.ones(0, 3)},
        {"global_": torch.ones(17, width), "parts": torch.ones(17, 3, width), "visibility": torch.ones(17, 3)},
    ):
        assert send(**wrong).status_code == 422, wrong
    good = in_base64(
        Descriptor(torch.ones(1, width), torch.ones(1, 3, width), torch.ones(1, 3), fingerprint=fingerprint), tmp_path
    )
    for text in ("", "?", "AAAA", "a" * 5, good[:-100], "/" * 400, "AAAAAAAAAAA=", good[:40] + "QUFB" + good[44:]):
        assert client.post(url, json={"descriptor": text}).status_code in (409, 422), text[:50]


def test_a_pair_is_explained(client: TestClient) -> None:
    url = "/api/galleries/one/explain"
    pair = client.post(url, json={"query": "item-0", "hit": "item-5"}).json()
    found = client.post("/api/galleries/one/search/items", json={"ids": ["item-0"]}).json()
    hit = next(hit for hit in found["hits"] if hit["id"] == "item-5")
    assert pair == {"distance": hit["distance"], "parts": found["parts"], "reason": hit["reason"]}
    assert client.post(url, json={"query": "item-0", "hit": "nobody"}).status_code == 404


def test_removing_erasing_and_expiring(tmp_path: Path, describer: BatchedDescriber) -> None:
    with served(tmp_path, describer) as (client, _):
        fill(client, 6)
        url = "/api/galleries/one"
        assert len(ids(client.post(f"{url}/search/items", json={"ids": ["item-0"]}))) == 5
        assert client.post(f"{url}/remove", json={"ids": ["item-1", "nobody"]}).json() == {
            "count": 1,
            "missing": ["nobody"],
        }
        assert "item-1" not in ids(client.post(f"{url}/search/items", json={"ids": ["item-0"]}))
        assert client.post(f"{url}/erase", json={"ids": ["item-2"], "person": "p2"}).json() == {
            "count": 3,
            "missing": [],
        }
        assert ids(client.post(f"{url}/search/items", json={"ids": ["item-0"]})) == ["item-3"]
        assert client.post(f"{url}/erase", json={}).status_code == 422
        for action, named in (
            ("remove", {"ids": ["item-1"]}),
            ("erase", {"ids": ["item-1"]}),
            ("erase", {"person": "p9"}),
        ):
            said = client.post(f"{url}/{action}", json=named)
            assert said.status_code == 404
            assert "nobody of those named" in said.json()["detail"]
        assert client.post(f"{url}/expire").json() == {"count": 0, "future": []}
        assert client.post("/api/galleries", json={"name": "brief", "retention": 3600}).status_code == 201
        old = client.post(
            "/api/galleries/brief/items", files=images([crop(1)]), data=form("fields", [fields(1, time=1000.0)])
        )
        assert (old.status_code, "expire" in old.json()["detail"]) == (422, True)
    left = b"".join(path.read_bytes() for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert b"item-0" in left
    assert b"item-4" not in left


def test_who_did_what_is_in_the_audit_log(tmp_path: Path, describer: BatchedDescriber) -> None:
    with served(tmp_path, describer) as (client, _):
        fill(client, 3)
        client.post("/api/galleries/one/search/items", json={"ids": ["item-0"]})
        client.post("/api/galleries/one/remove", json={"ids": ["item-1"]})
        url = "/api/galleries/one/audit"
        whole = client.get(url).json()
        steps = [(event["who"], event["action"], event["state"], event["count"]) for event in whole["events"]]
        assert steps == [
            ("local", "remove", "done", 1), ("local", "remove", "begun", 1), ("local", "search", "done", 2),
            ("local", "add", "done", 3), ("local", "add", "begun", 3), ("local", "create", "done", None),
        ]  # fmt: skip
        page = client.get(url, params={"limit": 2, "offset": 1}).json()
        assert (page["events"], page["total"]) == (whole["events"][1:3], 6)
        about_one = client.get(url, params={"item": "item-1"}).json()
        assert [event["action"] for event in about_one["events"]] == ["remove", "remove", "search", "add", "add"]
        assert "item-1" not in json.dumps(whole)


def threshold_for(gallery: Gallery, rate: float = 0.01) -> Calibration:
    impostors = torch.linspace(1e-3, 1.0, 100)
    return calibrate(torch.zeros(20), impostors, rate=rate, fingerprint=gallery.fingerprint, rule=gallery.rule)


def test_a_calibrated_gallery_says_who_is_absent(tmp_path: Path, describer: BatchedDescriber) -> None:
    with served(tmp_path, describer) as (client, _):
        fill(client, 4)
        url = "/api/galleries/one/search/items"
        asked = {"ids": ["item-0"], "include_query": True}
        before = client.post(url, json=asked).json()
        assert [before["absent"], before["hits"][0]["probable"], before["calibration"]] == [None, None, None]
        file = tmp_path / "one" / "calibration.json"
        threshold_for(Gallery.open(tmp_path / "one")).save(file)  # while it is in use
        there = client.post(url, json=asked).json()
        assert [there["absent"], there["hits"][0]["probable"], there["hits"][-1]["probable"]] == [False, True, False]
        assert (there["calibration"]["rate"], there["calibration"]["unit"]) == (0.01, "pair")
        assert client.post(url, json={"ids": ["item-0"]}).json()["absent"] is True  # the query itself does not count
        assert client.get("/api/galleries/one").json()["calibration"] == there["calibration"]
        assert [hit["verdict"] for hit in there["hits"]] == ["likely", *["unlikely"] * 3]
        assert there["level"] == there["calibration"]["levels"][0] | {"found": 1.0, "missed": 0.0, "images": 1}
        both = client.post(url, json={"ids": ["item-0", "item-1"]}).json()  # measured with one crop only
        assert [both["absent"], both["level"], *(hit["verdict"] for hit in both["hits"])] == [None] * 4
        assert both["no_verdict"].startswith("the query has 2 images")
        assert there["no_verdict"] is None
        threshold_for(Gallery.open(tmp_path / "one"), 0.5).save(file)
        assert client.post(url, json=asked).json()["calibration"]["rate"] == 0.5
        file.unlink()
        assert client.post(url, json=asked).json()["calibration"] is None
        stats = client.get("/api/galleries/one").json()
        assert (stats["calibration"], stats["calibration_problem"]) == (None, None)


def damaged(record: dict[str, Any]) -> dict[str, bytes]:
    """Files that are no calibration of the gallery that a good one's record belongs to."""
    changes: dict[str, dict[str, Any]] = {
        "huge number": {"threshold": 10**400},
        "other rule": {"rule": {**record["rule"], "global_weight": 0.25}},
        "odd rule": {"rule": [1]},
        "other model": {"fingerprint": "another"},
        "unknown field": {"more": 1},
    }
    made = {name: json.dumps({**record, **change}).encode() for name, change in changes.items()}
    return {
        **made, "empty": b"", "cut short": json.dumps(record).encode()[:-9], "bytes": bytes(range(256)), "list": b"[]",
        "nested": b"[" * 100_000, "long": b" " * 2**20 + json.dumps(record).encode(),
    }  # fmt: skip


def test_a_damaged_calibration_does_not_stop_searches(
    tmp_path: Path, describer: BatchedDescriber, caplog: pytest.LogCaptureFixture
) -> None:
    with served(tmp_path, describer) as (client, _):
        fill(client, 3)
        file, url = tmp_path / "one" / "calibration.json", "/api/galleries/one/search/items"
        good = threshold_for(Gallery.open(tmp_path / "one"))
        for name, content in damaged(good.to_json()).items():
            file.unlink(missing_ok=True)
            file.write_bytes(content)
            caplog.clear()
            for _ in range(2):
                answer = client.post(url, json={"ids": ["item-0"]})
                assert (answer.status_code, len(answer.json()["hits"])) == (200, 2), name
                assert (answer.json()["absent"], answer.json()["hits"][0]["probable"]) == (None, None), name
            stats = client.get("/api/galleries/one").json()
            assert stats["calibration"] is None, name
            assert stats["calibration_problem"].startswith("the calibration cannot be used: "), name
            assert str(tmp_path) not in stats["calibration_problem"]
            assert len(stats["calibration_problem"]) <= 500
            (told,) = [record for record in caplog.records if record.name == "occlureid.service.calibrations"]
            assert (told.levelname, str(file) in told.getMessage()) == ("ERROR", True)  # once, not at every search
        file.unlink()
        file.mkdir()
        assert client.get("/api/galleries/one").json()["calibration_problem"]
        file.rmdir()
        good.save(file)
        assert client.get("/api/galleries/one").json()["calibration_problem"] is None
        assert client.post(url, json={"ids": ["item-0"]}).json()["calibration"]["rate"] == 0.01


def test_metrics(tmp_path: Path, describer: BatchedDescriber) -> None:
    with served(tmp_path, describer) as (client, _):
        fill(client, 2)
        client.post("/api/galleries/one/search/items", json={"ids": ["item-0"]})
        client.get("/nowhere")
        answer = client.get("/api/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        values = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
    assert values["occlureid_requests_total", "/api/galleries/{gallery}/search/items", "200", "POST"] == 1
    assert values["occlureid_requests_total", "404", "GET", "unmatched"] == 1
    assert values["occlureid_request_seconds_count", "/api/galleries/{gallery}/items", "POST"] == 1
    assert values["occlureid_gallery_items", "one"] == 2
    assert (values["occlureid_described_images_total",], values["occlureid_queue_length", "search"]) == (2, 0)


def test_what_another_process_adds_is_found(tmp_path: Path, describer: BatchedDescriber) -> None:
    with served(tmp_path, describer) as (client, _):
        fill(client, 3)
        before = ids(client.post("/api/galleries/one/search/items", json={"ids": ["item-0"]}))
        other = Gallery.open(tmp_path / "one")
        other.remove(["item-2"], by="elsewhere")
        assert sorted(before) == ["item-1", "item-2"]
        assert ids(client.post("/api/galleries/one/search/items", json={"ids": ["item-0"]})) == ["item-1"]


def test_a_gallery_of_another_model_is_searched_but_not_by_images(
    tmp_path: Path, describer: BatchedDescriber, method: methods.Method[Any]
) -> None:
    with served(tmp_path, describer) as (client, _):
        fill(client, 2)
    other = methods.create("pcb", 3, {"backbone": "resnet10t", "size": (64, 32), "parts": 3}, seed=1)
    with served(tmp_path, BatchedDescriber(Describer(other), ServiceSettings())) as (client, _):
        assert ids(client.post("/api/galleries/one/search/items", json={"ids": ["item-0"]})) == ["item-1"]
        refused = client.post("/api/galleries/one/search/images", files=images([crop(1)]))
        assert (refused.status_code, method.fingerprint() in refused.json()["detail"]) == (409, True)
        added = client.post("/api/galleries/one/items", files=images([crop(5)]), data=form("fields", [fields(5)]))
        assert added.status_code == 409
        assert client.get("/api/galleries").json()["galleries"][0]["fits"] is False


def test_a_damaged_gallery_is_no_riddle(tmp_path: Path, describer: BatchedDescriber) -> None:
    with served(tmp_path, describer) as (client, _):
        fill(client, 2)
    for file in (tmp_path / "one" / "items.lance" / "_versions").iterdir():
        file.write_bytes(b"not a manifest")
    with served(tmp_path, BatchedDescriber(describer.describer, ServiceSettings())) as (client, _):
        for answer in (client.get("/api/galleries"), client.get("/api/galleries/one")):
            assert str(tmp_path) not in answer.text
        assert client.get("/api/galleries").json()["galleries"][0]["problem"]


def test_a_method_that_needs_cues_is_refused() -> None:
    method = methods.create("pgfa", 3, {"backbone": "resnet10t", "size": (64, 32)})
    with pytest.raises(MissingCueError, match=r"needs the cue 'keypoints'.*baseline"):
        BatchedDescriber(Describer(method), ServiceSettings())


@pytest.mark.parametrize("name", methods.available())
def test_every_method_is_served_with_the_packages_networks(name: str, tmp_path: Path) -> None:
    fraction = {"visibility": "fraction"} if name == "sgam" else {}  # untrained, so without reference areas
    method = methods.create(name, 3, {"backbone": "resnet10t", "size": (64, 32), **fraction})
    describer = Describer(method, model_cues(method))
    with served(tmp_path, BatchedDescriber(describer, ServiceSettings())) as (client, _):
        fill(client, 4)
        url = "/api/galleries/one/search/images"
        answers = [client.post(url, files=images([crop(number)])).json() for number in range(4)]
        boxed = client.post(
            url,
            files=images([encoded(framed(picture(2), (9, 5)))]),
            data=form("query", {"boxes": [[9, 5, 33, 53]]}),
        ).json()
    found = describer.pictures([Image.open(io.BytesIO(crop(number))) for number in range(4)])
    itself = pairwise_distances(method.rule, found, found).diagonal().tolist()
    for number, answer in enumerate(answers):
        assert answer["hits"][0]["id"] == f"item-{number}", (name, number)
        assert answer["hits"][0]["distance"] == pytest.approx(itself[number], abs=1e-3)
    assert boxed["hits"][0]["id"] == "item-2"
    assert boxed["hits"][0]["distance"] == pytest.approx(answers[2]["hits"][0]["distance"], abs=1e-4)


def framed(image: Image.Image, place: tuple[int, int]) -> Image.Image:
    """A larger picture that has one in it."""
    whole = Image.new("RGB", (60, 70), (90, 120, 60))
    whole.paste(image, place)
    return whole


def test_a_searcher_of_the_same_gallery_agrees(tmp_path: Path, describer: BatchedDescriber) -> None:
    with served(tmp_path, describer) as (client, _):
        fill(client, 5)
        answer = client.post("/api/galleries/one/search/items", json={"ids": ["item-1"], "include_query": True})
    gallery = Gallery.open(tmp_path / "one")
    query = gallery.descriptor(["item-1"]).to(dtype=torch.float32)
    expected = Searcher(gallery).search(query, k=10, filter=Filter())[0]
    assert [(hit["id"], hit["distance"]) for hit in answer.json()["hits"]] == [
        (h.id, h.distance) for h in expected.hits
    ]
