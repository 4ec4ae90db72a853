"""What the commands of a gallery share: which gallery, who asks, times as people write them, tables, and where parts lie."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlureid.cli.options import add_device
from occlureid.cli.weights import DEFAULT, WEIGHTS, add_cues
from occlureid.dates import date_text
from occlureid.errors import FingerprintError, UsageError

if TYPE_CHECKING:
    from occlureid.gallery import Gallery
    from occlureid.gallery.bodyparts import BodyParts
    from occlureid.methods import Method

__all__ = [
    "add_describing",
    "add_place",
    "ageing",
    "beside",
    "check_model",
    "moment",
    "named",
    "opened",
    "read_names",
    "say",
    "table",
    "when",
    "who",
    "write_names",
]


def add_place(command: argparse.ArgumentParser, *, logged: bool = True) -> None:
    """Adds which gallery a command is about and, where what it does is logged, in whose name."""
    command.add_argument("gallery", metavar="GALLERY", help="folder of the gallery, or its URL in an object store")
    command.add_argument(
        "--audit",
        type=Path,
        metavar="FILE",
        help="audit log (default: in the gallery; object stores and read-only galleries need one)",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    if logged:
        command.add_argument(
            "--by", metavar="NAME", help="who asks, for the audit log (default: the user of this process)"
        )


def add_describing(command: argparse.ArgumentParser, weights: str) -> None:
    """Adds what images are described with."""
    command.add_argument("--weights", type=Path, help=f"{WEIGHTS}; {weights} {DEFAULT}")
    add_cues(
        command, "those in pose/ and parts/ of the nearest folder around the images, else the package's own models"
    )
    command.add_argument("--batch-size", type=int, default=64, help="images at a time (default: 64)")
    add_device(command)


def opened(options: argparse.Namespace) -> Gallery:
    """The gallery that a command is about."""
    from occlureid.gallery import Gallery

    gallery = Gallery.open(options.gallery, audit=options.audit)
    if not gallery.sealed:
        print(
            f"{gallery.path}: made before galleries had checksums, damage to its files is not seen; occlureid gallery verify "
            f"{gallery.path} --seal gives it some",
            file=sys.stderr,
        )
    return gallery


def ageing(gallery: Gallery, expired: int, overdue: int) -> str:
    """Fate of older items while others were added, as an end of a sentence; a warning where they should have gone."""
    if overdue:
        print(
            f"{overdue} items are older than the gallery keeps items and are still there: {gallery.expiring().doubt}; occlureid "
            f"gallery expire {gallery.path} --yes erases them",
            file=sys.stderr,
        )
    return f"; {expired} older ones expired" if expired else ""


def named(ids: Sequence[str], most: int = 5) -> str:
    """Some ids as people read them."""
    return ", ".join(map(repr, ids[:most])) + (f" and {len(ids) - most} more" if len(ids) > most else "")


def who(options: argparse.Namespace) -> str:
    """In whose name: what --by says, else the name of the operating system's user."""
    if options.by is not None:
        if not 1 <= len(options.by) <= 200:
            raise UsageError(f"--by must be a name of 1 to 200 characters, got {options.by!r}"[:300])
        return str(options.by)
    try:
        return getpass.getuser()[:200] or "unknown"
    except (OSError, KeyError):  # a user without a name, as in some containers
        return "unknown"


def check_model(gallery: Gallery, method: Method[Any], weights: Path | None) -> None:
    """Raises:
    FingerprintError: the gallery's descriptors come from other weights.
    """  # noqa: D205
    if method.fingerprint() != gallery.fingerprint:
        raise FingerprintError(
            f"{weights or 'the default embedder'} is {method.fingerprint()}, {gallery.path} holds descriptors of "
            f"{gallery.fingerprint}; give the weights that the gallery was created with (--weights), or create another"
        )


def moment(text: str, name: str) -> float:
    """Seconds since 1970 from a number of them, or from a date and time (2026-01-31 or 2026-01-31T14:05:00+01:00).

    Raises:
        UsageError: it is neither. Without a zone it is UTC.
    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{name} must be a date such as 2026-01-31, or a date and time such as 2026-01-31T14:05:00Z, got {text[:60]!r}"
        ) from error


def when(seconds: float | None) -> str:
    """A time as people read it, in UTC."""
    return "-" if seconds is None else date_text(seconds)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows below a head, in columns; what is None is a dash."""
    cells = [tuple(head), *(tuple("-" if cell is None else str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def say(options: argparse.Namespace, values: dict[str, Any], text: str) -> int:
    """Prints what came of a command, as JSON or for people; returns the exit code 0."""
    print(json.dumps(values, indent=1) if options.json else text)
    return 0


def beside(gallery: Gallery, name: str) -> Path | None:
    """A file in the gallery's folder; None for a gallery in an object store."""
    folder = Path(gallery.path)
    return folder / name if folder.is_dir() else None


def write_names(gallery: Gallery, method: Method[Any]) -> None:
    """Keep the names and places of the parts, for those who search by stored items without weights."""
    from occlureid.gallery.bodyparts import BodyParts, write_parts

    folder = Path(gallery.path)
    if folder.is_dir():
        write_parts(folder, BodyParts.of(method.part_names(), method.regions, gallery.shape.parts))


def read_names(gallery: Gallery) -> BodyParts:
    """Names and places of the parts, as far as they are known.

    Raises:
        DataError: the file says something else.
    """
    from occlureid.gallery.bodyparts import BodyParts, read_parts

    folder = Path(gallery.path)
    return read_parts(folder, gallery.shape.parts) if folder.is_dir() else BodyParts()
