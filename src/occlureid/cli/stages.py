"""The stages of an experiment: train, describe, evaluate."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlureid.cli import across
from occlureid.cli.options import Commands, add_data, add_device, add_set, bar, changes, layers, open_data, today
from occlureid.errors import UsageError

if TYPE_CHECKING:
    from occlureid.data.dataset import ReidDataset
    from occlureid.methods import Method

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

    describe = commands.add(
        "describe",
        _describe,
        "describe the query and gallery images of a dataset with trained weights",
        "occlureid describe runs/world --weights runs/pgfa/weights.safetensors --out runs/pgfa/described",
    )
    add_data(describe)
    describe.add_argument("--weights", type=Path, required=True, help="weights.safetensors of a run")
    describe.add_argument("--out", type=Path, required=True, help="folder to write")
    describe.add_argument("--batch-size", type=int, default=64, help="images at a time (default: 64)")
    describe.add_argument("--workers", type=int, default=0, help="processes that read images (default: 0)")
    describe.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="arithmetic of the network"
    )
    describe.add_argument(
        "--on-corrupt", choices=("fatal", "skip"), default="fatal", help="what an unreadable image does"
    )
    describe.add_argument("--overwrite", action="store_true", help="replace descriptors of other weights or data")
    describe.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="describe on the Ray cluster at this address (auto: the one this machine belongs to)",
    )
    add_set(describe, "model.partial_test_feature=pooled (settings that leave the layers as they are)")
    add_device(describe)

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
        "--precision", choices=("float32", "bfloat16"), default="float32", help="arithmetic of the distances"
    )
    evaluate.add_argument(
        "--shortlist",
        type=int,
        metavar="K",
        help="compare local vectors only with the K nearest images by the rest of the rule (default: with all)",
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


def _describe(options: argparse.Namespace) -> int:
    from occlureid import methods
    from occlureid.described import Described, describe_dataset

    changed = changes(options, "model", "describe --set changes only the model, for example model.match=parts_only")
    method = methods.restore(options.weights, changes=changed)
    dataset = open_data(options)
    if options.ray:
        return _describe_on_ray(options, method, dataset)
    if (options.out / "described.json").exists() and not options.overwrite:
        old = Described.load(options.out)
        if old.query.fingerprint != method.fingerprint() or old.record["data"]["checksum"] != dataset.checksum():
            raise UsageError(
                f"{options.out} holds descriptors by {old.query.fingerprint} of other weights or data; "
                "give another --out, or --overwrite"
            )
    described = describe_dataset(
        method, dataset, bar=lambda split: bar(f"describe {split}"), batch_size=options.batch_size, workers=options.workers,
        device=options.device, precision=options.precision, on_corrupt=options.on_corrupt,
    )  # fmt: skip
    skipped = sum(map(len, described.record["skipped"].values()))
    if skipped:
        print(f"{skipped} unreadable images were left out; they are named in described.json", file=sys.stderr)
    print(described.save(options.out))
    return 0


def _describe_on_ray(options: argparse.Namespace, method: Method[Any], dataset: ReidDataset) -> int:
    from occlureid.scaleout import describe_on_ray

    if options.workers:
        raise UsageError("--workers says how this machine reads images; with --ray the cluster's processes do")
    print(
        describe_on_ray(
            method,
            dataset,
            options.out,
            address=options.ray,
            batch_size=options.batch_size,
            device=options.device,
            precision=options.precision,
            on_corrupt=options.on_corrupt,
            overwrite=options.overwrite,
            bar=lambda split: bar(f"describe {split}"),
        )
    )
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    if across.is_asked(options):
        return across.evaluate(options)
    if not options.described:
        raise UsageError(
            "evaluate needs a folder DESCRIBED that describe has written, or --test with --train or --weights"
        )
    from occlureid.described import Described, score
    from occlureid.report import write_evaluation

    sheets = _sheets(options)
    described = [Described.load(folder) for folder in options.described]
    changed = changes(options, "rule", "evaluate --set changes only the rule, for example rule.visibility=ignore")
    names = _run_names(options.described)
    reports = []
    for item, name in zip(described, names, strict=True):
        reports.append(
            score(item, changed, seed=options.seed, precision=options.precision, shortlist=options.shortlist)
        )
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
