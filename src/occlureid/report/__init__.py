"""The report: one self-contained HTML file that compares runs, and the same figures as JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from occlureid.described import Described
from occlureid.errors import DataError, UsageError
from occlureid.evaluation import Report
from occlureid.report.build import build_view
from occlureid.report.page import render
from occlureid.report.run import Run

__all__ = ["Run", "write_evaluation", "write_report"]


def write_report(
    path: Path | str,
    runs: Sequence[Run],
    *,
    title: str | None = None,
    notes: Sequence[str] = (),
    date: str = "",
    queries: int = 3,
    images: int = 7,
) -> Path:
    """Writes ``report.html``, and ``report.json`` beside it; both are complete or not there.

    Args:
        path: of the HTML file, ending in ``.html``; its folder is made. The JSON file has the same name with ``.json``.
        runs: at least one, on the same query and gallery images; the first comes first everywhere.
        title: of the page; by default the protocol's name.
        notes: sentences shown above the figures, such as what the figures do not say.
        date: as it is to be printed; the report reads no clock.
        queries: how many of the best, and of the worst, queries of each run to show; 0 for no ranked lists.
        images: how many gallery images of each.

    Returns:
        The path of the HTML file.

    Raises:
        UsageError: the path does not end in ``.html``, or the runs cannot be compared.
        DataError: a run's samples, descriptors and report do not go together, or a file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".html":
        raise UsageError(f"a report is an HTML file: its name must end in .html, got {path.name!r}")
    heading = title if title is not None or not runs else f"Re-identification: {runs[0].report.protocol.name}"
    view = build_view(runs, title=heading or "", date=date, notes=notes, queries=queries, images=images)
    record = {**view.to_json(), "reports": {run.name: json.loads(run.report.to_json()) for run in runs}}
    _write(path.with_suffix(".json"), json.dumps(record, indent=1, allow_nan=False) + "\n")
    _write(path, render(view))
    return path


def write_evaluation(
    path: Path | str,
    runs: Mapping[str, tuple[Described, Report]],
    *,
    title: str | None = None,
    notes: Sequence[str] = (),
    date: str = "",
    commands: Mapping[str, Sequence[str]] | None = None,
    sheets: Mapping[str, Sequence[Path]] | None = None,
) -> Path:
    """``write_report`` for described datasets and their reports, as ``describe_dataset`` and ``score`` give them.

    Args:
        path: as in ``write_report``.
        runs: for each name what was described, and its report.
        title: as in ``write_report``.
        notes: as in ``write_report``; said besides are rendered images and training from random weights.
        date: as in ``write_report``.
        commands: for some of the names, the command lines that made the run.
        sheets: for some of the names, pictures of what the method sees, as ``occlureid figures`` draws them.

    Returns:
        The path of the HTML file.

    Raises:
        UsageError: as in ``write_report``, or commands or sheets for a run that is not there.
        DataError: as in ``write_report``.
    """
    commands, sheets = commands or {}, sheets or {}
    for what, given in (("commands", commands), ("sheets", sheets)):
        if unknown := sorted(given.keys() - runs.keys()):
            raise UsageError(
                f"{what} are given for runs that are not there: {', '.join(unknown)}; runs: {', '.join(runs)}"
            )
    items = [
        Run(
            name=name,
            report=report,
            query=described.query_samples,
            gallery=described.gallery_samples,
            descriptors=(described.query, described.gallery),
            regions=described.regions,
            commands=tuple(commands.get(name, ())),
            sheets=tuple(sheets.get(name, ())),
        )
        for name, (described, report) in runs.items()
    ]
    return write_report(path, items, title=title, notes=(*notes, *_provenance_notes(runs)), date=date)


def _provenance_notes(runs: Mapping[str, tuple[Described, Report]]) -> list[str]:
    """What a reader must know of where the figures come from, as far as the records say."""
    notes = []
    records = {name: described.record for name, (described, _) in runs.items()}
    if any(record.get("data", {}).get("name") == "synthetic" for record in records.values()):
        notes.append(
            "The images are rendered. What is measured on them says nothing about accuracy on real photographs."
        )
    scratch = [record.get("training", {}).get("initial_weights") == "none" for record in records.values()]
    if any(scratch):
        names = ", ".join(name for name, from_scratch in zip(records, scratch, strict=True) if from_scratch)
        notes.append(f"Trained from random weights, without ImageNet{'' if all(scratch) else f': {names}'}.")
    return notes


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
