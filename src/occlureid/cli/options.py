"""What several commands share: the ways to add them and their arguments, the progress bar, the reading of --set."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import category

from occlureid.errors import UsageError

if TYPE_CHECKING:
    from occlureid.data.dataset import ReidDataset

__all__ = [
    "Commands",
    "add_data",
    "add_device",
    "add_set",
    "bar",
    "changes",
    "check_device",
    "layers",
    "open_data",
    "shown",
    "today",
]


class Commands:
    """The commands of a parser.

    Args:
        parser: that gets them.
    """

    def __init__(self, parser: argparse.ArgumentParser, title: str = "commands", metavar: str = "COMMAND") -> None:
        self._commands = parser.add_subparsers(title=title, metavar=metavar)

    def add(
        self, name: str, run: Callable[[argparse.Namespace], int] | None, summary: str, example: str
    ) -> argparse.ArgumentParser:
        """Adds one command.

        Args:
            name: of the command.
            run: what it does, given its options; returns the exit code. None for a command that has commands of its own.
            summary: what it does, in one line without a capital and a full stop.
            example: a call that works.
        """
        command = self._commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(command=run)
        return command

    def group(self, name: str, summary: str, example: str, *, title: str, metavar: str) -> Commands:
        """Adds a command that has commands of its own, and prints its help where none of them is given.

        Args:
            name: of the command.
            summary: as in ``add``.
            example: as in ``add``.
            title: of its commands, in its help.
            metavar: what stands for them in its usage.
        """
        command = self.add(name, None, summary, example)

        def nothing(options: argparse.Namespace) -> int:
            command.print_help()
            return 2

        command.set_defaults(command=nothing)
        return Commands(command, title=title, metavar=metavar)


def shown(text: str) -> str:
    """A text that leaves a terminal as it is: escapes stand for what would move its cursor, colour it or turn letters around."""
    return "".join(c if c in "\n\t" or category(c) not in ("Cc", "Cf", "Cs") else ascii(c)[1:-1] for c in text)


def add_device(command: argparse.ArgumentParser) -> None:
    """Adds ``--device``."""
    command.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: cpu)")


def check_device(name: str) -> None:
    """Refuses a device that is not there.

    Raises:
        UsageError: torch has none of this name.
    """
    if name == "cpu":
        return
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # whatever torch makes of it
        reason = str(error).strip().split("\n")[0]
        raise UsageError(f"--device: there is no device {name!r} for this installation of torch ({reason})") from error


def add_data(command: argparse.ArgumentParser) -> None:
    """Adds the dataset and its layout."""
    command.add_argument("data", type=Path, metavar="DATA", help="dataset folder, or a CSV file")
    command.add_argument("--layout", default="auto", help="layout of the folder (default: recognised by what is in it)")


def add_set(command: argparse.ArgumentParser, example: str) -> None:
    """Adds ``--set key=value``, any number of times."""
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help=f"change one setting, e.g. {example}"
    )


def bar(label: str, unit: str = "image") -> Callable[[int, int], None]:
    """A progress bar as a function of (done, of)."""
    from tqdm import tqdm

    bars: list[Any] = []

    def update(done: int, of: int) -> None:
        if not bars:
            bars.append(tqdm(total=of, desc=label, unit=unit, leave=True, file=sys.stderr))
        bars[0].update(done - bars[0].n)
        if done >= of:
            bars[0].close()

    return update


def today() -> str:
    """The date, as reports carry it."""
    return datetime.date.today().isoformat()


def layers(options: argparse.Namespace, *first: dict[str, Any]) -> list[dict[str, Any]]:
    """Layers of settings: those given, then what --set says."""
    from occlureid.config import parse_assignments

    return [*first, parse_assignments(options.set)]


def changes(options: argparse.Namespace, key: str, expected: str) -> dict[str, Any]:
    """What --set says of the one thing that a command lets change.

    Raises:
        UsageError: it says something of another thing.
    """
    said = layers(options)[0]
    values = said.get(key, {})
    if (unknown := said.keys() - {key}) or not isinstance(values, dict):
        raise UsageError(f"{expected}; got {sorted(unknown) or values}")
    return values


def open_data(options: argparse.Namespace) -> ReidDataset:
    """The dataset that a command is about."""
    from occlureid.data import open_dataset

    return open_dataset(options.data, options.layout)
