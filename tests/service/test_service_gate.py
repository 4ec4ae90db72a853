"""Who may come in: one mechanism on every route, before anything is read."""

import json
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.types import Message

from occlureid.cli.options import Commands
from occlureid.cli.serve import register
from occlureid.errors import DataError, OcclureidError, UsageError
from occlureid.service.app import create_app
from occlureid.service.describer import BatchedDescriber
from occlureid.service.engine import Engine
from occlureid.service.gate import Gate, guarded_routes
from occlureid.service.server import check_address
from occlureid.service.settings import ServiceSettings
from occlureid.service.tokens import ROLES, TokenFile, add_token, allows, read_tokens, remove_token
from tests.service.crops import HERE, crop, fields, form, images, served

MODULES = ("boxes", "compare", "crops", "elements", "gallery", "hits", "search", "service", "timeline")
PAGE = {"/", "/page.css", "/page.js", *(f"/page_{name}.js" for name in MODULES)}
ANYONE = {*PAGE, "/api/health", "/api/openapi.json"}
ADMIN = {
    ("POST", "/api/galleries"),
    ("DELETE", "/api/galleries/{gallery}"),
    ("POST", "/api/galleries/{gallery}/erase"),
    ("POST", "/api/galleries/{gallery}/expire"),
    ("GET", "/api/galleries/{gallery}/audit"),
    ("POST", "/api/galleries/{gallery}/jobs/compact"),
}
ADD = {
    ("POST", "/api/galleries/{gallery}/items"),
    ("POST", "/api/galleries/{gallery}/remove"),
    ("POST", "/api/galleries/{gallery}/jobs/add"),
    ("GET", "/api/jobs"),
    ("GET", "/api/jobs/{job}"),
    ("DELETE", "/api/jobs/{job}"),
}


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    return {role: add_token(tmp_path / "tokens.json", f"the-{role}", role) for role in ROLES}


@pytest.fixture
def guarded(
    tmp_path: Path, tokens: dict[str, str], describer: BatchedDescriber
) -> Iterator[tuple[TestClient, FastAPI]]:
    engine = Engine(tmp_path / "g", describer, ServiceSettings(), tokens=TokenFile(tmp_path / "tokens.json"))
    app = create_app(engine)
    with TestClient(app, base_url="http://service.example") as client:
        yield client, app


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_every_route_has_a_role_and_refuses_those_below(
    guarded: tuple[TestClient, FastAPI], tokens: dict[str, str]
) -> None:
    client, app = guarded
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    assert len(routes) == len(app.routes) == 37  # nothing is mounted or added beside the guarded routes
    for route in routes:
        (method,) = route.methods
        needed = (route.openapi_extra or {})["x-role"]
        expected = "admin" if (method, route.path) in ADMIN else "add" if (method, route.path) in ADD else "search"
        assert needed == ("anyone" if route.path in ANYONE else expected), route.path
        path = route.path.replace("{gallery}", "nowhere").replace("{job}", "0" * 16)
        without = client.request(method, path)
        wrong = [
            client.request(method, path, headers=headers)
            for headers in (
                bearer("x"),
                bearer(""),
                {"Authorization": f"Basic {tokens['admin']}"},
                bearer(tokens["admin"][:-1]),
            )
        ]
        if needed == "anyone":
            assert without.status_code in (200, 404), route.path
            continue
        assert {answer.status_code for answer in (without, *wrong)} == {401}, route.path
        assert without.headers["www-authenticate"] == "Bearer"
        for role in ROLES:
            status = client.request(method, path, headers=bearer(tokens[role])).status_code
            assert (status == 403) == (not allows(role, needed)), (route.path, role, status)
            assert status not in (401, 500)


def test_the_table_of_routes_is_what_there_is(guarded: tuple[TestClient, FastAPI]) -> None:
    import occlureid.service.app as module

    told = set()
    for line in (module.__doc__ or "").split("answer\n")[1].split("\n\n")[0].splitlines():
        role, method, paths = re.split(r"\s+", line.strip(), maxsplit=2)
        told |= {(role, method, path) for path in re.split(r"\s{2,}|\s(?!/)", paths)[0].split(", ")}
    routes = [route for route in guarded[1].routes if isinstance(route, APIRoute)]
    assert told == {((r.openapi_extra or {})["x-role"], next(iter(r.methods)), r.path) for r in routes}


def test_nothing_is_read_of_somebody_who_may_not(guarded: tuple[TestClient, FastAPI]) -> None:
    _, app = guarded
    sent: list[Message] = []

    async def receive() -> Message:
        raise OSError("the body was asked for")

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/api/galleries/one/items", "raw_path": b"",
        "query_string": b"", "root_path": "", "headers": [(b"host", b"x")], "client": ("1.2.3.4", 5), "server": ("x", 80),
        "scheme": "http", "extensions": {},
    }  # fmt: skip
    import asyncio

    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 401


