"""What the networks have in common that are trained with this loop and give cues: first weights, file, and what judges them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from occlureid.config import Settings
from occlureid.errors import DataError, MissingWeightsError, SettingsError
from occlureid.methods import NOT_UNDERSTOOD, Preprocess
from occlureid.models.weight_files import Filled
from occlureid.training.checkpoint import force_to_disk

__all__ = [
    "FileKind",
    "build_filled",
    "fill_backbone",
    "read_network",
    "reading",
    "spread",
    "write_network",
    "write_scores",
]

Network = TypeVar("Network", bound=nn.Module)
Item = TypeVar("Item")


@dataclass(frozen=True)
class FileKind:
    """A kind of file, and what messages call it.

    Attributes:
        tag: in the file, under "occlureid".
        name: what such a network is.
        short: the same in few words.
        command: which trains one.
    """

    tag: str
    name: str
    short: str
    command: str


class Trained(Protocol):
    """A network and what belongs to it."""

    @property
    def network(self) -> nn.Module: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def preprocess(self) -> Preprocess: ...
    @property
    def scores(self) -> Mapping[str, Any]: ...
    @property
    def training(self) -> Mapping[str, Any]: ...


def write_network(path: Path, kind: FileKind, trained: Trained, about: Mapping[str, str]) -> Path:
    """Writes a network as one safetensors file, atomically.

    Args:
        path: the file.
        kind: what it is.
        trained: the network.
        about: what else its metadata says.

    Raises:
        DataError: it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    metadata = {
        "occlureid": kind.tag,
        **about,
        "size": json.dumps(trained.preprocess.size),
        "mean": json.dumps(trained.preprocess.mean),
        "std": json.dumps(trained.preprocess.std),
        "settings": json.dumps(trained.settings.to_dict()),
        "scores": json.dumps(dict(trained.scores)),
        "training": json.dumps(dict(trained.training)),
    }
    state = {name: value.detach().cpu().contiguous() for name, value in trained.network.state_dict().items()}
    try:
        save_file(state, partial, metadata=metadata)
        force_to_disk(partial)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: the {kind.short} cannot be written ({error})") from error
    return path


@contextmanager
def reading(path: Path, kind: FileKind) -> Iterator[None]:
    """What goes wrong while the content of a file is understood is a DataError that names it."""
    try:
        yield
    except NOT_UNDERSTOOD as error:
        raise DataError(f"{path}: cannot be read as a {kind.name}: {error}") from error


def read_network(path: Path, kind: FileKind) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and the tensors of a file; nothing in it is executed. To be called within ``reading``.

    Raises:
        MissingWeightsError: there is no such file.
        DataError: it is of another kind.
    """
    if not path.is_file():
        raise MissingWeightsError(
            f'{path}: no {kind.short} there; train one with "occlureid {kind.command}", or name another file'
        )
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if metadata.get("occlureid") != kind.tag:
            raise DataError(f"{path}: not a {kind.name} (its metadata is {json.dumps(metadata)[:200]})")
        return metadata, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def build_filled(path: Path, kind: FileKind, build: Callable[[], Network], state: Mapping[str, Tensor]) -> Network:
    """A network with the tensors of a file, in evaluation mode.

    Raises:
        DataError: it cannot be built, or the tensors do not fit it.
    """
    try:
        network = build()
    except SettingsError as error:
        raise DataError(f"{path}: cannot be read as a {kind.name}: {error}") from error
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise DataError(f"{path}: its weights do not fit its settings: {error}") from error
    return network.eval()


def fill_backbone(
    weights: str, fill: Callable[[str | None], Filled], models: Mapping[str, Path] | None = None
) -> dict[str, Any]:
    """Gives a network its first weights.

    Args:
        weights: "none", "imagenet", a file, or one of ``models``.
        fill: fills the backbone from a file, or from what timm has for None.
        models: files by names that may stand for them.

    Returns:
        How many tensors were set, as plain values for the record; empty for "none".

    Raises:
        MissingWeightsError: there is no such file, or it is not of this backbone.
    """
    if weights == "none":
        return {}
    file = None if weights == "imagenet" else weights
    if file is not None and not Path(file).is_file():
        if file not in (models or {}):
            raise MissingWeightsError(
                f"initial_weights must be imagenet, none or a weight file, and there is no file {weights!r}"
            )
        file = str((models or {})[file])
    return fill(file).to_json()


def spread(samples: Sequence[Item], count: int) -> Sequence[Item]:
    """``count`` of the samples at even distances; all of them for 0."""
    if count == 0 or count >= len(samples):
        return samples
    return [samples[index * len(samples) // count] for index in range(count)]


def write_scores(folder: Path, scores: Mapping[str, Any]) -> None:
    """Writes ``scores.json``, atomically."""
    partial = folder / "scores.json.partial"
    partial.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / "scores.json")
