"""Chunks of a large job as files: each is there as a whole or not at all, and together they become one described folder.

    OUT/chunks-<job>/job.json                       what is being described, by what, in which pieces
    OUT/chunks-<job>/gallery-00000012.safetensors   the descriptors of one chunk
    OUT/chunks-<job>/gallery-00000012.json          written last: which images those are

Workers on any machine write chunks under names of their own and rename them; should two write the same chunk (one was thought
dead), the later replaces the earlier by the same. The folder's name holds a hash of the job: what a forgotten worker of
another job still writes goes elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from occlureid.errors import DataError, ShapeError, UsageError
from occlureid.gallery.flush import sync
from occlureid.types import Descriptor

__all__ = ["Chunk", "ChunkFolder", "ChunkRecord", "join_descriptors"]

_TYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_PREFIX = "chunks-"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some successive images of a split: numbers ``start`` to ``stop`` (not included)."""

    split: str
    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.split}-{self.number:08}"


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """What became of a chunk.

    Attributes:
        start, stop: as in ``Chunk``.
        kept: numbers of the images that are described, ascending, counted from the first of the split.
        uncropped: how many images were to be cropped and stayed whole.
        bytes: size of the descriptors' file; 0 where no image could be read.
    """

    start: int
    stop: int
    kept: tuple[int, ...]
    uncropped: int
    bytes: int


def began_with(out: Path) -> str | None:
    """The arithmetic of the descriptors, or of the chunks of a job, that a folder holds; None where that is not known."""
    for path in (out / "described.json", *sorted(out.glob(f"{_PREFIX}*/job.json"))):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            precision = content.get("record", content)["precision"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # not there, or damaged, which is said where it is read
        if precision in ("float32", "bfloat16"):
            return str(precision)
    return None


class ChunkFolder:
    """The chunks of one job, below the folder that the result will be in.

    Args:
        out: that folder.
        job: what is being described and how, as JSON values: another job's chunks are never taken for its own.
    """

    def __init__(self, out: Path, job: dict[str, Any]) -> None:
        self._out, self._job = out, job
        digest = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()
        self.path = out / f"{_PREFIX}{digest[:12]}"

    def begin(self, *, overwrite: bool) -> None:
        """Makes the folder, unless it is there.

        Raises:
            UsageError: there are chunks of another job, and they are not to be overwritten.
            DataError: the folder cannot be written.
        """
        others = sorted(p for p in self._out.glob(f"{_PREFIX}*") if p != self.path)
        if others and not overwrite:
            raise UsageError(
                f"{self._out} holds chunks of other weights, data, options or versions ({others[0].name}); "
                "give another folder, or overwrite them"
            )
        for other in others:
            _remove(other)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._place("job.json", json.dumps(self._job, indent=1).encode())
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written ({error.strerror})") from error

    def write(self, chunk: Chunk, descriptor: Descriptor | None, kept: Sequence[int], uncropped: int) -> ChunkRecord:
        """Keeps a finished chunk; it is on disk when this returns."""
        size = 0
        if descriptor is not None:
            partial = self.path / f"{uuid.uuid4().hex}.partial"
            descriptor.save(partial)
            sync(partial)
            size = partial.stat().st_size
            partial.replace(self.path / f"{chunk.name}.safetensors")
        record = ChunkRecord(chunk.start, chunk.stop, tuple(kept), uncropped, size)
        self._place(f"{chunk.name}.json", json.dumps(asdict(record)).encode())
        return record

    def read(self, chunk: Chunk) -> ChunkRecord | None:
        """What became of a chunk; None where it is not finished, or its files are damaged and it must be made again."""
        try:
            found = json.loads((self.path / f"{chunk.name}.json").read_text(encoding="utf-8"))
            record = ChunkRecord(**{**found, "kept": tuple(found["kept"])})
            size = (self.path / f"{chunk.name}.safetensors").stat().st_size if record.kept else 0
        except (OSError, ValueError, TypeError, KeyError):
            return None
        inside = all(isinstance(k, int) and chunk.start <= k < chunk.stop for k in record.kept)
        ascending = all(a < b for a, b in zip(record.kept, record.kept[1:], strict=False))
        fits = (record.start, record.stop, record.bytes) == (chunk.start, chunk.stop, size)
        return record if inside and ascending and fits else None

    def discard_if_damaged(self, chunk: Chunk, record: ChunkRecord) -> None:
        """Forgets a chunk whose descriptors cannot be read, so that it is made again."""
        try:
            damaged = bool(record.kept) and len(Descriptor.load(self.descriptors(chunk))) != len(record.kept)
        except DataError:
            damaged = True
        if damaged:
            (self.path / f"{chunk.name}.json").unlink(missing_ok=True)

    def descriptors(self, chunk: Chunk) -> Path:
        """The file of a finished chunk."""
        return self.path / f"{chunk.name}.safetensors"

    def remove(self) -> None:
        """Removes all chunks: the result has what was in them."""
        _remove(self.path)

    def _place(self, name: str, content: bytes) -> None:
        partial = self.path / f"{uuid.uuid4().hex}.partial"
        partial.write_bytes(content)
        sync(partial)
        partial.replace(self.path / name)
        sync(self.path)


def _remove(folder: Path) -> None:
    """Removes a folder that a forgotten worker may still be writing to: under another name, it cannot any more."""
    away = folder.with_name(f"{_PREFIX}removed-{uuid.uuid4().hex}")
    folder.rename(away)
    shutil.rmtree(away)


def join_descriptors(pieces: Sequence[tuple[Path, int]], path: Path) -> None:
    """Writes the descriptors of many files one after the other as one file that ``Descriptor.load`` reads; one is in memory
    at a time.

    Args:
        pieces: files, and how many images each must hold.
        path: the file to write, atomically.

    Raises:
        DataError: a piece is damaged, holds another number of images, or does not go with the first.
    """  # noqa: D205
    first = Descriptor.load(pieces[0][0])
    count = sum(images for _, images in pieces)
    names = [
        name for name in ("global_", "parts", "saliency", "spatial", "visibility") if getattr(first, name) is not None
    ]
    header: dict[str, Any] = {"__metadata__": {"occlureid": "descriptor", "fingerprint": first.fingerprint}}
    starts, sizes, end = {}, {}, 0
    for name in names:
        tensor = getattr(first, name)
        if tensor.dtype not in _TYPES:
            raise DataError(f"{pieces[0][0]}: {name} has the type {tensor.dtype}; expected a float")
        starts[name], sizes[name] = end, tensor[:1].nbytes
        end += count * sizes[name]
        shape = [count, *tensor.shape[1:]]
        header[name] = {"dtype": _TYPES[tensor.dtype], "shape": shape, "data_offsets": [starts[name], end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        row, data = 0, file.tell()
        os.truncate(partial, data + end)
        for piece, images in pieces:
            found = Descriptor.load(piece)
            try:
                Descriptor.cat([first[:0], found[:0]])
                fits = len(found) == images and all(
                    getattr(found, n).dtype == getattr(first, n).dtype
                    and getattr(found, n).shape[1:] == getattr(first, n).shape[1:]
                    for n in names
                )
            except (ShapeError, DataError, RuntimeError):
                fits = False
            if not fits:
                raise DataError(
                    f"{piece}: {len(found)} images that do not go with {pieces[0][0]}; {images} were expected"
                )
            for name in names:
                file.seek(data + starts[name] + row * sizes[name])
                file.write(getattr(found, name).contiguous().flatten().view(torch.uint8).numpy().tobytes())
            row += images
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
