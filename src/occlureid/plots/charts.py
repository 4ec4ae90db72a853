"""CMC curves, other curves and bars as SVG text, written by hand: themed by the page, deterministic, text that stays text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from occlureid.errors import ShapeError

__all__ = ["RUN_COLOURS", "Bar", "bars_svg", "cmc_svg", "lines_svg"]

RUN_COLOURS: tuple[str, ...] = (
    "#1d62d1", "#c2570c", "#0f7b6c", "#b3266b", "#6d3fc4", "#5b6472", "#8a6d00", "#0a86a8", "#4b7d12", "#7c4a2d",
)  # fmt: skip
"""The colours of the runs, in order, on a light page; a page may set ``--run-0`` and so on to others."""

_DASHES = ("", "7 4", "2 4", "10 4 2 4", "5 2", "1 3", "12 3", "7 2 1 2 1 2", "3 7", "5 5", "14 3")
"""One more than colours: more runs differ than there are of either."""

_WIDTH = 560.0
_FONT = 15.0
_GLYPH = 0.56  # the mean width of a character, in units of the font size: where text is only laid out, not measured


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: a value in [0, 1], the number of queries behind it, and its interval where there is one."""

    value: float
    count: int
    low: float | None = None
    high: float | None = None


def _colour(run: int) -> str:
    slot = run % len(RUN_COLOURS)
    return f"var(--run-{slot},{RUN_COLOURS[slot]})"


def _short(text: str, width: float) -> str:
    most = max(4, int(width / (_FONT * _GLYPH)))
    return text if len(text) <= most else text[: most - 1] + "…"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _text(x: float, y: float, content: str, anchor: str = "start", extra: str = "") -> str:
    return f'<text x="{_number(x)}" y="{_number(y)}" text-anchor="{anchor}"{extra}>{escape(content)}</text>'


def _legend(names: Sequence[str], lines: bool) -> tuple[list[str], float]:
    """The key of the runs as a flowing block at the top, and its height."""
    out, x, y = [], 0.0, _FONT
    for run, name in enumerate(names):
        label = _short(name, _WIDTH - 40)
        width = 34 + len(label) * _FONT * _GLYPH + 18
        if x > 0 and x + width > _WIDTH:
            x, y = 0.0, y + _FONT * 1.6
        if lines:
            dash = f'stroke-width="2.5" stroke-dasharray="{_DASHES[run % len(_DASHES)]}" style="stroke:{_colour(run)}"'
            out.append(f'<path d="M{_number(x)} {_number(y - 5)}h26" fill="none" {dash}/>')
        else:
            mark = f'<rect x="{_number(x + 8)}" y="{_number(y - 11)}" width="16" height="12" rx="2"'
            out.append(f'{mark} style="fill:{_colour(run)}"/>')
        out.append(_text(x + 33, y, label))
        x += width
    return out, y + _FONT * 1.2 if names else 0.0


def _svg(name: str, height: float, title: str, description: str, body: Sequence[str]) -> str:
    identity = escape(name, quote=True)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_number(_WIDTH)} {_number(height)}" class="chart"'
        f' role="img" aria-labelledby="{identity}-title {identity}-description" fill="currentColor"'
        f' font-size="{_number(_FONT)}" font-family="system-ui, sans-serif">'
        f'<title id="{identity}-title">{escape(title)}</title>'
        f'<desc id="{identity}-description">{escape(description)}</desc>'
    )
    return head + "".join(body) + "</svg>"


