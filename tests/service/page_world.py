"""What the page is tried on: a rendered gallery, a method that compares colours, and a real server.

The method has no weights to learn and yet finds people: stripes by the colours of their middle, a stripe being seen if its middle
differs from its sides.
"""

import io
import json
import socket
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import uvicorn
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from occlureid.config import Settings
from occlureid.describing import Describer
from occlureid.matching import MatchRule
from occlureid.methods import Method, Paper, Preprocess
from occlureid.service.app import create_app
from occlureid.service.describer import BatchedDescriber
from occlureid.service.engine import Engine
from occlureid.service.settings import ServiceSettings
from occlureid.service.tokens import TokenFile
from occlureid.synthetic import World, WorldSettings
from occlureid.types import Cues, Descriptor, Region

STRIPES = ("head", "shoulders", "chest", "hips", "thighs", "shins")
LEVELS = 5
START = 1_767_610_800.0
"""2026-01-05 11:00 UTC."""


class Colours(Method[None]):
    """Histograms of stripes."""

    paper = Paper("Colours", "Nobody", "nowhere", 2026, "https://example.org")
    Config = Settings
    rule = MatchRule(metric="cosine", visibility="soft", global_weight=0.5)
    preprocess = Preprocess((128, 64))
    regions = tuple(Region(name, i / 6, 0.0, (i + 1) / 6, 1.0) for i, name in enumerate(STRIPES))

    def __init__(self) -> None:
        super().__init__(Settings(), 1)
        self.backbone = nn.Identity()

    @classmethod
    def name(cls) -> str:
        return "colours"

    def forward(self, images: Tensor, cues: Cues) -> None:
        raise NotImplementedError

    def losses(self, output: None, labels: Tensor, cues: Cues) -> dict[str, Tensor]:
        raise NotImplementedError

    def embed(self, images: Tensor, cues: Cues) -> Descriptor:
        width = images.shape[3]
        middle = images[..., width // 4 : -width // 4]
        sides = torch.cat([images[..., : width // 8], images[..., -width // 8 :]], dim=3)
        # what the middle has and the sides have not is the person
        parts = (_histograms(middle, len(STRIPES)) - _histograms(sides, len(STRIPES))).clamp_min(0)
        visibility = ((parts.sum(2) - 0.15) / 0.3).clamp(0, 1).round(decimals=2)
        whole = parts.sum(1).sqrt() + 1e-6
        return Descriptor(whole, parts.sqrt() + 1e-6, visibility, fingerprint=self.fingerprint())


def _histograms(images: Tensor, rows: int) -> Tensor:
    """(B, 3, H, W) to (B, rows, LEVELS ** 3) that sum to 1 each, every pixel shared out among the nearest levels."""
    places = torch.linspace(0, 1, LEVELS).reshape(1, 1, LEVELS, 1, 1)
    near = (1 - (images[:, :, None] - places).abs() * (LEVELS - 1)).clamp_min(0)
    together = torch.einsum("bihw,bjhw,bkhw->bijkhw", near[:, 0], near[:, 1], near[:, 2]).flatten(1, 3)
    return F.adaptive_avg_pool2d(together, (rows, 1)).squeeze(3).transpose(1, 2)


@dataclass(frozen=True)
class Shot:
    """A picture of somebody, and what the gallery is told of it."""

    image: Image.Image
    fields: dict[str, Any]


def take_shots(world: World, split: str, count: int, size: tuple[int, int]) -> list[Shot]:
    """Pictures of the first persons of a split, each person on a walk from camera to camera."""
    rendered = world.render(split, range(count))
    cameras, people = rendered.cameras.tolist(), rendered.persons.tolist()
    shots = []
    for number in range(count):
        pixels = rendered.images[number].permute(1, 2, 0).contiguous().numpy()
        image = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        camera = cameras[number]
        seconds = 60.0 * (7 * people[number] + 4 * ((camera + people[number]) % 4)) + 11.0 * (number % 5)
        fields = {
            "id": f"{split}-{people[number]:03d}-c{camera}-{number:03d}",
            "camera": f"gate {camera}",
            "person": f"walker {people[number]}",
            "time": START + seconds,
        }
        shots.append(Shot(image, fields))
    return shots


def make_world(persons: int, size: tuple[int, int]) -> World:
    settings = WorldSettings(
        seed=11, train_persons=1, test_persons=persons, cameras=4, gallery_images=1, query_images=1, size=size,
        occluded_gallery=0.4, visible_range=(0.45, 0.8),
    )  # fmt: skip
    return World(settings)


def encoded(image: Image.Image, format: str = "PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, format)
    return out.getvalue()


@contextmanager
def running(folder: Path, *, tokens: Path | None = None) -> Iterator[str]:
    """A server on a free port of this machine, in a thread of its own; gives its address."""
    settings = ServiceSettings()
    known = None if tokens is None else TokenFile(tokens)
    engine = Engine(
        folder, BatchedDescriber(Describer(Colours()), settings), settings, tokens=known, hosts=("127.0.0.1",)
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(create_app(engine), access_log=False, log_level="warning", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.02)
                if not thread.is_alive():
                    raise OSError("the server did not start")
            yield address
        finally:
            server.should_exit = True
            thread.join(20)


def ask(
    address: str, path: str, body: bytes | None = None, kind: str = "application/json", token: str | None = None
) -> Any:
    """One request to the server, as a program would make it."""
    headers = {"Content-Type": kind, **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(f"{address}/api/{path}", data=body, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def fill(
    address: str, name: str, shots: Sequence[Shot], *, token: str | None = None, retention: float | None = None
) -> None:
    """Makes a gallery of some shots."""
    ask(address, "galleries", json.dumps({"name": name, "retention": retention}).encode(), token=token)
    for start in range(0, len(shots), 50):
        some = shots[start : start + 50]
        mark = uuid.uuid4().hex
        pieces = [_field(mark, 'name="fields"', json.dumps([shot.fields for shot in some]).encode())]
        pieces += [_field(mark, f'name="images"; filename="{i}.png"', encoded(s.image)) for i, s in enumerate(some)]
        body = b"".join(pieces) + f"--{mark}--\r\n".encode()
        answer = ask(address, f"galleries/{name}/items", body, f"multipart/form-data; boundary={mark}", token)
        if answer["added"] != len(some):
            raise ValueError(f"expected {len(some)} items added, got {answer}")


def _field(mark: str, what: str, content: bytes) -> bytes:
    return f"--{mark}\r\nContent-Disposition: form-data; {what}\r\n\r\n".encode() + content + b"\r\n"
