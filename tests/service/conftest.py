"""One tiny method for all tests of the service."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from occlureid import methods
from occlureid.describing import Describer
from occlureid.service.describer import BatchedDescriber
from occlureid.service.settings import ServiceSettings
from tests.service.crops import fill, served


@pytest.fixture
def describer(method: methods.Method[Any]) -> BatchedDescriber:
    """New for each application: its thread belongs to one."""
    return BatchedDescriber(Describer(method), ServiceSettings())


@pytest.fixture(scope="session")
def method() -> methods.Method[Any]:
    return methods.create("pcb", 3, {"backbone": "resnet10t", "size": (64, 32), "parts": 3})


@pytest.fixture(scope="module")
def client(method: methods.Method[Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """An application with six items in the gallery "one"; tests add to others."""
    root: Path = tmp_path_factory.mktemp("galleries")
    with served(root, BatchedDescriber(Describer(method), ServiceSettings())) as (client, _):
        fill(client, 6)
        yield client
