"""The benchmark's record as Markdown: the table of all, Rank-1 by group, cue noise, differences, and variants of the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "difference_table",
    "group_table",
    "main_table",
    "noise_table",
    "page",
    "rate_table",
    "rule_table",
    "world_sentence",
]

Record = Mapping[str, Any]

_FIGURES = {"rank_1": "Rank-1", "mAP_hits": "mAP, hits", "mAP_trapezoid": "mAP, trapezoid", "mINP": "mINP"}
_LEGEND = (
    "Per cent. In brackets 95 % intervals from resampling the test persons, of the mean over trainings; after ± the standard "
    "deviation over the seeds of training, where there are several."
)


def page(record: Record) -> str:
    """The whole of ``benchmark.md``."""
    blocks = ["# Benchmark", world_sentence(record)]
    if record["entries"]:
        blocks += [_LEGEND, main_table(record)]
        titles = {
            "visible": "Rank-1 by visible fraction",
            "obstacle": "Rank-1 by what hides the person",
            "second person": "Rank-1 by where another person stands",
            "truncation": "Rank-1 of persons cut by the image's border, and of those hidden by something",
            "box": "Rank-1 by what the detector's box was put around, of occluded queries",
            "obstacle and visible": "Rank-1 by obstacle and visible fraction",
        }
        for axis, title in titles.items():
            blocks += [f"## {title}", group_table(record, axis)]
        blocks += [
            "## Differences",
            difference_table(record),
            "## With something left out of the rule",
            rule_table(record),
        ]
    if record["noise"]:
        blocks += ["## Noise of cues at description", noise_table(record)]
    if record["rates"]:
        blocks += ["## Parameters and rate", rate_table(record)]
    return "\n\n".join(blocks) + "\n"


def world_sentence(record: Record) -> str:
    """What was measured on."""
    world = record["world"]
    return (
        f"{world['queries']:,} queries of {world['test_persons']} persons in {world['cameras']} cameras against "
        f"{world['gallery_images']:,} gallery images; {world['train_images']:,} training images of "
        f"{world['train_persons']} other persons. {world['sentence'][0].upper()}{world['sentence'][1:]}."
    )


def main_table(record: Record) -> str:
    """Rank-1, both mAP and mINP of every entry."""
    rows = [
        [name, _seeds(entry), *(_whole(entry[figure]) for figure in _FIGURES)]
        for name, entry in record["entries"].items()
    ]
    return _table(["", "trainings", *_FIGURES.values()], rows)


def group_table(record: Record, axis: str, figure: str = "rank_1") -> str:
    """A figure by group: a line a group, a column an entry.

    Args:
        record: of the benchmark.
        axis: of the groups.
        figure: "rank_1" or "mAP_hits".
    """
    entries = record["entries"]
    rows = [
        [name, f"{queries:,}", *(_bracketed(entry["groups"][axis][name][figure]) for entry in entries.values())]
        for name, queries in record["groups"][axis].items()
    ]
    return _table([axis, "queries", *entries], rows)


def difference_table(record: Record) -> str:
    """Every entry less the baseline and less PCB, in points of Rank-1: over all queries and by coarse visible fraction."""
    names = list(record["groups"]["coarse"])
    rows = []
    for row in record["differences"]:
        found = row["difference"]
        cells = [found["rank_1"], *(found["groups"]["coarse"][name]["rank_1"] for name in names)]
        rows.append(
            [f"{row['of']} − {row['to']}", *(_difference(cell) for cell in cells), _difference(found["mAP_hits"])]
        )
    legend = "Points; ~ marks a difference whose interval holds 0, or in whose sign the trainings do not agree."
    return f"{legend}\n\n" + _table(["", "Rank-1, all", *(f"Rank-1, {name}" for name in names), "mAP, hits"], rows)


def rule_table(record: Record) -> str:
    """What it does to leave something out of a method's own rule, with the same weights."""
    names = list(record["groups"]["coarse"])
    rows = []
    for name, entry in record["entries"].items():
        for rule, found in entry["rules"].items():
            lost = found["difference"]
            cells = [lost["rank_1"], *(lost["groups"]["coarse"][group]["rank_1"] for group in names), lost["mAP_hits"]]
            rows.append([name, rule, f"{100 * found['rank_1']['mean']:.1f}", *map(_difference, cells)])
    head = ["", "rule", "Rank-1", "difference, all", *(f"Rank-1, {name}" for name in names), "mAP, hits"]
    return _table(head, rows)


def noise_table(record: Record) -> str:
    """Rank-1 and mAP with spoiled cues, and what they lose."""
    rows = []
    for name, faults in record["noise"].items():
        for fault, steps in faults.items():
            for step in steps:
                lost = step["difference"]
                cells = [_bracketed(step["rank_1"]), _difference(lost["rank_1"]), _difference(lost["mAP_hits"])]
                rows.append([name, fault.replace("_", " "), f"{step['rate']:g}", *cells])
    return _table(["", "fault", "rate", "Rank-1", "difference", "difference of mAP, hits"], rows)


def rate_table(record: Record) -> str:
    """Parameters, and images described in a second."""
    rates = record["rates"]
    if rates is None:
        return ""
    rows = [
        [
            name,
            f"{found['parameters'] / 1e6:.2f}",
            f"{found['parameters_to_describe'] / 1e6:.2f}",
            f"{found['images_per_second']:.0f}",
            "" if found["of_reference"] is None else f"{found['of_reference']:.2f}",
        ]
        for name, found in rates["methods"].items()
    ]
    threads = f"{rates['threads']} thread{'' if rates['threads'] == 1 else 's'}"
    where = rates.get("processor", rates["device"])  # records of earlier versions do not name it
    legend = (
        f"{rates['batch']} images at a time, {threads}, {where}; medians of {rates['rounds']} rounds in which all took "
        "turns. Images are loaded and cropped already."
    )
    head = [
        "",
        "parameters, millions",
        "of them used to describe",
        "images a second",
        f"of {rates['reference']}'s rate",
    ]
    return f"{legend}\n\n" + _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(line.replace("|  |", "| |") for line in lines)


def _seeds(entry: Record) -> str:
    return (
        str(len(entry["seeds"]))
        if entry["seeds"]
        else {"weights": "given weights", "descriptors": "given descriptors"}[entry["kind"]]
    )


def _whole(found: Record) -> str:
    spread = "" if found["spread"] is None else f" ± {100 * found['spread']:.1f}"
    return _bracketed(found) + spread


def _bracketed(found: Record) -> str:
    interval = found["interval"]
    bounds = "" if interval is None else f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
    return f"{100 * found['mean']:.1f}{bounds}"


def _difference(found: Record) -> str:
    return f"{'' if found['clear'] else '~ '}{100 * found['mean']:+.1f}"
