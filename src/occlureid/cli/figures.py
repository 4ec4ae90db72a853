"""Sheets of what a trained method sees, of what it matches, and of the part labels that a training made."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from occlureid.cli.options import Commands, add_data, add_device, add_set, changes, open_data
from occlureid.cli.weights import WEIGHTS, add_cues, cues_of, restored
from occlureid.errors import UsageError

if TYPE_CHECKING:
    from PIL import Image

    from occlureid.data.dataset import ReidDataset

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Adds these commands."""
    figures = commands.add(
        "figures",
        _figures,
        "draw what trained weights see in query images (parts and visibilities, attention, crops) and which places they match "
        "(--weights), and the part labels of a training by epoch (--run)",
        "occlureid figures runs/world --out runs/figures\n"
        "  occlureid figures runs/world --run runs/hcga --out runs/hcga/figures",
    )
    add_data(figures)
    figures.add_argument(
        "--weights", type=Path, help=f"{WEIGHTS} (default: the package's default embedder, where no --run is given)"
    )
    add_cues(figures, "those beside the images, in pose/ and parts/")
    figures.add_argument(
        "--run", type=Path, help="folder of a run whose method made part labels for its training images"
    )
    figures.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder that gets parts.png, attention.png, crop.png and matches.png, as far as the method has them; of --run "
        "labels.png, and in a rendered world labels.json and labels.svg with their overlap with the true labels",
    )
    figures.add_argument("--count", type=int, default=8, help="images on a sheet (default: 8)")
    figures.add_argument("--columns", type=int, default=2, help="images beside each other (default: 2)")
    figures.add_argument("--lines", type=int, default=12, help="matched places of a pair of images (default: 12)")
    figures.add_argument("--person", help="whose training images are drawn of --run (default: who has most)")
    figures.add_argument("--epochs", type=int, default=6, help="epochs drawn of --run (default: 6)")
    add_set(figures, "model.threshold=0.3 (settings that leave the layers as they are)")
    add_device(figures)


def _figures(options: argparse.Namespace) -> int:
    dataset = open_data(options)
    sheets = _of_weights(options, dataset) if options.weights is not None or options.run is None else {}
    texts: dict[str, str] = {}
    if options.run is not None:
        sheet, texts = _of_run(options, dataset)
        sheets["labels"] = sheet
    options.out.mkdir(parents=True, exist_ok=True)
    for name, sheet in sheets.items():
        path = options.out / f"{name}.png"
        sheet.save(path)
        print(path)
    for name, text in texts.items():
        path = options.out / name
        path.write_text(text, encoding="utf-8")
        print(path)
    return 0


def _of_weights(options: argparse.Namespace, dataset: ReidDataset) -> dict[str, Image.Image]:
    from occlureid.described import cue_source
    from occlureid.figures import match_figure, method_figures

    changed = changes(options, "model", "figures --set changes only the model, for example model.threshold=0.3")
    method = restored(options, changed)
    source = cues_of(options, method) or cue_source(method, dataset, (*dataset.query, *dataset.gallery))
    sheets = method_figures(
        method, dataset.query, source, count=options.count, columns=options.columns, device=options.device
    )
    matches = match_figure(
        method, dataset.query, dataset.gallery, source, count=options.count, columns=options.columns, lines=options.lines,
        device=options.device,
    )  # fmt: skip
    if matches is not None:
        sheets["matches"] = matches
    if not sheets:
        raise UsageError(
            f"{method.name()} predicts no parts, has no attention and no local vectors, and does not crop: there is nothing to "
            "draw"
        )
    return sheets


def _of_run(options: argparse.Namespace, dataset: ReidDataset) -> tuple[Image.Image, dict[str, str]]:
    from occlureid.figures import guidance_chart, guidance_figure, guidance_files, guidance_scores

    files = guidance_files(options.run)
    sheet = guidance_figure(files, dataset.train, person=options.person, images=options.count, epochs=options.epochs)
    if dataset.name != "synthetic":  # elsewhere nobody knows the truth
        return sheet, {}
    scores = guidance_scores(files, dataset.train, dataset.root)
    return sheet, {"labels.json": json.dumps(scores, indent=1) + "\n", "labels.svg": guidance_chart(scores) + "\n"}
