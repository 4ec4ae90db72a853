"""What searching 10^8 and 10^9 items takes, computed from constants that are measured on one machine.

Measured here: the rate at which one processor reads bfloat16 vectors in a product, alone and while all others do so too; how
long the rest of a shard's search takes; how large items are in a gallery on disk and in memory; how fast a shard is read from
disk; how large a query and an answer are; what merging costs a shard; what asking an actor of Ray costs (with --ray, on this
machine alone). Times that are subtracted from each other are the least of the repeats: other work only adds to them.

Computed: for a number of nodes, the time until the slowest shard has answered, with each shard's time drawn from the measured
ones, and the merging behind it. Assumed, and to be changed by options: what a node is, and its network.

    python benchmarks/scale.py --ray --json docs/results/scale.json
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from occlureid.arithmetic import processor
from occlureid.gallery import Gallery, Item
from occlureid.gallery.hits import SearchResult, merge_results
from occlureid.gallery.scan import row_bytes
from occlureid.gallery.search import Searcher
from occlureid.gallery.source import MemorySource
from occlureid.matching import MatchRule
from occlureid.types import Descriptor

PARTS, SIZE, K = 6, 256, 10
RULE = MatchRule()
ITEMS = (10**8, 10**9)
NODES = (1, 2, 4, 8, 16, 32, 64, 128)
DRAWS = 400
SPARE = 0.8
"""Share of a node's memory that vectors may take."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=20_000, help="of the gallery that is made and measured")
    parser.add_argument("--megabytes", type=int, default=256, help="of the product that measures the scan rate")
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument(
        "--cores", type=int, default=32, help="assumed: processors of a node, which all work on its one shard"
    )
    parser.add_argument("--memory", type=float, default=256, help="assumed: GiB of a node")
    parser.add_argument("--bandwidth", type=float, default=200, help="assumed: GB/s that a node's memory gives in all")
    parser.add_argument("--network", type=float, default=1.0, help="assumed: ms of a round trip between two nodes")
    parser.add_argument("--gigabits", type=float, default=10, help="assumed: the asking node's network")
    parser.add_argument("--ray", action="store_true", help="also measure what asking an actor costs")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measured = measure(arguments)
    names = ("cores", "memory", "bandwidth", "network", "gigabits")
    assumed = {name: getattr(arguments, name) for name in names}
    plans = [plan(items, nodes, measured, assumed) for items in ITEMS for nodes in NODES]
    machine = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
    }
    record = {"machine": machine, "measured": measured, "assumed": assumed, "computed": plans}
    print(json.dumps({**record, "computed": len(plans)}, indent=1))
    for row in plans:
        print(row)
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


# -- measured ----------------------------------------------------------------------------------------------------------


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    repeats = arguments.repeats
    with tqdm(total=5, desc="measure") as shown:
        found: dict[str, Any] = scan_rates(arguments.megabytes, repeats)
        shown.update()
        with tempfile.TemporaryDirectory() as folder:
            found |= gallery(Path(folder) / "gallery", arguments.items, repeats)
        shown.update()
        found |= shard_rest(repeats)
        product = found["items on disk"] * found["bytes an item scanned"] / found["scan GB/s of a core, best"] / 1e6
        longer = (found["ms of a search of these"] - found["ms of a shard beside its scan"]) / product
        found["search x product"] = longer
        shown.update()
        found["merge us a shard"] = merging(repeats)
        shown.update()
        found["ask us a shard"] = asking(repeats) if arguments.ray else None
        shown.update()
    return found


def seconds(run: Callable[[], object], repeats: int) -> list[float]:
    """Of each repeat, after one that does not count."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def scan_rates(megabytes: int, repeats: int) -> dict[str, Any]:
    """GB/s of one processor alone, and of each while all are busy; how times vary, relative to their median."""
    width = (1 + PARTS) * SIZE + 8
    rows = megabytes * 10**6 // (2 * width)
    vectors = torch.randn(rows, width).bfloat16()
    query = torch.randn(width, 1).bfloat16()
    alone = seconds(lambda: vectors @ query, repeats)
    cores = os.cpu_count() or 1
    shares = vectors.chunk(cores)
    with ThreadPoolExecutor(cores) as pool:
        together = seconds(lambda: list(pool.map(lambda share: share @ query, shares)), repeats)
    middle = statistics.median(alone)
    return {
        "scan GB/s of a core alone": vectors.nbytes / middle / 1e9,
        "scan GB/s of a core, all busy": vectors.nbytes / cores / statistics.median(together) / 1e9,
        "scan GB/s of a core, best": vectors.nbytes / min(alone) / 1e9,
        "spread": sorted(round(value / middle, 3) for value in alone),
    }


def made_up(count: int, seed: int) -> Descriptor:
    made = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, 1 + PARTS, SIZE, generator=made)
    visible = torch.rand(count, PARTS, generator=made)
    return Descriptor(vectors[:, 0], vectors[:, 1:], visible, fingerprint="made up")


def made_items(count: int, start: int = 0) -> list[Item]:
    numbers = range(start, start + count)
    return [Item(f"item-{n:010}", f"camera {n % 20}", f"person {n % 997}", float(n)) for n in numbers]


def gallery(path: Path, count: int, repeats: int) -> dict[str, Any]:
    """Sizes on disk and in memory, and how fast a shard is loaded; the file system's cache is warm."""
    stored = Gallery.create(
        path, fingerprint="made up", rule=RULE, global_size=SIZE, parts=PARTS, part_size=SIZE, by="benchmark"
    )
    for start in range(0, count, 4096):
        some = min(4096, count - start)
        stored.add(made_items(some, start), made_up(some, start), by="benchmark")
    stored.compact()
    start_time = time.perf_counter()
    searcher = Searcher(stored)
    loading = time.perf_counter() - start_time
    scanned, held = row_bytes(RULE, made_up(1, 0))
    query = made_up(1, 1)
    lean = Searcher(stored, memory=count * (scanned + 128))
    here = min(seconds(lambda: searcher.search(query, k=K), repeats))
    read = min(seconds(lambda: lean.search(query, k=K), repeats))
    return {
        "items on disk": count,
        "bytes an item on disk": (stored.stats().bytes or 0) / count,
        "bytes an item scanned": scanned,
        "bytes an item held": searcher.nbytes / count,
        "bytes an item held, candidates on disk": lean.nbytes / max(1, len(lean)),
        "bytes an item by its vectors": held,
        "ms of a search of these": 1e3 * here,
        "items a second loaded": count / loading,
        "query bytes": len(pickle.dumps(query)),
        "answer bytes": len(pickle.dumps(searcher.search(query, k=K))),
        "ms to read candidates": 1e3 * (read - here),
    }


