"""Every row of the papers' ablation tables, on one rendered world, at a size that two cores finish.

A row differs from its paper's recipe as the paper says, and in nothing else. What is changed in all rows (a light backbone,
random weights, a short schedule) stands in ``ALL`` and ``CHANGES``. A parser is trained on the same world's training images
first: its maps, not the true ones, are what SGAM crops and pools by. Landmarks with errors stand for the weaker of PGFA's two
pose estimators. A second call goes on from what is there. A method takes 20 to 60 minutes on two cores.

    python benchmarks/ablations.py --out runs/ablations --methods sgam --json docs/results
    python benchmarks/ablations.py --out runs/ablations --methods sorn pgfa --epochs 6 --json docs/results

With ``--shard I/N`` a process runs every N-th training only, and N of them may work in one folder at the same time; a last
call without it writes the tables. With ``--initial-weights`` all rows start from a weight file of the same backbone.

    python benchmarks/ablations.py --out runs/ablations --methods gasm --shard 1/2 &
    python benchmarks/ablations.py --out runs/ablations --methods gasm --shard 2/2 & wait
    python benchmarks/ablations.py --out runs/ablations --methods gasm --json docs/results
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from occlusion import TRAIN
from tqdm import tqdm

from occlureid.ablation import Shard, ablate
from occlureid.config import parse_assignments
from occlureid.cues import Degradation, Degraded, ExactCues, build_parsing, build_pose
from occlureid.data import open_dataset
from occlureid.data.lip import read_parsing_world
from occlureid.described import made_with
from occlureid.parsing import ParserProvider, small_parser, train_parser
from occlureid.runs import recipes
from occlureid.synthetic import WorldSettings, write_world

ALL: dict[str, Any] = {
    "initial_weights": "none",
    "model": {"backbone": "resnet10t", "size": [192, 64]},
    "train": {**TRAIN, "workers": 0, "checkpoint_every": 1000},
}
CHANGES: dict[str, dict[str, Any]] = {
    "gasm": {"train": {"instances": 4}},
    "hcga": {
        "model": {"levels": 3, "map_stride": 8, "width": 128, "coparse_every": 2},
        "train": {"instances": 4, "guidance_every": 2},
        "cues": {"folder": "parsed"},  # "+Extra info" alone looks at them
    },
    "pgfa": {"model": {"backbone_lr_factor": 1.0, "dropout": 0.2}},
    "sgam": {"model": {"backbone_lr_factor": 1.0, "dropout": 0.2}, "cues": {"folder": "parsed"}},
    "sorn": {
        "model": {
            "set_channels": 256,
            "semantic_channels": 64,
            "segmentation_average": "classes",
            # Eq. 5 as it is printed, a sum over pixels, keeps a network with random weights from learning anything else
            "spc_reduction": "mean_pixels",
        }
    },
}
"""What is changed in all rows of a method, over ``ALL``."""

PARSER = {"parser": {"loss_average": "classes"}, "train": {"workers": 0}}
"""The small parser, over ``small_parser()``."""

PARSED, SPOILED = ("hcga", "sgam"), ("pgfa",)
"""Methods that read the parser's maps, and those that read landmarks with errors."""

LEFT_OUT = ("ablations/hcga/table10-resnet50", "ablations/hcga/table10-hrnet")
"""Rows that differ in the backbone, which is the same light one in all rows here."""

NOISE = {"jitter": 0.03, "miss": 0.2, "swap": 0.05}
"""How the landmarks err that stand for OpenPose's; those that stand for AlphaPose's are exact."""


def parser_scores(world: Path, folder: Path) -> dict[str, Any]:
    """Trains the small parser, writes its maps of all images, and gives its figures on the test split."""
    done = folder / "scores.json"
    if not done.is_file() or not (folder / "parser.safetensors").is_file():
        train_parser(read_parsing_world(world), folder, small_parser(), PARSER, resume=True, progress=True)
    scores: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return scores


