"""The stage between a method and everything that compares: images in, Descriptors out, saved beside what made them.

A described folder is all that evaluation and the report need; reading one back imports no model code.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from occlureid.arithmetic import Precision, arithmetic_record, processor
from occlureid.data import CueSource, ReidDataset, Tally
from occlureid.errors import DataError
from occlureid.matching import MatchRule
from occlureid.types import Descriptor, Protocol, Region, Sample

if TYPE_CHECKING:
    from occlureid.cues import CueSettings
    from occlureid.evaluation import Report
    from occlureid.methods import Method

__all__ = [
    "Described",
    "cue_source",
    "dataset_cues",
    "dataset_record",
    "describe",
    "describe_dataset",
    "made_with",
    "score",
    "versions",
    "write_index",
]


def versions() -> dict[str, str]:
    """The versions that a number depends on."""
    packages = ("occlureid", "torch", "timm", "numpy", "pillow")
    found = {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}
    return found | {
        "torch": str(torch.__version__)
    }  # with its build ("+cu130"), which a package's metadata may leave out


def made_with(device: str | torch.device = "cpu") -> dict[str, Any]:
    """The versions, the processor and its arithmetic, as a record of figures has them."""
    return {"versions": versions(), "arithmetic": arithmetic_record(device)}


def describe(
    method: Method[Any],
    samples: Sequence[Sample],
    *,
    cues: CueSource | None = None,
    batch_size: int = 64,
    workers: int = 0,
    device: str | torch.device = "cpu",
    precision: Precision = "float32",
    on_corrupt: Literal["fatal", "skip"] = "fatal",
    progress: Callable[[int, int], None] | None = None,
    tally: Tally | None = None,
) -> tuple[Descriptor, list[int]]:
    """Describes images in order.

    Args:
        method: moved to ``device`` and left there; its mode is not changed.
        samples: the images.
        cues: gives the cues of a sample, in pixels of its stored image; needed where the method needs cues to describe.
        batch_size: images at a time; has no influence on the result.
        workers: processes that read images.
        device: where the method runs; the result is on the CPU.
        precision: "float32", which gives about the same vectors on every processor; "bfloat16" to run the network in mixed
            precision; "auto" for what this processor is best at (``occlureid.arithmetic``).
        on_corrupt: "fatal" raises on an unreadable image, "skip" leaves it out and says so in the second result.
        progress: called with (images done, images in all).
        tally: counts the images, those that were skipped, and those that were to be cropped and stayed whole.

    Returns:
        The descriptors of the images that could be read, and the indices of those in ``samples``.

    Raises:
        DataError: an image cannot be read and ``on_corrupt`` is "fatal", or none can be read.
        MissingCueError: the method needs a cue that ``cues`` does not give.
    """
    from occlureid.describing import Describer

    describer = Describer(method, cues, device=device, precision=precision)
    return describer.samples(
        samples, batch_size=batch_size, workers=workers, on_corrupt=on_corrupt, progress=progress, tally=tally
    )


@dataclass(frozen=True)
class Described:
    """The query and gallery of a dataset as one method describes them, with all that is needed to score and to show them.

    Attributes:
        query, gallery: the descriptors.
        query_samples, gallery_samples: the images they belong to, in the same order.
        rule: how the method compares.
        protocol: of the dataset.
        regions: where the parts lie, or empty.
        record: method, settings, versions, data and seed, as JSON values.
    """

    query: Descriptor
    gallery: Descriptor
    query_samples: tuple[Sample, ...]
    gallery_samples: tuple[Sample, ...]
    rule: MatchRule
    protocol: Protocol
    regions: tuple[Region, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.query.check_same_model(self.gallery)
        for name in ("query", "gallery"):
            described, samples = getattr(self, name), getattr(self, f"{name}_samples")
            if len(described) != len(samples):
                raise DataError(f"{name}: {len(described)} descriptors for {len(samples)} samples")

    def save(self, folder: Path | str) -> Path:
        """Writes ``query.safetensors``, ``gallery.safetensors`` and ``described.json`` (last, so that it vouches for both)."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "described.json").unlink(missing_ok=True)
        self.query.save(folder / "query.safetensors")
        self.gallery.save(folder / "gallery.safetensors")
        samples = self.query_samples, self.gallery_samples
        write_index(folder, *samples, self.rule, self.protocol, self.regions, self.record)
        return folder

    @classmethod
    def load(cls, folder: Path | str) -> Described:
        """Reads what ``save`` wrote.

        Raises:
            DataError: something is missing, damaged or does not fit together.
        """
        folder = Path(folder)
        path = folder / "described.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["occlureid"] != "described":
                raise DataError(f"{path}: not a described dataset")
            samples = {name: tuple(Sample.from_json(r) for r in content[name]) for name in ("query", "gallery")}
            rule, protocol = MatchRule.from_json(content["rule"]), Protocol.from_json(content["protocol"])
            regions = tuple(Region(**r) for r in content["regions"])
            record = dict(content["record"])
        except OSError as error:
            raise DataError(f'{path}: cannot be read ({error.strerror}); make it with "occlureid describe"') from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: damaged: {error}") from error
        query, gallery = (Descriptor.load(folder / f"{name}.safetensors") for name in ("query", "gallery"))
        return cls(query, gallery, samples["query"], samples["gallery"], rule, protocol, regions, record)


