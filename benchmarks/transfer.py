"""What is learned on one rendered world, scored on others: GASM's Tables 1 to 4 as a matrix.

Two worlds of mostly whole people are trained on, each alone and both joined, as Market-1501 and DukeMTMC-reID are in the paper;
all three are tested on: the third, whose queries are all occluded, stands for Occluded REID. The worlds differ in seed, cameras,
light, tone, background and obstacles. Every recipe is trained once on each training set, from the same first weights, and
nothing of a test set is looked at until then. A second call goes on from what is there; shares run as in
``benchmarks/ablations.py``. Twelve trainings, about an hour and a half on two cores.

    python benchmarks/transfer.py --out runs/transfer --shard 1/2 &
    python benchmarks/transfer.py --out runs/transfer --shard 2/2 & wait
    python benchmarks/transfer.py --out runs/transfer --json docs/results/transfer.json
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from ablations import ALL, CHANGES, add_training, alone, bar, changes, initial_weights, write

from occlureid.data import open_dataset, with_training
from occlureid.described import made_with
from occlureid.synthetic import WorldSettings, write_world
from occlureid.transfer import matrix, transfer

WORLDS: dict[str, dict[str, Any]] = {
    "street": {
        "seed": 11,
        "cameras": 4,
        "occluded_query": 0.1,
        "obstacles": ["car", "pole", "bin", "person"],
        "lighting": 1.0,
        "tone": 0.5,
    },
    "hall": {
        "seed": 12,
        "cameras": 4,
        "occluded_query": 0.1,
        "obstacles": ["luggage", "bench", "border"],
        "lighting": 0.2,
        "shadows": 0.3,
        "background": 0.4,
        "colour_cast": 0.15,
        "resolution": [0.6, 1.0],
    },
    "crowd": {
        "seed": 13,
        "cameras": 3,
        "occluded_query": 1.0,
        "obstacles": ["person", "fence", "hedge", "tree"],
        "tone": 1.0,
        "exposure": 0.4,
        "motion_blur": 0.04,
        "passers_by": 3,
    },
}
"""What the worlds differ in, over the defaults of ``WorldSettings``; the last is tested on and not trained on."""

TRAINED = ("street", "hall")
"""Worlds that are trained on, each alone and all joined."""

RECIPES = tuple(
    f"ablations/gasm/{name}"
    for name in (
        "table4-baseline",
        "table4-mask",
        "table4-pose",
        "matching-global",
        "matching-spatial",
        "table4-pose-mask",
    )
)
"""The rows; differences are to the first. Table 4's components, and the whole method's three ways of matching."""


def main() -> None:
    """Renders, trains, scores, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--train-persons", type=int, default=150, help="of each world")
    parser.add_argument("--test-persons", type=int, default=100, help="of each world")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), help="rows; differences are to the first")
    parser.add_argument("--json", type=Path)
    add_training(parser)
    options = parser.parse_args()
    if options.json and options.shard:
        parser.error("--shard writes no tables: give --json to a last call without it")
    initial = initial_weights(options.initial_weights, options.out) if options.initial_weights else None
    size = {"train_persons": options.train_persons, "test_persons": options.test_persons, "train_images": 2}
    worlds = {name: WorldSettings.build({**size, **changed}) for name, changed in WORLDS.items()}
    record_file = options.json.resolve() if options.json else None

    options.out.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(options.out):
        with alone():
            for name, settings in worlds.items():
                write_world(settings, Path("worlds") / name, progress=bar(f"render {name}"))
        sets = {name: open_dataset(Path("worlds") / name) for name in worlds}
        training = {name: sets[name] for name in TRAINED}
        joined = with_training(sets[TRAINED[0]], *training.values())
        result = transfer(
            {**training, "+".join(TRAINED): joined},
            sets,
            options.recipes,
            Path("matrix"),
            ALL,
            CHANGES["gasm"],
            *changes(options, initial),
            bar=bar,
            shard=options.shard,
        )
    if options.shard:
        print(f"the trainings of share {options.shard.index}/{options.shard.of} are done")
        return
    print(matrix(result.record))
    if record_file:
        about = {"worlds": {name: settings.to_dict() for name, settings in worlds.items()}, "looks": WORLDS}
        write(
            record_file,
            {
                **result.record,
                **about,
                "initial_weights": initial,
                **made_with(),
            },
        )


if __name__ == "__main__":
    main()
