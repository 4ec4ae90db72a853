"""The script that compares what trained tests say: margins by hand, and a run of one test."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "margins.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("occlureid_margins_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_margins_by_hand(script: ModuleType) -> None:
    rows = script.margins(
        {
            ("a", "Rank-1 > 8"): [12.0, 16.0, 14.0],  # 4 from the bound, and 4 from the best
            ("b", "loss, of its first value < 0.5"): [0.4, 0.2],
            ("c", "share < 0.25"): [0.25, 0.5],
            ("d", "alike > 0"): [1.0, 1.0],
        }
    )
    assert [(row["test"], row["margin"]) for row in rows] == [
        ("c", -1.0), ("b", pytest.approx(0.5)), ("a", 1.0), ("d", math.inf),
    ]  # fmt: skip
    assert (rows[2]["figure"], rows[2]["worst"], rows[2]["best"], rows[2]["values"]) == ("Rank-1", 12.0, 16.0, 3)


def test_a_test_tells_its_figures_and_follows_the_seed(script: ModuleType) -> None:
    test = "tests/test_landmarks.py::test_the_head_can_combine_the_side_with_the_view"
    told = [script.run([test], {"OCCLUREID_TEST_SEED": seed}) for seed in ("1", "2")]
    assert all(failed == [] for _, failed in told)
    (one, other) = (figures for figures, _ in told)
    assert [(name, value.split(" ", 1)[1]) for _, name, value in one] == [("loss", "< 0.1")]
    assert one != other