def test_a_route_without_a_role_cannot_be_made() -> None:
    app = FastAPI()
    app.router.route_class = guarded_routes(Gate(ServiceSettings(), None, None))
    with pytest.raises(UsageError, match="must say who may use it"):
        app.get("/open")(lambda: {})
    with pytest.raises(UsageError, match="must say who may use it"):
        app.get("/open", openapi_extra={"x-role": "root", "x-body": "json"})(lambda: {})


def test_names_of_tokens_are_in_the_audit_log_and_removed_tokens_end(
    guarded: tuple[TestClient, FastAPI], tokens: dict[str, str], tmp_path: Path
) -> None:
    client, _ = guarded
    admin, add = bearer(tokens["admin"]), bearer(tokens["add"])
    assert client.post("/api/galleries", json={"name": "one"}, headers=admin).status_code == 201
    added = client.post(
        "/api/galleries/one/items", files=images([crop(0)]), data=form("fields", [fields(0)]), headers=add
    )
    assert added.json()["added"] == 1
    events = client.get("/api/galleries/one/audit", headers=admin).json()["events"]
    assert [event["who"] for event in events] == ["the-add", "the-add", "the-admin"]
    assert client.get("/api/about", headers=add).json()["name"] == "the-add"
    remove_token(tmp_path / "tokens.json", "the-add")
    assert client.get("/api/about", headers=add).status_code == 401
    (tmp_path / "tokens.json").write_text("{")
    assert client.get("/api/about", headers=admin).status_code == 401  # a damaged file lets nobody in


