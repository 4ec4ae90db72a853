"""Distance matrix of Occluded-Duke's size against a bare matrix product and against a loop over parts.

    python benchmarks/matching.py --json matching.json

All competitors run once in every round, in turn, so that a busy machine slows all of them; ratios are medians over rounds.
Peak memory is measured in a process of its own, beside the descriptors and the output.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from occlureid.arithmetic import processor
from occlureid.matching import MatchRule, Precision, distance_matrix
from occlureid.types import Descriptor

DIMENSION, PARTS, CHANNELS = 256, 6, 256
RULE = MatchRule()


def describe(images: int, seed: int) -> Descriptor:
    random = torch.Generator().manual_seed(seed)
    vectors = torch.randn(images, DIMENSION, generator=random), torch.randn(images, PARTS, CHANNELS, generator=random)
    return Descriptor(*vectors, torch.rand(images, PARTS, generator=random))


def loop_over_parts(query: Descriptor, gallery: Descriptor) -> torch.Tensor:
    """The straightforward way: a product, and four passes over a (Q, G) matrix, for each part."""
    visible = (query.visibility >= RULE.threshold).float(), (gallery.visibility >= RULE.threshold).float()
    unit = torch.nn.functional.normalize
    total = 1 - unit(query.global_) @ unit(gallery.global_).T
    weight = torch.ones_like(total)
    for k in range(PARTS):
        shared = visible[0][:, k, None] * visible[1][:, k]
        total += shared * (1 - unit(query.parts[:, k]) @ unit(gallery.parts[:, k]).T)
        weight += shared
    return total / weight


def peak_memory(arguments: argparse.Namespace, precision: str) -> float:
    """MiB that one call needs beside its input and output, from the peak resident size of a fresh process."""
    command = [sys.executable, __file__, "--probe", precision, "--query", str(arguments.query)]
    command += ["--gallery", str(arguments.gallery), "--threads", str(arguments.threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def probe(arguments: argparse.Namespace) -> None:
    """Runs in that process: the growth of the peak over the size just before the call."""
    query, gallery = describe(arguments.query, 0), describe(arguments.gallery, 1)
    out = torch.zeros(arguments.query, arguments.gallery)  # zeros are written, so that its pages count as there already
    out += 1
    distance_matrix(
        RULE, query[:64], gallery[:64], precision=arguments.probe
    )  # libraries allocate their own buffers once
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the present size (Linux)
    before = resident("VmRSS")
    distance_matrix(RULE, query, gallery, precision=arguments.probe, out=out)
    print((resident("VmHWM") - before) / 1024)


def resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--query", type=int, default=2210)
    parser.add_argument("--gallery", type=int, default=17_661)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.probe:
        return probe(arguments)

    query, gallery = describe(arguments.query, 0), describe(arguments.gallery, 1)
    figures: dict[str, object] = {
        "query": arguments.query,
        "gallery": arguments.gallery,
        "width": DIMENSION + PARTS * CHANNELS,
        "threads": arguments.threads,
        "torch": torch.__version__,
        "processor": processor(),
    }
    print(
        f"{arguments.query} x {arguments.gallery}, width {figures['width']}, {figures['processor']}, {arguments.threads} threads"
    )
    print(f"{'':24}{'seconds':>10}{'x product':>11}{'MiB beside output':>20}")
    precision: Precision
    for precision in ("float32", "bfloat16"):
        figures[precision] = compare(query, gallery, precision, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return None


def compare(
    query: Descriptor, gallery: Descriptor, precision: Precision, arguments: argparse.Namespace
) -> dict[str, object]:
    dtype = getattr(torch, precision)
    a = torch.cat([query.global_, query.parts.flatten(1)], 1).to(dtype)
    b = torch.cat([gallery.global_, gallery.parts.flatten(1)], 1).to(dtype)
    product = torch.empty(len(a), len(b), dtype=dtype)
    out = torch.empty(len(a), len(b))
    competitors: dict[str, Callable[[], torch.Tensor]] = {
        "matrix product": lambda: torch.mm(a, b.T, out=product),
        "distance_matrix": lambda: distance_matrix(RULE, query, gallery, precision=precision, out=out),
    }
    if precision == "float32":
        competitors["loop over parts"] = lambda: loop_over_parts(query, gallery)
        torch.testing.assert_close(competitors["distance_matrix"](), loop_over_parts(query, gallery), rtol=0, atol=1e-5)
    seconds: dict[str, list[float]] = {name: [] for name in competitors}
    for turn in range(arguments.rounds + 1):
        for name, run in competitors.items():
            start = time.perf_counter()
            run()
            if turn > 0:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    memory = peak_memory(arguments, precision)
    result: dict[str, object] = {"peak_MiB_beside_output": memory}
    for name, times in seconds.items():
        ratio = statistics.median(t / base for t, base in zip(times, seconds["matrix product"], strict=True))
        result[name] = {"seconds": statistics.median(times), "ratio": ratio}
        beside = f"{memory:.0f}" if name == "distance_matrix" else ""
        print(f"{precision + ' ' + name:24}{statistics.median(times):>10.3f}{ratio:>11.2f}{beside:>20}")
    return result


if __name__ == "__main__":
    main()
