"""A real server process: SIGTERM finishes what was accepted, turns away what comes after, and ends."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from occlureid import methods
from occlureid.gallery import Gallery
from tests.service.crops import crop, fields, form, images

ROOT = Path(__file__).parents[2]


@contextmanager
def process(*command: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and where it listens."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=environment, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert server.stderr is not None
        for line in server.stderr:
            if found := re.search(r"running on (http://\S+)", line):
                break
        else:
            raise AssertionError("the server did not start")
        yield server, found[1]
    finally:
        server.kill()
        server.communicate()


def test_sigterm_finishes_what_was_accepted(tmp_path: Path, method: methods.Method[Any]) -> None:
    methods.save(method, tmp_path / "weights.safetensors")
    add = {"files": images([crop(1), crop(2)]), "data": form("fields", [fields(1), fields(2)])}
    more = {"files": images([crop(3)]), "data": form("fields", [fields(3)])}
    with (
        process("-m", "tests.service.service_process", str(tmp_path), "3") as (server, url),
        httpx.Client(base_url=url, timeout=60) as client,
        httpx.Client(base_url=url, timeout=60) as late,
        ThreadPoolExecutor(1) as pool,
    ):
        client.post("/api/galleries", json={"name": "one"})
        assert late.get("/api/health").json() == {"state": "ready"}  # keeps its connection
        adding = pool.submit(client.post, "/api/galleries/one/items", **add)
        while not (tmp_path / "describing").exists():
            time.sleep(0.01)
        job = late.post("/api/galleries/one/jobs/add", **more)
        assert job.status_code == 202
        server.send_signal(signal.SIGTERM)
        refused = late.get("/api/about")
        while refused.status_code == 200:  # the signal is on its way
            refused = late.get("/api/about")
        assert (refused.status_code, refused.json()["detail"]) == (503, "the service stops")
        assert late.get("/api/health").json() == {"state": "stopping"}
        assert adding.result().json() == {
            "added": 2,
            "present": 0,
            "version": adding.result().json()["version"],
            "expired": 0,
            "overdue": 0,
        }
        out, _ = server.communicate(timeout=60)
    assert (server.returncode, out.strip()) == (0, "ended well")
    assert [item.id for item in Gallery.open(tmp_path / "galleries" / "one").items()] == [
        "item-1", "item-2", "item-3",
    ]  # fmt: skip


def test_a_second_signal_does_not_wait(tmp_path: Path, method: methods.Method[Any]) -> None:
    methods.save(method, tmp_path / "weights.safetensors")
    with (
        process("-m", "tests.service.service_process", str(tmp_path), "600") as (server, url),
        ThreadPoolExecutor(1) as pool,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        client.post("/api/galleries", json={"name": "one"})
        adding = pool.submit(
            client.post, "/api/galleries/one/items", files=images([crop(1)]), data=form("fields", [fields(1)])
        )
        while not (tmp_path / "describing").exists():
            time.sleep(0.01)
        server.send_signal(signal.SIGTERM)
        with httpx.Client(base_url=url, timeout=60) as other:
            while other.get("/api/health").status_code == 200:
                time.sleep(0.01)
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
        assert server.returncode == -signal.SIGTERM
        with pytest.raises(httpx.HTTPError):
            adding.result()


def test_the_command_serves(tmp_path: Path, method: methods.Method[Any]) -> None:
    methods.save(method, tmp_path / "weights.safetensors")
    script = (
        "import argparse, sys; from occlureid.cli.options import Commands; from occlureid.cli.serve import register; "
        "parser = argparse.ArgumentParser(); register(Commands(parser)); options = parser.parse_args(); "
        "sys.exit(options.command(options))"
    )
    weights = str(tmp_path / "weights.safetensors")
    command = ["serve", str(tmp_path / "g"), "--weights", weights, "--port", "0", "--allow-host", "proxy.example"]
    with process("-c", script, *command) as (server, url):
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{url}/api/about").json()["fingerprint"] == method.fingerprint()
        assert httpx.get(f"{url}/api/about", headers={"Host": "evil.example"}).status_code == 400
        assert httpx.get(f"{url}/api/about", headers={"Host": "proxy.example"}).status_code == 200
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
    assert server.returncode == 0
