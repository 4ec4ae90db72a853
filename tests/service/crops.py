"""Made-up pictures, an application around a tiny method, and how to talk to it."""

import base64
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from occlureid.service.app import create_app
from occlureid.service.describer import BatchedDescriber
from occlureid.service.engine import Engine
from occlureid.service.settings import ServiceSettings
from occlureid.service.tokens import TokenFile
from occlureid.types import Descriptor

HERE = "http://127.0.0.1"


def picture(seed: int, size: tuple[int, int] = (24, 48)) -> Image.Image:
    """Three stripes of colour, and noise."""
    draw = np.random.default_rng(seed)
    rows = np.repeat(draw.integers(0, 200, (3, 1, 3)), -(-size[1] // 3), axis=0)[: size[1]]
    return Image.fromarray((rows + draw.integers(0, 55, (size[1], size[0], 3))).astype(np.uint8))


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def crop(seed: int) -> bytes:
    return encoded(picture(seed))


def fields(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": f"item-{number}", "camera": f"c{number % 2}", "person": f"p{number // 2}", **changes}


def images(files: Sequence[bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("images", (f"{number}.png", data, "image/png")) for number, data in enumerate(files)]


def form(key: str, value: Any) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value)}


@contextmanager
def served(
    folder: Path, describer: BatchedDescriber, *, tokens: TokenFile | None = None, **changes: Any
) -> Iterator[tuple[TestClient, Engine]]:
    """A client of an application that runs, and what stands behind it."""
    engine = Engine(
        folder, describer, ServiceSettings(**changes), tokens=tokens, hosts=("127.0.0.1", "localhost", "::1")
    )
    with TestClient(create_app(engine), base_url=HERE) as client:
        yield client, engine


def fill(client: TestClient, count: int, name: str = "one") -> None:
    """Makes a gallery of some crops."""
    assert client.post("/api/galleries", json={"name": name}).status_code == 201
    answer = client.post(
        f"/api/galleries/{name}/items",
        files=images([crop(number) for number in range(count)]),
        data=form("fields", [fields(number, time=1000.0 + number) for number in range(count)]),
    )
    assert answer.json()["added"] == count, answer.text


def in_base64(descriptor: Descriptor, folder: Path) -> str:
    descriptor.save(folder / "descriptor.safetensors")
    return base64.b64encode((folder / "descriptor.safetensors").read_bytes()).decode()
