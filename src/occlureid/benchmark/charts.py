"""The benchmark's record as charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from occlureid.plots import Bar, bars_svg, lines_svg

__all__ = ["TITLES", "charts"]

TITLES: dict[str, str] = {
    "visible": "Rank-1 against the visible fraction of the query",
    "kinds": "Rank-1 by who or what stands in the box",
    "noise": "Rank-1 by the quality of the cues",
}
"""By what a chart's name starts with."""

_KINDS = (
    ("unoccluded", "coarse", "unoccluded"),
    ("cut by the border", "truncation", "cut by the border"),
    ("person in front", "second person", "in front"),
    ("person beside or behind", "second person", "beside or behind"),
)
"""What the bars are called, and the axis and name of their groups."""


def charts(record: Mapping[str, Any]) -> dict[str, str]:
    """Charts as SVG text, by name: "visible", Rank-1 against the visible fraction; "kinds", by what stands where; "noise".

    Args:
        record: what ``results.json`` holds; what it has no figures for is left out.
    """
    found: dict[str, str] = {}
    if record["entries"]:
        found["visible"] = _visible(record)
        if shown := [row for row in _KINDS if row[2] in record["groups"][row[1]]]:
            found["kinds"] = _kinds(record, shown)
    for method, faults in record["noise"].items():
        found[f"noise_{method}"] = _noise(method, faults)
    return found


def _visible(record: Mapping[str, Any]) -> str:
    bins = list(record["groups"]["visible"])
    curves = {
        name: [(_middle(label), entry["groups"]["visible"][label]["rank_1"]["mean"]) for label in bins]
        for name, entry in record["entries"].items()
    }
    return lines_svg(
        curves,
        ticks={tenth / 10: f"{tenth * 10} %" for tenth in range(2, 11, 2)},
        x_label="visible part of the person, in bins of a tenth",
        title=TITLES["visible"],
        name="benchmark-visible",
        mark_all=True,
    )


def _middle(label: str) -> float:
    low, high = map(float, label.split("-"))
    return round((low + high) / 2, 6)


def _kinds(record: Mapping[str, Any], shown: Sequence[tuple[str, str, str]]) -> str:
    """Bars where there are few groups."""
    runs = {
        name: [_bar(entry["groups"][axis][group]) for _, axis, group in shown]
        for name, entry in record["entries"].items()
    }
    return bars_svg([label for label, _, _ in shown], runs, title=TITLES["kinds"], name="benchmark-kinds")


def _bar(found: Mapping[str, Any]) -> Bar:
    low, high = found["rank_1"]["interval"] or (None, None)
    return Bar(found["rank_1"]["mean"], found["queries"], low, high)


def _noise(method: str, faults: Mapping[str, Any]) -> str:
    """The faults have rates of different kinds, so their steps are drawn, and the key says what they are."""
    curves = {}
    for fault, steps in faults.items():
        rates = ", ".join(f"{step['rate']:g}" for step in steps)
        start = steps[0]["rank_1"]["mean"] - steps[0]["difference"]["rank_1"]["mean"]
        points = [(0.0, min(1.0, max(0.0, start)))]
        points += [(float(place), step["rank_1"]["mean"]) for place, step in enumerate(steps, start=1)]
        curves[f"{fault.replace('_', ' ')}: {rates}"] = points
    most = max(len(points) for points in curves.values())
    return lines_svg(
        curves,
        ticks={float(step): str(step) if step else "as they are" for step in range(most)},
        x_label="step of the fault",
        title=f"Rank-1 of {method} by the quality of its cues",
        name=f"benchmark-noise-{method}",
        mark_all=True,
    )
