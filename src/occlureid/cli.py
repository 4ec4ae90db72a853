"""The command ``occlureid``: a subcommand a stage. Only this module prints; nothing heavy is imported before it is needed."""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlureid.errors import OcclureidError, UsageError

if TYPE_CHECKING:
    from occlureid.data.dataset import ReidDataset

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0 done, 2 usage, 3 bad data, 4 missing cue or weights, 130 interrupted."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    try:
        return int(options.command(options) or 0)
    except OcclureidError as error:
        print(f"occlureid: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("occlureid: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"occlureid {version('occlureid')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="occlureid",
        description="Occluded person re-identification: render a world, train, describe, evaluate.",
        epilog="example:\n  occlureid synth runs/world && occlureid train runs/world --recipe pgfa --set initial_weights=none "
        "--out runs/pgfa",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and stop")
    parser.add_argument("--verbose", action="store_true", help="print log messages too")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], summary: str, example: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(command=run)
        return command

    def add_device(command: argparse.ArgumentParser) -> None:
        command.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: cpu)")

    def add_data(command: argparse.ArgumentParser) -> None:
        command.add_argument("data", type=Path, metavar="DATA", help="dataset folder, or a CSV file")
        command.add_argument(
            "--layout", default="auto", help="layout of the folder (default: recognised by what is in it)"
        )

    def add_set(command: argparse.ArgumentParser, example: str) -> None:
        command.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help=f"change one setting, e.g. {example}"
        )

    synth = add(
        "synth",
        _synth,
        "render a world of pedestrians with exact ground truth, in Market-1501 layout",
        "occlureid synth runs/world --set train_persons=100 --set size=[192,64]",
    )
    synth.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    synth.add_argument("--config", type=Path, help="YAML file of world settings")
    add_set(synth, "train_persons=100")
    add_device(synth)

    training = add(
        "train",
        _train,
        "train a method on the training split of a dataset",
        "occlureid train runs/world --recipe pgfa --set initial_weights=none --set model.backbone=resnet18 --out runs/pgfa",
    )
    add_data(training)
    training.add_argument("--recipe", help="a recipe of the package (baseline, pcb, pgfa, pgfa-partial) or a YAML file")
    training.add_argument("--method", help="train this method, with its own defaults where no recipe is given")
    training.add_argument("--out", type=Path, required=True, help="folder of the run")
    training.add_argument("--resume", action="store_true", help="go on from the checkpoint in OUT")
    training.add_argument("--overwrite", action="store_true", help="replace a finished run with other settings")
    add_set(training, "model.parts=6 or train.epochs=30")

    describe = add(
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
    add_set(describe, "model.partial_test_feature=pooled (settings that leave the layers as they are)")
    add_device(describe)

    evaluate = add(
        "evaluate",
        _evaluate,
        "score described datasets, several side by side, and write a report",
        "occlureid evaluate runs/pgfa/described runs/baseline/described --report runs/report.html",
    )
    evaluate.add_argument(
        "described", type=Path, nargs="+", metavar="DESCRIBED", help="folder that describe has written"
    )
    evaluate.add_argument("--report", type=Path, help="HTML file to write, with the same figures as JSON beside it")
    evaluate.add_argument("--json", action="store_true", help="print the figures as JSON")
    evaluate.add_argument("--seed", type=int, default=0, help="seed of the bootstrap intervals (default: 0)")
    evaluate.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="arithmetic of the distances"
    )
    add_set(evaluate, "rule.visibility=ignore (an ablation: all parts taken as visible)")

    listing = add(
        "methods",
        _methods,
        "list the methods, or show one with its settings",
        "occlureid methods pgfa",
    )
    listing.add_argument("name", nargs="?", help="a method")
    listing.add_argument("--markdown", action="store_true", help="print the table as Markdown")

    demo = add(
        "demo",
        _demo,
        "render a small world, train PGFA and the baseline on it, and report, in a few minutes on a laptop",
        "occlureid demo --out runs/demo",
    )
    demo.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder to write (default: runs/demo)")
    add_device(demo)
    return parser


def _bar(label: str) -> Callable[[int, int], None]:
    """A progress bar as a function of (done, of)."""
    from tqdm import tqdm

    bars: list[Any] = []

    def update(done: int, of: int) -> None:
        if not bars:
            bars.append(tqdm(total=of, desc=label, unit="image", leave=True, file=sys.stderr))
        bars[0].update(done - bars[0].n)
        if done >= of:
            bars[0].close()

    return update


def _today() -> str:
    return datetime.date.today().isoformat()


