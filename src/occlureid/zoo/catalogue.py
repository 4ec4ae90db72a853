"""What models there are, where their files lie, and whether these are whole. Imports neither torch nor a network."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from occlureid.errors import DataError, MissingWeightsError, UsageError
from occlureid.zoo.record import ModelRecord, Task

if TYPE_CHECKING:
    from occlureid.zoo.loaded import CueModel, Embedder

__all__ = ["FOLDER", "default_name", "load", "model_names", "read_card", "read_record", "weights_path"]

FOLDER = Path(__file__).parent / "weights"
"""Where the files of the models that come with the package lie."""

SUFFIX = ".safetensors"


def model_names(folder: Path | None = None) -> list[str]:
    """The names of all models, sorted.

    Args:
        folder: with files of models, as this package's own unless given.
    """
    return sorted(path.stem for path in (folder or FOLDER).glob("*.json"))


def read_record(name: str, folder: Path | None = None) -> ModelRecord:
    """What is written down of a model.

    Raises:
        UsageError: there is no such model; those that there are, are named.
        DataError: the record is damaged.
    """
    known = model_names(folder)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"no model {name!r} comes with the package; {hint}there are: {', '.join(known) or 'none'}")
    return ModelRecord.read((folder or FOLDER) / f"{name}.json")


def read_card(name: str, folder: Path | None = None) -> str:
    """The card of a model, Markdown.

    Raises:
        UsageError: there is no such model.
        DataError: it has no card.
    """
    read_record(name, folder)
    path = (folder or FOLDER) / f"{name}.md"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: the card of {name!r} cannot be read ({error.strerror or error})") from error


def default_name(task: Task = "embedder", folder: Path | None = None) -> str | None:
    """The model that is taken for a task where none is named; None where the folder has none.

    Raises:
        DataError: a record is damaged, or several claim to be it.
    """
    records = [read_record(name, folder) for name in model_names(folder)]
    found = [record.name for record in records if record.task == task and record.default]
    if len(found) > 1:
        raise DataError(
            f"{folder or FOLDER}: several models are the default {task}: {', '.join(found)}; keep one of them"
        )
    return found[0] if found else None


def weights_path(weights: Path | str, folder: Path | None = None) -> Path:
    """The file that is meant where weights are asked for: a file by its path, or a model of this package by its name.

    A file has its way: "sorn-small" is the model of that name unless a file is called so. What looks like a path (has a suffix or
    a folder) is taken for one, so that a run's missing weights are reported as such.

    Raises:
        UsageError: it is neither a file nor the name of a model.
        MissingWeightsError: the model's file is not there.
        DataError: it is damaged.
    """
    path, text = Path(weights), str(weights)
    if path.is_file() or path.name != text or path.suffix:
        return path
    return checked_path(read_record(text, folder), folder)


def checked_path(record: ModelRecord, folder: Path | None = None) -> Path:
    """The file of a model, once its size and checksum are those of the record.

    Raises:
        MissingWeightsError: it is not there.
        DataError: it is damaged.
    """
    path = (folder or FOLDER) / f"{record.name}{SUFFIX}"
    if not path.is_file():
        raise MissingWeightsError(f"{path}: the weights of {record.name!r} are not there; install the package again")
    size = path.stat().st_size
    digest = ""
    if size == record.bytes:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != record.sha256:
        found = f"its sha256 is {digest[:12]}..." if digest else f"it has {size:,} bytes"
        raise DataError(
            f"{path}: damaged: expected {record.bytes:,} bytes with sha256 {record.sha256[:12]}..., but {found}; install the "
            "package again"
        )
    return path


def load(name: str | None = None, *, device: str = "cpu", folder: Path | None = None) -> Embedder | CueModel:
    """A model that comes with the package, ready to use; nothing is fetched.

        model = occlureid.load()
        found = model.describe(sorted(Path("crops").glob("*.jpg")))

    Args:
        name: as ``occlureid models`` lists it; the default embedder unless given.
        device: where it runs.
        folder: with files of models, as this package's own unless given.

    Returns:
        An Embedder, or for a parser and a landmark network a CueModel, whose ``provider`` gives cues.

    Raises:
        UsageError: there is no such model; those that there are, are named.
        MissingWeightsError: its file is not there, or there is no default embedder.
        DataError: its file or record is damaged.
    """
    from occlureid.zoo.loaded import open_model

    if name is None:
        name = default_name("embedder", folder)
        if name is None:
            known = ", ".join(model_names(folder)) or "none there"
            raise MissingWeightsError(
                f'{folder or FOLDER}: there is no default embedder; name a model ({known}) or train one with "occlureid train"'
            )
    return open_model(read_record(name, folder), device=device, folder=folder)