def test_token_files(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = add_token(path, "desk", "search")
    assert len(token) >= 43
    assert token not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert TokenFile(path).find(token) is not None
    assert TokenFile(path).find(token + "x") is None
    with pytest.raises(UsageError, match="there is a token"):
        add_token(path, "desk", "admin")
    for name, role in (("", "search"), ("a b", "search"), ("../x", "search"), ("x" * 65, "search"), ("x", "root")):
        with pytest.raises(DataError, match="a token has a name"):
            add_token(path, name, role)
    with pytest.raises(UsageError, match="no token has the name"):
        remove_token(path, "nobody")
    remove_token(path, "desk")
    assert read_tokens(path) == []
    with pytest.raises(DataError, match="has no token"):
        TokenFile(path)
    for text in (
        "",
        "[]",
        "{}",
        '{"occlureid": "tokens"}',
        '{"occlureid": "tokens", "tokens": [{"name": 1}]}',
        "[" * 9999,
    ):
        path.write_text(text)
        with pytest.raises(DataError, match="not a token file"):
            read_tokens(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_tokens(tmp_path / "none")


def test_without_tokens_only_loopback() -> None:
    assert all(check_address(host, None) for host in ("127.0.0.1", "localhost", "::1"))
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.org", ""):
        with pytest.raises(UsageError, match="--tokens"):
            check_address(host, None)
        assert check_address(host, Path("tokens.json")) is False


def test_the_command_refuses_before_it_listens(tmp_path: Path) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    register(Commands(parser))

    def run(*arguments: str) -> int:
        options = parser.parse_args(arguments)
        return int(options.command(options))

    with pytest.raises(UsageError, match="--tokens"):
        run("serve", str(tmp_path / "g"), "--weights", "w.safetensors", "--host", "0.0.0.0")
    with pytest.raises(UsageError, match="--port"):
        run("serve", str(tmp_path / "g"), "--weights", "w.safetensors", "--port", "70000")
    with pytest.raises(OcclureidError, match="no weights there"):
        run("serve", str(tmp_path / "g"), "--weights", "w.safetensors")
    assert not (tmp_path / "g").exists()


def test_the_tokens_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    register(Commands(parser))
    for arguments in (
        ["add", "--role", "search", "--name", "desk"], ["add", "--role", "admin", "--name", "root"], ["remove", "--name", "root"],
        ["list"],
    ):  # fmt: skip
        options = parser.parse_args(["tokens", *arguments, str(tmp_path / "t.json")])
        assert options.command(options) == 0
    first, _, shown = capsys.readouterr().out.splitlines()
    assert (found := TokenFile(tmp_path / "t.json").find(first)) is not None
    assert (found.name, found.role) == ("desk", "search")
    assert shown.split()[:2] == ["desk", "search"]


def test_loopback_without_tokens_refuses_other_sites(client: TestClient) -> None:
    for host in ("127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000"):
        assert client.get("/api/about", headers={"Host": host}).status_code == 200
    for host in (
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.",
        "127.0.0.2",
        "",
        "[",
        "x@y",
        "127.0.0.1@evil.example",
    ):
        assert client.get("/api/about", headers={"Host": host}).status_code == 400, host
        assert client.get("/", headers={"Host": host}).status_code == 400, host
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = client.post("/api/galleries", json={"name": "stolen"}, headers=headers)
        assert answer.status_code == 403
    own = client.get("/api/about", headers={"Origin": HERE, "Sec-Fetch-Site": "same-origin"})
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers


def test_headers_are_on_every_answer(client: TestClient) -> None:
    answers = [client.get(path) for path in ("/", "/api/health", "/api/about", "/nowhere", "/api/galleries/UP")]
    answers.append(client.get("/api/about", headers={"Host": "evil.example"}))
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; img-src 'self' blob: data:;")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_bodies_are_bounded(tmp_path: Path, describer: BatchedDescriber) -> None:
    with served(
        tmp_path, describer, json_bytes=2000, request_bytes=10_000, pending_bytes=15_000, receive_seconds=0.2
    ) as (client, _):
        client.post("/api/galleries", json={"name": "one"})
        url = "/api/galleries/one/remove"
        assert client.post(url, json={"ids": ["x" * 3000]}).status_code == 413

        def pieces() -> Iterator[bytes]:
            for _ in range(10):
                yield b" " * 1000

        kind = {"Content-Type": "application/json"}
        assert client.post(url, content=pieces(), headers=kind).status_code == 413
        big = client.post("/api/galleries/one/items", files=images([b"x" * 12_000]), data=form("fields", [fields(0)]))
        assert (big.status_code, "10000" in big.json()["detail"]) == (413, True)
        for text in (
            b"[" * 1900, b"{", b"\xff\xfe", b'{"ids": ["\\ud800"]}', b'{"ids": [' + b"9" * 1900 + b"]}", b'{"ids":["a"],"x":1}',
            b"null", b"", b'"x"', b'{"ids": [null]}', b'{"ids": []}',
        ):  # fmt: skip
            answer = client.post(url, content=text, headers=kind)
            assert answer.status_code in (400, 422), text[:40]
            assert answer.json()["detail"]
        plain = client.post(url, content=b'{"ids": ["a"]}', headers={"Content-Type": "text/plain"})
        assert plain.status_code in (415, 422)


def test_a_slow_body_is_not_waited_for() -> None:
    import asyncio

    async def never() -> Message:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def read() -> int:
        gate = Gate(ServiceSettings(receive_seconds=0.01), None, None)
        request = Request({"type": "http", "headers": [], "method": "POST", "path": "/"}, never)
        with pytest.raises(Exception, match="did not arrive") as caught:
            async with gate.received(request, "json"):
                pass
        return int(caught.value.status_code)  # type: ignore[attr-defined]

    assert asyncio.run(read()) == 408


def test_names_never_lead_out_of_the_folder(tmp_path: Path, describer: BatchedDescriber) -> None:
    (tmp_path / "outside").mkdir()
    with served(tmp_path / "galleries", describer) as (client, _):
        before = sorted(tmp_path.rglob("*"))
        for name in (
            "..",
            ".",
            "../outside",
            "/etc",
            "a/b",
            "A",
            "",
            "x" * 65,
            "one\n",
            "é",
            "a.b",
            "~",
            "\x00",
            "con:",
            "one ",
        ):
            answer = client.post("/api/galleries", json={"name": name})
            assert answer.status_code == 422, name
        for path in ("%2e%2e", "..%2foutside", "%2fetc%2fpasswd", "A", "x" * 65, "a%00", "one%0a", "..;"):
            for method in ("GET", "DELETE"):
                answer = client.request(method, f"/api/galleries/{path}")
                assert answer.status_code in (404, 405, 422), path
        assert sorted(tmp_path.rglob("*")) == before


def test_new_requests_are_turned_away_while_it_stops(tmp_path: Path, describer: BatchedDescriber) -> None:
    with served(tmp_path, describer) as (client, engine):
        engine.activity.stopping = True
        assert client.get("/api/about").status_code == 503
        assert client.get("/api/about").headers["retry-after"] == "2"
        health = client.get("/api/health")
        assert (health.status_code, health.json()) == (503, {"state": "stopping"})
        engine.activity.stopping = False


def test_an_unexpected_failure_shows_nothing(
    tmp_path: Path, describer: BatchedDescriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path, describer) as (client, engine):

        def fail() -> list[str]:
            raise KeyError(f"something about {tmp_path}")

        monkeypatch.setattr(engine.shelf, "names", fail)
        answer = client.get("/api/galleries")
    assert (answer.status_code, str(tmp_path) in answer.text) == (500, False)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "log" in json.loads(answer.text)["detail"]


def test_what_others_hold_in_memory_counts(tmp_path: Path) -> None:
    import asyncio

    gate = Gate(ServiceSettings(json_bytes=1024, pending_bytes=1500), None, None)
    started, finish = threading.Event(), asyncio.Event()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    def request() -> Request:
        return Request({"type": "http", "headers": [(b"content-length", b"1000")], "method": "POST"}, receive)

    async def hold() -> None:
        async with gate.received(request(), "json"):
            started.set()
            await finish.wait()

    async def both() -> int:
        first = asyncio.create_task(hold())
        await asyncio.sleep(0)
        while not started.is_set():
            await asyncio.sleep(0.001)
        with pytest.raises(Exception, match="too much is being received") as caught:
            async with gate.received(request(), "json"):
                pass
        finish.set()
        await first
        async with gate.received(request(), "json") as body:
            assert body == b""
        return int(caught.value.status_code)  # type: ignore[attr-defined]

    assert asyncio.run(both()) == 503
