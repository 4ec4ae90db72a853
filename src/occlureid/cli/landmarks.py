"""The landmark network: trained here, used by "occlureid cues pose"."""

from __future__ import annotations

import argparse
from pathlib import Path

from occlureid.cli.options import Commands, add_set, bar, layers
from occlureid.cli.weights import named_models

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Adds these commands."""
    training = commands.add(
        "train-landmarks",
        _train_landmarks,
        "train a landmark network on rendered worlds, and judge it on held-out images",
        "occlureid train-landmarks runs/world --small --out runs/landmarks\n"
        "  occlureid cues pose data/market --provider runs/landmarks/landmarks.safetensors",
    )
    training.add_argument("world", type=Path, metavar="WORLD", help="folder of a rendered world, to train on")
    training.add_argument(
        "--also", type=Path, nargs="+", action="extend", default=[], metavar="WORLD", help="more worlds to train on"
    )
    training.add_argument(
        "--validate", type=Path, nargs="+", action="extend", default=[], metavar="WORLD",
        help="worlds by whose query and gallery the network is judged (default: the first one)",
    )  # fmt: skip
    training.add_argument("--out", type=Path, required=True, help="folder of the run")
    training.add_argument("--small", action="store_true", help="a light network from random weights, for two cores")
    training.add_argument("--resume", action="store_true", help="go on from the checkpoint in OUT")
    training.add_argument("--overwrite", action="store_true", help="replace a finished run with other settings")
    add_set(training, "landmarks.sigma=2 or train.epochs=30")


def _train_landmarks(options: argparse.Namespace) -> int:
    from occlureid.landmarks import LandmarkRunSettings, read_landmark_worlds, small_landmarks, train_landmarks
    from occlureid.runs import training_obstacles

    settings = LandmarkRunSettings.build(*([small_landmarks()] if options.small else []), *layers(options))
    data = read_landmark_worlds([options.world, *options.also], options.validate)
    result = train_landmarks(
        data, options.out, settings.to_dict(), obstacles=training_obstacles(settings.train), resume=options.resume,
        overwrite=options.overwrite, progress=True, bar=bar("judge"),
        models=named_models(settings.initial_weights),
    )  # fmt: skip
    print(result.scores.summary())
    print(result.weights)
    return 0
