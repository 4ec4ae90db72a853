"""Sheets of what a trained method sees."""

from __future__ import annotations

import argparse
from pathlib import Path

from occlureid.cli.options import Commands, add_data, add_device, add_set, changes, open_data
from occlureid.errors import UsageError

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Adds these commands."""
    figures = commands.add(
        "figures",
        _figures,
        "draw what trained weights see in query images: parts and visibilities, attention, crops",
        "occlureid figures runs/world --weights runs/sorn/weights.safetensors --out runs/sorn/figures",
    )
    add_data(figures)
    figures.add_argument("--weights", type=Path, required=True, help="weights.safetensors of a run")
    figures.add_argument(
        "--out", type=Path, required=True, help="folder that gets parts.png, attention.png and crop.png"
    )
    figures.add_argument("--count", type=int, default=8, help="images on a sheet (default: 8)")
    figures.add_argument("--columns", type=int, default=2, help="images beside each other (default: 2)")
    add_set(figures, "model.threshold=0.3 (settings that leave the layers as they are)")
    add_device(figures)


def _figures(options: argparse.Namespace) -> int:
    from occlureid import methods
    from occlureid.described import cue_source
    from occlureid.figures import method_figures

    changed = changes(options, "model", "figures --set changes only the model, for example model.threshold=0.3")
    method = methods.restore(options.weights, changes=changed)
    dataset = open_data(options)
    source = cue_source(method, dataset, dataset.query)
    sheets = method_figures(
        method, dataset.query, source, count=options.count, columns=options.columns, device=options.device
    )
    if not sheets:
        raise UsageError(
            f"{method.name()} predicts no parts, has no attention and does not crop: there is nothing to draw"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    for name, sheet in sheets.items():
        path = options.out / f"{name}.png"
        sheet.save(path)
        print(path)
    return 0
