"""``results.json``, ``benchmark.md`` and the charts, made from whatever pieces are there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from occlureid import methods
from occlureid.arithmetic import processor
from occlureid.benchmark.charts import charts
from occlureid.benchmark.fixed import FixedWorld
from occlureid.benchmark.pieces import Piece, Pieces, replace_text, write_json
from occlureid.benchmark.rates import measure_rates
from occlureid.benchmark.settings import METHODS, BenchmarkSettings
from occlureid.benchmark.summary import Entry, Resampling, differences, entry_record, noise_record
from occlureid.benchmark.table import page
from occlureid.described import versions

__all__ = ["put_into_docs", "update_rates", "write_result"]


def write_result(
    folder: Path, settings: BenchmarkSettings, world: FixedWorld, pieces: Pieces, device: str
) -> dict[str, Any]:
    """Writes the result of all pieces that are there; to be called under the folder's lock.

    Args:
        folder: of the benchmark.
        settings: of it.
        world: of it.
        pieces: of it.
        device: where it was measured.

    Returns:
        What ``results.json`` holds.
    """
    query = world.dataset.query
    groups = world.groups
    resampling = Resampling([sample.person for sample in query], settings.resamples)
    entries = _entries(pieces)
    counts = world.dataset.counts()
    record = {
        "benchmark": {
            "settings": settings.to_dict() | {"every": _without_path(settings.every)},
            "versions": versions(),
            "device": device,
            "processor": processor(device),
            "interval": "95 %, percentile bootstrap of the mean over seeds, resampling test persons with all their queries",
            "spread": "standard deviation of the means of the single trainings",
        },
        "world": {
            "truth": world.truth,
            "images": world.images,
            "known": world.known,
            "sentence": world.sentence(),
            "test_persons": counts.query_persons,
            "train_persons": counts.train_persons,
            "cameras": settings.world.cameras,
            "train_images": counts.train_images,
            "queries": counts.query_images,
            "gallery_images": counts.gallery_images,
        },
        "groups": {axis: {name: int(rows.sum()) for name, rows in named.items()} for axis, named in groups.items()},
        "entries": {name: entry_record(entry, groups, resampling) for name, entry in entries.items()},
        "differences": differences(entries, groups, resampling),
        "noise": {
            name: noise_record(entries[name], found, resampling)
            for name in METHODS
            if name in entries and (found := _spoiled(pieces, entries[name]))
        },
        "rates": _known_rates(folder),
    }
    write_json(folder / "results.json", record)
    replace_text(folder / "benchmark.md", page(record))
    for name, svg in charts(record).items():
        replace_text(folder / f"{name}.svg", svg + "\n")
    return record


def update_rates(
    folder: Path, settings: BenchmarkSettings, world: FixedWorld, pieces: Pieces, device: str
) -> dict[str, Any] | None:
    """Measures the rates of all methods that have a training, in turn, unless ``rates.json`` has just these, so measured.

    To be called under the folder's lock.

    Args:
        folder: of the benchmark.
        settings: of it.
        world: of it.
        pieces: of it.
        device: where methods describe.

    Returns:
        The rates, or None where nothing is trained yet.
    """
    entries = {name: entry for name, entry in _entries(pieces).items() if entry.kind == "method"}
    known = _known_rates(folder)
    if known is not None and known["methods"].keys() == entries.keys():
        batch = min(settings.rate_batch, len(world.dataset.gallery))
        if (known.get("batch"), known.get("rounds")) == (batch, settings.rate_rounds):
            return known
    if not entries:
        return None
    restored = {
        name: methods.restore(folder / f"{name}-{entry.seeds[0]}" / "weights.safetensors")
        for name, entry in entries.items()
    }
    rates = measure_rates(
        restored,
        world.dataset,
        batch=settings.rate_batch,
        rounds=settings.rate_rounds,
        reference=METHODS[0],
        device=device,
    )
    write_json(folder / "rates.json", rates)
    return rates


def put_into_docs(folder: Path, docs: Path) -> list[Path]:
    """Copies the record to ``results/benchmark.json`` of a folder of docs, and the charts to ``images/benchmark_*.svg``.

    Returns:
        The files written.
    """
    record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    written = [docs / "results" / "benchmark.json"]
    written[0].parent.mkdir(parents=True, exist_ok=True)
    write_json(written[0], record)
    for name, svg in charts(record).items():
        path = docs / "images" / f"benchmark_{name}.svg"
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, svg + "\n")
        written.append(path)
    return written


def _entries(pieces: Pieces) -> dict[str, Entry]:
    """The methods in their order, then what came from elsewhere."""
    found: dict[str, Entry] = {}
    for name in METHODS:
        trained = [piece for piece in _read(pieces, f"{name}-") if piece.about.get("method") == name]
        trained.sort(key=lambda piece: int(piece.about["seed"]))
        if trained:
            seeds = tuple(int(piece.about["seed"]) for piece in trained)
            found[name] = Entry(name, "method", seeds, tuple(piece.rules for piece in trained), _about(trained[0]))
    for piece in _read(pieces, "other-"):
        about = _about(piece) | {key: piece.about[key] for key in ("file", "sha256") if key in piece.about}
        found[piece.about["name"]] = Entry(piece.about["name"], piece.about["kind"], (), (piece.rules,), about)
    return found


def _about(piece: Piece) -> dict[str, Any]:
    return {"rule": piece.about["rule"]}


def _spoiled(pieces: Pieces, clean: Entry) -> dict[str, dict[float, Entry]]:
    """By fault and rate; trainings that are not in the clean entry are left out."""
    found: dict[str, dict[float, list[Piece]]] = {}
    for piece in _read(pieces, f"noise-{clean.name}-"):
        if piece.about["seed"] in clean.seeds:
            found.setdefault(piece.about["fault"], {}).setdefault(float(piece.about["rate"]), []).append(piece)
    return {fault: {rate: _joined(clean.name, some) for rate, some in at.items()} for fault, at in found.items()}


def _joined(name: str, some: Sequence[Piece]) -> Entry:
    ordered = sorted(some, key=lambda piece: int(piece.about["seed"]))
    return Entry(name, "method", tuple(int(p.about["seed"]) for p in ordered), tuple(p.rules for p in ordered))


def _read(pieces: Pieces, prefix: str) -> list[Piece]:
    """The pieces whose names start so."""
    return [piece for name in pieces.names(prefix) if (piece := pieces.read(name)) is not None]


def _known_rates(folder: Path) -> dict[str, Any] | None:
    try:
        rates = json.loads((folder / "rates.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return rates if isinstance(rates, dict) and isinstance(rates.get("methods"), dict) else None


def _without_path(every: dict[str, Any]) -> dict[str, Any]:
    """The settings of all trainings, the first weights by the name of their file: no record names folders of a machine."""
    weights = every.get("initial_weights")
    return {**every, **({"initial_weights": Path(weights).name} if isinstance(weights, str) else {})}
