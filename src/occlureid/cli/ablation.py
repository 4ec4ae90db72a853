"""The rows of the papers' ablation tables, run on one dataset."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from occlureid.cli.options import Commands, add_data, add_device, add_set, bar, layers, open_data

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Adds these commands."""
    ablate = commands.add(
        "ablate",
        _ablate,
        "train and score the rows of ablation tables, and write them beside the papers' figures; a second call goes on",
        "occlureid ablate runs/world ablations/sorn --out runs/sorn --set initial_weights=none --set model.backbone=resnet18",
    )
    add_data(ablate)
    ablate.add_argument(
        "recipes",
        nargs="+",
        metavar="RECIPE",
        help="a recipe, a folder of them such as ablations/sgam, a YAML file, or a folder of YAML files",
    )
    ablate.add_argument("--out", type=Path, required=True, help="folder that gets the trainings and the table")
    ablate.add_argument("--list", action="store_true", help="say which trainings are needed for which rows, and stop")
    ablate.add_argument(
        "--shard",
        metavar="I/N",
        help="run every N-th training only, and write no table: N processes may work in OUT at the same time, and a last call "
        "without --shard writes the tables",
    )
    ablate.add_argument("--batch-size", type=int, default=64, help="images described at a time (default: 64)")
    ablate.add_argument("--workers", type=int, default=0, help="processes that read images to describe (default: 0)")
    add_set(ablate, "model.size=[192,64] or train.epochs=30, in every training")
    add_device(ablate)


def _ablate(options: argparse.Namespace) -> int:
    from occlureid.ablation import Shard, ablate, plan, table

    shard = Shard.parse(options.shard) if options.shard is not None else None
    if options.list:
        planned = plan(options.recipes, *layers(options))
        print((planned.share(shard) if shard else planned).summary())
        return 0
    result = ablate(
        open_data(options), options.recipes, options.out, *layers(options), device=options.device,
        batch_size=options.batch_size, workers=options.workers, bar=bar, shard=shard,
    )  # fmt: skip
    for recipe, reason in result.failed.items():
        print(f"{recipe} could not be run: {reason}", file=sys.stderr)
    if shard:
        print(f"share {shard.index}/{shard.of} is done; once all are, the same call without --shard writes the tables")
        return 0
    print(table(result.record))
    print(result.folder / "ablation.md")
    return 0
