"""The human parser: trained here, used by "occlureid cues parsing"."""

from __future__ import annotations

import argparse
from pathlib import Path

from occlureid.cli.options import Commands, add_set, bar, layers
from occlureid.cli.weights import named_models

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Adds these commands."""
    training = commands.add(
        "train-parser",
        _train_parser,
        "train a human parser on LIP or on a rendered world, and judge it on held-out images",
        "occlureid train-parser runs/world --small --out runs/parser\n"
        "  occlureid cues parsing data/market --provider runs/parser/parser.safetensors",
    )
    training.add_argument("data", type=Path, metavar="DATA", help="folder of LIP, or of a rendered world")
    training.add_argument("--out", type=Path, required=True, help="folder of the run")
    training.add_argument("--small", action="store_true", help="a light network from random weights, for two cores")
    training.add_argument("--resume", action="store_true", help="go on from the checkpoint in OUT")
    training.add_argument("--overwrite", action="store_true", help="replace a finished run with other settings")
    add_set(training, "parser.labels=lip20 or train.epochs=30")


def _train_parser(options: argparse.Namespace) -> int:
    from occlureid.data.lip import find_lip, read_lip, read_parsing_world
    from occlureid.parsing import ParserRunSettings, small_parser, train_parser
    from occlureid.runs import training_obstacles

    settings = ParserRunSettings.build(*([small_parser()] if options.small else []), *layers(options))
    data = read_lip(options.data) if find_lip(options.data) else read_parsing_world(options.data)
    result = train_parser(
        data, options.out, settings.to_dict(), obstacles=training_obstacles(settings.train), resume=options.resume,
        overwrite=options.overwrite, progress=True, bar=bar("judge"),
        models=named_models(settings.initial_weights),
    )  # fmt: skip
    print(result.scores.summary())
    print(result.weights)
    return 0
