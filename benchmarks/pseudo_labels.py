"""How near HCGA's pseudo-labels come to the rendered truth, epoch by epoch, beside ISP's; and what each step of an epoch takes.

Reads the folders that ``benchmarks/ablations.py --methods hcga`` leaves; nothing is trained. The overlap is what
``occlureid figures WORLD --run RUN`` writes, of more images; seconds and memory are those that the runs logged (Table XI).

    python benchmarks/pseudo_labels.py --ablations runs/ablations --json docs/results/pseudo_labels.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean, median
from typing import Any

from ablations import write

from occlureid.data import open_dataset
from occlureid.described import made_with
from occlureid.figures import guidance_files, guidance_scores

RUNS = {"+HCNet": "hcga-table6-hcnet", "+ISP": "hcga-table6-isp"}
"""Rows of Table VI, and the folders of their trainings."""

STEPS = ("features", "decoders", "labels")
"""What the making of labels consists of: HCNet's inference, its training (ISP: clustering), and what is made of the result."""


def steps(run: Path) -> dict[str, Any]:
    """Seconds of each step, medians over the epochs that it was done in, and the most memory that it took."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    made = [event["record"] for event in events if event["event"] == "guidance" and "record" in event]
    epochs = [event for event in events if event["event"] == "epoch"]
    peaks = [event["train_peak_bytes"] for event in epochs if "train_peak_bytes" in event]
    left = [record["decoder_steps"] for record in made if record["decoder_steps"] is not None]
    return {
        "persons": made[-1]["persons"],
        "images": made[-1]["images"],
        "epochs": len(epochs),
        "times_made": len(made),
        "seconds": {
            **{step: round(median(record["seconds"][step] for record in made), 2) for step in STEPS},
            "training": round(median(event["train_seconds"] for event in epochs), 2),
        },
        "peak_bytes": {
            **{step: max(record["peak_bytes"][step] for record in made) for step in STEPS},
            "training": max(peaks, default=None),
        },
        "decoder_steps": round(mean(left), 2) if left else None,
        "less_found": [record["reasons"] for record in made],
        "unchanged": [record["unchanged"] for record in made],
    }


def main() -> None:
    """Scores, reads, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--ablations", type=Path, default=Path("runs/ablations"), help="folder of benchmarks/ablations.py"
    )
    parser.add_argument("--images", type=int, default=1600, help="training images compared in each epoch, at most")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    dataset = open_dataset(options.ablations / "world")
    record: dict[str, Any] = {
        "data": {"name": dataset.name, "checksum": dataset.checksum()},
        **made_with(),
    }
    record["runs"] = {}
    for name, folder in RUNS.items():
        run = options.ablations / "hcga" / folder
        scores = guidance_scores(guidance_files(run), dataset.train, dataset.root, images=options.images)
        record["runs"][name] = {"training": folder, "scores": scores, "steps": steps(run)}
    print(json.dumps(record, indent=1))
    if options.json:
        write(options.json, record)


if __name__ == "__main__":
    main()
