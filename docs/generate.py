"""Writes the generated tables into README.md and docs/results.md; with --check, only says whether they are current."""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from occlureid import ablation, transfer
from occlureid.benchmark import charts as benchmark_charts
from occlureid.benchmark import table as benchmark
from occlureid.cli.listing import methods_table
from occlureid.cli.models import models_table
from occlureid.cues.groupings import GROUPINGS, LABEL_SETS
from occlureid.data import LAYOUTS
from occlureid.runs import read_row
from occlureid.service.settings import ServiceSettings
from occlureid.synthetic import WorldSettings

DOCS = Path(__file__).parent
RESULTS = DOCS / "results"
PAGES = (
    DOCS.parent / "README.md",
    DOCS / "results.md",
    DOCS / "world.md",
    DOCS / "cues.md",
    DOCS / "scale.md",
    DOCS / "ablations.md",
    DOCS / "service.md",
    DOCS / "gallery.md",
    DOCS / "benchmark.md",
    DOCS / "models.md",
)


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
    record = json.loads((RESULTS / "occlusion.json").read_text(encoding="utf-8"))
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
    runs = json.loads((RESULTS / "occlusion.json").read_text(encoding="utf-8"))["runs"]
    shown = [name for name in ("pgfa", "pgfa, all parts taken as visible", "baseline") if name in runs]
    lines = [f"| obstacle | queries | {' | '.join(shown)} |", "| --- " * (len(shown) + 2) + "|"]
    for kind, (queries, *_) in runs[shown[0]]["by_obstacle"].items():
        cells = " | ".join(f"{100 * runs[name]['by_obstacle'][kind][1]:.1f}" for name in shown)
        lines.append(f"| {kind} | {queries} | {cells} |")
    return "\n".join(lines)


def cue_noise_table() -> str:
    """Rank-1 and mAP of PGFA by the fault of its landmarks, from the file of benchmarks/cue_noise.py."""
    record = json.loads((RESULTS / "cue_noise.json").read_text(encoding="utf-8"))
    rows = [("as an estimator reports them", record["estimated"]), ("exact", record["exact"])]
    rows += [(f"{fault}, {rate}", row) for fault, at in record["faults"].items() for rate, row in at.items()]
    lines = ["| landmarks | Rank-1 [95 % interval] | mAP, hits |", "| --- | --- | --- |"]
    for name, row in rows:
        rank = f"{100 * row['rank_1']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
        lines.append(f"| {name.replace('_', ' ')} | {rank} | {100 * row['mAP_hits']:.1f} |")
    return "\n".join(lines)


def render_table() -> str:
    """Images a second, from the file of benchmarks/render.py."""
    devices = json.loads((RESULTS / "render.json").read_text(encoding="utf-8"))["devices"]
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


def ablation_table(name: str) -> str:
    """What benchmarks/ablations.py measured of one method's tables, beside the paper's figures."""
    record = json.loads((RESULTS / f"ablation_{name}.json").read_text(encoding="utf-8"))
    return ablation.table(record).strip()