def write_index(
    folder: Path,
    query_samples: Sequence[Sample],
    gallery_samples: Sequence[Sample],
    rule: MatchRule,
    protocol: Protocol,
    regions: Sequence[Region],
    record: Mapping[str, Any],
) -> None:
    """Writes ``described.json``, which vouches for the descriptors beside it; arguments as the attributes of ``Described``."""
    content = {
        "occlureid": "described",
        "rule": rule.to_json(),
        "protocol": protocol.to_json(),
        "regions": [asdict(region) for region in regions],
        "record": record,
        "query": [s.to_json() for s in query_samples],
        "gallery": [s.to_json() for s in gallery_samples],
    }
    partial = folder / "described.json.partial"
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(folder / "described.json")


def describe_dataset(
    method: Method[Any],
    dataset: ReidDataset,
    *,
    cues: CueSource | CueSettings | None = None,
    bar: Callable[[str], Callable[[int, int], None]] | None = None,
    record: dict[str, Any] | None = None,
    **options: Any,
) -> Described:
    """Describes query and gallery of a dataset.

    Args:
        method: the method.
        dataset: its training split is not looked at.
        cues: where cues come from: a source, or settings; unless given, as in the weights' training, which is usually from the
            ``pose`` and ``parts`` folders below the dataset.
        bar: makes, for "query" and for "gallery", a function that is called with (images done, images in all).
        record: more to keep in the result's record.
        options: those of ``describe``.

    Raises:
        DataError: as ``describe``.
        MissingCueError: as ``describe``.
    """
    from occlureid.describing import arithmetic_of

    source, cue_settings = dataset_cues(method, dataset, cues)
    device = options.get("device", "cpu")
    options["precision"] = precision = arithmetic_of(options.get("precision", "float32"), device)
    parts: dict[str, tuple[Descriptor, tuple[Sample, ...]]] = {}
    skipped: dict[str, list[str]] = {}
    uncropped: dict[str, int] = {}
    for name in ("query", "gallery"):
        samples: tuple[Sample, ...] = getattr(dataset, name)
        tally, shown = Tally(), bar(name) if bar else None
        descriptor, kept = describe(method, samples, cues=source, progress=shown, tally=tally, **options)
        uncropped[name] = tally.uncropped
        parts[name] = descriptor, tuple(samples[i] for i in kept)
        skipped[name] = [str(samples[i].path) for i in sorted(set(range(len(samples))) - set(kept))]
    more = {"processor": processor(device), **(record or {})}
    full = dataset_record(method, dataset, skipped, uncropped, precision, cue_settings, more)
    return Described(
        parts["query"][0], parts["gallery"][0], parts["query"][1], parts["gallery"][1],
        method.rule, dataset.protocol, method.regions, full,
    )  # fmt: skip


