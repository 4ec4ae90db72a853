"""Weights and cues as commands take them: by file, or by the name of a model that comes with the package."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlureid.errors import MissingWeightsError

if TYPE_CHECKING:
    from occlureid.cues.networks import ModelCues
    from occlureid.describing import Describer
    from occlureid.methods import Method

__all__ = ["DEFAULT", "WEIGHTS", "add_cues", "cues_of", "describer_of", "named_models", "restored", "weights_file"]

WEIGHTS = 'weights.safetensors of a run, or a model of "occlureid models" by its name'
"""Help of the options that take weights."""

DEFAULT = "(default: the package's default embedder)"
"""Help of those that take this one where nothing is said."""


def add_cues(command: argparse.ArgumentParser, otherwise: str) -> None:
    """Adds ``--cues``, any number of times."""
    command.add_argument(
        "--cues",
        action="append",
        default=[],
        metavar="MODEL",
        help='a parser or landmark network that gives cues to a method which needs some: of "occlureid models" by its name, or a '
        f"file; may be given several times (default: {otherwise})",
    )


def weights_file(weights: Path | str | None) -> Path:
    """The file that --weights means; without it that of the default embedder.

    Raises:
        UsageError: it is neither a file nor the name of a model.
        MissingWeightsError: the file is not there, or no default embedder is.
        DataError: the file of a model of the package is damaged.
    """
    from occlureid.zoo import default_name, weights_path

    chosen = weights if weights is not None else default_name()
    if chosen is None:
        raise MissingWeightsError("this package holds no default embedder; give --weights, those of a run")
    return weights_path(chosen)


def named_models(name: str) -> dict[str, Path]:
    """The file of a model of the package, where a name is that of one; else nothing.

    Raises:
        MissingWeightsError: the model's file is not there.
        DataError: it is damaged.
    """
    from occlureid.zoo import model_names, weights_path

    return {name: weights_path(name)} if name in model_names() else {}


def restored(options: argparse.Namespace, changes: Mapping[str, Any] | None = None) -> Method[Any]:
    """The method of a command's --weights; changes as in ``methods.restore``."""
    from occlureid import methods

    return methods.restore(weights_file(options.weights), changes=changes)


def describer_of(options: argparse.Namespace, *, always: bool = False) -> Describer:
    """Describer by a command's --weights, --cues and --device; arguments as ``cues_of``."""
    from occlureid.describing import Describer

    method = restored(options)
    return Describer(method, cues_of(options, method, always=always), device=options.device)


def cues_of(options: argparse.Namespace, method: Method[Any], *, always: bool = False) -> ModelCues | None:
    """The networks that give a method the cues it needs: those of --cues; for a model of the package its own.

    Args:
        options: of the command.
        method: the method.
        always: ask the package's models where nothing is said, since there are no folders of cues.

    Returns:
        None where cues come from folders, or none is needed.
    """
    from occlureid.zoo import default_name, model_names, read_record
    from occlureid.zoo.cue_models import model_cues

    if not method.wants("describe") and not options.cues:
        return None
    models = list(options.cues)
    name = default_name() if options.weights is None else str(options.weights)
    if not models and name in model_names() and not Path(name).is_file():
        models = list(dict.fromkeys(read_record(name).cues.values()))
    return model_cues(method, models, device=options.device) if models or always else None
