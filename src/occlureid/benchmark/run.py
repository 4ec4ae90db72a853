"""The benchmark: every method trained alike and measured on one fixed world, piece by piece, in any number of processes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from occlureid import methods
from occlureid.arithmetic import train_precision
from occlureid.benchmark.external import read_descriptors
from occlureid.benchmark.fixed import FixedWorld, fixed_world
from occlureid.benchmark.measure import measure, variants
from occlureid.benchmark.pieces import Piece, Pieces, check_name
from occlureid.benchmark.result import update_rates, write_result
from occlureid.benchmark.settings import METHODS, BenchmarkSettings
from occlureid.config import merge
from occlureid.cues import CueSettings
from occlureid.described import Described, describe_dataset
from occlureid.errors import BusyError, MissingWeightsError, UsageError
from occlureid.gallery.lock import only_writer
from occlureid.runs import train
from occlureid.zoo.catalogue import model_names, read_record

__all__ = ["Benchmark", "open_benchmark"]

_log = logging.getLogger(__name__)

Bar = Callable[[str], Callable[[int, int], None]]
"""Makes a progress bar, a function of (done, of), from a label."""

_PATIENCE = 3600.0
"""Seconds to wait for another process that renders the world or writes the result."""


@dataclass(frozen=True)
class Benchmark:
    """A folder in which the benchmark is made.

    Attributes:
        folder: the folder.
        settings: of the benchmark.
        world: its world.
        pieces: what has been measured.
        device: where images are described, and methods trained.
        bar: makes progress bars; without it nothing is drawn.
    """

    folder: Path
    settings: BenchmarkSettings
    world: FixedWorld
    pieces: Pieces
    device: str = "cpu"
    bar: Bar | None = None

    def run(self, trainings: Iterable[tuple[str, int]]) -> list[str]:
        """Trains and measures methods, in the order given; then their sensitivity to cue noise; then rates.

        What is there is not made again, and a training that was killed goes on from its checkpoint. What another process is
        making is left to it.

        Args:
            trainings: pairs of one of ``METHODS`` and a seed.

        Returns:
            What was left to other processes, as "METHOD-SEED".

        Raises:
            UsageError: there is no such method.
            MissingWeightsError: the first weights cannot be had.
            SettingsError, DataError, DivergedError: as ``train``.
        """
        pairs = list(dict.fromkeys(trainings))
        if unknown := sorted({name for name, _ in pairs} - set(METHODS)):
            raise UsageError(f"the benchmark has the methods {', '.join(METHODS)}; got {', '.join(unknown)}")
        left = [label for name, seed in pairs if (label := self._training(name, seed))]
        noisy = [(name, seed) for name, seed in pairs if seed in self.settings.noise_seeds]
        left += [label for name, seed in noisy if (label := self._noise(name, seed))]
        with only_writer(self.folder, _PATIENCE):
            update_rates(self.folder, self.settings, self.world, self.pieces, self.device)
        self.summarise()
        return sorted(set(left))

    def _training(self, name: str, seed: int) -> str | None:
        """Trains and measures one method; returns a label where another process is at it."""
        label, folder = f"{name}-{seed}", self.folder / f"{name}-{seed}"
        if self.pieces.read(label) is not None:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with only_writer(folder, 0.0):
                if self.pieces.read(label) is None:
                    layers = self.settings.layers(name, seed, self.device)
                    train(self.world.dataset, folder, name, *layers, resume=True, progress=self.bar is not None)
                    method = methods.restore(folder / "weights.safetensors")
                    self._write(label, self._describe(method, label), {"method": name, "seed": seed})
        except BusyError:
            return label
        self.summarise()
        return None

    def _noise(self, name: str, seed: int) -> str | None:
        """Measures one method with spoiled cues; returns a label where another process is at it."""
        label, folder = f"{name}-{seed}", self.folder / f"{name}-{seed}"
        if self.pieces.read(label) is None:
            return label
        method = methods.restore(folder / "weights.safetensors")
        steps = [
            (fault, rate)
            for cue, faults in self.settings.noise.items()
            if cue in method.needs.describe
            for fault, rates in faults.items()
            for rate in rates
        ]
        steps = [(fault, rate) for fault, rate in steps if self.pieces.read(_noise_name(label, fault, rate)) is None]
        if not steps:
            return None
        try:
            with only_writer(folder, 0.0):
                trained = CueSettings.build(method.provenance["cues"])
                for fault, rate in steps:
                    place = _noise_name(label, fault, rate)
                    cues = trained.with_changes(degrade={fault: rate})
                    about = {"method": name, "seed": seed, "fault": fault, "rate": rate}
                    found = self._describe(method, f"{label}, {fault} {rate:g}", cues)
                    self._write(place, found, about, rules=False)
        except BusyError:
            return label
        self.summarise()
        return None

    def add_descriptors(
        self, path: Path, name: str | None = None, distance: Literal["cosine", "euclidean"] | None = None
    ) -> str:
        """Scores descriptors that were made elsewhere, and puts them into the result; see ``read_descriptors``.

        Args:
            path: the file.
            name: in tables and charts; the file's name without its suffix unless given.
            distance: how they are compared; see ``read_descriptors``.

        Returns:
            The name.

        Raises:
            DataError: the file is not what it must be.
            UsageError: the name is a method's, or cannot be one.
        """
        name = self._free_name(name or path.stem)
        described = read_descriptors(path, self.world.dataset, distance)
        about = {"name": name, "kind": "descriptors", "file": path.name, "sha256": _sha256(path)}
        with only_writer(self.folder, _PATIENCE):
            self._write(f"other-{name}", described, about)
        self.summarise()
        return name

    def add_weights(self, path: Path, name: str | None = None) -> str:
        """Describes the world with weights of this package, trained on whatever, and puts them into the result.

        Args:
            path: the file.
            name: as in ``add_descriptors``.

        Raises:
            MissingWeightsError, DataError: the file cannot be had or read.
            UsageError: the name is a method's, or cannot be one.
            MissingCueError: they need a cue that the world does not have.
        """
        name = self._free_name(name or path.stem)
        method = methods.restore(path)
        sha256 = _sha256(path)
        about = {"name": name, "kind": "weights", "file": path.name, "sha256": sha256, "method": method.name()}
        known = self.pieces.read(f"other-{name}")
        if known is None or known.about.get("sha256") != sha256:
            described = self._describe(method, name)
            with only_writer(self.folder, _PATIENCE):
                self._write(f"other-{name}", described, about)
        self.summarise()
        return name

    def summarise(self) -> dict[str, Any]:
        """Writes ``results.json``, ``benchmark.md`` and the charts from all pieces that are there; returns the record."""
        with only_writer(self.folder, _PATIENCE):
            return write_result(self.folder, self.settings, self.world, self.pieces, self.device)

    def _describe(self, method: methods.Method[Any], label: str, cues: CueSettings | None = None) -> Described:
        bar = self.bar
        shown = None if bar is None else lambda split: bar(f"{label}: describe {split}")
        return describe_dataset(method, self.world.dataset, cues=cues, bar=shown, device=self.device)

    def _write(self, name: str, described: Described, about: dict[str, Any], *, rules: bool = True) -> None:
        found = variants(described.rule, described.query.parts.shape[1])
        chosen = found if rules else {rule: found[rule] for rule in list(found)[:1]}
        columns = {rule: measure(described, changes) for rule, changes in chosen.items()}
        keys = ("fingerprint", "training", "preprocess", "cues")
        kept = {key: described.record[key] for key in keys if key in described.record}
        self.pieces.write(Piece(name, {**about, "rule": described.rule.to_json(), **kept}, columns))

    def _free_name(self, name: str) -> str:
        if check_name(name) in METHODS:
            raise UsageError(f"{name!r} is the name of a method of the benchmark; choose another with --name")
        return name


def open_benchmark(
    out: Path | str, settings: BenchmarkSettings, *, device: str = "cpu", bar: Bar | None = None
) -> Benchmark:
    """Renders the benchmark's world unless it is there, and opens the folder.

    Args:
        out: the folder; made if it is not there.
        settings: of the benchmark.
        device: "cpu", "cuda", ...
        bar: makes progress bars.

    Raises:
        UsageError: the folder holds a benchmark of other settings or another world.
        MissingWeightsError: the file or the model of the first weights is not there.
        BusyError: another process has been rendering for an hour.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    weights = _initial_weights(settings)
    progress = bar("render") if bar else None
    with only_writer(out, _PATIENCE):
        settings = _settled(settings, out, device)
        world = fixed_world(settings, out / "world", device=device, progress=progress)
        made_with = {
            "world": {"settings": settings.world.to_dict(), "truth": world.truth, "images": world.images},
            "every": {key: value for key, value in settings.every.items() if key != "initial_weights"},
            "initial_weights": weights,
            "changes": settings.changes,
        }
        pieces = Pieces.open(out, made_with, len(world.dataset.query))
    if world.known is False:
        _log.warning("%s", world.sentence())
    return Benchmark(out, settings, world, pieces, device, bar)


def _settled(settings: BenchmarkSettings, out: Path, device: str) -> BenchmarkSettings:
    """The settings with the arithmetic of all trainings in place of "auto": that of the folder, or the best of this processor."""
    train = settings.every.get("train", {})
    if train.get("precision", "auto") != "auto":
        return settings
    chosen = Pieces.precision(out) or train_precision("auto", "cpu" if device == "cpu" else device)
    return settings.with_changes(every=merge(settings.every, {"train": {"precision": chosen}}))


def _initial_weights(settings: BenchmarkSettings) -> dict[str, str]:
    """The first weights by what they are and not by where they lie."""
    name = str(settings.every.get("initial_weights", "imagenet"))
    if name in ("imagenet", "none"):
        return {"name": name}
    path = Path(name)
    if not path.is_file():
        if name in model_names():
            return {"name": name, "sha256": read_record(name).sha256}
        raise MissingWeightsError(
            f"initial weights are imagenet, none, a weight file or a model of the package, and there is no file {name!r}"
        )
    return {"name": path.name, "sha256": _sha256(path)}


def _noise_name(label: str, fault: str, rate: float) -> str:
    return f"noise-{label}-{fault}-{rate:g}"


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MissingWeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