def cmc_svg(
    curves: Mapping[str, Sequence[float]],
    *,
    ranks: int = 20,
    title: str = "CMC curve",
    name: str = "cmc",
) -> str:
    """The cumulative match curve of each run: how many queries have a true match among the first r.

    Args:
        curves: for each run, its curve: entry i is the rate in [0, 1] at rank i + 1. Shorter curves end where they end.
        ranks: how many ranks to draw, at least 1.
        title: read aloud in place of the picture.
        name: prefix of the ids inside, unique on the page.

    Raises:
        ShapeError: no curve, an empty one, or a value outside [0, 1].
    """
    if ranks < 1 or not curves or any(len(curve) == 0 for curve in curves.values()):
        raise ShapeError(
            f"a CMC chart needs ranks >= 1 and a curve of at least one value a run, got {ranks} and {list(curves)}"
        )
    shown = {run: [float(v) for v in curve[:ranks]] for run, curve in curves.items()}
    last = max(2, *(len(curve) for curve in shown.values()))
    round_ranks = [r for r in (1, 5, 10, 15, 20, 30, 40, 50, 75, 100) if r <= last] if last > 4 else range(1, last + 1)
    description = "; ".join(
        f"{run}: " + ", ".join(f"rank {r} {curve[r - 1] * 100:.1f} %" for r in (1, 5, 10, 20) if r <= len(curve))
        for run, curve in shown.items()
    )
    return lines_svg(
        {run: [(i + 1.0, v) for i, v in enumerate(curve)] for run, curve in shown.items()},
        ticks={rank: str(rank) for rank in round_ranks},
        x_label="rank",
        title=title,
        name=name,
        description=description,
    )


def lines_svg(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    *,
    ticks: Mapping[float, str],
    x_label: str,
    title: str,
    name: str,
    description: str | None = None,
    mark_all: bool = False,
) -> str:
    """Curves of rates: a line a run, its values in percent.

    Args:
        curves: for each run, points (x, y) with x rising and y in [0, 1].
        ticks: where the x axis is written on, and what.
        x_label: below the x axis.
        title: read aloud in place of the picture.
        name: prefix of the ids inside, unique on the page.
        description: read aloud after the title; every point unless given.
        mark_all: draw a dot at each measured point, not at the first one only.

    Raises:
        ShapeError: no curve, an empty one, x that does not rise, or y outside [0, 1].
    """
    points = [point for curve in curves.values() for point in curve]
    if not curves or any(len(curve) == 0 for curve in curves.values()):
        raise ShapeError(f"a line chart needs at least one point a run, got the runs {list(curves)}")
    if any(a[0] >= b[0] for curve in curves.values() for a, b in itertools.pairwise(curve)):
        raise ShapeError("the points of a curve must have rising x")
    values = [v for _, v in points]
    if not all(0 <= v <= 1 for v in values):
        raise ShapeError(f"values of a line chart must lie in [0, 1], got {min(values)} to {max(values)}")
    low = max(0.0, math.floor(min(values) * 10 - 1e-9) / 10)
    high = min(1.0, max(math.ceil(max(values) * 10) / 10, low + 0.1))
    low = min(low, high - 0.1)
    known = [v for v, _ in points] + list(ticks)
    first, last = min(known), max(known)

    body, top = _legend(list(curves), lines=True)
    left, bottom, right = 64.0, top + 280.0, _WIDTH - 28.0  # room for "100 %" in a wide font
    top += 10

    def x(value: float) -> float:
        return left + (value - first) / ((last - first) or 1.0) * (right - left)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    steps = round((high - low) * 10)
    for i in range(0, steps + 1, 2 if steps > 6 else 1):
        level = y(low + i / 10)
        body.append(
            f'<path d="M{_number(left)} {_number(level)}H{_number(right)}" stroke="currentColor" stroke-opacity=".16"/>'
        )
        body.append(_text(left - 8, level + 5, f"{(low + i / 10) * 100:.0f} %", "end", ' opacity=".75"'))
    for value, label in ticks.items():
        body.append(_text(x(value), bottom + 20, label, "middle", ' opacity=".75"'))
    body.append(_text((left + right) / 2, bottom + 42, x_label, "middle", ' opacity=".75"'))
    for run, curve in enumerate(curves.values()):
        line = " ".join(f"{_number(x(at))},{_number(y(v))}" for at, v in curve)
        style = f'style="stroke:{_colour(run)}"'
        dash = _DASHES[run % len(_DASHES)]
        body.append(f'<polyline points="{line}" fill="none" stroke-width="2.5" stroke-dasharray="{dash}" {style}/>')
        for at, v in curve if mark_all else curve[:1]:
            body.append(f'<circle cx="{_number(x(at))}" cy="{_number(y(v))}" r="4" style="fill:{_colour(run)}"/>')
    if description is None:
        description = "; ".join(
            f"{run}: " + ", ".join(f"{v * 100:.1f} % at {_number(at)}" for at, v in curve)
            for run, curve in curves.items()
        )
    return _svg(name, bottom + 50, title, description, body)


