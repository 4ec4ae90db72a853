"""Turns a ReportView into one HTML page that needs nothing outside itself: no request, no script to be read."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image, UnidentifiedImageError

from occlureid.plots import RUN_COLOURS, Bar, bars_svg, cmc_svg
from occlureid.report.view import Group, PartView, ReportView, RunView, printable
from occlureid.types import Sample

__all__ = ["Thumbnails", "render"]

_TALL = 152
_NARROW, _WIDE = 40, 140
_COLUMN = 34
_TEXT = 11.5
_MOST_PIXELS = 64_000_000
_SHEET_WIDTH = 1600
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")  # what Pillow decodes by itself; no outside program
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    UnidentifiedImageError,
    Image.DecompressionBombError,
    Warning,
)
_CMC_RANKS = (1, 2, 3, 5, 10, 15, 20, 30, 50)


class Thumbnails:
    """Small copies of images for one page; each image is stored once however often it is shown.

    A file that is missing, damaged or far too large gets a placeholder: a report is still wanted when one image is not.
    """

    def __init__(self, height: int = 2 * _TALL) -> None:
        self._height = height
        self._entries: dict[Path, tuple[str, str | None, int]] = {}

    def add(self, path: Path) -> tuple[str, str | None, int]:
        """The id under which the image is stored, its data URI or None, and its width at the height shown."""
        if path not in self._entries:
            encoded = self._encode(path)
            uri, width = encoded if encoded is not None else (None, _TALL // 2)
            self._entries[path] = (f"image-{len(self._entries) + 1}", uri, width)
        return self._entries[path]

    def _encode(self, path: Path) -> tuple[str, int] | None:
        try:
            image = _decoded(path)
        except _UNREADABLE:
            return None
        if image is None:
            return None
        shown = min(_WIDE, max(_NARROW, round(image.width * _TALL / image.height)))
        if image.height > self._height or image.width > 2 * shown:
            image = image.resize((2 * shown, self._height), Image.Resampling.LANCZOS)
        return _jpeg_uri(image), shown

    def definitions(self) -> Markup:
        """An invisible SVG with every image, to be referred to by its id."""
        parts = [
            Markup('<image id="{}" href="{}" width="{}" height="{}" preserveAspectRatio="none"/>').format(
                key, uri, width, _TALL
            )
            for key, uri, width in self._entries.values()
            if uri is not None
        ]
        hatch = Markup(
            '<pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
            '<rect width="8" height="8" class="veil"/><path d="M0 0V8" class="veil-line"/></pattern>'
        )
        open_tag = Markup('<svg class="store" width="0" height="0" aria-hidden="true" focusable="false"><defs>')
        return open_tag + hatch + Markup("").join(parts) + Markup("</defs></svg>")

    def picture(self, sample: Sample, label: str, parts: Sequence[PartView] = ()) -> Markup:
        """One image with its parts drawn over it, and beside each part its distance (or, on a query, its visibility).

        Args:
            sample: whose image to show.
            label: read aloud in place of the picture.
            parts: those with a region are drawn; those with weight 0 are dimmed and hatched.
        """
        key, uri, width = self.add(sample.path)
        drawn = [part for part in parts if part.region is not None]
        column = _COLUMN if drawn else 0
        body = [Markup('<use href="#{}"/>').format(key) if uri is not None else _placeholder(sample.path, width)]
        for part in drawn:
            region = part.region
            if region is None:
                continue
            box = Markup('x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"').format(
                region.left * width + 1.5,
                region.top * _TALL + 1.5,
                max(0.0, (region.right - region.left) * width - 3),
                max(0.0, (region.bottom - region.top) * _TALL - 3),
            )
            if uri is None:
                pass  # nothing to draw on
            elif part.weight > 0:
                body.append(Markup('<rect {} class="edge"/><rect {} class="shared"/>').format(box, box))
            else:
                body.append(Markup('<rect {} fill="url(#hatch)"/>').format(box))
            middle = (region.top + region.bottom) / 2 * _TALL
            if (region.bottom - region.top) * _TALL >= _TEXT:
                body.append(_part_text(width + 6, middle, part))
        total = width + column
        head = Markup(
            '<svg class="picture" role="img" viewBox="0 0 {} {}" width="{}" height="{}"><title>{}</title>'
        ).format(total, _TALL, total, _TALL, printable(label))
        return head + Markup("").join(body) + Markup("</svg>")


def _part_text(x: float, middle: float, part: PartView) -> Markup:
    if part.weight <= 0:
        return Markup('<text x="{:.0f}" y="{:.1f}" class="off">–</text>').format(x, middle + 4)
    value = part.weight if part.distance is None else part.distance
    soft = part.distance is not None and part.weight < 0.995
    text = Markup('<text x="{:.0f}" y="{:.1f}">{:.2f}</text>').format(x, middle + (0 if soft else 4), value)
    if soft:
        text += Markup('<text x="{:.0f}" y="{:.1f}" class="off small">×{}</text>').format(
            x, middle + 12, f"{part.weight:.2f}".lstrip("0")
        )
    return text


def _sheet(path: Path, title: str) -> Markup:
    """A sheet as an image of the page; one that cannot be read is named instead."""
    try:
        image = _decoded(path)
    except _UNREADABLE:
        image = None
    if image is None:
        return Markup('<p class="quiet">{} cannot be shown.</p>').format(printable(path.name))
    image.thumbnail((_SHEET_WIDTH, 8 * _SHEET_WIDTH), Image.Resampling.LANCZOS)
    return Markup('<img src="{}" width="{}" height="{}" alt="{}">').format(
        _jpeg_uri(image), image.width, image.height, printable(title)
    )


def _decoded(path: Path) -> Image.Image | None:
    """An image in RGB, None if it is far too large.

    Raises:
        _UNREADABLE: it is missing or damaged.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Image.open(path, formats=_FORMATS) as opened:
            return opened.convert("RGB") if opened.width * opened.height <= _MOST_PIXELS else None


