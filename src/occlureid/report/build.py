"""From evaluated runs to a ReportView: figures, counts, and the words that say what they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from occlureid.errors import UsageError
from occlureid.evaluation import Report, Slice
from occlureid.matching import MatchRule
from occlureid.report.ranked import choose_queries, query_view
from occlureid.report.run import Run
from occlureid.report.view import Count, Figure, Group, PrintedView, ReportView, RunView, SheetView, printable
from occlureid.types import Protocol

__all__ = ["build_view"]


def build_view(
    runs: Sequence[Run], *, title: str, date: str, notes: Sequence[str], queries: int, images: int
) -> ReportView:
    """What the page shows of some runs.

    Args:
        runs: at least one, all on the same query and gallery images under the same protocol.
        title: of the page.
        date: as it is to be printed.
        notes: sentences shown above the figures.
        queries: how many of the best, and of the worst, queries of each run to show.
        images: how many gallery images to show of each; at most as many as the report names.

    Raises:
        UsageError: no run, two of one name, or runs that cannot be compared.
    """
    _check_comparable(runs)
    if queries < 0 or images < 1:
        raise UsageError(f"queries must be at least 0 and images at least 1, got {queries} and {images}")
    return ReportView(title, date, _facts(runs[0]), tuple(notes), tuple(_run(run, queries, images) for run in runs))


def _check_comparable(runs: Sequence[Run]) -> None:
    if not runs:
        raise UsageError("a report needs at least one run")
    names = [printable(run.name) for run in runs]
    if len(set(names)) != len(names) or not all(names):
        raise UsageError(f"the runs of a report need different names, got {names}")
    first = runs[0]
    for run in runs[1:]:
        for split in ("query", "gallery"):
            ours, theirs = ([(s.path, s.person, s.camera) for s in getattr(r, split)] for r in (first, run))
            if ours != theirs:
                raise UsageError(
                    f"runs {first.name!r} and {run.name!r} were evaluated on different {split} images "
                    f"({len(ours)} and {len(theirs)}); write a report for each"
                )
        if run.report.protocol != first.report.protocol:
            raise UsageError(
                f"runs {first.name!r} and {run.name!r} were evaluated under different protocols "
                f"({first.report.protocol} and {run.report.protocol}); write a report for each"
            )


def _facts(run: Run) -> dict[str, str]:
    protocol, counts, data = run.report.protocol, run.report.counts, run.report.provenance.get("data")
    facts = {}
    if isinstance(data, Mapping) and data.get("name"):
        facts["Dataset"] = str(data["name"])
    facts["Protocol"] = protocol.name
    for label, samples in (("Query", run.query), ("Gallery", run.gallery)):
        persons = len({s.person for s in samples} - set(protocol.junk))
        cameras = len({s.camera for s in samples})
        facts[label] = f"{_many(len(samples), 'image')}, {_many(persons, 'person')}, {_many(cameras, 'camera')}"
    facts["Gallery images ignored"] = _ignored(protocol, counts.ignored, counts.junk)
    return facts


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _ignored(protocol: Protocol, pairs: int, junk: int) -> str:
    rule = {
        "same_camera": "For each query, those of the same person from the same camera",
        "same_image": "For each query, its own file",
        "none": "None for any single query",
    }[protocol.ignore]
    text = f"{rule} ({_many(pairs, 'pair')})"
    if protocol.junk:
        named = ", ".join(f'"{person}"' for person in protocol.junk)
        text += f"; for every query, those of person {named} ({_many(junk, 'image')})"
    return text


def _run(run: Run, queries: int, images: int) -> RunView:
    report = run.report
    best, worst = choose_queries(run, queries)
    return RunView(
        name=run.name,
        figures=_figures(report),
        cmc=report.curve,
        counts=_counts(report),
        by_visible=tuple(_group(part, _bin_name(part.name)) for part in report.by_visible_fraction),
        by_obstacle=tuple(_group(part, part.name) for part in report.by_obstacle),
        best=tuple(query_view(run, index, images) for index in best),
        worst=tuple(query_view(run, index, images) for index in worst),
        without_match=report.without_match,
        rule=_rule_text(report.rule, report.shortlist) if report.rule else "",
        settings=_yaml(report.provenance),
        facts=_run_facts(report),
        commands=run.commands,
        sheets=tuple(SheetView(_title(path), path) for path in run.sheets),
        printed=tuple(PrintedView(recipe, _named(report, values)) for recipe, values in report.printed),
    )


def _named(report: Report, printed: Mapping[str, float]) -> dict[str, float]:
    """Printed percentages as rates, under the names of the figures; mAP under the definition that the set's papers quote."""
    names = {f"rank_{k}": f"Rank-{k}" for k in range(1, 51)} | {"mAP": f"mAP ({report.protocol.average_precision})"}
    return {names.get(name, name): value / 100 for name, value in printed.items()}


