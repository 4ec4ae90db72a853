"""Requests made up from the OpenAPI description: no 5xx, and every answer is as described."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from occlureid import methods
from occlureid.describing import Describer
from occlureid.service.app import create_app
from occlureid.service.describer import BatchedDescriber
from occlureid.service.engine import Engine
from occlureid.service.settings import ServiceSettings
from tests.service.crops import crop, fields, form, images

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
MODES = {GenerationMode.POSITIVE: 8, GenerationMode.NEGATIVE: 8}


@pytest.fixture(scope="module")
def service(method: methods.Method[Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a real server listens, with some items in the galleries "one" and "0"."""
    limits = ServiceSettings()
    engine = Engine(tmp_path_factory.mktemp("described"), BatchedDescriber(Describer(method), limits), limits)
    server = uvicorn.Server(uvicorn.Config(create_app(engine), port=0, log_level="error", access_log=False, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    (socket,) = server.servers[0].sockets
    url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    for name in ("one", "0"):
        httpx.post(f"{url}/api/galleries", json={"name": name})
        httpx.post(
            f"{url}/api/galleries/{name}/items",
            files=images([crop(n) for n in range(3)]),
            data=form("fields", [fields(n, id=str(n)) for n in range(3)]),
        )
    yield url
    server.should_exit = True
    thread.join()


def attack(url: str, examples: dict[GenerationMode, int]) -> tuple[Counter[int], int]:
    """Runs made-up requests against every operation; how many had which status, and how many operations there are."""
    schema = schemathesis.openapi.from_dict(httpx.get(f"{url}/api/openapi.json").json())
    statuses: Counter[int] = Counter()
    failures: list[Exception] = []
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in operations:
        for mode, count in examples.items():
            try:
                _attack(url, operation, mode, count, statuses)
            except Unsatisfiable:  # nothing can be wrong with a request that has no parameters
                assert mode is GenerationMode.NEGATIVE
            except Exception as error:
                error.add_note(f"{operation.label}, {mode.value}")
                failures.append(error)
    if failures:
        raise ExceptionGroup("answers that are not as described", failures)
    return statuses, len(operations)


def _attack(url: str, operation: Any, mode: GenerationMode, count: int, statuses: Counter[int]) -> None:
    checks = [*CHECKS, *([negative_data_rejection] if mode is GenerationMode.NEGATIVE else [])]
    there = mode is GenerationMode.POSITIVE and operation.method != "delete"

    @seed(5)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: schemathesis.Case) -> None:
        if there and "gallery" in (case.path_parameters or {}):
            case.path_parameters["gallery"] = "one"
        answer = case.call(base_url=url)
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=checks)

    run()


def test_made_up_requests_are_answered_as_described(service: str, capsys: pytest.CaptureFixture[str]) -> None:
    statuses, operations = attack(service, MODES)
    with capsys.disabled():
        print(f"\nrequests: {sum(statuses.values())} to {operations} operations, {dict(sorted(statuses.items()))}")
    assert operations == 24
    assert not [status for status in statuses if status >= 500]
    assert statuses[200] > 20


@pytest.mark.slow
def test_many_made_up_requests_are_answered_as_described(service: str, capsys: pytest.CaptureFixture[str]) -> None:
    statuses, _ = attack(service, dict.fromkeys(MODES, 300))
    with capsys.disabled():
        print(f"\nrequests: {sum(statuses.values())}, {dict(sorted(statuses.items()))}")
    assert not [status for status in statuses if status >= 500]
