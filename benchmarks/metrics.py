"""Ranking metrics on a matrix of Occluded-Duke's size against one full argsort a query and the classic loop.

    python benchmarks/metrics.py --json metrics.json

Both run once in every round, in turn; the ratio is the median over rounds. The numbers of both must agree to 1e-6.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from occlureid.evaluation import Scores, find_truth, score_block
from occlureid.types import Protocol, Sample

RANKS = 50


def samples(rng: np.random.Generator, images: int, persons: int) -> list[Sample]:
    names = rng.integers(persons, size=images)
    cameras = rng.integers(1, 9, size=images)
    pairs = enumerate(zip(names, cameras, strict=True))
    return [Sample(Path(f"{i:06}.jpg"), f"{person:04}", str(camera)) for i, (person, camera) in pairs]


def codes(values: list[str]) -> npt.NDArray[np.int64]:
    return np.array([int(value) for value in values])


def classic(distances: npt.NDArray[np.float32], query: list[Sample], gallery: list[Sample]) -> npt.NDArray[np.float64]:
    """(Q, RANKS + 2): the curve, and average precision by both definitions, as usual evaluation scripts compute them."""
    persons, cameras = codes([s.person for s in gallery]), codes([s.camera for s in gallery])
    rows = []
    for row, sample in zip(distances, query, strict=True):
        order = np.argsort(row)
        right = persons[order] == int(sample.person)
        keep = ~(right & (cameras[order] == int(sample.camera)))
        hits = right[keep]
        if not hits.any():
            rows.append(np.full(RANKS + 2, np.nan))
            continue
        at = np.flatnonzero(hits) + 1
        new = np.arange(1, len(at) + 1) / at
        old = np.where(at > 1, np.arange(len(at)) / np.maximum(at - 1, 1), 1.0)
        rows.append(np.concatenate([np.minimum(hits.cumsum()[:RANKS], 1), [new.mean(), ((old + new) / 2).mean()]]))
    return np.array(rows)


def ours(distances: torch.Tensor, query: list[Sample], gallery: list[Sample]) -> Scores:
    return score_block(distances, find_truth(query, gallery, Protocol("benchmark")), ranks=RANKS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--query", type=int, default=2210)
    parser.add_argument("--gallery", type=int, default=17_661)
    parser.add_argument("--persons", type=int, default=1110)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--separation",
        type=float,
        default=3.2,
        help="how many standard deviations nearer the right images are; the default gives an mAP of about 45 %%, 0 is noise",
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    query = samples(rng, arguments.query, arguments.persons)
    gallery = samples(rng, arguments.gallery, arguments.persons)
    persons = codes([s.person for s in query])[:, None] == codes([s.person for s in gallery])
    distances = (rng.normal(size=persons.shape) - arguments.separation * persons).astype(np.float32)
    while (tied := ties(distances)).any():  # the classic loop scores ties as they fall: compare where there are none
        distances[tied] = (
            rng.normal(size=(int(tied.sum()), persons.shape[1])) - arguments.separation * persons[tied]
        ).astype(np.float32)
    matrix = torch.from_numpy(distances)

    seconds: dict[str, list[float]] = {"argsort alone": [], "classic loop": [], "ours": []}
    for _ in range(arguments.rounds):
        times = [time.perf_counter()]
        np.argsort(distances, axis=1)
        times.append(time.perf_counter())
        expected = classic(distances, query, gallery)
        times.append(time.perf_counter())
        scores = ours(matrix, query, gallery)
        times.append(time.perf_counter())
        for name, (start, end) in zip(seconds, pairwise(times), strict=True):
            seconds[name].append(end - start)
    got = np.column_stack([scores.curve, scores.average_precision, scores.average_precision_trapezoid])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)

    right = int((~np.isnan(expected[:, 0])).sum())
    images = persons.sum() / arguments.query
    print(f"{arguments.query} x {arguments.gallery}, {images:.1f} images of the query's person, {right} queries scored")
    print(
        f"rank-1 {100 * np.nanmean(got[:, 0]):.2f} %, mAP {100 * np.nanmean(got[:, -2]):.2f} %: the same numbers to 1e-6"
    )
    figures: dict[str, object] = {"query": arguments.query, "gallery": arguments.gallery, "numpy": np.__version__}
    for name, times in seconds.items():
        ratio = statistics.median(t / own for t, own in zip(times, seconds["ours"], strict=True))
        figures[name] = {"seconds": statistics.median(times), "ratio": ratio}
        print(f"{name:16}{statistics.median(times):>9.3f} s{ratio:>8.1f} x")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def ties(distances: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """(Q,) rows in which two distances are the same."""
    tied: npt.NDArray[np.bool_] = (np.diff(np.sort(distances, axis=1), axis=1) == 0).any(1)
    return tied


if __name__ == "__main__":
    main()
