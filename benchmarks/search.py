"""Searches made-up galleries of global + 6 parts x 256, each beside the bare product over the same bytes.

    python benchmarks/search.py --items 100000 --json search.json
    python benchmarks/search.py --items 1000000 --memory 3.6 --json search-million.json

The gallery lies in a file on disk and is read like any other (its vectors in half precision are read again for the candidates
of a search where ``--memory`` GiB do not hold both). All competitors run once in every round, in turn, so that a busy machine
slows all of them; ratios are medians over rounds. "Processor" is the time that all threads together computed, which other
programs lengthen less than the time that passed. Peak memory is that of the whole process, the file's cached pages not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray

from occlureid.arithmetic import processor
from occlureid.gallery import Gallery, Item, layout
from occlureid.gallery.checksums import row_sums
from occlureid.gallery.layout import Block
from occlureid.gallery.records import Columns, Filter
from occlureid.gallery.scan import prepare_probe
from occlureid.gallery.search import Searcher
from occlureid.matching import MatchRule, distance_matrix
from occlureid.types import Descriptor

PARTS, SIZE, CHUNK = 6, 256, 8192
RULE = MatchRule()
WIDTH = (1 + PARTS) * SIZE


def describe(images: int, random: torch.Generator, near: torch.Tensor | None = None) -> Descriptor:
    """Random crops with about half of the parts hidden; beside ``near`` (images, 1 + parts, size), as of the same person."""
    vectors = torch.randn(images, 1 + PARTS, SIZE, generator=random)
    vectors = vectors if near is None else near + vectors
    return Descriptor(vectors[:, 0], vectors[:, 1:], torch.rand(images, PARTS, generator=random), fingerprint="made up")


class FileSource:
    """Made-up items in one file, row after row."""

    fingerprint, rule, version = "made up", RULE, 1

    def __init__(self, path: Path, items: int) -> None:
        self._path, self._items = path, items
        random = torch.Generator().manual_seed(0)
        self._visibility = torch.empty(items, PARTS)
        with path.open("wb") as file:
            for start in range(0, items, CHUNK):
                some = describe(min(CHUNK, items - start), random)
                file.write(torch.cat([some.global_, some.parts.flatten(1)], 1).half().numpy().tobytes())
                self._visibility[start : start + len(some)] = some.visibility

    def __len__(self) -> int:
        return self._items

    def take(self, rows: NDArray[np.uint64]) -> Block:
        """Items by row number."""
        numbers = rows.astype(np.int64)
        with self._path.open("rb", buffering=0) as file:
            pieces = []
            for number in numbers.tolist():
                file.seek(number * 2 * WIDTH)
                pieces.append(file.read(2 * WIDTH))
        return self._block(numbers, np.frombuffer(bytearray().join(pieces), np.float16))

    def spatial(self, ids: Sequence[str]) -> Descriptor:
        """There are none."""
        raise NotImplementedError

    def blocks(self, *, rows: int = CHUNK, span: tuple[int, int | None] = (0, None)) -> Iterator[Block]:
        """All items, block by block."""
        with self._path.open("rb", buffering=0) as file:
            file.seek(span[0] * 2 * WIDTH)
            for start in range(span[0], self._items, rows):
                numbers = np.arange(start, min(start + rows, self._items))
                yield self._block(numbers, np.frombuffer(bytearray(file.read(2 * WIDTH * len(numbers))), np.float16))

    def changes(
        self, known: NDArray[np.uint64], *, rows: int = CHUNK, span: tuple[int, int | None] = (0, None)
    ) -> Changes:
        """The items that are not held: those after the known ones."""
        return Changes(1, np.zeros(len(known), np.bool_), self.blocks(rows=rows, span=(len(known), None)))

    def _block(self, numbers: NDArray[np.int64], flat: NDArray[np.float16]) -> Block:
        vectors = torch.from_numpy(flat).view(-1, 1 + PARTS, SIZE)
        columns = Columns(
            numbers.astype(np.uint64),
            pa.array([f"{number:09}" for number in numbers.tolist()]),
            pa.array([f"camera {number % 20}" for number in numbers.tolist()]),
            pa.nulls(len(numbers), pa.string()),
            numbers.astype(np.float64),
        )
        visible = self._visibility[torch.from_numpy(numbers)]
        return Block(columns, Descriptor(vectors[:, 0], vectors[:, 1:], visible, fingerprint="made up"))


class Changes:
    """All items that are not held."""

    def __init__(self, version: int, removed: NDArray[np.bool_], blocks: Iterator[Block]) -> None:
        self.version, self.removed, self.blocks = version, removed, blocks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--loads", type=int, default=11, help="how often to load a gallery on disk")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", type=float, default=4.0, help="GiB that the searcher may hold")
    parser.add_argument("--folder", type=Path, help="where the file of items is made; the system's by default")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        source = FileSource(Path(folder) / "items", arguments.items)
        figures = measure(source, arguments)
        figures |= checking(source, arguments, Path(folder) / "gallery")
    figures |= {"threads": arguments.threads, "torch": torch.__version__, "processor": processor()}
    for name, value in figures.items():
        print(f"{name:48}{value:>14.4g}" if isinstance(value, float) else f"{name:48}{value!s:>14}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def measure(source: FileSource, arguments: argparse.Namespace) -> dict[str, object]:
    start = time.perf_counter()
    searcher = Searcher(source, memory=int(arguments.memory * 2**30))
    loading = time.perf_counter() - start
    queries = made_queries(source, arguments.rounds + 1)
    rows = [shard.vectors for shard in searcher._held.shards]
    one, two = Filter(cameras=("camera 7",)), Filter(not_cameras=("camera 7",))
    seconds: dict[str, list[float]] = {}
    computed: dict[str, list[float]] = {}
    rescored = []

    def competitors(query: Descriptor) -> dict[str, Callable[[], list[Any]]]:
        vector = prepare_probe(RULE, query).vectors
        return {
            "bare product by a vector": lambda: [torch.mv(some, vector[0]) for some in rows],
            "bare product by a column": lambda: [some @ vector.T for some in rows],
            "bare product by a row": lambda: [vector @ some.T for some in rows],
            "search": lambda: searcher.search(query, k=10),
            "search, 1 of 20 cameras": lambda: searcher.search(query, k=10, filter=one),
            "search, 19 of 20 cameras": lambda: searcher.search(query, k=10, filter=two),
        }

    for turn in range(arguments.rounds + 1):
        for name, run in competitors(queries[turn : turn + 1]).items():
            start, used = time.perf_counter(), time.process_time()
            result = run()
            if turn > 0:  # the first round warms up
                seconds.setdefault(name, []).append(time.perf_counter() - start)
                computed.setdefault(name, []).append(time.process_time() - used)
            if name == "search":
                rescored.append(result[0].exact)
    figures: dict[str, object] = {
        "items": len(source),
        "held bytes an item": searcher.nbytes / max(1, len(searcher)),
        "all held": searcher.complete,
        "seconds to load": loading,
        "proven exact": sum(rescored) / len(rescored),
        "peak GiB of the process": peak(),
    }
    for name, times in seconds.items():
        figures[f"{name}, p50 ms"] = 1e3 * statistics.median(times)
        figures[f"{name}, least ms"] = 1e3 * min(times)
        base = seconds["bare product by a column"]
        figures[f"{name}, least processor ms"] = 1e3 * min(computed[name])
        figures[f"{name}, x product"] = statistics.median(t / b for t, b in zip(times, base, strict=True))
    batch = queries[: min(32, len(queries))]
    start = time.perf_counter()
    searcher.search(batch, k=10)
    figures[f"search of {len(batch)} at once, ms a query"] = 1e3 * (time.perf_counter() - start) / len(batch)
    return figures | recall(source, searcher, queries[:10])


def checking(source: FileSource, arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    """What checksums take of loading a gallery on disk (global 512) into a searcher, measured within the same loads."""
    stored = Gallery.create(
        folder, fingerprint=source.fingerprint, rule=RULE, global_size=2 * SIZE, parts=PARTS, part_size=SIZE
    )
    for block in source.blocks(rows=4 * CHUNK):
        items = [Item(id, "camera") for id in block.columns.ids.to_pylist()]
        both = block.descriptor.to(dtype=torch.float32)
        stored.add(items, replace(both, global_=torch.cat([both.global_, both.global_], 1)), by="benchmark")
    spent, loads = 0.0, list[tuple[float, float]]()

    def timed(*columns: NDArray[Any]) -> NDArray[np.uint64]:
        nonlocal spent
        start = time.perf_counter()
        found = row_sums(*columns)
        spent += time.perf_counter() - start
        return found

    for _ in range(arguments.loads + 1):
        spent = 0.0
        with mock.patch.object(layout, "row_sums", timed):
            start = time.perf_counter()
            Searcher(Gallery.open(folder), memory=int(arguments.memory * 2**30))
            loads.append((spent, time.perf_counter() - start))
    sums, whole = zip(*loads[1:], strict=True)  # the first warms up
    return {
        "seconds to load a gallery on disk": statistics.median(whole),
        "of which checksums": statistics.median(sums),
        "share of checksums": statistics.median(sums) / statistics.median(whole),
    }


def made_queries(source: FileSource, count: int) -> Descriptor:
    """Crops of people of the gallery, as noisy as its own, so that the search has something to find."""
    near = source.take(np.linspace(0, len(source) - 1, count).astype(np.uint64)).descriptor
    vectors = torch.cat([near.global_[:, None], near.parts], 1).float()
    return describe(count, torch.Generator().manual_seed(1), vectors)


def recall(source: FileSource, searcher: Searcher, queries: Descriptor) -> dict[str, object]:
    """Share of the true nearest 10 that the search finds, and that bfloat16 distances alone would."""
    true, rounded, rows = [], [], []
    for block in source.blocks():
        true.append(distance_matrix(RULE, queries, block.descriptor).topk(min(10, len(block.columns)), largest=False))
        rounded.append(
            distance_matrix(RULE, queries, block.descriptor, precision="bfloat16").topk(
                min(10, len(block.columns)), largest=False
            )
        )
        rows.append(int(block.columns.rows[0]))
    exact, alone = (best(found, rows) for found in (true, rounded))
    found = [{int(hit.id) for hit in result.hits} for result in searcher.search(queries, k=10)]
    count = 10 * len(queries)
    return {
        "recall@10 of bfloat16 alone": sum(len(a & b) for a, b in zip(exact, alone, strict=True)) / count,
        "recall@10 of the search": sum(len(a & b) for a, b in zip(exact, found, strict=True)) / count,
    }


def best(found: list[torch.return_types.topk], rows: list[int]) -> list[set[int]]:
    values = torch.cat([some.values for some in found], 1)
    places = torch.cat([some.indices + row for some, row in zip(found, rows, strict=True)], 1)
    nearest = values.topk(10, largest=False).indices
    return [set(row.tolist()) for row in places.gather(1, nearest)]


def peak() -> float:
    """GiB; of the process's own pages (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines() if Path("/proc/self/status").exists() else []
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("VmHWM")), float("nan"))


if __name__ == "__main__":
    main()
