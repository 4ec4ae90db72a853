"""Every row of the papers' ablation tables, on one rendered world, at a size that two cores finish.

A row differs from its paper's recipe as the paper says, and in nothing else. What is changed in all rows (a light backbone,
random weights, a short schedule) stands in ``ALL`` and ``CHANGES``. A parser is trained on the same world's training images
first: its maps, not the true ones, are what SGAM crops and pools by. Landmarks with errors stand for the weaker of PGFA's two
pose estimators. A second call goes on from what is there. A method takes 20 to 60 minutes on two cores.

    python benchmarks/ablations.py --out runs/ablations --methods sgam --json docs/results
    python benchmarks/ablations.py --out runs/ablations --methods sorn pgfa --epochs 6 --json docs/results
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from occlusion import TRAIN
from tqdm import tqdm

from occlureid.ablation import ablate
from occlureid.config import parse_assignments
from occlureid.cues import Degradation, Degraded, ExactCues, build_parsing, build_pose
from occlureid.data import open_dataset
from occlureid.data.lip import read_parsing_world
from occlureid.described import versions
from occlureid.parsing import ParserProvider, small_parser, train_parser
from occlureid.runs import recipes
from occlureid.synthetic import WorldSettings, write_world

ALL: dict[str, Any] = {
    "initial_weights": "none",
    "model": {"backbone": "resnet10t", "size": [192, 64]},
    "train": {**TRAIN, "workers": 0, "checkpoint_every": 1000},
}
CHANGES: dict[str, dict[str, Any]] = {
    "gasm": {"model": {"weight_mask": 0.5, "weight_pose": 0.5}, "train": {"instances": 4}},
    "hcga": {
        "model": {"levels": 3, "map_stride": 8, "width": 128, "coparse_every": 2},
        "train": {"instances": 4, "guidance_every": 2},
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
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=7, help="of the world")
    parser.add_argument("--rows", nargs="+", default=["*"], metavar="GLOB", help="which recipes of a method's folder")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting in all rows"
    )
    parser.add_argument("--suffix", default="", help="of the names of folder and record, where settings were changed")
    parser.add_argument("--json", type=Path, help="folder that gets ablation_METHOD.json and parser.json")
    options = parser.parse_args()
    records = options.json.resolve() if options.json else None

    world = WorldSettings(
        seed=options.seed, train_persons=options.train_persons, train_images=2, test_persons=options.test_persons
    )
    options.out.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(options.out):  # recipes name folders of cues as seen from here
        root = write_world(world, Path("world"), progress=bar("render"))
        dataset = open_dataset(root)
        scores = parser_scores(root, Path("parser"))
        build_parsing(
            root, ParserProvider(Path("parser/parser.safetensors")), "parsed", probabilities=True, progress=bar("parse")
        )
        spoiled = Degraded(ExactCues(root, {"keypoints"}), Degradation.build(NOISE), root)
        build_pose(root, spoiled, "openpose", progress=bar("spoil"))
        if records:
            write(records / "parser.json", {"world": world.to_dict(), "versions": versions(), "scores": scores})
        for method in options.methods:
            result = ablate(
                dataset,
                rows(method, options.rows),
                Path(method + options.suffix),
                ALL,
                CHANGES[method],
                {"train": {"epochs": options.epochs}},
                parse_assignments(options.set),
                bar=bar,
            )
            print((result.folder / "ablation.md").read_text(encoding="utf-8"))
            if records:
                write(records / f"ablation_{method}{options.suffix}.json", {**result.record, "versions": versions()})


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
