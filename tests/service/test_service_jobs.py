"""Long jobs: progress, errors of single items, cancelling, bounds."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from occlureid.service.describer import BatchedDescriber
from tests.service.crops import crop, fields, form, images, served


def ended(client: TestClient, job: str) -> dict[str, Any]:
    for _ in range(1000):
        report: dict[str, Any] = client.get(f"/api/jobs/{job}").json()
        if report["state"] not in ("waiting", "running"):
            return report
        time.sleep(0.01)
    raise AssertionError("the job does not end")


def test_a_job_adds_what_can_be_added_and_names_what_cannot(tmp_path: Path, describer: BatchedDescriber) -> None:
    with served(tmp_path, describer) as (client, _):
        client.post("/api/galleries", json={"name": "one"})
        files = [crop(n) for n in range(20)]
        files[3], files[18] = b"no picture", files[18][:50]
        begun = client.post(
            "/api/galleries/one/jobs/add", files=images(files), data=form("fields", [fields(n) for n in range(20)])
        )
        assert (begun.status_code, begun.json()["of"], begun.json()["by"]) == (202, 20, "local")
        report = ended(client, begun.json()["id"])
        assert (report["state"], report["done"], report["added"], report["error_count"]) == ("done", 20, 18, 2)
        assert [error["item"] for error in report["errors"]] == ["item-3", "item-18"]
        assert client.get("/api/galleries/one").json()["items"] == 18
        compacted = ended(client, client.post("/api/galleries/one/jobs/compact").json()["id"])
        assert (compacted["state"], compacted["done"], compacted["of"]) == ("done", 1, 1)
        assert [job["kind"] for job in client.get("/api/jobs").json()["jobs"]] == ["compact", "add"]
        assert client.get("/api/jobs/0123456789abcdef").status_code == 404
        assert client.get("/api/jobs/..").status_code in (404, 422)


def test_jobs_are_cancelled_and_bounded(
    tmp_path: Path, describer: BatchedDescriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path, describer, jobs=2) as (client, engine):
        client.post("/api/galleries", json={"name": "one"})
        begun, go = threading.Event(), threading.Event()
        whole = engine.describer.describe

        def held(pictures: Any) -> Any:
            begun.set()
            go.wait(20)
            return whole(pictures)

        monkeypatch.setattr(engine.describer, "describe", held)
        url = "/api/galleries/one/jobs/add"
        data = form("fields", [fields(n) for n in range(20)])
        running = client.post(url, files=images([crop(n) for n in range(20)]), data=data).json()["id"]
        begun.wait(20)
        assert not engine.idle
        waiting = [client.post("/api/galleries/one/jobs/compact").json()["id"] for _ in range(2)]
        refused = client.post("/api/galleries/one/jobs/compact")
        assert (refused.status_code, "too many jobs" in refused.json()["detail"]) == (503, True)
        assert client.delete(f"/api/jobs/{waiting[0]}").json()["state"] == "cancelled"
        assert client.get(f"/api/jobs/{running}").json()["state"] == "running"
        client.delete(f"/api/jobs/{running}")
        go.set()
        report = ended(client, running)
        assert (report["state"], report["done"], report["added"]) == ("cancelled", 16, 16)
        assert ended(client, waiting[1])["state"] == "done"
        assert client.get("/api/galleries/one").json()["items"] == 16


def test_a_job_of_a_gallery_that_is_deleted_fails(
    tmp_path: Path, describer: BatchedDescriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path, describer) as (client, engine):
        client.post("/api/galleries", json={"name": "one"})
        begun, go = threading.Event(), threading.Event()
        whole = engine.describer.describe

        def held(pictures: Any) -> Any:
            begun.set()
            go.wait(20)
            return whole(pictures)

        monkeypatch.setattr(engine.describer, "describe", held)
        job = client.post(
            "/api/galleries/one/jobs/add", files=images([crop(0)]), data=form("fields", [fields(0)])
        ).json()
        begun.wait(20)
        assert client.delete("/api/galleries/one").status_code == 200
        go.set()
        report = ended(client, job["id"])
        assert (report["state"], report["errors"][0]["message"]) == ("failed", "there is no gallery one")