def _jpeg_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _placeholder(path: Path, width: int) -> Markup:
    name = printable(path.name)
    lines = [name[i : i + 12] for i in range(0, min(len(name), 48), 12)]
    rows = [
        Markup('<text x="{}" y="{}" text-anchor="middle" class="small">{}</text>').format(width // 2, 44 + 13 * i, line)
        for i, line in enumerate(["no image:", *lines])
    ]
    return Markup('<rect class="missing" x="1" y="1" width="{}" height="{}"/>').format(width - 2, _TALL - 2) + Markup(
        ""
    ).join(rows)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.1f}"


def _distance(value: float | None) -> str:
    return "∞" if value is None else f"{value:.3f}"


def _best(runs: Sequence[RunView], figure: str) -> float | None:
    """The largest value of a figure as it is printed, so that two runs that print the same are both in bold."""
    values = [float(_percent(run.figures[figure].value)) for run in runs if figure in run.figures]
    return max(values) if len(runs) > 1 and values else None


def _group_chart(runs: Sequence[RunView], field: str, title: str) -> dict[str, Any] | None:
    """Bars and a table of one grouping ("by_visible" or "by_obstacle"), or None where no run has it."""
    names: list[str] = []
    for run in runs:
        names += [group.name for group in getattr(run, field) if group.name not in names]
    if not names:
        return None
    found: dict[str, dict[str, Group]] = {run.name: {g.name: g for g in getattr(run, field)} for run in runs}
    labels = {run: printable(run) for run in found}
    bars = {labels[run]: [_bar(groups.get(name)) for name in names] for run, groups in found.items()}
    chart = Markup(bars_svg([printable(n) for n in names], bars, title=title, name=field.replace("_", "-")))
    return {"svg": chart, "names": names, "found": found, "title": title}


def _finalize(value: object) -> object:
    return value if isinstance(value, Markup) else printable(value)


def _bar(group: Group | None) -> Bar | None:
    return None if group is None or group.rate is None else Bar(group.rate, group.count)


def render(view: ReportView) -> str:
    """The page of a report; the same view and files give the same text.

    Args:
        view: what to show; every text in it is taken as text, never as HTML.
    """
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, finalize=_finalize
    )
    environment.filters.update(percent=_percent, distance=_distance)
    source = resources.files(__package__).joinpath("template.html.jinja").read_text(encoding="utf-8")
    thumbnails = Thumbnails()
    curves: Mapping[str, Sequence[float]] = {printable(run.name): run.cmc for run in view.runs if run.cmc}
    longest = max((len(curve) for curve in curves.values()), default=0)
    figures = list(dict.fromkeys(name for run in view.runs for name in run.figures))
    cmc = Markup(cmc_svg(curves, title="CMC curve of each run")) if curves else None
    groups = [
        _group_chart(view.runs, "by_visible", "Rank-1 by how much of the person the query shows"),
        _group_chart(view.runs, "by_obstacle", "Rank-1 by what hides the person in the query"),
    ]
    return environment.from_string(source).render(
        view=view,
        figures=figures,
        best={name: _best(view.runs, name) for name in figures},
        colours=RUN_COLOURS,
        cmc=cmc,
        cmc_ranks=[rank for rank in _CMC_RANKS if rank <= longest],
        groups=[group for group in groups if group is not None],
        thumbnails=thumbnails,
        spoken=_spoken,
        sheet=_sheet,
    )


def _spoken(parts: Sequence[PartView]) -> str:
    """The parts of a pair in words, for those who do not see the picture."""
    said = [
        f"{part.name} not shared"
        if part.weight <= 0
        else f"{part.name} {part.weight:.2f} visible"
        if part.distance is None
        else f"{part.name} distance {part.distance:.2f}"
        for part in parts
    ]
    return "; ".join(said)
