"""Commands that make images: a rendered world, and the demonstration on one."""

from __future__ import annotations

import argparse
from pathlib import Path

from occlureid.cli.options import Commands, add_device, add_set, bar, layers, today

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Adds these commands."""
    synth = commands.add(
        "synth",
        _synth,
        "render a world of pedestrians with exact ground truth, in Market-1501 layout",
        "occlureid synth runs/world --set train_persons=100 --set size=[192,64]",
    )
    synth.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    synth.add_argument("--config", type=Path, help="YAML file of world settings")
    add_set(synth, "train_persons=100")
    add_device(synth)

    demo = commands.add(
        "demo",
        _demo,
        "render a small world, describe it with the package's own weights, then train PGFA and the baseline on it, and report, "
        "in a few minutes on a laptop",
        "occlureid demo --out runs/demo",
    )
    demo.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder to write (default: runs/demo)")
    add_device(demo)


def _synth(options: argparse.Namespace) -> int:
    from occlureid.config import read_yaml
    from occlureid.synthetic import WorldSettings, write_world

    settings = WorldSettings.build(*layers(options, read_yaml(options.config) if options.config else {}))
    root = write_world(settings, options.out, device=options.device, progress=bar("render"))
    print(root)
    return 0


def _demo(options: argparse.Namespace) -> int:
    from occlureid.demo import demo
    from occlureid.zoo import default_name
    from occlureid.zoo.loaded import Embedder, load_embedder

    name = default_name()
    shipped: Embedder | None = load_embedder(name, device=options.device) if name else None
    report = demo(
        options.out, initial_weights=name, device=options.device, date=today(), bar=bar, shipped=shipped, tell=print
    )
    print(f"report: {report.resolve()}")
    return 0