def bars_svg(groups: Sequence[str], runs: Mapping[str, Sequence[Bar | None]], *, title: str, name: str = "bars") -> str:
    """Horizontal bars: a block a group, in it a bar a run, with its value and the number of queries written beside it.

    Args:
        groups: the label of each block, such as "0 to 20 % visible".
        runs: for each run one Bar a group; None where the run has no query in the group.
        title: read aloud in place of the picture.
        name: prefix of the ids inside, unique on the page.

    Raises:
        ShapeError: no group, no run, a run with another number of bars, or a value outside [0, 1].
    """
    if not groups or not runs or any(len(bars) != len(groups) for bars in runs.values()):
        raise ShapeError(
            f"bars need groups and one bar a group and run, got {len(groups)} and {[len(b) for b in runs.values()]}"
        )
    every = [bar for bars in runs.values() for bar in bars if bar is not None]
    if not all(0 <= bar.value <= 1 for bar in every):
        raise ShapeError(f"bar values must lie in [0, 1], got {[bar.value for bar in every]}")
    body, top = _legend(list(runs), lines=False)
    left = min(210.0, max(104.0, 16 + _FONT * _GLYPH * max(len(group) for group in groups)))
    right, thick = _WIDTH - 64.0, 16.0
    y, described = top + 8, []

    def x(value: float) -> float:
        return left + min(1.0, max(0.0, value)) * (right - left)

    start = y
    for index, group in enumerate(groups):
        bars = [line[index] for line in runs.values()]
        counts = {bar.count for bar in bars if bar is not None}
        height = len(bars) * (thick + 3)
        label = y + height / 2 - (3 if counts else -4)
        body.append(_text(left - 14, label, _short(group, left - 16), "end"))
        if counts:
            many = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)}–{max(counts)}"
            plural = "query" if counts == {1} else "queries"
            body.append(_text(left - 14, label + 16, f"{many} {plural}", "end", ' opacity=".7" font-size="12"'))
        for run, (title_of_run, bar) in enumerate(zip(runs, bars, strict=True)):
            if bar is None:
                body.append(_text(left + 6, y + 13, "no query", extra=' opacity=".7" font-size="12"'))
            else:
                size = f'width="{_number(max(1.0, x(bar.value) - left))}" height="{_number(thick)}"'
                body.append(f'<rect x="{_number(left)}" y="{_number(y)}" {size} rx="2" style="fill:{_colour(run)}"/>')
                end = x(bar.value)
                if bar.low is not None and bar.high is not None:
                    middle, end = y + thick / 2, max(end, x(bar.high))
                    line = f"M{_number(x(bar.low))} {_number(middle)}H{_number(x(bar.high))}"
                    body.append(f'<path d="{line}" stroke="currentColor" stroke-width="1.5" stroke-opacity=".8"/>')
                body.append(_text(end + 6, y + 13, f"{bar.value * 100:.1f} %", extra=' font-size="13"'))
                described.append(f"{group}, {title_of_run}: {bar.value * 100:.1f} % of {bar.count}")
            y += thick + 3
        y += max(12.0, 38.0 - height)
    body.append(
        f'<path d="M{_number(left)} {_number(start - 4)}V{_number(y - 6)}" stroke="currentColor" stroke-opacity=".4"/>'
    )
    return _svg(name, y, title, "; ".join(described), body)
