"""Made-up crops and descriptors for tests of the gallery."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from occlureid.gallery.layout import Shape
from occlureid.gallery.records import Item
from occlureid.gallery.store import Gallery
from occlureid.gallery.table import Table
from occlureid.matching import MatchRule
from occlureid.types import Descriptor

FINGERPRINT = "made-up@1"
NOW = 1_800_000_000.0
GLOBAL, PARTS, CHANNELS, LOCAL = 16, 3, 8, 4


def descriptor(count: int, *, seed: int = 0, local: int | None = None, fingerprint: str = FINGERPRINT) -> Descriptor:
    draw = torch.Generator().manual_seed(seed)
    return Descriptor(
        torch.randn(count, GLOBAL, generator=draw),
        torch.randn(count, PARTS, CHANNELS, generator=draw),
        torch.rand(count, PARTS, generator=draw),
        None if local is None else torch.randn(count, local, LOCAL, generator=draw),
        None if local is None else torch.rand(count, local, generator=draw),
        fingerprint=fingerprint,
    )


def item(number: int, **changes: Any) -> Item:
    """An item of which every field is distinct; its texts have a fixed width, so that none is part of another."""
    values: dict[str, Any] = {
        "id": f"item-{number:06d}",
        "camera": f"camera {number % 3}",
        "person": f"person-{number % 7:03d}" if number % 2 else None,
        "time": NOW - 1000.0 + number if number % 3 else None,
        "source": f"film-{number:06d}.mp4",
        "box": (0.5, 1.0, 20.25, 60.0 + number) if number % 2 else None,
        "thumbnail": b"\xff\xd8\xff" + f"picture-{number:06d}".encode() if number % 5 else None,
    }
    return Item(**{**values, **changes})


def items(start: int, end: int) -> list[Item]:
    return [item(number) for number in range(start, end)]


def new_gallery(path: Path | str, *, spatial: bool = False, **options: Any) -> Gallery:
    defaults: dict[str, Any] = {
        "fingerprint": FINGERPRINT,
        "rule": MatchRule(spatial_weight=0.5 if spatial else 0.0),
        "global_size": GLOBAL,
        "parts": PARTS,
        "part_size": CHANNELS,
        "local_size": LOCAL if spatial else None,
        "clock": lambda: NOW,
    }
    return Gallery.create(path, **{**defaults, **options})


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def old_gallery(path: Path, **options: Any) -> Gallery:
    """A gallery from before there were checksums."""
    gallery = new_gallery(path, **options)
    shape: Shape = gallery.shape
    for name, schema in (("items", shape.item_schema(sealed=False)), ("maps", shape.map_schema(sealed=False))):
        if (path / f"{name}.lance").is_dir():
            shutil.rmtree(path / f"{name}.lance")
            Table.create(str(path / f"{name}.lance"), schema, lambda: None)
    return Gallery.open(path, clock=options.get("clock", lambda: NOW))


def swap(folder: Path, table: str, old: bytes, new: bytes) -> None:
    """Puts other bytes in place of some that are in a data file once."""
    assert len(old) == len(new)
    (path,) = [p for p in (folder / f"{table}.lance" / "data").iterdir() if old in p.read_bytes()]
    raw = path.read_bytes()
    assert raw.count(old) == 1
    path.write_bytes(raw.replace(old, new))


def halves(values: torch.Tensor) -> bytes:
    """As a gallery stores a vector."""
    return values.half().numpy().tobytes()


def spoil(folder: Path, vector: torch.Tensor, number: float = float("nan"), table: str = "items") -> None:
    """Puts another number in place of a stored vector's first."""
    old = halves(vector)
    swap(folder, table, old, np.float16(number).tobytes() + old[2:])
