"""What bad landmarks cost PGFA: the weights of benchmarks/occlusion.py, described again with exact landmarks that are spoiled.

Each kind of fault is raised alone, at description, in query and gallery alike; the losses at a higher rate contain those at a
lower one, so a curve is one experiment. Five minutes on two cores.

    python benchmarks/occlusion.py --runs pgfa --out runs/occlusion
    python benchmarks/cue_noise.py --runs runs/occlusion --json docs/results/cue_noise.json --plots docs/images
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tqdm import tqdm

from occlureid import methods
from occlureid.cues import CueSettings
from occlureid.data import open_dataset
from occlureid.described import describe_dataset, made_with, score
from occlureid.plots import lines_svg

RATES = {
    "jitter": (0.01, 0.02, 0.04, 0.08),
    "miss": (0.2, 0.4, 0.6, 0.8),
    "swap": (0.5, 1.0),
    "other_person": (0.25, 0.5, 1.0),
    "no_person": (0.25, 0.5, 1.0),
}
"""The faults of ``Degradation``; what each rate means is written there."""

NAMES = {
    "jitter": "displaced",
    "miss": "landmarks missed",
    "swap": "left and right swapped",
    "other_person": "landmarks of another person",
    "no_person": "nobody found",
}


def main() -> None:
    """Describes, scores, prints, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/occlusion"), help="folder of benchmarks/occlusion.py")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plots", type=Path, help="folder for the two charts")
    options = parser.parse_args()

    dataset = open_dataset(options.runs / "world")
    pgfa = methods.restore(options.runs / "pgfa" / "weights.safetensors")

    def figures(cues: CueSettings | None) -> dict[str, float]:
        report = score(describe_dataset(pgfa, dataset, cues=cues, workers=1))
        return {
            "rank_1": report.rank(1),
            "mAP_hits": report.average_precision,
            "low": report.intervals["rank_1"].low,
            "high": report.intervals["rank_1"].high,
        }

    steps = [(fault, rate) for fault, rates in RATES.items() for rate in rates]
    bar = tqdm(total=len(steps) + 2, desc="describe")

    def done(row: dict[str, float]) -> dict[str, float]:
        bar.update()
        return row

    table: dict[str, Any] = {
        "estimated": done(figures(None)),
        "exact": done(figures(CueSettings(source="exact"))),
        "faults": {},
    }
    for fault, rate in steps:
        cues = CueSettings.build({"source": "exact", "degrade": {fault: rate}})
        table["faults"].setdefault(fault, {})[str(rate)] = done(figures(cues))
    bar.close()

    rows = [("estimated", table["estimated"]), ("exact", table["exact"])]
    rows += [(f"{fault} {rate}", row) for fault, at in table["faults"].items() for rate, row in at.items()]
    for name, row in rows:
        print(
            f"{name:20}  Rank-1 {row['rank_1']:6.1%} [{row['low']:.1%}, {row['high']:.1%}]  mAP {row['mAP_hits']:6.1%}"
        )
    if options.json:
        record = {**made_with(), "checksum": dataset.checksum(), **table}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if options.plots:
        draw(table, options.plots)


def draw(table: dict[str, Any], folder: Path) -> None:
    """Two charts: displacement, and everything that happens to a share of landmarks or images."""
    start = table["exact"]["rank_1"]

    def curve(fault: str) -> list[tuple[float, float]]:
        return [(0.0, start), *((float(rate), row["rank_1"]) for rate, row in table["faults"][fault].items())]

    charts = {
        "cue_jitter": (
            ("jitter",),
            "standard deviation, share of the image's height",
            (0, 0.02, 0.04, 0.06, 0.08),
        ),
        "cue_faults": (
            ("miss", "swap", "other_person", "no_person"),
            "share of landmarks, or of images",
            (0, 0.25, 0.5, 0.75, 1),
        ),
    }
    for name, (faults, label, ticks) in charts.items():
        curves = {NAMES[fault]: curve(fault) for fault in faults}
        svg = lines_svg(
            curves,
            ticks={float(tick): f"{tick:g}" for tick in ticks},
            x_label=label,
            title="Rank-1 of PGFA by the quality of its landmarks",
            name=name,
            mark_all=True,
        )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.svg").write_text(svg + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
