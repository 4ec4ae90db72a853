"""The stages of an experiment that learn and score: train, evaluate."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from occlureid.cli import across
from occlureid.cli.options import Commands, add_data, add_set, changes, layers, open_data, today
from occlureid.errors import UsageError

if TYPE_CHECKING:
    from occlureid.data.dataset import ReidDataset

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Adds these commands."""
    training = commands.add(
        "train",
        _train,
        "train a method on the training split of a dataset",
        "occlureid train runs/world --recipe pgfa --set initial_weights=none --set model.backbone=resnet18 --out runs/pgfa",
    )
    add_data(training)
    training.add_argument(
        "--also",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="another dataset whose training images are joined to those of DATA; may be given several times",
    )
    training.add_argument("--recipe", help="a recipe of the package, such as pgfa or sorn, or a YAML file")
    training.add_argument("--method", help="train this method, with its own defaults where no recipe is given")
    training.add_argument("--out", type=Path, required=True, help="folder of the run")
    training.add_argument("--resume", action="store_true", help="go on from the checkpoint in OUT")
    training.add_argument("--overwrite", action="store_true", help="replace a finished run with other settings")
    add_set(training, "model.parts=6 or train.epochs=30")

    evaluate = commands.add(
        "evaluate",
        _evaluate,
        "score described datasets, several side by side, and write a report; or train on some datasets and score on others",
        "occlureid evaluate runs/pgfa/described runs/baseline/described --report runs/report.html\n"
        "  occlureid evaluate --train runs/world-a runs/world-b --test runs/world-a runs/world-b --recipe baseline pcb "
        "--out runs/matrix",
    )
    evaluate.add_argument(
        "described", type=Path, nargs="*", metavar="DESCRIBED", help="folder that describe has written"
    )
    evaluate.add_argument("--report", type=Path, help="HTML file to write, with the same figures as JSON beside it")
    evaluate.add_argument(
        "--sheets",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="folders of pictures that figures has drawn, one for each DESCRIBED, to show in the report",
    )
    evaluate.add_argument("--json", action="store_true", help="print the figures as JSON")
    evaluate.add_argument("--seed", type=int, default=0, help="seed of the bootstrap intervals (default: 0)")
    evaluate.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="float32",
        help="arithmetic of the distances; auto: what this processor is best at (default: float32, the same on all)",
    )
    evaluate.add_argument(
        "--shortlist",
        type=int,
        metavar="K",
        help="compare local vectors only with the K nearest images by the rest of the rule (default: with all)",
    )
    evaluate.add_argument(
        "--ranks",
        type=_ranks,
        metavar="K,K,...",
        help="ranks to quote, such as 1,3,5,10 (default: those of the dataset's papers)",
    )
    add_set(evaluate, "rule.visibility=ignore (an ablation: all parts taken as visible); with --train, as in train")
    across.add_options(evaluate)


def _train(options: argparse.Namespace) -> int:
    from occlureid.runs import read_recipe, train

    if not options.recipe and not options.method:
        raise UsageError("train needs --recipe or --method, for example --recipe pgfa")
    first = [read_recipe(options.recipe)] if options.recipe else []
    if options.method:
        if first and first[0].get("method", options.method) != options.method:
            raise UsageError(
                f"recipe {options.recipe} is for method {first[0]['method']!r}, not {options.method!r}; give only one"
            )
        first.append({"method": options.method})
    result = train(
        _joined(options),
        options.out,
        *layers(options, *first),
        resume=options.resume,
        overwrite=options.overwrite,
        progress=True,
    )
    if os.environ.get("RANK", "0") == "0":  # under torchrun the first process speaks for all
        print(result.summary())
        print(result.weights)
    return 0


def _joined(options: argparse.Namespace) -> ReidDataset:
    """The dataset, and the training images of the others named."""
    from occlureid.data import open_dataset, with_training

    dataset = open_data(options)
    if not options.also:
        return dataset
    own = (dataset,) if dataset.train else ()  # Occluded-REID and others have no training images of their own
    return with_training(dataset, *own, *map(open_dataset, options.also))


def _evaluate(options: argparse.Namespace) -> int:
    if across.is_asked(options):
        return across.evaluate(options)
    if not options.described:
        raise UsageError(
            "evaluate needs a folder DESCRIBED that describe has written, or --test with --train or --weights"
        )
    from occlureid.described import Described, score
    from occlureid.printed import with_printed
    from occlureid.report import write_evaluation

    sheets = _sheets(options)
    described = [Described.load(folder) for folder in options.described]
    changed = changes(options, "rule", "evaluate --set changes only the rule, for example rule.visibility=ignore")
    names = _run_names(options.described)
    reports = []
    for item, name in zip(described, names, strict=True):
        report = score(
            item, changed, seed=options.seed, precision=options.precision, shortlist=options.shortlist,
            ranks=options.ranks,
        )  # fmt: skip
        reports.append(with_printed(report, item))
        if not options.json:
            print(f"{name}\n{reports[-1].summary()}\n")
    if options.json:
        print(
            json.dumps(
                {name: json.loads(report.to_json()) for name, report in zip(names, reports, strict=True)}, indent=1
            )
        )
    if options.report:
        runs = dict(zip(names, zip(described, reports, strict=True), strict=True))
        shown = dict(zip(names, sheets, strict=True)) if sheets else None
        print(write_evaluation(options.report, runs, date=today(), sheets=shown))
    return 0


def _ranks(text: str) -> tuple[int, ...]:
    """Ranks from "1,3,5,10", each once, in order.

    Raises:
        argparse.ArgumentTypeError: they are none.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[1-9][0-9]{0,4}", part) for part in parts):
        raise argparse.ArgumentTypeError(
            f"expected ranks from 1 with commas between them, such as 1,3,5,10, got {text!r}"
        )
    return tuple(sorted({int(part) for part in parts}))


def _sheets(options: argparse.Namespace) -> list[list[Path]]:
    """The pictures in each of the folders given, sorted by name."""
    if not options.sheets:
        return []
    if not options.report or len(options.sheets) != len(options.described):
        raise UsageError(
            f"--sheets goes with --report and takes a folder for each of the {len(options.described)} runs, in their "
            f"order; got {len(options.sheets)}"
        )
    found = [sorted(folder.glob("*.png")) for folder in options.sheets]
    for folder, files in zip(options.sheets, found, strict=True):
        if not files:
            raise UsageError(f'{folder}: no pictures there; draw them with "occlureid figures"')
    return found


def _run_names(folders: Sequence[Path]) -> list[str]:
    """Short names that tell the folders apart: the last path components in which they differ."""
    paths = [folder.resolve() for folder in folders]
    names = [p.parent.name if p.name == "described" else p.name for p in paths]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
