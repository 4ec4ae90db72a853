"""The benchmark of occlusion: a fixed world, every method trained alike, descriptors and weights of anyone beside them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlureid.cli.options import Commands, add_device, add_set, bar, layers
from occlureid.errors import UsageError

if TYPE_CHECKING:
    from occlureid.benchmark import Benchmark, BenchmarkSettings

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Adds these commands."""
    command = commands.add(
        "benchmark",
        _benchmark,
        "train and measure every method on one fixed rendered world, or put descriptors made elsewhere on the same curves; "
        "a second call goes on, and several at once share the work",
        "occlureid benchmark --out runs/benchmark\n"
        "  occlureid benchmark --out runs/benchmark --world-only\n"
        "  occlureid benchmark --out runs/benchmark --descriptors mine.npz --name mine",
    )
    command.add_argument(
        "--out", type=Path, default=Path("runs/benchmark"), help="folder of the benchmark (default: runs/benchmark)"
    )
    command.add_argument("--world-only", action="store_true", help="render the world, check its checksums, and stop")
    command.add_argument("--summary-only", action="store_true", help="only write the result of what is there")
    command.add_argument(
        "--docs", type=Path, metavar="DIR", help="also write the record and the charts into a folder of docs"
    )

    training = command.add_argument_group("what is trained")
    training.add_argument("--methods", nargs="+", metavar="METHOD", help="some of the methods (default: all seven)")
    training.add_argument("--seeds", nargs="+", type=int, help="of the trainings (default: 0 1 2)")
    training.add_argument(
        "--only", nargs="+", metavar="METHOD:SEED", help="only these trainings, in this order, for example hcga:0"
    )
    training.add_argument("--epochs", type=int, help="of every training")
    training.add_argument(
        "--initial-weights",
        metavar="WEIGHTS",
        help="what all encoders start from: none, imagenet, a file in timm's layout, or an embedder of the package",
    )
    training.add_argument("--config", type=Path, help="YAML file of benchmark settings")
    add_set(command, "world.test_persons=100 or every.train.lr=0.0005")
    training.add_argument("--threads", type=int, help="of arithmetic (default: torch's)")
    add_device(command)

    other = command.add_argument_group(
        "made elsewhere", "with these, nothing is trained unless --methods or --only is given too"
    )
    other.add_argument(
        "--descriptors",
        type=Path,
        metavar="FILE",
        help='NumPy .npz or safetensors file with "names" and "global", and perhaps "local" and "visibility"',
    )
    other.add_argument(
        "--distance",
        choices=("cosine", "euclidean"),
        help="between such descriptors (default: by the rule in the file, and cosine without one)",
    )
    other.add_argument(
        "--weights", metavar="FILE", help="weights of this package, a file or the name of a model that comes with it"
    )
    other.add_argument("--name", help="of the descriptors or weights in tables (default: the file's name)")


def _benchmark(options: argparse.Namespace) -> int:
    from occlureid.benchmark import open_benchmark, put_into_docs

    _check(options)
    if options.threads is not None:
        import torch

        torch.set_num_threads(options.threads)
    benchmark = open_benchmark(options.out, _settings(options), device=options.device, bar=bar)
    print(benchmark.world.sentence(), file=sys.stderr)
    if options.world_only:
        print(benchmark.world.dataset.root)
        return 0
    _others(options, benchmark)
    left = [] if options.summary_only else benchmark.run(_trainings(options))
    record = benchmark.summarise()
    _say(record)
    if left:
        print(f"left to other processes: {', '.join(left)}; call again when they are done", file=sys.stderr)
    if options.docs is not None:
        for path in put_into_docs(options.out, options.docs):
            print(path)
    print(options.out / "benchmark.md")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raises:
    UsageError: options do not go together.
    """  # noqa: D205
    if options.only and (options.methods or options.seeds):
        raise UsageError("give either --methods, with --seeds, or --only METHOD:SEED; not both")
    if options.descriptors is not None and options.weights is not None:
        raise UsageError("give either --descriptors or --weights; call twice for both")
    if options.name is not None and options.descriptors is None and options.weights is None:
        raise UsageError("--name is that of --descriptors or --weights, and neither is given")
    if options.distance is not None and options.descriptors is None:
        raise UsageError("--distance is that between --descriptors, and none are given")
    if options.threads is not None and options.threads < 1:
        raise UsageError(f"--threads must be at least 1, got {options.threads}")


def _settings(options: argparse.Namespace) -> BenchmarkSettings:
    from occlureid.benchmark import BenchmarkSettings
    from occlureid.config import merge, read_yaml

    base = BenchmarkSettings().to_dict()
    every: dict[str, Any] = {}
    if options.epochs is not None:
        every["train"] = {"epochs": options.epochs}
    if options.initial_weights is not None:
        every["initial_weights"] = options.initial_weights
    said = merge(
        *layers(options, read_yaml(options.config) if options.config else {}), {"every": every} if every else {}
    )
    return BenchmarkSettings.build(base, said)


def _trainings(options: argparse.Namespace) -> list[tuple[str, int]]:
    """Pairs of a method and a seed: one seed of all methods first, so that an early result compares all."""
    from occlureid.benchmark import METHODS

    if options.only:
        return [_pair(text) for text in options.only]
    elsewhere = options.descriptors is not None or options.weights is not None
    names: Sequence[str] = options.methods or (() if elsewhere else METHODS)
    return [(name, seed) for seed in options.seeds or (0, 1, 2) for name in names]


def _pair(text: str) -> tuple[str, int]:
    name, _, seed = text.partition(":")
    if not seed.isdecimal():
        raise UsageError(f"--only expects METHOD:SEED, for example hcga:0, got {text!r}")
    return name, int(seed)


def _others(options: argparse.Namespace, benchmark: Benchmark) -> None:
    """Scores what was made elsewhere."""
    if options.descriptors is not None:
        benchmark.add_descriptors(options.descriptors, options.name, options.distance)
    if options.weights is not None:
        from occlureid.zoo import weights_path

        benchmark.add_weights(weights_path(options.weights), options.name)


def _say(record: dict[str, Any]) -> None:
    """The main table, for a terminal."""
    for name, entry in record["entries"].items():
        figures = ", ".join(
            f"{label} {100 * entry[key]['mean']:.1f} %"
            for key, label in (("rank_1", "Rank-1"), ("mAP_hits", "mAP"), ("mINP", "mINP"))
        )
        print(f"{name}: {figures}")
