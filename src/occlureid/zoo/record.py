"""What is written down of each model that comes with the package: NAME.json beside NAME.safetensors and the card NAME.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from occlureid.config import Settings
from occlureid.errors import DataError, SettingsError

__all__ = ["MOST_BYTES", "MOST_BYTES_IN_ALL", "Canonical", "ModelRecord", "Precision", "Score", "Task", "TrainingData"]

Task = Literal["embedder", "parser", "landmarks"]

MOST_BYTES = 25_000_000
"""Of one file of weights."""

MOST_BYTES_IN_ALL = 60_000_000
"""Of all of them."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class TrainingData(Settings):
    """What a model was trained on."""

    origin: Literal["rendered only"]
    """no photograph of anybody is in it, nor in what its first weights were trained on"""
    worlds: tuple[dict[str, Any], ...] = Field(min_length=1)
    """the settings of each world; they say every pixel of it"""
    images: int = Field(ge=1)
    """different training images, of all worlds"""
    persons: int = Field(ge=1)
    """identities that they show"""
    initial_weights: Text = "none"
    """none: random; otherwise what the first weights were, which must have seen nothing but rendered images either"""


class Score(Settings):
    """Some figures, and what they were measured on."""

    measured_on: Text
    """images, persons, protocol: enough to measure it again"""
    values: dict[str, float] = Field(min_length=1)
    """the figures; the first is the one that tables show"""


class Precision(Settings):
    """What writing the file in half precision changed."""

    bound: float = Field(gt=0)
    """the most that was allowed"""
    change: float = Field(ge=0)
    """the greatest change found: of a vector relative to its length; of a visibility, a probability, or a landmark as a share of
    the image"""
    single: tuple[str, ...] = ()
    """tensors that stayed in single precision, since half would have overflowed or lost too much"""


class Canonical(Settings):
    """Output values for pictures that are computed, never stored: what any machine must get from this file."""

    tolerance: float = Field(gt=0)
    """the most by which a value may differ"""
    values: dict[str, tuple[tuple[float, ...], ...]] = Field(min_length=1)
    """of each output, a row of values a picture; see ``occlureid.zoo.canonical``"""


class ModelRecord(Settings):
    """All that is known of one model."""

    name: Name
    """by which it is loaded; that of its files"""
    task: Task
    """embedder: images to descriptors; parser: to part maps; landmarks: to landmarks"""
    default: bool = False
    """whether it is the one that is taken where none is named, of its task"""
    summary: Text
    """what it is, in a line"""
    method: Text
    """the method of an embedder; of the others the architecture"""
    parameters: int = Field(ge=1)
    """numbers in the file that were learnt; the classifiers of training persons are not in it"""
    size: tuple[int, int]
    """height and width that images are resized to"""
    settings: dict[str, Any]
    """those of the network: all that is needed to build it"""
    training: dict[str, Any]
    """those of its training"""
    seed: int
    """of its first weights and of the order of its training images"""
    data: TrainingData
    """what it was trained on"""
    scores: tuple[Score, ...] = Field(min_length=1)
    """how good it is"""
    canonical: Canonical
    """output values to test it by"""
    precision: Precision
    """what half precision changed"""
    cues: dict[Literal["keypoints", "part_map", "foreground"], Name] = Field(default_factory=dict)
    """the models that give the cues which it needs to describe, by cue"""
    command: Text
    """how it was made"""
    not_tried: tuple[Text, ...] = Field(min_length=1)
    """what was not tried: what its figures do not speak of"""
    licence: Text
    """of the file"""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """of the file"""
    bytes: int = Field(ge=1, le=MOST_BYTES)
    """of the file"""
    version: Text
    """of the package that wrote it"""

    @classmethod
    def read(cls, path: Path) -> ModelRecord:
        """The record in a file.

        Raises:
            DataError: it cannot be read, or is no record of the model that its name says.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise DataError(f"{path}: expected the record of a model, found {type(content).__name__}")
            record = cls.build(content)
        except OSError as error:
            raise DataError(f"{path}: the record of a model cannot be read ({error.strerror or error})") from error
        except (ValueError, SettingsError, TypeError, RecursionError) as error:
            raise DataError(f"{path}: not the record of a model: {error}") from error
        if record.name != path.stem:
            raise DataError(f"{path}: is the record of {record.name!r}; a record has the name of its model")
        return record

    def write(self, path: Path) -> None:
        """Writes it, atomically."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
        partial.replace(path)

    def headline(self) -> str:
        """The figure that tables show, such as "rank_1 71.2 %"."""
        name, value = next(iter(self.scores[0].values.items()))
        return f"{name} {show_figure(name, value)}"


def show_figure(name: str, value: float) -> str:
    """A figure as tables show it: shares as percentages, but for errors and anything above 1."""
    share = 0 <= value <= 1 and "error" not in name
    return f"{100 * value:.1f} %" if share else f"{value:.4g}"
