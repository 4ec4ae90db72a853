"""The matrix as Markdown: training sets and recipes down, test sets across."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from occlureid.ablation.table import cell_text, difference_text, flat

__all__ = ["matrix", "page"]

_LEGEND = (
    "Rank-1 (mAP) in percent; bold where training and test set are one, so that only its own test persons are new. Nothing is "
    "tuned on a test set: the weights are those of the training's end, or were chosen on held-out training persons."
)
_DIFFERENCES = (
    "Rank-1 / mAP less those of {first}, trained on the same set, measured and (printed): ✓ same sign, ✗ not; ~ marks a "
    "difference whose 95 % interval, from resampling the persons of the queries, holds 0."
)


def page(record: Mapping[str, Any]) -> str:
    """The whole of ``transfer.md``: what it was measured on, and the matrix."""
    lines = ["# Trained on one set, tested on another", ""]
    for kind, sets in (("Trained on", record["training_sets"]), ("Tested on", record["test_sets"])):
        lines += [
            f"- {kind} {_counted(name, data, kind)}, checksum `{data['checksum'][:12]}`" for name, data in sets.items()
        ]
    changes = ", ".join(f"`{key}={value}`" for key, value in flat(record["changes"])) or "nothing"
    lines += ["", f"Changed in each of the {len(record['trainings'])} recipes trained: {changes}.", "", matrix(record)]
    return "\n".join(lines)


def matrix(record: Mapping[str, Any]) -> str:
    """The matrix alone, and below it the differences to the first recipe where there are several.

    Args:
        record: what ``transfer.json`` holds.
    """
    tests = list(record["test_sets"])
    blocks = [_LEGEND, _table(record["rows"], tests, _accuracy)]
    compared = [row for row in record["rows"] if any(cell["differences"] for cell in row["cells"].values())]
    if compared:
        first = next(row["name"] for row in record["rows"] if row["reference"])
        blocks += [_DIFFERENCES.format(first=cell_text(first)), _table(compared, tests, _difference)]
    failed = [
        f"- {row['recipe']}{' trained on ' + row['train'] if row['train'] else ''}, tested on {name}: {cell['reason']}"
        for row in record["rows"]
        for name, cell in row["cells"].items()
        if cell["reason"]
    ]
    if failed:
        blocks += ["Not scored:", "\n".join(failed)]
    return "\n\n".join(blocks) + "\n"


def _table(rows: Any, tests: list[str], cell: Any) -> str:
    lines = ["| trained on | recipe | " + " | ".join(cell_text(name) for name in tests) + " |"]
    lines.append("| --- | --- |" + " ---: |" * len(tests))
    above = None
    for row in rows:
        source = row["train"] or "(given weights)"
        shown = [cell_text(source) if source != above else "", cell_text(row["name"])]
        above = source
        lines.append("| " + " | ".join([*shown, *(cell(row["cells"][name]) for name in tests)]) + " |")
    return "\n".join(lines)


def _accuracy(cell: Mapping[str, Any]) -> str:
    if not cell["measured"]:
        return "–"
    third = "rank_3" in cell["reported"]  # what the partial sets' papers print in place of mAP
    text = _pair(cell["measured"], third)
    text = f"**{text}**" if cell["in_domain"] else text
    return f"{text}, paper {_pair(cell['reported'], third)}" if cell["reported"] else text


def _pair(figures: Mapping[str, float], third: bool) -> str:
    one, three, mean = (f"{figures[key]:.1f}" if key in figures else "?" for key in ("rank_1", "rank_3", "mAP"))
    if third:
        return f"{one}, Rank-3 {three}" + (f" ({mean})" if "mAP" in figures else "")
    return f"{one} ({mean})"


def _difference(cell: Mapping[str, Any]) -> str:
    if not cell["differences"]:
        return "–"
    text = " / ".join(difference_text(cell["differences"][figure]) for figure in ("rank_1", "mAP"))
    return f"**{text}**" if cell["in_domain"] else text


def _counted(name: str, data: Mapping[str, Any], kind: str) -> str:
    counts = data["counts"]
    if kind == "Trained on":
        return f"{name}: {counts['train_images']} images of {counts['train_persons']} persons"
    return (
        f"{name}: {counts['query_images']} queries, {counts['gallery_images']} gallery images, "
        f"mAP by {data['average_precision']}"
    )