def dataset_cues(
    method: Method[Any], dataset: ReidDataset, cues: CueSource | CueSettings | None = None
) -> tuple[CueSource | None, CueSettings | None]:
    """The source of the cues of query and gallery, and the settings that it was made by; arguments as ``describe_dataset``.

    Raises:
        MissingCueError: they are not there.
    """
    from occlureid.cues import CueSettings

    cue_settings = cues if isinstance(cues, CueSettings) else None
    source = None if isinstance(cues, CueSettings) else cues
    if source is None:
        if cue_settings is None and method.wants("describe"):
            cue_settings = _trained_cues(method)
        source = cue_source(method, dataset, (*dataset.query, *dataset.gallery), cue_settings)
    return source, cue_settings


def dataset_record(
    method: Method[Any],
    dataset: ReidDataset,
    skipped: Mapping[str, Sequence[str]],
    uncropped: Mapping[str, int],
    precision: str,
    cue_settings: CueSettings | None,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """What a described dataset keeps of its making.

    Args:
        method: the method.
        dataset: the dataset.
        skipped: the unreadable images of query and gallery.
        uncropped: how many images of each were to be cropped and stayed whole.
        precision: of the network: "float32" or "bfloat16".
        cue_settings: see ``dataset_cues``.
        more: to be kept as well.
    """
    return {
        "method": method.name(),
        "fingerprint": method.fingerprint(),
        "settings": method.config.to_dict(),
        "training": method.provenance,
        "preprocess": asdict(method.preprocess),
        "versions": versions(),
        "data": {
            "name": dataset.name,
            "root": str(dataset.root),
            "checksum": dataset.checksum(),
            "counts": asdict(dataset.counts()),
        },
        "skipped": dict(skipped),
        "precision": precision,
        **({"cues": cue_settings.to_dict()} if cue_settings else {}),
        **({"crop": {**method.crop.to_json(), "whole": dict(uncropped)}} if method.crop else {}),
        **more,
    }


def cue_source(
    method: Method[Any], dataset: ReidDataset, samples: Sequence[Sample], settings: CueSettings | None = None
) -> CueSource | None:
    """Where the cues come from that a method needs to describe images of a dataset; None where it needs none.

    Args:
        method: the method.
        dataset: the dataset.
        samples: the images of it.
        settings: as in the weights' training unless given.

    Raises:
        MissingCueError: they are not there.
    """
    from occlureid.cues.roots import sources_for_dataset

    wanted = method.wants("describe")
    if not wanted:
        return None
    found_in = method.cue_settings(settings or _trained_cues(method))
    return sources_for_dataset(dataset, wanted, samples, settings=found_in)


def _trained_cues(method: Method[Any]) -> CueSettings | None:
    """Where the cues came from when the weights were trained, if that is known."""
    from occlureid.cues import CueSettings

    return CueSettings.build(method.provenance["cues"]) if "cues" in method.provenance else None


def score(
    described: Described,
    rule_changes: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    precision: Precision = "float32",
    shortlist: int | None = None,
    ranks: Sequence[int] | None = None,
) -> Report:
    """Scores a described dataset by its method's rule, or by one with some values changed (an ablation).

    Args:
        described: what ``describe_dataset`` gave.
        rule_changes: fields of ``MatchRule`` to change; the report says which rule was used.
        seed: of the bootstrap intervals.
        precision: the arithmetic of the distances, as of ``distance_matrix``; "float32" gives the same figures everywhere.
        shortlist: compare only so many gallery images of each query by their local vectors, as ``evaluate``.
        ranks: of the CMC curve to quote, from 1; those of the dataset's papers unless given.

    Raises:
        DataError: the changes do not make a rule, or there is no rank, or one below 1.
        UsageError: there is a shortlist, but the rule has no local vectors.
    """
    from occlureid.evaluation import evaluate

    rule = MatchRule.from_json({**described.rule.to_json(), **(rule_changes or {})})
    protocol = described.protocol if ranks is None else replace(described.protocol, ranks=tuple(ranks))
    return evaluate(
        (described.query, described.gallery),
        described.query_samples,
        described.gallery_samples,
        protocol,
        rule=rule,
        seed=seed,
        precision=precision,
        shortlist=shortlist,
        provenance={**described.record, "rule": rule.to_json()},
    )
