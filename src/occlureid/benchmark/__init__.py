"""The benchmark of occlusion: one fixed world, every method trained alike, descriptors of anyone on the same curves."""

from occlureid.benchmark.fixed import FixedWorld, fixed_world
from occlureid.benchmark.result import put_into_docs
from occlureid.benchmark.run import Benchmark, open_benchmark
from occlureid.benchmark.settings import METHODS, BenchmarkSettings

__all__ = [
    "METHODS",
    "Benchmark",
    "BenchmarkSettings",
    "FixedWorld",
    "fixed_world",
    "open_benchmark",
    "put_into_docs",
]
