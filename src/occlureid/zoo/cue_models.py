"""Cues from networks, for methods that need some to describe: from those of the package, or from files of one's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from occlureid.cues.cache import CueCache
from occlureid.cues.networks import ModelCues
from occlureid.cues.providers import Provider, ProviderSource
from occlureid.errors import DataError, MissingCueError, MissingWeightsError, UsageError
from occlureid.methods import Method
from occlureid.types import CueName
from occlureid.zoo.catalogue import default_name, weights_path
from occlureid.zoo.record import Task

__all__ = ["kind_of", "model_cues", "open_provider"]

_GIVEN_BY: dict[CueName, Task] = {"keypoints": "landmarks", "part_map": "parser", "foreground": "parser"}


def model_cues(
    method: Method[Any],
    models: Sequence[str | Path] = (),
    *,
    device: str = "cpu",
    cache: CueCache | None = None,
    folder: Path | None = None,
) -> ModelCues | None:
    """Where a method gets the cues from that it needs to describe, where there are only images.

    Args:
        method: the method.
        models: parsers and landmark networks, by the names of the package's models or by their files; the package's defaults give
            what these do not.
        device: where the networks run.
        cache: keeps what they have computed.
        folder: with files of models, as this package's own unless given.

    Returns:
        None where the method needs no cue.

    Raises:
        UsageError: one of the models gives no cue, or none that the method needs.
        MissingCueError: nothing gives a cue that is needed.
        MissingWeightsError: a file is not there.
        DataError: a file is damaged.
    """
    wanted = method.wants("describe")
    # part maps that only say where to crop may be as coarse as SGAM's
    grouping = method.cue_settings().grouping if "part_map" in method.needs.describe else "sgam5"
    sources: list[ProviderSource] = []
    given: frozenset[CueName] = frozenset()
    for model in models:
        provider = open_provider(weights_path(model, folder), device=device)
        if not provider.cues & wanted - given:
            raise UsageError(
                f"{model} gives {', '.join(sorted(provider.cues))}, and {method.name()!r} needs "
                f"{', '.join(sorted(wanted - given)) or 'no further cue'} to describe; leave it out"
            )
        sources.append(ProviderSource(provider, cache, grouping))
        given |= provider.cues
    for cue in sorted(wanted):
        if cue in given:
            continue
        task = _GIVEN_BY[cue]
        name = default_name(task, folder)
        if name is None:
            raise MissingCueError(
                f"method {method.name()!r} needs the cue {cue!r} to describe, and this package has no {task} model that would "
                'give it; name a file of one ("occlureid train-parser" or "train-landmarks"), or give the cues in folders'
            )
        provider = open_provider(weights_path(name, folder), device=device)
        sources.append(ProviderSource(provider, cache, grouping))
        given |= provider.cues
    return ModelCues(tuple(sources)) if sources else None


def kind_of(path: Path) -> str:
    """What a file of weights says that it is: "method", "parser" or "landmarks".

    Raises:
        MissingWeightsError: there is no such file.
        DataError: it is damaged, or none of them.
    """
    if not path.is_file():
        raise MissingWeightsError(f"{path}: no weights there")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: cannot be read as weights: {error}") from error
    kind = metadata.get("occlureid")
    if kind not in ("method", "parser", "landmarks"):
        raise DataError(f"{path}: not weights of this package (its metadata is {json.dumps(metadata)[:200]})")
    return str(kind)


def open_provider(path: Path, *, device: str = "cpu") -> Provider:
    """A parser or a landmark network as what gives cues.

    Raises:
        UsageError: the file is the weights of a method.
        MissingWeightsError: there is no such file.
        DataError: it is damaged.
    """
    kind = kind_of(path)
    if kind == "parser":
        from occlureid.parsing import ParserProvider

        return ParserProvider(path, device=device)
    if kind == "landmarks":
        from occlureid.landmarks import LandmarkProvider

        return LandmarkProvider(path, device=device)
    raise UsageError(f"{path}: the weights of a method describe people; cues come from a parser or a landmark network")
