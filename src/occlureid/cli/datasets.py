"""Commands about data sets: examining one, occluding one, and building Occluded-DukeMTMC."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from occlureid.cli.options import Commands, add_data, bar, open_data, shown
from occlureid.errors import UsageError

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Adds these commands."""
    doctor = commands.add(
        "doctor",
        _doctor,
        "examine a dataset: layout, counts, ids, damaged and duplicate images, missing cues, and what to do",
        "occlureid doctor data/Market-1501",
    )
    add_data(doctor)
    doctor.add_argument("--names-only", action="store_true", help="look at names and counts only, open no image")
    doctor.add_argument("--threads", type=int, default=4, help="threads that read images (default: 4)")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")

    cover = commands.add(
        "occlude",
        _occlude,
        "make an occluded copy of a dataset, with rendered obstacles and known visibility",
        "occlureid occlude data/Market-1501 --out data/Market-occluded --visible 0.3,0.8",
    )
    add_data(cover)
    cover.add_argument("--out", type=Path, required=True, help="folder to make")
    cover.add_argument("--splits", default="query", help="splits to occlude, such as query,gallery (default: query)")
    cover.add_argument(
        "--visible",
        default="0.3,0.8",
        metavar="LOW,HIGH",
        help="share of the person that stays visible (default: 0.3,0.8)",
    )
    cover.add_argument("--kinds", help="kinds of obstacle, such as car,tree,person (default: all)")
    cover.add_argument("--train-obstacles", action="store_true", help="the obstacles that paste_obstacles trains with")
    cover.add_argument("--seed", type=int, default=0, help="decides obstacles and places (default: 0)")

    build = commands.add(
        "occluded-duke",
        _occluded_duke,
        "build Occluded-DukeMTMC from DukeMTMC-reID and its three published lists",
        "occlureid occluded-duke data/DukeMTMC-reID.zip --lists data/Occluded-DukeMTMC-Dataset --out data/Occluded_Duke",
    )
    build.add_argument("source", type=Path, metavar="SOURCE", help="folder or zip file of DukeMTMC-reID")
    build.add_argument("--lists", type=Path, required=True, help="folder of train.list, query.list and gallery.list")
    build.add_argument("--out", type=Path, required=True, help="folder to make")
    build.add_argument("--link", action="store_true", help="hard links instead of copies")


def _doctor(options: argparse.Namespace) -> int:
    from occlureid.doctor import examine

    progress = None if options.json else bar("examine")
    found = examine(
        options.data, options.layout, images=not options.names_only, threads=options.threads, progress=progress
    )
    print(json.dumps(found.to_dict(), indent=1) if options.json else shown(found.summary()))
    return found.exit_code


def _occlude(options: argparse.Namespace) -> int:
    from occlureid.occlude import occlude

    made = occlude(
        open_data(options),
        options.out,
        splits=options.splits.split(","),
        visible_range=_range(options.visible),
        seed=options.seed,
        test=not options.train_obstacles,
        kinds=options.kinds.split(",") if options.kinds else None,
        progress=bar("occlude"),
    )
    print(made.summary())
    return 0


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in text.split(","))
    except ValueError as error:
        raise UsageError(f"--visible takes two numbers such as 0.3,0.8, got {text!r}") from error
    return low, high


def _occluded_duke(options: argparse.Namespace) -> int:
    from occlureid.data import build_occluded_duke

    root = build_occluded_duke(
        options.source,
        options.lists,
        options.out,
        files="link" if options.link else "copy",
        progress=bar("build"),
    )
    print(root)
    return 0
