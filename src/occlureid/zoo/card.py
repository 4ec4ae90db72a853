"""The card of a model: words that people write, and between two marks figures that are made from the record alone."""

from __future__ import annotations

import re

from occlureid.errors import DataError
from occlureid.zoo.card_text import LIMITS, MISUSE, NEVER_SHOWN, PURPOSE
from occlureid.zoo.record import ModelRecord, show_figure

__all__ = ["BEGIN", "END", "block", "new_card", "renewed"]

BEGIN = "<!-- made from the record: begin -->"
END = "<!-- made from the record: end -->"


def block(record: ModelRecord) -> str:
    """The part of a card that a record makes, marks included."""
    data, precision = record.data, record.precision
    rows = [
        ("task", record.task + (" (the default)" if record.default else "")),
        ("method", record.method),
        ("parameters", f"{record.parameters:,}"),
        ("image size", f"{record.size[0]} x {record.size[1]}"),
        (
            "needs to describe",
            ", ".join(f"{cue} (from {name})" for cue, name in record.cues.items()) or "nothing but images",
        ),
        ("file", f"{record.name}.safetensors, {record.bytes:,} bytes, sha256 `{record.sha256}`"),
        ("licence", record.licence),
        ("written by", f"occlureid {record.version}"),
    ]
    if record.task != "embedder":
        rows = [row for row in rows if row[0] != "needs to describe"]
    lines = [BEGIN, "", f"{record.summary}", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in rows]
    lines += ["", "### Figures", "", "| measured on | figure | value |", "| --- | --- | --- |"]
    for score in record.scores:
        lines += [
            f"| {score.measured_on} | {name} | {show_figure(name, value)} |" for name, value in score.values.items()
        ]
    lines += ["", "### How it was made", ""]
    worlds = "one rendered world" if len(data.worlds) == 1 else f"{len(data.worlds)} rendered worlds"
    lines.append(
        f"Trained on {data.images:,} images of {data.persons:,} persons of {worlds}, {data.origin}; first weights: "
        f"{'random' if data.initial_weights == 'none' else data.initial_weights}; seed {record.seed}. The settings of worlds, "
        f"network and training are in {record.name}.json."
    )
    lines += ["", "```sh", record.command, "```", "", "Not tried:", ""]
    lines += [f"- {text}" for text in record.not_tried]
    kept = f"; {len(precision.single)} tensors stayed in single precision" if precision.single else ""
    lines += [
        "",
        f"Half precision changed its output by at most {precision.change:.2g} (allowed: {precision.bound:g}){kept}.",
        "",
        END,
    ]
    return "\n".join(lines)


def new_card(record: ModelRecord) -> str:
    """A card with what is to be said of any model of its task; whoever releases one reads it and adds what is special."""
    sections = [
        f"# {record.name}",
        block(record),
        f"## What it is for\n\n{PURPOSE[record.task]}",
        f"## What it must not be used for\n\n{MISUSE}",
        f"## What it was never shown\n\n{NEVER_SHOWN}",
        f"## Limits\n\n{LIMITS}",
    ]
    return "\n\n".join(sections) + "\n"


def renewed(card: str, record: ModelRecord) -> str:
    """A card whose figures are those of the record; the words around them stay.

    Raises:
        DataError: the marks are not there, each once.
    """
    if card.count(BEGIN) != 1 or card.count(END) != 1 or card.index(BEGIN) > card.index(END):
        raise DataError(
            f"the card of {record.name!r} must have each of the lines {BEGIN!r} and {END!r} once, in this order"
        )
    pattern = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.S)
    return pattern.sub(lambda _: block(record), card)
