"""Writes the generated tables into README.md and docs/results.md; with --check, only says whether they are current."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from occlureid.cli.listing import methods_table
from occlureid.cues.groupings import GROUPINGS, LABEL_SETS
from occlureid.data import LAYOUTS
from occlureid.synthetic import WorldSettings

DOCS = Path(__file__).parent
PAGES = (DOCS.parent / "README.md", DOCS / "results.md", DOCS / "world.md", DOCS / "cues.md")


def datasets_table() -> str:
    """Layouts with what they look like and the counts that their authors published."""

    def cell(images: int | None, persons: int | None) -> str:
        return f"{images:,} / {persons:,}" if images is not None and persons is not None else "any"

    lines = ["| layout | what it is | train images / persons | query | gallery |", "| --- | --- | --- | --- | --- |"]
    for name, layout in LAYOUTS.items():
        e = layout.expected
        cells = (
            ["any"] * 3
            if e is None
            else [
                cell(e.train_images, e.train_persons),
                cell(e.query_images, e.query_persons),
                cell(e.gallery_images, e.gallery_persons),
            ]
        )
        description = layout.description.replace("<", "&lt;")
        lines.append(f"| `{name}` | {description} | {' | '.join(cells)} |")
    return "\n".join(lines)


def occlusion_table() -> str:
    """The runs of benchmarks/occlusion.py, from the file that it wrote."""
    record = json.loads((DOCS / "results" / "occlusion.json").read_text(encoding="utf-8"))
    lines = [
        "| | Rank-1 [95 % interval] | Rank-5 | mAP, hits | mAP, trapezoid | mINP |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in record["runs"].items():
        low, high = row["intervals"]["rank_1"]
        rest = " | ".join(f"{100 * row[key]:.1f}" for key in ("rank_5", "mAP_hits", "mAP_trapezoid", "mINP"))
        lines.append(f"| {name} | {100 * row['rank_1']:.1f} [{100 * low:.1f}, {100 * high:.1f}] | {rest} |")
    return "\n".join(lines)


def obstacles_table() -> str:
    """Rank-1 by what hides the person, for the runs that the text speaks of."""
    runs = json.loads((DOCS / "results" / "occlusion.json").read_text(encoding="utf-8"))["runs"]
    shown = [name for name in ("pgfa", "pgfa, all parts taken as visible", "baseline") if name in runs]
    lines = [f"| obstacle | queries | {' | '.join(shown)} |", "| --- " * (len(shown) + 2) + "|"]
    for kind, (queries, *_) in runs[shown[0]]["by_obstacle"].items():
        cells = " | ".join(f"{100 * runs[name]['by_obstacle'][kind][1]:.1f}" for name in shown)
        lines.append(f"| {kind} | {queries} | {cells} |")
    return "\n".join(lines)


def cue_noise_table() -> str:
    """Rank-1 and mAP of PGFA by the fault of its landmarks, from the file of benchmarks/cue_noise.py."""
    record = json.loads((DOCS / "results" / "cue_noise.json").read_text(encoding="utf-8"))
    rows = [("as an estimator reports them", record["estimated"]), ("exact", record["exact"])]
    rows += [(f"{fault}, {rate}", row) for fault, at in record["faults"].items() for rate, row in at.items()]
    lines = ["| landmarks | Rank-1 [95 % interval] | mAP, hits |", "| --- | --- | --- |"]
    for name, row in rows:
        rank = f"{100 * row['rank_1']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
        lines.append(f"| {name.replace('_', ' ')} | {rank} | {100 * row['mAP_hits']:.1f} |")
    return "\n".join(lines)


def render_table() -> str:
    """Images a second, from the file of benchmarks/render.py."""
    devices = json.loads((DOCS / "results" / "render.json").read_text(encoding="utf-8"))["devices"]
    lines = ["| images a second | mostly clean | all occluded |", "| --- | --- | --- |"]
    for device, found in devices.items():
        medians = {name: row["median"] for name, row in found["images_a_second"].items()}
        for name, clean in medians.items():
            group, _, kind = name.rpartition(", ")
            if kind == "mostly clean":
                lines.append(f"| {device}: {group} | {clean:.0f} | {medians[f'{group}, all occluded']:.0f} |")
            elif group == "writing":
                lines.append(f"| {device}: rendered and written to disk, all splits | {clean:.0f} | |")
    return "\n".join(lines)


def world_table() -> str:
    """The settings of the rendered world."""
    lines = ["| setting | default | what it does |", "| --- | --- | --- |"]
    for name, default, text in WorldSettings.describe_fields():
        lines.append(f"| `{name}` | `{default}` | {text.replace('|', '/')} |")
    return "\n".join(lines)


def labels_table() -> str:
    """The label sets that part maps may be in."""
    lines = ["| label set | labels |", "| --- | --- |"]
    lines += [f"| `{name}` | {', '.join(found.labels)} |" for name, found in LABEL_SETS.items()]
    return "\n".join(lines)


def groupings_table() -> str:
    """The regions that methods ask for."""
    lines = ["| regions | parts, top to bottom |", "| --- | --- |"]
    lines += [f"| `{name}` | {', '.join(parts)} |" for name, parts in GROUPINGS.items()]
    return "\n".join(lines)


TABLES = {
    "methods": lambda: methods_table(markdown=True),
    "datasets": datasets_table,
    "occlusion": occlusion_table,
    "obstacles": obstacles_table,
    "cue-noise": cue_noise_table,
    "render": render_table,
    "world": world_table,
    "labels": labels_table,
    "groupings": groupings_table,
}


def generated(text: str) -> str:
    """A page with its marked blocks filled in."""
    for name, table in TABLES.items():
        pattern = rf"(<!-- {name}: [^\n]* -->\n).*?(<!-- end -->)"
        if re.search(pattern, text, flags=re.S):
            filled = table()
            text = re.sub(pattern, lambda m, filled=filled: f"{m[1]}{filled}\n{m[2]}", text, count=1, flags=re.S)
    return text


def main() -> int:
    """Returns 1 where --check finds an old table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a table is old")
    check = parser.parse_args().check
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = generated(old)
        if check and new != old:
            return 1
        if not check:
            page.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
