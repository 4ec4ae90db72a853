"""By how much the tests hold that train and then ask for a figure: run with other seeds, threads and instruction sets.

Every test marked ``trained`` runs in every combination, each in a process of its own; the worst value of each figure is set
against its bound and against the spread of all runs. A margin of 1 says: the worst run is as far from the bound as it is from the
best run; below that a figure is marked, and its test needs a clearer set-up. Half an hour on two cores.

    python benchmarks/margins.py --seeds 0 1 2 --threads 1 2 --json margins.json
    python benchmarks/margins.py tests/test_parser.py --instructions own --arithmetic float32 bfloat16
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]

INSTRUCTIONS = {
    "own": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}
"""What the environment of a run says of instructions: those of this processor, or what a processor without AVX-512 has."""

Values = dict[tuple[str, str], list[float]]
"""By test and figure with its bound, the value of each run that came so far."""


def run(tests: list[str], environment: dict[str, str]) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Figures of one run, as (test, name, "value < bound"), and the tests that failed.

    Raises:
        SystemExit: pytest ran no test.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        written = ["-o", "junit_family=xunit1", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", "-q", "-m", "trained", "-p", "no:cacheprovider", *written, *tests]
        setting = {**os.environ, **environment}
        ended = subprocess.run(command, cwd=ROOT, env=setting, capture_output=True, text=True, check=False)
        if ended.returncode not in (0, 1):
            raise SystemExit(f"pytest ended with {ended.returncode}\n{ended.stdout}{ended.stderr}")
        cases = list(ElementTree.parse(report).iter("testcase"))
    figures, failed = [], []
    for case in cases:
        test = f"{case.get('classname')}.{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(test)
        figures += [(test, str(p.get("name")), str(p.get("value"))) for p in case.iter("property")]
    return figures, failed


def margins(values: Values) -> list[dict[str, Any]]:
    """Of each figure the worst and best value, and how many times the spread of all runs lies between worst and bound."""
    rows = []
    for (test, name), seen in values.items():
        figure, side, bound = name.rsplit(" ", 2)
        worst, best = (min(seen), max(seen)) if side == ">" else (max(seen), min(seen))
        room = worst - float(bound) if side == ">" else float(bound) - worst
        spread = abs(best - worst)
        margin = room / spread if spread else math.copysign(math.inf, room)
        rows.append(
            {"test": test, "figure": figure, "side": side, "bound": float(bound), "worst": worst, "best": best,
             "values": len(seen), "margin": margin}
        )  # fmt: skip
    return sorted(rows, key=lambda row: row["margin"])


def main() -> None:
    """Runs, prints the thinnest margin first, and ends with 1 where a test failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs="*", default=["tests"], help="files or tests")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--instructions", nargs="+", choices=list(INSTRUCTIONS), default=list(INSTRUCTIONS))
    parser.add_argument(
        "--arithmetic", nargs="+", choices=["float32", "bfloat16"], default=["float32"], help='for "auto"'
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    values: Values = defaultdict(list)
    failures: list[str] = []
    combinations = itertools.product(options.instructions, options.arithmetic, options.threads, options.seeds)
    for instructions, arithmetic, threads, seed in combinations:
        setting = {
            "OCCLUREID_ARITHMETIC": arithmetic,
            "OCCLUREID_TEST_THREADS": str(threads),
            "OCCLUREID_TEST_SEED": str(seed),
            "OMP_NUM_THREADS": str(threads),
            **INSTRUCTIONS[instructions],
        }
        figures, failed = run(options.tests, setting)
        for test, name, value in figures:
            number, bound = value.split(" ", 1)
            values[test, f"{name} {bound}"].append(float(number))
        where = f"{instructions}, {arithmetic}, {threads} threads, seed {seed}"
        failures += [f"{test} ({where})" for test in failed]
        print(f"{where}: {len(figures)} figures, {len(failed)} tests failed", flush=True)

    rows = margins(values)
    for row in rows:
        mark = "  thin" if row["margin"] < 1 else ""
        seen = f"worst {row['worst']:.3g} of {row['values']}, best {row['best']:.3g}, bound {row['side']} {row['bound']:.3g}"
        print(f"{row['margin']:8.2f}  {row['test']}: {row['figure']}: {seen}{mark}")
    if options.json:
        finite = [
            row | {"margin": row["margin"] if math.isfinite(row["margin"]) else None} for row in rows
        ]  # None: no spread
        options.json.write_text(json.dumps({"figures": finite, "failed": failures}, indent=1) + "\n", encoding="utf-8")
    if failures:
        raise SystemExit("failed:\n  " + "\n  ".join(failures))


if __name__ == "__main__":
    main()
