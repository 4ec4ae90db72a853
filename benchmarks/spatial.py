"""Matching by local vectors: its speed against a bare matrix product and a loop over pairs, and what shortcuts cost.

    python benchmarks/spatial.py speed --json spatial-speed.json
    python benchmarks/spatial.py accuracy runs/gasm/described --weights runs/gasm/weights.safetensors --json spatial-accuracy.json

``speed``: every location of every query against every location of every gallery image, as ``distance_matrix`` does it, as the
bare product of the same multiplications on vectors that are ready (in pieces, so that its result fits), and as a loop over
pairs with a product, a minimum and a weighted sum each, also on ready vectors. All competitors run once in every round, in
turn, so that a busy machine slows all of them; rates are medians over rounds. Peak memory is measured in a process of its own.

``accuracy``: rank-1 and mAP of described images whole, with shortened local vectors (the principal components in the weights,
measured on training images), with the most salient locations only, with a shortlist, and in bfloat16; with the time of each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from occlureid.arithmetic import processor
from occlureid.described import Described, score
from occlureid.matching import MEMORY, MatchRule, Precision, distance_matrix, prune
from occlureid.types import Descriptor

RULE = MatchRule(part_factor=0, spatial_weight=0.5)
PIECE = 2**26
"""Numbers that one piece of the bare product may have."""


def describe(images: int, places: int, size: int, seed: int) -> Descriptor:
    random = torch.Generator().manual_seed(seed)
    local = torch.randn(images, places, size, generator=random), torch.rand(images, places, generator=random) + 0.01
    nothing = torch.zeros(images, 0, 1), torch.zeros(images, 0)
    return Descriptor(torch.randn(images, 256, generator=random), *nothing, *local)


def local_vectors(images: Descriptor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, T, S) local vectors and (N, T) their saliency, of images that have them."""
    if images.spatial is None or images.saliency is None:
        raise ValueError("these images have no local vectors")
    return images.spatial, images.saliency


def speed(arguments: argparse.Namespace) -> dict[str, Any]:
    print(
        f"{arguments.query} x {arguments.gallery} images of {arguments.query_places} and {arguments.places} locations, "
        f"{processor()}, {arguments.threads} threads, {arguments.memory} MiB to work in"
    )
    print(f"{'':24}{'seconds':>10}{'rate of product':>18}{'x loop':>9}{'MiB beside output':>20}")
    figures: dict[str, Any] = {
        "query": arguments.query,
        "gallery": arguments.gallery,
        "query_places": arguments.query_places,
        "places": arguments.places,
        "memory_MiB": arguments.memory,
        "threads": arguments.threads,
        "torch": torch.__version__,
        "processor": processor(),
    }
    for size in arguments.size:
        precision: Precision
        for precision in ("float32", "bfloat16"):
            figures[f"{size} {precision}"] = compare(arguments, size, precision)
    return figures


def compare(arguments: argparse.Namespace, size: int, precision: Precision) -> dict[str, Any]:
    query = describe(arguments.query, arguments.query_places, size, 0)
    gallery = describe(arguments.gallery, arguments.places, size, 1)
    dtype = getattr(torch, precision)
    unit = torch.nn.functional.normalize
    (local, saliency), (gallery_local, _) = local_vectors(query), local_vectors(gallery)
    ready, others = unit(local, dim=2).to(dtype), unit(gallery_local, dim=2).to(dtype)
    rows, columns = ready.flatten(0, 1), others.flatten(0, 1)
    piece = max(1, PIECE // len(columns))
    product = torch.empty(min(piece, len(rows)), len(columns), dtype=dtype)
    shares = saliency / saliency.sum(1, keepdim=True)
    out, looped = torch.empty(len(query), len(gallery)), torch.empty(len(query), len(gallery))
    memory = arguments.memory * 2**20
    few = min(len(query), arguments.loop_queries)

    def bare() -> None:
        for start in range(0, len(rows), piece):
            some = rows[start : start + piece]
            torch.mm(some, columns.T, out=product[: len(some)])

    def kernel() -> None:
        distance_matrix(RULE, query, gallery, memory=memory, precision=precision, out=out)

    def loop() -> None:
        for i in range(few):
            for j in range(len(gallery)):
                looped[i, j] = shares[i] @ (1 - (ready[i] @ others[j].T).amax(1).float())

    competitors: dict[str, Callable[[], None]] = {"product": bare, "kernel": kernel, "loop": loop}
    seconds: dict[str, list[float]] = {name: [] for name in competitors}
    for turn in range(arguments.rounds + 1):
        for name, run in competitors.items():
            start = time.perf_counter()
            run()
            if turn > 0:  # the first round warms up
                seconds[name].append((time.perf_counter() - start) * (len(query) / few if name == "loop" else 1))
    base = 1 - unit(query.global_, dim=1) @ unit(gallery.global_, dim=1).T
    tolerance = 1e-5 if precision == "float32" else 0.02
    torch.testing.assert_close(out[:few], (base[:few] + looped[:few]) / 2, rtol=0, atol=tolerance)
    rate = statistics.median(a / b for a, b in zip(seconds["product"], seconds["kernel"], strict=True))
    faster = statistics.median(a / b for a, b in zip(seconds["loop"], seconds["kernel"], strict=True))
    peak = peak_memory(arguments, size, precision)
    took = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"{f'{size} {precision}':24}{took['kernel']:>10.3f}{rate:>18.2f}{faster:>9.1f}{peak:>20.0f}", flush=True)
    return {"seconds": took, "rate_of_product": rate, "times_as_fast_as_loop": faster, "peak_MiB_beside_output": peak}


