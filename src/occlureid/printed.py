"""The papers' printed figures beside what is measured: found by method, settings, and the sets trained and tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from occlureid import methods
from occlureid.described import Described
from occlureid.errors import SettingsError
from occlureid.evaluation import Report
from occlureid.matching import MatchRule
from occlureid.runs import Row, RunSettings, read_recipe, read_row, recipes

__all__ = ["printed_figures", "with_printed"]


def with_printed(report: Report, described: Described) -> Report:
    """The report with ``printed_figures`` of what was scored in its provenance; as it is where there are none."""
    rows = printed_figures(described, report.rule)
    return replace(report, provenance={**report.provenance, "printed": rows}) if rows else report


def printed_figures(described: Described, rule: MatchRule | None = None) -> list[dict[str, Any]]:
    """Figures that papers print of exactly this: the recipes of the package whose method, model and rule are those of a described
    dataset, and that give figures for the set trained on and the set described.

    Training settings are not compared, so that a shorter training stands beside the paper's figure. Nothing is found where
    weights do not say what they were trained on, or were trained on several sets at once.

    Args:
        described: its record says method, settings and data.
        rule: by which it was scored; its own unless given.

    Returns:
        For each different set of figures a dict with "recipe", its name, and "figures", in percent: rank_1, rank_3, rank_5,
        rank_10, mAP, as far as they are printed. JSON values.
    """  # noqa: D205
    record, rule = described.record, rule or described.rule
    training, data, method = record.get("training"), record.get("data"), record.get("method")
    if not isinstance(training, Mapping) or not isinstance(data, Mapping) or not isinstance(method, str):
        return []
    source = training.get("trained_on")
    if not isinstance(source, list) or not all(isinstance(name, str) for name in source):
        return []
    found: list[dict[str, Any]] = []
    for name in _candidates(method):
        row = read_row(name)
        figures = row.printed.printed(source, str(data.get("name")))
        if not figures or any(other["figures"] == figures for other in found):
            continue
        settings = RunSettings.build(read_recipe(row.train_as))
        if settings.method == method and _is(row, settings, described, rule):
            found.append({"recipe": name, "figures": figures})
    return found


def _candidates(method: str) -> list[str]:
    """The recipes that may be of a method: the papers' runs of its name first, then rows of its tables."""
    names = [name for name in recipes() if name.split("-")[0] == method]
    for folder in (f"ablations/{method}", f"ablations/{method}-holistic"):
        try:
            names += recipes(folder)
        except SettingsError:  # has no tables
            continue
    return names


def _is(row: Row, settings: RunSettings, described: Described, rule: MatchRule) -> bool:
    config = methods.load(settings.method).Config.build(settings.model, row.model).to_dict()
    asked = MatchRule.from_json({**described.rule.to_json(), **row.rule})
    return config == described.record.get("settings") and asked == rule
