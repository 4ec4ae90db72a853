"""The command ``occlureid``: a subcommand a stage. Only this package prints; nothing heavy is imported before it is needed."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Any

from occlureid.cli import (
    ablation,
    benchmark,
    coparse,
    cues,
    datasets,
    describe,
    figures,
    gallery,
    landmarks,
    listing,
    models,
    parsing,
    serve,
    stages,
    worlds,
)
from occlureid.cli.options import Commands, check_device, shown
from occlureid.errors import DataError, OcclureidError

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
        check_device(getattr(options, "device", None) or "cpu")
        return int(options.command(options) or 0)
    except OcclureidError as error:
        print(f"occlureid: {shown(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("occlureid: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:  # a disk that is full, a file where a folder is to be made, no right to write, ...
        place = f"{error.filename}: " if error.filename else ""
        print(shown(f"occlureid: {place}{error.strerror or error}; the command ended there"), file=sys.stderr)
        return DataError.exit_code


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
    commands = Commands(parser)
    for theme in (
        worlds,
        datasets,
        cues,
        parsing,
        landmarks,
        coparse,
        stages,
        describe,
        ablation,
        benchmark,
        figures,
        gallery,
        serve,
        listing,
        models,
    ):
        theme.register(commands)
    return parser