def peak_memory(arguments: argparse.Namespace, size: int, precision: str) -> float:
    """MiB that one call needs beside its input and output, from the peak resident size of a fresh process."""
    command = [sys.executable, __file__, "speed", "--probe", precision, "--size", str(size)]
    for name in ("query", "gallery", "query_places", "places", "threads", "memory"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def probe(arguments: argparse.Namespace) -> None:
    """Runs in that process: the growth of the peak over the size just before the call."""
    query = describe(arguments.query, arguments.query_places, arguments.size[0], 0)
    gallery = describe(arguments.gallery, arguments.places, arguments.size[0], 1)
    out = torch.zeros(len(query), len(gallery)) + 1  # written to, so that its pages count as there already
    options = {"memory": arguments.memory * 2**20, "precision": arguments.probe}
    distance_matrix(RULE, query[:1], gallery[:4], **options)  # libraries allocate their own buffers once
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the present size (Linux)
    before = resident("VmRSS")
    distance_matrix(RULE, query, gallery, out=out, **options)
    print((resident("VmHWM") - before) / 1024)


def resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def accuracy(arguments: argparse.Namespace) -> dict[str, Any]:
    whole = Described.load(arguments.described)
    if whole.query.spatial is None or whole.gallery.spatial is None:
        sys.exit(f"{arguments.described}: no local vectors; describe with a method that gives them")
    _, places, size = whole.gallery.spatial.shape
    rows: list[tuple[str, Described, dict[str, Any]]] = [
        ("global only", whole, {"rule_changes": {"spatial_weight": 0.0, "global_weight": 1.0}}),
        (f"everything: {places} locations of {size}", whole, {}),
        ("bfloat16", whole, {"precision": "bfloat16"}),
    ]
    if arguments.dims:
        with safe_open(arguments.weights, framework="pt") as file:
            components = file.get_tensor("components").float()
        rows += [(f"{d} components", shortened(whole, components[:, :d]), {}) for d in arguments.dims if d < size]
    rows += [(f"{k} locations", salient(whole, k), {}) for k in arguments.keep if k < places]
    rows += [(f"shortlist of {k}", whole, {"shortlist": k}) for k in arguments.shortlist if k < len(whole.gallery)]
    if arguments.dims and arguments.keep and arguments.shortlist:
        d, k, listed = arguments.dims[0], arguments.keep[0], arguments.shortlist[0]
        both = salient(shortened(whole, components[:, :d]), k)
        rows.append((f"{d} components, {k} locations, shortlist of {listed}", both, {"shortlist": listed}))
    print(
        f"{len(whole.query)} queries, {len(whole.gallery)} gallery images, {processor()}, {arguments.threads} threads"
    )
    print(f"{'':52}{'rank-1':>8}{'mAP':>8}{'seconds':>10}{'MiB a gallery image':>22}")
    figures: dict[str, Any] = {"described": whole.record, "threads": arguments.threads, "rows": []}
    for name, item, options in rows:
        start = time.perf_counter()
        report = score(item, **options)
        took = time.perf_counter() - start
        stored = item.gallery.spatial
        mebibytes = 0.0 if stored is None or name == "global only" else stored[:1].nbytes / 2**20
        figures["rows"].append(
            {
                "name": name,
                "rank_1": report.rank(1),
                "mAP": report.average_precision,
                "seconds": took,
                "MiB_per_gallery_image": mebibytes,
            }
        )
        print(
            f"{name:52}{report.rank(1):>8.3f}{report.average_precision:>8.3f}{took:>10.1f}{mebibytes:>22.3f}",
            flush=True,
        )
    return figures


def both_sides(item: Described, change: Callable[[Descriptor], Descriptor]) -> Described:
    return replace(item, query=change(item.query), gallery=change(item.gallery))


def shortened(item: Described, components: torch.Tensor) -> Described:
    def project(side: Descriptor) -> Descriptor:
        return replace(side, spatial=local_vectors(side)[0].float() @ components)

    return both_sides(item, project)


def salient(item: Described, keep: int) -> Described:
    return both_sides(item, lambda side: prune(side, keep))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    quick = commands.add_parser("speed")
    quick.add_argument("--query", type=int, default=32)
    quick.add_argument("--gallery", type=int, default=64)
    quick.add_argument("--query-places", type=int, default=192)
    quick.add_argument("--places", type=int, default=192, help="of a gallery image; 24 x 8 for 384 x 128 pixels")
    quick.add_argument("--size", type=int, nargs="+", default=[128, 512, 2048], help="length of a local vector")
    quick.add_argument("--memory", type=int, default=MEMORY // 2**20, help="MiB that distance_matrix may use")
    quick.add_argument("--loop-queries", type=int, default=2, help="queries that the loop does; its time is scaled up")
    quick.add_argument("--rounds", type=int, default=7)
    quick.add_argument("--probe", help=argparse.SUPPRESS)
    exact = commands.add_parser("accuracy")
    exact.add_argument("described", type=Path, help="a described folder with local vectors of full length")
    exact.add_argument("--weights", type=Path, help="the weights that hold the components, for --dims")
    exact.add_argument("--dims", type=int, nargs="*", default=[])
    exact.add_argument("--keep", type=int, nargs="*", default=[64, 32, 16])
    exact.add_argument("--shortlist", type=int, nargs="*", default=[100, 50, 20])
    for command in (quick, exact):
        command.add_argument("--threads", type=int, default=2)
        command.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.command == "speed" and arguments.probe:
        return probe(arguments)
    if arguments.command == "accuracy" and arguments.dims and not arguments.weights:
        parser.error("--dims needs --weights, which hold the components")
    figures = speed(arguments) if arguments.command == "speed" else accuracy(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