def _layers(options: argparse.Namespace, *first: dict[str, Any]) -> list[dict[str, Any]]:
    from occlureid.config import parse_assignments

    return [*first, parse_assignments(options.set)]


def _changes(options: argparse.Namespace, key: str, expected: str) -> dict[str, Any]:
    """What --set says of the one thing that a command lets change."""
    changes = _layers(options)[0]
    values = changes.get(key, {})
    if (unknown := changes.keys() - {key}) or not isinstance(values, dict):
        raise UsageError(f"{expected}; got {sorted(unknown) or values}")
    return values


def _open(options: argparse.Namespace) -> ReidDataset:
    from occlureid.data import open_dataset

    return open_dataset(options.data, options.layout)


def _synth(options: argparse.Namespace) -> int:
    from occlureid.config import read_yaml
    from occlureid.synthetic import WorldSettings, write_world

    layers = _layers(options, read_yaml(options.config) if options.config else {})
    root = write_world(WorldSettings.build(*layers), options.out, device=options.device, progress=_bar("render"))
    print(root)
    return 0


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
        _open(options),
        options.out,
        *_layers(options, *first),
        resume=options.resume,
        overwrite=options.overwrite,
        progress=True,
    )
    if os.environ.get("RANK", "0") == "0":  # under torchrun the first process speaks for all
        print(result.summary())
        print(result.weights)
    return 0


def _describe(options: argparse.Namespace) -> int:
    from occlureid import methods
    from occlureid.described import Described, describe_dataset

    changes = _changes(options, "model", "describe --set changes only the model, for example model.match=parts_only")
    method = methods.restore(options.weights, changes=changes)
    dataset = _open(options)
    if (options.out / "described.json").exists() and not options.overwrite:
        old = Described.load(options.out)
        if old.query.fingerprint != method.fingerprint() or old.record["data"]["checksum"] != dataset.checksum():
            raise UsageError(
                f"{options.out} holds descriptors by {old.query.fingerprint} of other weights or data; "
                "give another --out, or --overwrite"
            )
    described = describe_dataset(
        method, dataset, bar=lambda split: _bar(f"describe {split}"), batch_size=options.batch_size, workers=options.workers,
        device=options.device, precision=options.precision, on_corrupt=options.on_corrupt,
    )  # fmt: skip
    skipped = sum(map(len, described.record["skipped"].values()))
    if skipped:
        print(f"{skipped} unreadable images were left out; they are named in described.json", file=sys.stderr)
    print(described.save(options.out))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from occlureid.described import Described, score
    from occlureid.report import write_evaluation

    described = [Described.load(folder) for folder in options.described]
    changes = _changes(options, "rule", "evaluate --set changes only the rule, for example rule.visibility=ignore")
    names = _run_names(options.described)
    reports = []
    for item, name in zip(described, names, strict=True):
        reports.append(score(item, changes, seed=options.seed, precision=options.precision))
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
        print(write_evaluation(options.report, runs, date=_today()))
    return 0


def _run_names(folders: Sequence[Path]) -> list[str]:
    """Short names that tell the folders apart: the last path components in which they differ."""
    paths = [folder.resolve() for folder in folders]
    names = [p.parent.name if p.name == "described" else p.name for p in paths]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _methods(options: argparse.Namespace) -> int:
    from occlureid import methods

    if options.name:
        cls = methods.load(options.name)
        paper = cls.paper
        print(f"{cls.name()}: {paper.title}\n{paper.authors}, {paper.venue} {paper.year}\n{paper.link}\n")
        print(
            f"cues to train: {_cues(cls.needs.train)}; to describe: {_cues(cls.needs.describe)}\n\nsettings (model.KEY=VALUE):"
        )
        for name, default, text in cls.Config.describe_fields():
            print(f"  {name} = {default}\n      {text}")
        return 0
    print(methods_table(markdown=options.markdown))
    return 0


def _cues(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def methods_table(*, markdown: bool) -> str:
    """The table of methods, generated from the classes themselves."""
    from occlureid import methods

    rows = []
    for name in methods.available():
        cls = methods.load(name)
        title = f"[{cls.paper.title}]({cls.paper.link})" if markdown else cls.paper.title
        rows.append(
            (name, title, f"{cls.paper.venue} {cls.paper.year}", _cues(cls.needs.train), _cues(cls.needs.describe))
        )
    head = ("method", "paper", "venue", "cues to train", "cues to describe")
    if markdown:
        lines = [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]
    else:
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (head, *rows)
        ]
    return "\n".join(lines)


def _demo(options: argparse.Namespace) -> int:
    from occlureid.demo import demo

    print(f"report: {demo(options.out, device=options.device, date=_today(), bar=_bar).resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
