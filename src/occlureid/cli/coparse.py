"""Co-parsing of a folder of pictures of one person."""

from __future__ import annotations

import argparse
from pathlib import Path

from occlureid.cli.options import Commands, add_device, add_set, layers
from occlureid.cli.weights import DEFAULT, WEIGHTS, restored
from occlureid.errors import UsageError

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Adds this command."""
    coparse = commands.add(
        "coparse",
        _coparse,
        "find background and parts of the body in a folder of pictures of one person, and draw them",
        "occlureid coparse runs/world/bounding_box_train --person 0002 --rgb --out parts.png",
    )
    coparse.add_argument("folder", type=Path, metavar="FOLDER", help="pictures of one person")
    coparse.add_argument("--out", type=Path, required=True, help="PNG file of the sheet to write")
    source = coparse.add_mutually_exclusive_group()
    source.add_argument("--weights", type=Path, help=f"{WEIGHTS}, whose features are parsed {DEFAULT}")
    source.add_argument("--rgb", action="store_true", help="parse the colours themselves")
    coparse.add_argument("--person", help="whose pictures to take where file names name several persons")
    coparse.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        default=(128, 64),
        help="with --rgb: size to parse at (default: 128 64)",
    )
    coparse.add_argument("--columns", type=int, default=4, help="pictures beside each other (default: 4)")
    coparse.add_argument("--seed", type=int, default=0, help="where the decoder starts (default: 0)")
    add_set(coparse, "min_labels=12 (settings of the decoder)")
    add_device(coparse)


def _coparse(options: argparse.Namespace) -> int:
    from occlureid.coparsing import CoparseSettings
    from occlureid.coparsing.pictures import COLOUR_SETTINGS, GROUPING, coparse_folder, draw_parsing, score_folder
    from occlureid.cues.groupings import GROUPINGS

    if min(options.size) < 8 or options.seed < 0:
        raise UsageError(f"sizes are at least 8 pixels and seeds at least 0, got {options.size} and {options.seed}")
    settings = CoparseSettings.build(*layers(options, COLOUR_SETTINGS if options.rgb else {}))
    method = None if options.rgb else restored(options)
    result = coparse_folder(
        options.folder,
        method,
        settings,
        person=options.person,
        size=tuple(options.size),
        seed=options.seed,
        device=options.device,
    )
    parsing = result.parsing
    names = GROUPINGS[GROUPING]
    named = names if len(names) == settings.parts else [f"part {number}" for number in range(1, settings.parts + 1)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    draw_parsing(result, columns=options.columns, names=named).save(options.out, format="PNG")
    print(
        f"{len(result.samples)} pictures: {parsing.clusters_left} labels after {parsing.steps} steps"
        + (f"; {parsing.reason}" if parsing.reason else "")
    )
    scores = score_folder(result)
    if scores is not None:
        print(scores.summary())
    print(options.out)
    return 0
