"""The generated tables of the pages: what benchmarks wrote is laid out as it should be, and what is not measured is said so."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from occlureid.transfer import matrix

ROOT = Path(__file__).parent.parent


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """docs/generate.py, reading records from ``tmp_path``."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


def write(folder: Path, name: str, record: Any) -> None:
    (folder / f"{name}.json").write_text(json.dumps(record))


def test_what_is_not_measured_yet_is_said(pages: ModuleType, tmp_path: Path) -> None:
    page = "Text.\n\n<!-- pseudo-labels: written by docs/generate.py -->\nold\n<!-- end -->\n\nMore.\n"
    filled = pages.generated(page)
    assert filled == page.replace("old", "*Not measured yet: pseudo_labels.json is not there.*")
    assert pages.generated(filled) == filled
    write(tmp_path, "pseudo_labels", {"runs": {}})
    assert "| trained in epoch |" in pages.generated(filled)


def score(epoch: int, foreground: float | None) -> dict[str, Any]:
    return {"epoch": epoch, "foreground_iou": foreground, "mean_part_iou": 0.25, "part_iou": [0.5, None, 0.0]}


def steps(seconds: float, decoder_steps: float | None) -> dict[str, Any]:
    names = ("features", "decoders", "labels", "training")
    return {
        "persons": 2,
        "images": 1600,
        "epochs": 4,
        "times_made": 2,
        "seconds": dict.fromkeys(names, seconds),
        "peak_bytes": {**dict.fromkeys(names, 3 * 2**20), "training": None},
        "decoder_steps": decoder_steps,
    }


def test_pseudo_labels_stand_beside_each_other_by_epoch(pages: ModuleType, tmp_path: Path) -> None:
    ours = {"scores": [score(1, 0.125), score(3, None)], "steps": steps(1.25, 15.5)}
    other = {"scores": [score(1, 1.0)], "steps": steps(2.5, None)}
    write(tmp_path, "pseudo_labels", {"runs": {"+HCNet": ours, "+ISP": other}})
    head, _, first, third = pages.pseudo_labels_table().splitlines()
    assert head.startswith("| trained in epoch | +HCNet: foreground | +HCNet: mean of the parts | +HCNet: head |")
    assert first == "| 1 | 12.5 | 25.0 | 50.0 | – | 0.0 | 100.0 | 25.0 | 50.0 | – | 0.0 |"
    assert third == "| 3 | – | 25.0 | 50.0 | – | 0.0 | – | – | – | – | – |"
    lines = pages.pseudo_label_steps_table().splitlines()
    assert lines[3] == "| co-parsing (+ISP: clustering) | 1.2 | 3 | 2.5 | 3 | 119 |"
    assert lines[5] == "| training of PRNet | 1.2 | – | 2.5 | – | 390 |"
    assert lines[-1] == (
        "+HCNet: 2 persons, 1,600 images, labels made 2 times in 4 epochs, 15.5 steps a decoder; "
        "+ISP: 2 persons, 1,600 images, labels made 2 times in 4 epochs."
    )


def row(train: str, name: str, recipe: str, gains: dict[str, tuple[float, float]]) -> dict[str, Any]:
    reference = not gains
    cells = {}
    for test in ("street", "crowd"):
        pair = gains.get(test)
        differences = (
            {
                key: {"measured": value, "interval": [value - 1, value + 1], "reported": None}
                for key, value in zip(("rank_1", "mAP"), pair, strict=True)
            }
            if pair
            else {}
        )
        measured = {"rank_1": 50.0, "mAP": 40.0}
        cells[test] = {
            "in_domain": train == test, "measured": measured, "reported": {}, "reason": "", "differences": differences
        }  # fmt: skip
    return {"train": train, "name": name, "recipe": recipe, "reference": reference, "cells": cells}


def test_the_matrix_is_counted_beside_the_papers(pages: ModuleType, tmp_path: Path) -> None:
    whole = "ablations/gasm/table4-pose-mask"
    rows = [
        row("street", "Baseline", "ablations/gasm/table4-baseline", {}),
        row("street", "Whole", whole, {"street": (2.0, 1.0), "crowd": (-4.0, 0.5)}),
        row("street+hall", "Baseline", "ablations/gasm/table4-baseline", {}),
        row("street+hall", "Whole", whole, {"street": (-1.0, 0.0), "crowd": (10.0, 1.5)}),
    ]
    looks = {"street": {"seed": 1, "obstacles": ["car", "bin"]}, "crowd": {"seed": 2, "tone": 0.5}}
    record = {"rows": rows, "looks": looks, "test_sets": {"street": {}, "crowd": {}}}
    write(tmp_path, "transfer", record)
    assert pages.transfer_table() == matrix(record).strip()
    ours, paper = pages.transfer_signs_table().splitlines()[2:]
    assert ours == "| Whole | 1 of 2 | +3.0 | +1.0 | 1 of 2 | +0.5 | +0.5 |"
    # Table 4: of three training sets two other big sets and the two occluded ones each, and the set itself
    assert paper.startswith("| – as the paper has it | 12 of 12 | +")
    assert " | 3 of 3 | +" in paper
    assert pages.transfer_looks_table().splitlines()[2:] == [
        "| `seed` | 1 | 2 |",
        "| `obstacles` | car, bin | all |",
        "| `tone` | 1.0 | 0.5 |",
    ]
