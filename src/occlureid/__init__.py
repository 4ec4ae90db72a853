"""Occluded person re-identification: train, describe, match on what both images show, and report.

The names below are imported when they are first used, so that ``import occlureid`` loads neither torch nor a model.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from occlureid.data import open_dataset
    from occlureid.described import Described, describe, describe_dataset, score
    from occlureid.evaluation import Report, evaluate
    from occlureid.matching import MatchRule, distance_matrix, explain
    from occlureid.methods import create, restore, save
    from occlureid.report import write_evaluation, write_report
    from occlureid.runs import read_recipe, train
    from occlureid.synthetic import WorldSettings, write_world
    from occlureid.types import Cues, Descriptor, Protocol, Region, Sample
    from occlureid.zoo import load

_HOMES = {
    "data": ("open_dataset",),
    "described": ("Described", "describe", "describe_dataset", "score"),
    "evaluation": ("Report", "evaluate"),
    "matching": ("MatchRule", "distance_matrix", "explain"),
    "methods": ("create", "restore", "save"),
    "report": ("write_evaluation", "write_report"),
    "runs": ("read_recipe", "train"),
    "synthetic": ("WorldSettings", "write_world"),
    "types": ("Cues", "Descriptor", "Protocol", "Region", "Sample"),
    "zoo": ("load",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Cues", "Described", "Descriptor", "MatchRule", "Protocol", "Region", "Report", "Sample", "WorldSettings",
    "create", "describe", "describe_dataset", "distance_matrix", "evaluate", "explain", "load", "open_dataset", "read_recipe",
    "restore", "save", "score", "train", "write_evaluation", "write_report", "write_world",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'occlureid' has no attribute {name!r}")
    return getattr(importlib.import_module(f"occlureid.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
