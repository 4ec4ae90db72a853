"""What the visible parts are worth: PGFA, its ablations and the global baseline on a rendered world whose visibility is known.

Everything is trained from random weights, alike but for the method, and scored on the test split once, at the last epoch. A
second call goes on from what is there. About an hour and a half on two cores for all runs; --runs chooses some.

    python benchmarks/occlusion.py --out runs/occlusion --json docs/results/occlusion.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from occlureid import methods
from occlureid.data import open_dataset
from occlureid.described import Described, describe_dataset, made_with, score
from occlureid.evaluation import Report
from occlureid.report import write_evaluation
from occlureid.runs import train
from occlureid.synthetic import WorldSettings, write_world

TRAIN = {
    "batch_size": 32,
    "optimiser": "adamw",
    "lr": 0.001,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup_epochs": 1,
    "precision": "auto",
    "flip_probability": 0.5,
    "erasing_probability": 0.5,
    "workers": 1,
    "checkpoint_every": 50,
}
LIGHT = {"backbone": "resnet18", "size": [192, 64]}
PGFA = {**LIGHT, "backbone_lr_factor": 1.0, "dropout": 0.2}
IDENTITY = {"sampler": "identity", "instances": 4}


@dataclass(frozen=True)
class Trained:
    """One training run, and the ways in which its weights are matched: name, changes of the rule, changes of the method."""

    method: str
    model: dict[str, Any]
    train: dict[str, Any] = field(default_factory=dict)
    scored: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (("", {}, {}),)


RUNS = {
    "pgfa": Trained(
        "pgfa",
        PGFA,
        scored=(
            ("", {}, {}),
            (", all parts taken as visible", {"visibility": "ignore"}, {}),
            (", global branch only for matching", {"part_factor": 0.0}, {}),
            (", partial branch only for matching", {"global_weight": 0.0}, {}),
            (", pooled part features", {}, {"partial_test_feature": "pooled"}),
            (", pooled part features, all visible", {"visibility": "ignore"}, {"partial_test_feature": "pooled"}),
            (", gamma 0", {}, {"confidence": 0.0}),
            (", gamma 0.5", {}, {"confidence": 0.5}),
        ),
    ),
    "baseline": Trained("baseline", LIGHT, IDENTITY),
    "pgfa-global": Trained("pgfa", {**PGFA, "balance": 0.0}),
    "pgfa-parts": Trained("pgfa", {**PGFA, "balance": 1.0}),
    "pcb": Trained("pcb", {**LIGHT, "parts": 3, "backbone_lr_factor": 1.0, "dropout": 0.2}),
}


def describe(method: methods.Method[Any], dataset: Any, label: str) -> Described:
    """With a progress bar."""
    with tqdm(total=len(dataset.query) + len(dataset.gallery), desc=f"describe {label}", leave=False) as bar:
        before = {"query": 0, "gallery": len(dataset.query)}

        def shown(split: str) -> Callable[[int, int], None]:
            def update(done: int, of: int) -> None:
                bar.update(before[split] + done - bar.n)

            return update

        return describe_dataset(method, dataset, bar=shown, workers=1)


def figures(report: Report) -> dict[str, Any]:
    """The figures of a report that the table shows."""
    low_high = {name: [interval.low, interval.high] for name, interval in report.intervals.items()}
    return {
        "rank_1": report.rank(1),
        "rank_5": report.rank(5),
        "mAP_hits": report.average_precision,
        "mAP_trapezoid": report.average_precision_trapezoid,
        "mINP": report.inverse_negative_penalty,
        "intervals": low_high,
        "by_visible_fraction": {s.name: [s.queries, s.rank_1, s.average_precision] for s in report.by_visible_fraction},
        "by_obstacle": {s.name: [s.queries, s.rank_1, s.average_precision] for s in report.by_obstacle},
    }


def main() -> None:
    """Renders, trains, scores, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/occlusion"))
    parser.add_argument("--runs", nargs="+", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--train-persons", type=int, default=300)
    parser.add_argument(
        "--train-images", type=int, default=2, help="of each training person in each of the four cameras"
    )
    parser.add_argument("--test-persons", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1, help="of the world and of training")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    world = WorldSettings(
        seed=options.seed,
        train_persons=options.train_persons,
        train_images=options.train_images,
        test_persons=options.test_persons,
        size=(256, 128),
    )
    bar = tqdm(total=sum(map(world.count, ("train", "query", "gallery"))), desc="render", file=sys.stderr, leave=False)

    def rendered(done: int, of: int) -> None:
        bar.update(done - bar.n)

    root = write_world(world, options.out / "world", progress=rendered)
    bar.close()
    dataset = open_dataset(root)

    scored: dict[str, tuple[Described, Report]] = {}
    for name in options.runs:
        run = RUNS[name]
        recipe = {
            "method": run.method,
            "initial_weights": "none",
            "model": run.model,
            "train": {**TRAIN, **run.train, "epochs": options.epochs, "seed": options.seed},
        }
        result = train(dataset, options.out / name, recipe, resume=True, progress=True)
        described: dict[str, Described] = {}
        for label, rule, changes in run.scored:
            key = json.dumps(changes)
            if key not in described:
                described[key] = describe(methods.restore(result.weights, changes=changes), dataset, name + label)
            scored[name + label] = described[key], score(described[key], rule)

    write_evaluation(options.out / "report.html", scored)
    table = {name: figures(report) for name, (_, report) in scored.items()}
    width = max(map(len, table))
    print(f"{'':{width}}  Rank-1 [95 % interval]    mAP hits  mAP trapezoid  mINP")
    for name, row in table.items():
        low, high = row["intervals"]["rank_1"]
        print(
            f"{name:{width}}  {row['rank_1']:6.1%} [{low:.1%}, {high:.1%}]  {row['mAP_hits']:8.1%}  "
            f"{row['mAP_trapezoid']:13.1%}  {row['mINP']:6.1%}"
        )
    if options.json:
        settings = {
            k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items() if k not in {"json", "out"}
        }
        record = {
            "settings": settings,
            "world": world.to_dict(),
            **made_with(),
            "runs": table,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
