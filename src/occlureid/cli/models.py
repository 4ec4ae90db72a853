"""The models that come with the package: listed, shown, and, for its maintainers, released."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlureid.cli.options import Commands
from occlureid.errors import DataError, UsageError

if TYPE_CHECKING:
    from occlureid.zoo.record import Score, TrainingData

__all__ = ["models_table", "register"]


def register(commands: Commands) -> None:
    """Adds these commands."""
    listing = commands.add(
        "models",
        _models,
        "list the models that come with the package, or show the card of one",
        "occlureid models\n  occlureid models NAME",
    )
    listing.add_argument("name", nargs="?", help="a model")
    listing.add_argument("--json", action="store_true", help="print the records as JSON")

    releasing = commands.add(
        "release",
        _release,
        "make a model of the package from a run: half precision, a record, a card (for maintainers)",
        "occlureid release runs/sorn sorn-resnet10t --default --summary 'SORN on a ResNet-10-T' --world runs/world "
        "--score 'another world, 200 persons=runs/sorn/described' --made-with 'occlureid train runs/world --recipe light.yaml "
        "--out runs/sorn' --not-tried 'photographs'",
    )
    releasing.add_argument(
        "run",
        type=Path,
        metavar="RUN",
        help="folder of a run of train, train-parser or train-landmarks, or its file of weights",
    )
    releasing.add_argument("name", metavar="NAME", help="of the model: small letters, digits and hyphens")
    releasing.add_argument("--summary", required=True, help="what it is, in a line")
    releasing.add_argument(
        "--world",
        type=Path,
        action="append",
        required=True,
        metavar="WORLD",
        help="a rendered world that it was trained on, or the YAML file of its settings; repeatable",
    )
    releasing.add_argument("--images", type=int, help="different training images (default: as many as the worlds have)")
    releasing.add_argument("--persons", type=int, help="persons on them (default: as many as the worlds have)")
    releasing.add_argument(
        "--first-weights",
        default="none",
        metavar="TEXT",
        help="what a run started from that did not start from random weights; only rendered images may have made it",
    )
    releasing.add_argument(
        "--score",
        action="append",
        default=[],
        metavar="TEXT=FILE",
        help="what it was measured on, and a described dataset, or a JSON file of names and numbers; repeatable, the first is "
        "shown in tables",
    )
    releasing.add_argument("--made-with", required=True, metavar="COMMAND", help="the command that trained it")
    releasing.add_argument(
        "--not-tried", action="append", required=True, metavar="TEXT", help="what was not tried; repeatable"
    )
    releasing.add_argument(
        "--cue",
        action="append",
        default=[],
        metavar="CUE=MODEL",
        help="the model that gives a cue which it needs to describe, such as keypoints=NAME; repeatable",
    )
    releasing.add_argument("--licence", default="MIT", help="of the file (default: MIT)")
    releasing.add_argument("--default", action="store_true", help="taken where none of its task is named")
    releasing.add_argument(
        "--bound", type=float, help="the most that half precision may change an output (default: 0.02)"
    )
    releasing.add_argument("--folder", type=Path, help="gets the files (default: the package's own)")
    releasing.add_argument(
        "--overwrite", action="store_true", help="replace the model of this name; its card keeps its words"
    )


def _models(options: argparse.Namespace) -> int:
    from occlureid.zoo import model_names, read_card, read_record

    if options.name and not options.json:
        print(read_card(options.name), end="")
    elif options.json:
        names = [options.name] if options.name else model_names()
        records = [read_record(name).to_dict() for name in names]
        print(json.dumps(records[0] if options.name else records, indent=1))
    else:
        print(models_table())
    return 0


def models_table(*, markdown: bool = False, folder: Path | None = None) -> str:
    """The table of models, generated from their records."""
    from occlureid.zoo import model_names, read_record

    head = ("model", "task", "method", "parameters", "size", "MB", "score", "licence")
    rows = []
    for name in model_names(folder):
        record = read_record(name, folder)
        rows.append(
            (
                name,
                record.task + (" (default)" if record.default else ""),
                record.method,
                f"{record.parameters / 1e6:.2f} M",
                f"{record.size[0]} x {record.size[1]}",
                f"{record.bytes / 1e6:.1f}",
                record.headline() + (f" ({record.scores[0].measured_on})" if markdown else ""),
                record.licence,
            )
        )
    if markdown:
        return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
    return "\n".join(lines)


# -- releasing ---------------------------------------------------------------------------------------------------------


def _release(options: argparse.Namespace) -> int:
    from occlureid.zoo.catalogue import FOLDER
    from occlureid.zoo.release import BOUND, Statement, release

    cues = dict(_pair(text, "--cue", "keypoints=NAME") for text in options.cue)
    statement = Statement(
        options.summary, _data(options), options.made_with, tuple(options.not_tried),
        tuple(_score(*_pair(text, "--score", "another world=FILE")) for text in options.score), cues, options.licence,
        options.default,
    )  # fmt: skip
    record = release(
        options.run,
        options.name,
        statement,
        folder=options.folder,
        bound=BOUND if options.bound is None else options.bound,
        overwrite=options.overwrite,
    )
    change, folder = record.precision.change, options.folder or FOLDER
    print(
        f"{record.name}: {record.bytes:,} bytes, {record.parameters:,} parameters; half precision changes at most {change:.2g}"
    )
    print(f"{folder / f'{record.name}.md'}: read the card, and add what is special about this model")
    return 0


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    before, equals, after = text.rpartition("=")
    if not equals or not before or not after:
        raise UsageError(f"{option} expects two texts around =, for example {option} '{example}', got {text!r}")
    return before, after


def _data(options: argparse.Namespace) -> TrainingData:
    """What was rendered: of each world its settings, how many training images it has, and of how many persons."""
    from occlureid.config import read_yaml
    from occlureid.synthetic import WorldSettings
    from occlureid.zoo.record import TrainingData

    worlds: list[dict[str, Any]] = []
    images = persons = 0
    for place in options.world:
        path = place / "world.json" if place.is_dir() else place
        content = read_yaml(path)  # JSON is YAML
        settings = content.get("settings", {}) if path.name == "world.json" else content
        world = WorldSettings.build(settings)
        worlds.append(world.to_dict())
        images += world.count("train")
        persons += world.train_persons
    return TrainingData(
        origin="rendered only",
        worlds=tuple(worlds),
        images=images if options.images is None else options.images,
        persons=persons if options.persons is None else options.persons,
        initial_weights=options.first_weights,
    )


def _score(measured_on: str, file: str) -> Score:
    from occlureid.zoo.release import scores_of

    path = Path(file)
    if path.is_dir():
        from occlureid.described import Described, score

        report = score(Described.load(path))
        values = {f"rank_{k}": value for k, value in report.ranks.items()}
        values |= {"mAP": report.average_precision, "mAP_trapezoid": report.average_precision_trapezoid}
        return scores_of(measured_on, {**values, "mINP": report.inverse_negative_penalty})
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: scores cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise DataError(f"{path}: scores are not JSON: {error}") from error
    return scores_of(measured_on, content)
