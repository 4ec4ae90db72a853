"""The script that makes the shipped weights, run whole on worlds of a few people."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from occlureid import methods
from occlureid.config import merge

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "weights.py"

LITTLE: dict[str, Any] = {"epochs": 1, "batch_size": 8, "workers": 0, "paste_sprites": 2, "background_pictures": 2}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with everything made small."""
    spec = importlib.util.spec_from_file_location("occlureid_weights_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)

    def small(recipe: dict[str, Any]) -> dict[str, Any]:
        height, width = recipe["model"]["size"]
        return merge(recipe, {"model": {"size": [height * 2 // 5, width * 2 // 5]}, "train": LITTLE})

    few = {"cameras": 2, "train_persons": 5, "test_persons": 3}
    large, worlds, judged = [dict(list(each.items())[:2]) for each in (module.LARGE, module.SMALL, module.CHOSEN_BY)]
    all_worlds = {name: {**settings, **few} for name, settings in {**large, **worlds, **judged}.items()}
    for name, value in {
        "WORLDS": all_worlds,
        "LARGE": large,
        "SMALL": worlds,
        "CHOSEN_BY": judged,
        "ENCODER": small(module.ENCODER),
        "TRIED": {name: (small(recipe), tuple(worlds)[:1]) for name, (recipe, _) in list(module.TRIED.items())[2:]},
        "STAGES": {name: (small(recipe), tuple(worlds)[: len(of)]) for name, (recipe, of) in module.STAGES.items()},
        "PARSER": merge(module.PARSER, {"train": LITTLE}),
        "LANDMARKS": merge(module.LANDMARKS, {"train": LITTLE}),
    }.items():
        assert hasattr(module, name)
        monkeypatch.setattr(module, name, value)
    return module


def test_every_part_of_the_script_runs_and_names_no_place(script: ModuleType, tmp_path: Path) -> None:
    out, records = tmp_path / "out", tmp_path / "records"
    parts = list(script.PARTS)
    assert parts[:2] == ["worlds", "encoder"]
    script.main([*parts, "--out", str(out), "--json", str(records)])
    stages = json.loads((records / "weights_embedder.json").read_text(encoding="utf-8"))["stages"]
    assert list(stages) == list(script.STAGES)
    for stage in stages.values():
        for scores in stage["scores"].values():
            assert 0 <= scores["true_visibility_mAP"] <= 1
            assert -1 <= scores.get("visibility_correlation", 0) <= 1
    for name in ("tried", "parser", "landmarks"):
        assert str(tmp_path) not in (records / f"weights_{name}.json").read_text(encoding="utf-8")
    shipped = out / list(script.STAGES)[-1] / "weights.safetensors"
    assert methods.restore(shipped).provenance["initial_weights"] == "embedder-2/weights.safetensors"
    assert str(tmp_path).encode() not in shipped.read_bytes()