def shard_rest(repeats: int) -> dict[str, Any]:
    """What a search of a shard takes beside the scan: that of so few items that their scan takes no time."""
    few = 1000
    searcher = Searcher(MemorySource(made_items(few), made_up(few, 2), RULE))
    query = made_up(1, 3)
    return {"ms of a shard beside its scan": 1e3 * min(seconds(lambda: searcher.search(query, k=K), repeats))}


def merging(repeats: int) -> float:
    """Microseconds that one more shard's answer adds to the merge: the slope between 16 and 1024 shards."""
    pieces = []
    for index in range(8):
        source = MemorySource(made_items(50, 50 * index), made_up(50, index), RULE)
        pieces += Searcher(source).search(made_up(1, 4), k=K)
    many: list[SearchResult] = [pieces[index % len(pieces)] for index in range(1024)]

    def merge(shards: int) -> Callable[[], object]:
        return lambda: merge_results(many[:shards], K)

    low, high = (statistics.median(seconds(merge(shards), repeats)) for shards in (16, 1024))
    return 1e6 * (high - low) / (1024 - 16)


def asking(repeats: int) -> float:
    """Microseconds that a question to several actors takes for each of them: sending, waiting, taking the answer.

    They share this machine with the asker, so that this is more than on machines of their own.
    """
    # A token of its own, before ray looks for one: it would save one in the home folder
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    import ray

    class Echo:
        def answer(self, query: Descriptor) -> str:
            return "x" * 4000

    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False, object_store_memory=2**27
    )
    actors: list[Any] = [ray.remote(Echo).options(num_cpus=0.1).remote() for _ in range(4)]
    query = made_up(1, 5)

    def ask() -> object:
        held = ray.put(query)
        return ray.get([actor.answer.remote(held) for actor in actors])

    taken = statistics.median(seconds(ask, repeats))
    ray.shutdown()
    return 1e6 * taken / len(actors)


# -- computed ----------------------------------------------------------------------------------------------------------


def plan(items: int, nodes: int, measured: dict[str, Any], assumed: dict[str, Any]) -> dict[str, Any]:
    """Whether a number of nodes holds a number of items, and how long a query takes."""
    memory = SPARE * assumed["memory"] * 2**30 * nodes
    if items * measured["bytes an item held"] <= memory:
        kept, reading = "all", 0.0
    elif items * measured["bytes an item held, candidates on disk"] <= memory:
        kept, reading = "scan", max(0.0, measured["ms to read candidates"])
    else:
        kept, reading = "too little", 0.0
    row: dict[str, Any] = {"items": items, "nodes": nodes, "kept": kept}
    row["disk_gb"] = items * measured["bytes an item on disk"] / 1e9
    size = "bytes an item held" if kept == "all" else "bytes an item held, candidates on disk"
    row["gib_a_node"] = items * measured[size] / nodes / 2**30
    row["reload_minutes"] = items / nodes / measured["items a second loaded"] / 60
    row["kilobytes_a_query"] = (nodes * measured["query bytes"] + nodes * measured["answer bytes"]) / 1e3
    if kept == "too little":
        return row
    rate = min(measured["scan GB/s of a core, all busy"] * assumed["cores"], assumed["bandwidth"])
    scan = (
        1e3 * items / nodes * measured["bytes an item scanned"] / (rate * 1e9) * max(1.0, measured["search x product"])
    )
    rest = measured["ms of a shard beside its scan"] + reading
    after = nodes * (measured["merge us a shard"] + (measured["ask us a shard"] or 0)) / 1e3
    wire = assumed["network"] + row["kilobytes_a_query"] * 8 / (assumed["gigabits"] * 1e6) * 1e3
    draw = random.Random(0)
    spread = measured["spread"]
    totals = sorted(
        max(draw.choices(spread, k=nodes)) * (scan + rest) + after + wire
        for _ in range(DRAWS)
    )  # fmt: skip
    row |= {"scan_ms": scan, "after_ms": after, "network_ms": wire}
    row |= {"p50_ms": totals[DRAWS // 2], "p99_ms": totals[int(0.99 * DRAWS)], "queries_a_second": 1e3 / (scan + rest)}
    return row


if __name__ == "__main__":
    main()
