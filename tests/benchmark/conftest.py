"""A benchmark in miniature: two trainings of one epoch on a world of a few persons, made once through the command line."""

from pathlib import Path

import pytest

from occlureid.benchmark import Benchmark, BenchmarkSettings, open_benchmark
from occlureid.cli import main

SMALL = {
    "world.seed=5",
    "world.size=[64,32]",
    "world.cameras=2",
    "world.train_persons=4",
    "world.train_images=2",
    "world.test_persons=4",
    "world.query_images=2",
    "world.occluded_query=0.75",
    "every.model.size=[64,32]",
    "every.train.batch_size=8",
    "every.train.warmup_epochs=0",
    "every.train.precision=32-true",
    "noise.keypoints={jitter: [0.2], miss: [1.0], swap: []}",
    "noise.part_map={boundary: [], miss: [], swap: []}",
    "resamples=50",
    "rate_rounds=1",
    "rate_batch=4",
}


def command(out: Path, *more: str) -> list[str]:
    settings = [part for text in sorted(SMALL) for part in ("--set", text)]
    return ["benchmark", "--out", str(out), "--epochs", "1", *settings, *more]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Baseline and PGFA, two seeds of one and one of the other; tests change nothing in it."""
    out = tmp_path_factory.mktemp("benchmark") / "out"
    assert main(command(out, "--only", "baseline:0", "baseline:1", "pgfa:0")) == 0
    return out


def settings() -> BenchmarkSettings:
    from occlureid.config import merge, parse_assignments

    every = {"every": {"train": {"epochs": 1}}}
    return BenchmarkSettings.build(merge(BenchmarkSettings().to_dict(), parse_assignments(sorted(SMALL)), every))


@pytest.fixture
def benchmark(finished: Path) -> Benchmark:
    return open_benchmark(finished, settings())
