"""The other form of evaluate: trained on some datasets, scored on others, as a matrix."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from occlureid.cli.options import add_device, bar, layers
from occlureid.cli.weights import weights_file
from occlureid.errors import UsageError

__all__ = ["add_options", "evaluate", "is_asked"]

_OTHER_FORM = ("train", "test", "recipe", "weights", "out")


def add_options(command: argparse.ArgumentParser) -> None:
    """Adds the options of this form."""
    group = command.add_argument_group(
        "across datasets",
        "each recipe is trained once on each training set and scored on every test set by that set's protocol; nothing of a "
        "test set is looked at while training; a second call goes on. PATH is a folder or a CSV file, LAYOUT=PATH where the "
        "layout cannot be told by what is in it",
    )
    group.add_argument("--train", nargs="+", default=[], metavar="PATH", help="datasets to train on")
    group.add_argument(
        "--test", nargs="+", default=[], metavar="PATH", help="datasets whose query and gallery are scored"
    )
    group.add_argument(
        "--recipe", nargs="+", default=[], help="recipes, folders of them, or YAML files; differences are to the first"
    )
    group.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="[NAME=]FILE",
        help="rows of weights that are trained already, by file, or models of the package by name",
    )
    group.add_argument(
        "--out", type=Path, help="folder that gets trainings, descriptors, transfer.json and transfer.md"
    )
    group.add_argument("--batch-size", type=int, default=64, help="images described at a time (default: 64)")
    group.add_argument("--workers", type=int, default=0, help="processes that read images to describe (default: 0)")
    add_device(command)


def is_asked(options: argparse.Namespace) -> bool:
    """Whether one of the options of this form is given."""
    return any(getattr(options, name) for name in _OTHER_FORM)


def evaluate(options: argparse.Namespace) -> int:
    """Trains and scores the matrix, and prints it."""
    from occlureid.transfer import matrix, open_sets, transfer

    if options.described or options.report or options.ranks:
        raise UsageError(
            "evaluate either scores DESCRIBED folders, with --report and --ranks, or trains and scores with --train, --test and "
            "--recipe; not both"
        )
    missing = [f"--{name}" for name in ("test", "out") if not getattr(options, name)]
    if not (options.train or options.weights):
        missing.append("--train and --recipe, or --weights")
    if options.train and not options.recipe:
        missing.append("--recipe")
    if options.recipe and not options.train:
        missing.append("--train")
    if missing:
        raise UsageError(f"evaluate across datasets needs {', '.join(dict.fromkeys(missing))} too")
    training, test = open_sets(options.train, options.test)
    result = transfer(
        training, test, options.recipe, options.out, *layers(options), weights=_named(options.weights),
        device=options.device, batch_size=options.batch_size, workers=options.workers, bar=bar,
    )  # fmt: skip
    for name, reason in result.failed.items():
        print(f"{name} could not be run: {reason}", file=sys.stderr)
    print(json.dumps(result.record, indent=1) if options.json else matrix(result.record))
    print(result.folder / "transfer.md", file=sys.stderr if options.json else sys.stdout)
    return 0


def _named(files: list[str]) -> dict[str, Path]:
    """Weight files by the name before ``=``, or by the folder that they lie in.

    Raises:
        UsageError: two would have one name.
    """
    found: dict[str, Path] = {}
    for file in files:
        name, equals, path = file.partition("=")
        given = Path(path if equals else file)
        place = weights_file(given)
        if not equals:
            name = given.resolve().parent.name if place == given else str(given)
        if name in found:
            raise UsageError(f"two weight files would be called {name!r}: {found[name]} and {place}; write NAME=FILE")
        found[name] = place
    return found
