"""What there is: the methods and their settings."""

from __future__ import annotations

import argparse

from occlureid.cli.options import Commands

__all__ = ["methods_table", "register"]


def register(commands: Commands) -> None:
    """Adds these commands."""
    listing = commands.add(
        "methods",
        _methods,
        "list the methods, or show one with its settings",
        "occlureid methods pgfa",
    )
    listing.add_argument("name", nargs="?", help="a method")
    listing.add_argument("--markdown", action="store_true", help="print the table as Markdown")


def _methods(options: argparse.Namespace) -> int:
    from occlureid import methods

    if options.name:
        cls = methods.load(options.name)
        paper = cls.paper
        print(f"{cls.name()}: {paper.title}\n{paper.authors}, {paper.venue} {paper.year}\n{paper.link}\n")
        print(
            f"cues to train: {_cues(cls.needs.train)}; to describe: {_cues(cls.needs.describe)}\n\nsettings (model.KEY=VALUE):"
        )
        for name, default, text in cls.Config.describe_fields():
            print(f"  {name} = {default}\n      {text}")
        return 0
    print(methods_table(markdown=options.markdown))
    return 0


def _cues(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def methods_table(*, markdown: bool) -> str:
    """The table of methods, generated from the classes themselves."""
    from occlureid import methods

    rows = []
    for name in methods.available():
        cls = methods.load(name)
        title = f"[{cls.paper.title}]({cls.paper.link})" if markdown else cls.paper.title
        rows.append(
            (name, title, f"{cls.paper.venue} {cls.paper.year}", _cues(cls.needs.train), _cues(cls.needs.describe))
        )
    head = ("method", "paper", "venue", "cues to train", "cues to describe")
    if markdown:
        lines = [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]
    else:
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (head, *rows)
        ]
    return "\n".join(lines)
