"""An ablation's record as Markdown: a table for each of the papers', measured beside printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

__all__ = ["agreement", "cell_text", "difference_text", "flat", "page", "table"]

_NAMES = {"rank_1": "Rank-1", "mAP": "mAP"}

_LEGEND = (
    "Percent; in brackets 95 % intervals from resampling the persons of the queries, which say nothing of another training "
    "seed. The last two columns are differences to the table's reference, measured and (printed): ✓ same sign, ✗ not; "
    "~ marks a measured difference whose own interval, query by query, holds 0."
)


def page(record: Mapping[str, Any]) -> str:
    """The whole of ``ablation.md``: what it was measured on, and the tables."""
    counts, data = record["data"]["counts"], record["data"]
    changes = ", ".join(f"`{key}={value}`" for key, value in flat(record["changes"])) or "nothing"
    lines = [
        "# Ablation",
        "",
        f"Data: {data['name']}, {counts['train_images']} training images, {counts['query_images']} queries, "
        f"{counts['gallery_images']} gallery images, checksum `{data['checksum']}`. "
        f"{len(record['trainings'])} trainings; changed in each: {changes}. mAP: {record['average_precision']}.",
        "",
        table(record),
    ]
    return "\n".join(lines)


def table(record: Mapping[str, Any]) -> str:
    """The tables alone, for a page of one's own.

    Args:
        record: what ``ablation.json`` holds.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in record["rows"]:
        groups.setdefault((row["method"], row["table"]), []).append(row)
    blocks = [_LEGEND]
    for (method, name), rows in groups.items():
        lines = [
            f"**{method}, {name}**",
            "",
            "| row | Rank-1 | paper | mAP | paper | Rank-1, to the reference | mAP, to the reference |",
            "| --- " * 7 + "|",
        ]
        lines += [_line(row) for row in rows]
        blocks.append("\n".join(lines))
    blocks.append(_count(record))
    return "\n\n".join(blocks) + "\n"


def agreement(difference: Mapping[str, Any]) -> Literal["same", "other", "unknown"]:
    """Whether a measured difference has the sign of the printed one: "same" or "other", "unknown" where none is printed."""
    if difference["reported"] is None:
        return "unknown"
    return "same" if _sign(difference["measured"]) == _sign(difference["reported"]) else "other"


def _told_from_zero(difference: Mapping[str, Any]) -> bool:
    interval = difference["interval"]
    return interval is not None and (interval[0] > 0 or interval[1] < 0)


def _line(row: Mapping[str, Any]) -> str:
    name = cell_text(row["name"]) + (" (reference)" if row["reference"] else "")
    cells = [name]
    for figure in _NAMES:
        cells += [_value(row, figure), _number(row["reported"].get(figure))]
    cells += [difference_text(row["differences"].get(figure)) for figure in _NAMES]
    if row["reason"]:
        cells[1] = f"not run: {cell_text(row['reason'].split('; ')[0])}"  # without the advice, which ablation.json has
    return f"| {' | '.join(cells)} |"


def _value(row: Mapping[str, Any], figure: str) -> str:
    bounds = row["intervals"].get(figure)
    spread = f" [{bounds[0]:.1f}, {bounds[1]:.1f}]" if bounds else ""
    return _number(row["measured"].get(figure)) + spread


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def difference_text(difference: Mapping[str, Any] | None) -> str:
    """A difference, the printed one, and whether their signs agree; empty where there is none."""
    if difference is None:
        return ""
    text = ("" if _told_from_zero(difference) else "~ ") + f"{difference['measured']:+.1f}"
    if difference["reported"] is None:
        return text
    mark = "✓" if agreement(difference) == "same" else "✗"
    return f"{text} ({difference['reported']:+.1f}) {mark}"


def _count(record: Mapping[str, Any]) -> str:
    """How many printed differences were found again; a row that stands in several tables counts in each."""
    parts = []
    for figure, name in _NAMES.items():
        known = [found for row in record["rows"] if (found := row["differences"].get(figure))]
        known = [found for found in known if found["reported"] is not None]
        clear = [found for found in known if _told_from_zero(found)]
        same, same_clear = (sum(agreement(found) == "same" for found in those) for those in (known, clear))
        parts.append(
            f"{name}: {same} of {len(known)} printed differences have the same sign here, {same_clear} of the {len(clear)} "
            "whose interval does not hold 0."
        )
    return " ".join(parts)


def cell_text(text: str) -> str:
    """Text that may stand in a cell of a Markdown table."""
    return text.replace("|", "\\|")


def flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Nested settings as pairs of a dotted key and a value."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        found += flat(value, f"{above}{key}.") if isinstance(value, Mapping) else [(f"{above}{key}", value)]
    return found


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