def pseudo_labels_table() -> str:
    """Overlap of the part labels with the true ones by epoch, from benchmarks/pseudo_labels.py: co-parsing beside clustering."""
    runs = _record("pseudo_labels")["runs"]
    parts = ("head", "upper body", "lower body")
    columns = [f"{name}: {what}" for name in runs for what in ("foreground", "mean of the parts", *parts)]
    lines = [f"| trained in epoch | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]
    by_epoch = [{score["epoch"]: score for score in run["scores"]} for run in runs.values()]
    for epoch in sorted({epoch for scores in by_epoch for epoch in scores}):
        cells = []
        for scores in by_epoch:
            found = scores.get(epoch)
            values = [found["foreground_iou"], found["mean_part_iou"], *found["part_iou"]] if found else [None] * 5
            cells += ["–" if value is None else f"{100 * value:.1f}" for value in values]
        lines.append(f"| {epoch} | {' | '.join(cells)} |")
    return "\n".join(lines)


PRINTED_SECONDS = {"features": 78, "decoders": 119, "training": 390}
"""Table XI of HCGA: seconds an epoch on Occluded-Duke."""


def pseudo_label_steps_table() -> str:
    """Time and memory of each step of an epoch, from benchmarks/pseudo_labels.py, beside HCGA's Table XI."""
    runs = _record("pseudo_labels")["runs"]
    steps = {
        "features": "features of all images",
        "decoders": "co-parsing (+ISP: clustering)",
        "labels": "labels put together",
        "training": "training of PRNet",
    }
    head = [text for name in runs for text in (f"{name}: seconds", f"{name}: peak MiB")]
    lines = [f"| step | {' | '.join(head)} | paper, +HCNet: seconds |", "| --- " * (len(head) + 2) + "|"]
    for step, about in steps.items():
        cells = []
        for run in runs.values():
            peak = run["steps"]["peak_bytes"][step]
            cells += [f"{run['steps']['seconds'][step]:.1f}", "–" if peak is None else f"{peak / 2**20:,.0f}"]
        lines.append(f"| {about} | {' | '.join(cells)} | {PRINTED_SECONDS.get(step, '–')} |")
    about = [
        f"{name}: {run['steps']['persons']} persons, {run['steps']['images']:,} images, labels made "
        f"{run['steps']['times_made']} times in {run['steps']['epochs']} epochs"
        + (f", {run['steps']['decoder_steps']:.1f} steps a decoder" if run["steps"]["decoder_steps"] else "")
        for name, run in runs.items()
    ]
    return "\n".join([*lines, "", "; ".join(about) + "."])


def transfer_table() -> str:
    """What benchmarks/transfer.py measured: training sets and rows down, test sets across."""
    return transfer.matrix(_record("transfer")).strip()


def transfer_looks_table() -> str:
    """What the worlds of benchmarks/transfer.py differ in."""
    looks = _record("transfer")["looks"]
    names = list(dict.fromkeys(key for look in looks.values() for key in look))
    defaults = WorldSettings().to_dict()
    lines = [f"| setting | {' | '.join(looks)} |", "| --- " * (len(looks) + 1) + "|"]
    for name in names:
        values = [look.get(name, defaults[name]) for look in looks.values()]
        texts = [
            ", ".join(map(str, v)) if isinstance(v, list) and len(v) < 12 else "all" if isinstance(v, list) else str(v)
            for v in values
        ]
        lines.append(f"| `{name}` | {' | '.join(texts)} |")
    return "\n".join(lines)


def transfer_signs_table() -> str:
    """In how many cells of the matrix a row is above the baseline, here and in the paper's Table 4, and by how much."""
    record = _record("transfer")
    printed = {
        name: read_row(f"ablations/gasm/table4-{name}").printed.transferred
        for name in ("baseline", "mask", "pose", "pose-mask")
    }
    lines = [
        "| row, less the baseline | across sets: above it | Rank-1 | mAP | within sets: above it | Rank-1 | mAP |",
        "| --- " * 7 + "|",
    ]
    for row in dict.fromkeys((row["name"], row["recipe"]) for row in record["rows"] if not row["reference"]):
        name, recipe = row
        cells = [
            (cell["in_domain"] or test in each["train"].split("+"), cell["differences"])
            for each in record["rows"]
            if each["recipe"] == recipe
            for test, cell in each["cells"].items()
            if cell["differences"]
        ]
        here = [(inside, [found[key]["measured"] for key in ("rank_1", "mAP")]) for inside, found in cells]
        lines.append(f"| {name} | {' | '.join(_gains(here, inside) for inside in (False, True))} |")
        short = recipe.rpartition("table4-")[2]
        if short in printed:
            there = [
                (source == test, [figures[key] - printed["baseline"][source][test][key] for key in ("rank_1", "mAP")])
                for source, tests in printed[short].items()
                for test, figures in tests.items()
            ]
            lines.append(f"| – as the paper has it | {' | '.join(_gains(there, inside) for inside in (False, True))} |")
    return "\n".join(lines)


def _gains(differences: list[tuple[bool, list[float]]], inside: bool) -> str:
    """Cells of one kind whose Rank-1 is above the baseline's, and the mean differences of Rank-1 and mAP."""
    values = [both for is_inside, both in differences if is_inside == inside]
    if not values:
        return "– | – | –"
    means = [sum(column) / len(values) for column in zip(*values, strict=True)]
    return f"{sum(rank > 0 for rank, _ in values)} of {len(values)} | {means[0]:+.1f} | {means[1]:+.1f}"


def search_table() -> str:
    """What benchmarks/search.py measured, one column a size."""
    records = [
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in ("search", "search_million")
    ]
    rows = [
        ("a search, median ms", lambda r: f"{r['search, p50 ms']:.0f}"),
        ("the bare product, median ms", lambda r: f"{r['bare product by a column, p50 ms']:.0f}"),
        ("search as a multiple of the product", lambda r: f"{r['search, x product']:.2f}"),
        ("one camera of 20, median ms", lambda r: f"{r['search, 1 of 20 cameras, p50 ms']:.0f}"),
        ("32 queries at once, ms a query", lambda r: f"{r['search of 32 at once, ms a query']:.1f}"),
        ("recall@10 of bfloat16 alone", lambda r: f"{r['recall@10 of bfloat16 alone']:.2f}"),
        ("recall@10 of the search", lambda r: f"{r['recall@10 of the search']:.2f}"),
        ("seconds to load", lambda r: f"{r['seconds to load']:.1f}"),
        ("bytes held an item", lambda r: f"{r['held bytes an item']:,.0f}"),
        ("peak memory of the process, GiB", lambda r: f"{r['peak GiB of the process']:.2f}"),
    ]
    lines = ["| | " + " | ".join(f"{r['items']:,} items" for r in records) + " |", "| --- | --- | --- |"]
    lines += [f"| {name} | {' | '.join(cell(r) for r in records)} |" for name, cell in rows]
    return "\n".join(lines)


def spatial_table() -> str:
    """What benchmarks/spatial.py measured of matching by local vectors."""
    record = json.loads((RESULTS / "spatial.json").read_text(encoding="utf-8"))
    lines = [
        "| local vectors | seconds | of the bare product's rate | times as fast as a loop | MiB beside the output |",
        "| --- " * 5 + "|",
    ]
    for name, row in record.items():
        if isinstance(row, dict):
            cells = (
                f"{row['seconds']['kernel']:.2f}",
                f"{row['rate_of_product']:.2f}",
                f"{row['times_as_fast_as_loop']:.1f}",
                f"{row['peak_MiB_beside_output']:.0f}",
            )
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def coparsing_table() -> str:
    """What benchmarks/coparsing.py measured, and what it extrapolated to an epoch."""
    record = json.loads((RESULTS / "coparsing.json").read_text(encoding="utf-8"))
    steps = record["steps_until_few_labels"]
    lines = [
        f"| decoders | ms a step and person | times as fast | an epoch of 32 steps | of {steps:.1f} steps | peak MiB |",
        "| --- " * 6 + "|",
    ]
    for name, row in record.items():
        if isinstance(row, dict):
            peak = "" if row["peak_MiB"] is None else f"{row['peak_MiB']:.0f}"
            lines.append(
                f"| {name} | {1000 * row['seconds_a_step_and_person']:.0f} | {row['faster']:.2f} | "
                f"{row['extrapolated_epoch_32_steps_seconds']:,.0f} s | "
                f"{row['extrapolated_epoch_usual_steps_seconds']:,.0f} s | {peak} |"
            )
    return "\n".join(lines)


def global_vector_table() -> str:
    """What benchmarks/global_vector.py measured: one training, four ways of asking."""
    found = json.loads((RESULTS / "global_vector.json").read_text(encoding="utf-8"))["rank_1"]
    lines = ["| asked for | by the protocol | among other cameras' images only |", "| --- | --- | --- |"]
    lines += [
        f"| {name} | {100 * row['protocol']:.1f} | {100 * row['other cameras']:.1f} |" for name, row in found.items()
    ]
    return "\n".join(lines)


def parser_table() -> str:
    """The human parser's figures on the test split, from benchmarks/ablations.py."""
    scores = json.loads((RESULTS / "parser.json").read_text(encoding="utf-8"))["scores"]
    names = list(scores["iou"])
    header = ["images", "pixel accuracy", "mean IoU", *(name.replace("_", " ") for name in names)]
    values = (scores["pixel_accuracy"], scores["mean_iou"], *(scores["iou"][name] for name in names))
    cells = [f"{scores['images']:,}", *(f"{100 * value:.1f}" for value in values)]
    return "\n".join([f"| {' | '.join(header)} |", "| --- " * len(header) + "|", f"| {' | '.join(cells)} |"])


def world_table() -> str:
    """The settings of the rendered world."""
    lines = ["| setting | default | what it does |", "| --- | --- | --- |"]
    for name, default, text in WorldSettings.describe_fields():
        lines.append(f"| `{name}` | `{default}` | {text.replace('|', '/')} |")
    return "\n".join(lines)


def routes_table() -> str:
    """The service's routes, as the head of its application lists them: a test holds that list against the application.

    The file is read and not imported: the tables are made without the extra ``serve`` too.
    """
    source = DOCS.parent / "src" / "occlureid" / "service" / "app.py"
    head = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    title, *rows = head.split("::\n\n")[1].split("\n\n")[0].splitlines()
    names = ("role", "method", "path", "request", "answer")
    starts = [title.index(name) for name in names]
    lines = [f"| {' | '.join(names)} |", "| --- " * len(names) + "|"]
    for row in rows:
        if any(row[start - 1 : start].strip() for start in starts[1:]):
            raise ValueError(f"{source.name}: a text runs into the next column of the list of routes: {row.strip()}")
        role, method, path, *rest = (row[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True))
        lines.append(
            f"| {role} | {method} | {', '.join(f'`{one}`' for one in path.split(', '))} | {' | '.join(rest)} |"
        )
    return "\n".join(lines)


def service_table() -> str:
    """The bounds of the service."""
    lines = ["| setting | default | what it bounds |", "| --- | --- | --- |"]
    for name, default, text in ServiceSettings.describe_fields():
        lines.append(
            f"| `{name}` | {int(default):,} | {text} |" if default.isdigit() else f"| `{name}` | {default} | {text} |"
        )
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


def _record(name: str) -> dict[str, Any]:
    """What a benchmark wrote."""
    record: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return record


def _scale() -> dict[str, Any]:
    return _record("scale")


def scale_constants_table() -> str:
    """What benchmarks/scale.py measured."""
    record = _scale()
    machine, measured = record["machine"], record["measured"]
    lines = ["| measured | |", "| --- | --- |"]
    lines += [f"| {name} | {value:,.4g} |" for name, value in measured.items() if isinstance(value, int | float)]
    low, high = measured["spread"][0], measured["spread"][-1]
    lines.append(f"| times of a scan beside their median | {low} to {high} |")
    about = (
        f"{machine['processor']}, {machine['cores']} processors, torch {machine['torch']}, load {machine['load']:.1f}"
    )
    return "\n".join([*lines, f"| machine | {about} |"])


def scale_table() -> str:
    """What benchmarks/scale.py computed from that."""
    head = (
        "items",
        "nodes",
        "GiB a node",
        "held",
        "reload, min",
        "kB a query",
        "p50, ms",
        "p99, ms",
        "queries/s",
    )
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for row in _scale()["computed"]:
        cells = [f"{row['items']:,}", row["nodes"], f"{row['gib_a_node']:,.0f}", row["kept"]]
        cells += [f"{row['reload_minutes']:.1f}", f"{row['kilobytes_a_query']:,.0f}"]
        numbers = ("p50_ms", "p99_ms", "queries_a_second")
        cells += [f"{row[name]:,.3g}" if name in row else "–" for name in numbers]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def benchmark_part(*parts: Callable[[dict[str, Any]], str]) -> str:
    """Parts of what "occlureid benchmark --docs" wrote; a sentence until it has."""
    path = RESULTS / "benchmark.json"
    if not path.is_file():
        return "Not measured yet."
    record = json.loads(path.read_text(encoding="utf-8"))
    return "\n\n".join(text for part in parts if (text := part(record)))


def benchmark_images(record: dict[str, Any], *starts: str) -> str:
    """Links to the benchmark's charts whose names start so."""
    names = [name for name in benchmark_charts.charts(record) if name.startswith(starts)]
    return "\n\n".join(
        f"![{benchmark_charts.TITLES[name.partition('_')[0]]}](images/benchmark_{name}.svg)" for name in names
    )


def weights_tried_table() -> str:
    """What was compared before the shipped embedder was trained, on the worlds to choose by."""
    tried = record_of("weights_tried")["tried"]
    worlds = list(next(iter(tried.values()))["scores"])
    lines = [
        f"| | {' | '.join(f'Rank-1, {w} | mAP, {w} | by the global vector, {w}' for w in worlds)} |",
        "| --- " * (1 + 3 * len(worlds)) + "|",
    ]
    for name, row in tried.items():
        keys = ("rank_1", "mAP", "global_rank_1")
        cells = " | ".join(f"{100 * row['scores'][w][key]:.1f}" for w in worlds for key in keys)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def weights_stages_table() -> str:
    """The stages of the shipped embedder, each scored on the worlds to choose by; per cent."""
    lines = []
    for name, stage in record_of("weights_embedder")["stages"].items():
        train, (height, width) = stage["settings"]["train"], stage["settings"]["model"]["size"]
        times = f"{train['epochs']} {'pass' if train['epochs'] == 1 else 'passes'}"
        passes = f"{times} over {stage['images']:,} images, {height} x {width}"
        scores = stage["scores"]
        if not lines:
            lines = [
                f"| stage | | {' | '.join(f'Rank-1, {w} | mAP, {w}' for w in scores)} |",
                "| --- " * (2 + 2 * len(scores)) + "|",
            ]
        cells = " | ".join(f"{100 * each[key]:.1f}" for each in scores.values() for key in ("rank_1", "mAP"))
        lines.append(f"| {name} | {passes} | {cells} |")
    return "\n".join(lines)


RULES = {
    "": "stripes of which both show 5 %",
    "papers_": "stripes of which both show 15 %, as printed",
    "all_visible_": "every stripe taken as visible",
    "true_visibility_": "stripes of which both truly show 5 %",
    "global_": "the global vector alone",
}
"""The rules by which the default embedder is scored, by the prefix of their figures."""


def weights_rules_table() -> str:
    """The shipped embedder by several rules, and how its visibilities go with the truth."""
    scores = record_of("weights_embedder")["stages"]["embedder-2"]["scores"]
    lines = [
        f"| rule | {' | '.join(f'Rank-1, {w} | mAP, {w}' for w in scores)} |",
        "| --- " * (1 + 2 * len(scores)) + "|",
    ]
    for prefix, name in RULES.items():
        figures = [f"{100 * each[prefix + key]:.1f}" for each in scores.values() for key in ("rank_1", "mAP")]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    found = " and ".join(f"{each['visibility_correlation']:.2f} ({world})" for world, each in scores.items())
    return "\n".join(
        [
            *lines,
            "",
            f"Correlation of the visibilities found with the true ones, over all stripes of all queries: {found}.",
        ]
    )


def record_of(name: str) -> dict[str, Any]:
    """A record that a benchmark wrote."""
    record: dict[str, Any] = json.loads((DOCS / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return record


TABLES = {
    "models": lambda: models_table(markdown=True),
    "weights-tried": weights_tried_table,
    "weights-stages": weights_stages_table,
    "weights-rules": weights_rules_table,
    "benchmark-world": partial(benchmark_part, benchmark.world_sentence),
    "benchmark": partial(benchmark_part, benchmark.main_table),
    "benchmark-visible": partial(
        benchmark_part, lambda r: benchmark_images(r, "visible"), lambda r: benchmark.group_table(r, "visible")
    ),
    "benchmark-kinds": partial(
        benchmark_part,
        lambda r: benchmark_images(r, "kinds"),
        lambda r: benchmark.group_table(r, "obstacle"),
        lambda r: benchmark.group_table(r, "second person"),
        lambda r: benchmark.group_table(r, "truncation"),
        lambda r: benchmark.group_table(r, "box"),
        lambda r: benchmark.group_table(r, "obstacle and visible"),
    ),
    "benchmark-differences": partial(benchmark_part, benchmark.difference_table, benchmark.rule_table),
    "benchmark-noise": partial(benchmark_part, lambda r: benchmark_images(r, "noise"), benchmark.noise_table),
    "benchmark-rates": partial(benchmark_part, benchmark.rate_table),
    "scale-constants": scale_constants_table,
    "scale": scale_table,
    "methods": lambda: methods_table(markdown=True),
    "datasets": datasets_table,
    "occlusion": occlusion_table,
    "obstacles": obstacles_table,
    "cue-noise": cue_noise_table,
    "render": render_table,
    "world": world_table,
    "parser": parser_table,
    "global-vector": global_vector_table,
    "spatial": spatial_table,
    "coparsing": coparsing_table,
    "search": search_table,
    "ablation-sgam": partial(ablation_table, "sgam"),
    "ablation-sorn": partial(ablation_table, "sorn"),
    "ablation-sorn-literal": partial(ablation_table, "sorn-literal"),
    "ablation-pgfa": partial(ablation_table, "pgfa"),
    "ablation-gasm": partial(ablation_table, "gasm"),
    "ablation-gasm-guided": partial(ablation_table, "gasm-guided"),
    "ablation-hcga": partial(ablation_table, "hcga"),
    "pseudo-labels": pseudo_labels_table,
    "pseudo-label-steps": pseudo_label_steps_table,
    "transfer": transfer_table,
    "transfer-looks": transfer_looks_table,
    "transfer-signs": transfer_signs_table,
    "routes": routes_table,
    "service": service_table,
    "labels": labels_table,
    "groupings": groupings_table,
}


def generated(text: str) -> str:
    """A page with its marked blocks filled in."""
    for name, table in TABLES.items():
        pattern = rf"(<!-- {name}: [^\n]* -->\n).*?(<!-- end -->)"
        if re.search(pattern, text, flags=re.S):
            try:
                filled = table()
            except FileNotFoundError as error:  # a benchmark that is still to be run: its page says so
                filled = f"*Not measured yet: {Path(error.filename).name} is not there.*"
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