def main() -> None:
    """Renders, trains, scores, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--methods", nargs="*", choices=list(CHANGES), default=list(CHANGES))
    parser.add_argument("--train-persons", type=int, default=200)
    parser.add_argument("--test-persons", type=int, default=120)
    parser.add_argument("--seed", type=int, default=7, help="of the world")
    parser.add_argument("--rows", nargs="+", default=["*"], metavar="GLOB", help="which recipes of a method's folder")
    parser.add_argument("--suffix", default="", help="of the names of folder and record, where settings were changed")
    parser.add_argument("--json", type=Path, help="folder that gets ablation_METHOD.json and parser.json")
    add_training(parser)
    options = parser.parse_args()
    records = options.json.resolve() if options.json else None
    if records and options.shard:
        parser.error("--shard writes no tables: give --json to a last call without it")
    initial = initial_weights(options.initial_weights, options.out) if options.initial_weights else None

    world = WorldSettings(
        seed=options.seed, train_persons=options.train_persons, train_images=2, test_persons=options.test_persons
    )
    options.out.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(options.out):  # recipes name folders of cues as seen from here
        with alone():
            scores = prepare(world, options.methods)
        if records and scores:
            write(
                records / "parser.json",
                {"world": world.to_dict(), **made_with(), "scores": scores},
            )
        dataset = open_dataset(Path("world"))
        for method in options.methods:
            result = ablate(
                dataset,
                rows(method, options.rows),
                Path(method + options.suffix),
                ALL,
                CHANGES[method],
                *changes(options, initial),
                bar=bar,
                shard=options.shard,
            )
            if options.shard:
                print(f"{method}: the trainings of share {options.shard.index}/{options.shard.of} are done")
                continue
            print((result.folder / "ablation.md").read_text(encoding="utf-8"))
            if records:
                record = {
                    **result.record,
                    "initial_weights": initial,
                    **made_with(),
                }
                write(records / f"ablation_{method}{options.suffix}.json", record)


def add_training(parser: argparse.ArgumentParser) -> None:
    """Adds what changes all trainings of a benchmark, and which of them this process runs."""
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting in all rows"
    )
    parser.add_argument(
        "--initial-weights",
        type=Path,
        metavar="FILE",
        help="weights in timm's layout of the backbone, to start all rows from",
    )
    parser.add_argument(
        "--shard", type=Shard.parse, metavar="I/N", help="run every N-th training only, and write no tables"
    )


def changes(options: argparse.Namespace, initial: dict[str, str] | None) -> list[dict[str, Any]]:
    """What the options of ``add_training`` change in all trainings."""
    start = {"initial_weights": initial["setting"]} if initial else {}
    return [{"train": {"epochs": options.epochs}}, start, parse_assignments(options.set)]


def initial_weights(file: Path, folder: Path) -> dict[str, str]:
    """Copies a weight file into a benchmark's folder, under a name that tells its content, and says what it is.

    The runs name it as seen from that folder: another file under the old name is noticed, and no record holds a path of this
    machine.

    Returns:
        ``file`` (its name), ``sha256``, and ``setting``, what the recipes say of it.
    """
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    place = Path("initial") / f"{file.stem}-{digest[:12]}{file.suffix}"
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    source = file.resolve()
    with contextlib.chdir(folder), alone():
        if not place.exists():
            copy = place.with_name(place.name + ".partial")
            shutil.copyfile(source, copy)
            copy.replace(place)
    return {"file": file.name, "sha256": digest, "setting": str(place)}


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Waits until no other process is inside such a block in this folder."""
    with Path(".alone").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prepare(world: WorldSettings, methods: Sequence[str]) -> dict[str, Any]:
    """The world, and the cues with errors that some methods read; gives the parser's scores where one was needed."""
    root, scores = write_world(world, Path("world"), progress=bar("render")), {}
    if set(methods) & set(PARSED):
        scores = parser_scores(root, Path("parser"))
        provider = ParserProvider(Path("parser/parser.safetensors"))
        build_parsing(root, provider, Path("parsed"), probabilities=True, progress=bar("parse"))
    if set(methods) & set(SPOILED):
        spoiled = Degraded(ExactCues(root, {"keypoints"}), Degradation.build(NOISE), root)
        build_pose(root, spoiled, Path("openpose"), progress=bar("spoil"))
    return scores


def rows(method: str, wanted: Sequence[str]) -> list[str]:
    """The recipes of a method's tables whose names fit one of some patterns."""
    names = [name for name in recipes(f"ablations/{method}") if name not in LEFT_OUT]
    return [name for name in names if any(fnmatch(name.rpartition("/")[2], pattern) for pattern in wanted)]


def bar(label: str) -> Any:
    """A progress bar as functions of the package want it: called with (done, of)."""
    shown = tqdm(desc=label, file=sys.stderr, leave=False)

    def update(done: int, of: int) -> None:
        shown.total = of
        shown.update(done - shown.n)
        if done == of:
            shown.close()

    return update


def write(path: Path, record: dict[str, Any]) -> None:
    """Writes a record for the generated tables of the docs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