def _figures(report: Report) -> dict[str, Figure]:
    def figure(value: float, interval: str) -> Figure:
        found = report.intervals.get(interval)
        return Figure(value, found.low, found.high) if found else Figure(value)

    return {
        **{f"Rank-{k}": figure(value, f"rank_{k}") for k, value in report.ranks.items()},
        "mAP (hits)": figure(report.average_precision, "average_precision"),
        "mAP (trapezoid)": figure(report.average_precision_trapezoid, "average_precision_trapezoid"),
        "mINP": figure(report.inverse_negative_penalty, "inverse_negative_penalty"),
    }


def _counts(report: Report) -> tuple[Count, ...]:
    counts = report.counts
    described = (
        (
            "Queries scored",
            counts.scored,
            "With at least one true match left in the gallery: every mean is over these.",
        ),
        ("Queries without a true match", len(report.without_match), "Nothing can be right for them; in no mean."),
        ("Pairs not comparable", counts.incomparable, "They share nothing that the rule compares; they come last."),
        ("Pairs ignored", counts.ignored, "Query and gallery pairs that the protocol leaves out."),
        ("Junk images", counts.junk, "Gallery images that no query is scored against."),
    )
    return tuple(Count(*row) for row in described)


def _group(part: Slice, name: str) -> Group:
    return Group(name, part.queries, part.rank_1, part.average_precision)


def _bin_name(name: str) -> str:
    """Turns "0.2-0.4" into "20 to 40 %"; any other name stays."""
    low, dash, high = name.partition("-")
    try:
        return f"{float(low) * 100:.0f} to {float(high) * 100:.0f} %" if dash else name
    except ValueError:
        return name


def _rule_text(rule: MatchRule, shortlist: int | None) -> str:
    pieces = [f"{rule.metric.capitalize()} distance", f"global weight {rule.global_weight:g}"]
    if rule.part_factor == 0:
        pieces.append("parts not compared")
    else:
        how = {
            "soft": "by soft visibility",
            "binary": f"where visibility reaches {rule.threshold:g} in both images",
            "ignore": "all taken as visible",
        }[rule.visibility]
        pieces.append(f"parts {how}" + (f", factor {rule.part_factor:g}" if rule.part_factor != 1 else ""))
        if rule.form == "sum":
            pieces.append("summed, not averaged")
    if rule.spatial_weight > 0:
        where = "" if shortlist is None else f", for the {shortlist} nearest images by the rest of the rule"
        pieces.append(f"local vectors with weight {rule.spatial_weight:g}{where}")
    return "; ".join(pieces) + "."


def _plain(value: object) -> Any:
    return json.loads(json.dumps(value, default=str))


def _yaml(provenance: Mapping[str, Any]) -> str:
    kept = {key: value for key, value in provenance.items() if key not in ("versions", "printed")}
    return yaml.safe_dump(_plain(kept), sort_keys=False, allow_unicode=True, width=100) if kept else ""


def _run_facts(report: Report) -> dict[str, str]:
    provenance = report.provenance
    data, bootstrap, versions = (provenance.get(key) for key in ("data", "bootstrap", "versions"))
    facts = {
        "Method": provenance.get("method"),
        "Fingerprint": provenance.get("fingerprint"),
        "Seed": provenance.get("seed"),
        "Bootstrap": f"seed {bootstrap.get('seed')}, {bootstrap.get('resamples')} resamples of persons"
        if isinstance(bootstrap, Mapping)
        else None,
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items())
        if isinstance(versions, Mapping)
        else versions,
        "Data checksum (sha256)": data.get("checksum") if isinstance(data, Mapping) else None,
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


def _title(sheet: Path) -> str:
    """A file's name as a title: "crop.png" is "Crop", "pseudo_labels.png" is "Pseudo labels"."""
    words = sheet.stem.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]
