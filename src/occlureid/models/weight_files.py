"""Weight files of other programs for a backbone: read, matched by name, and refused unless they set every tensor of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from occlureid.errors import MissingWeightsError

__all__ = ["PREFIXES", "WRAPPERS", "Filled", "Source", "fill", "read_weight_file"]

WRAPPERS = ("state_dict", "model")
"""Entries of a file below which its tensors may lie."""

PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "base.", "net.")
"""Prefixes of the names of a backbone's tensors, also one behind the other: of data parallel and compiled modules, and the
names by which networks call their backbone."""

_OPTIONAL = ".num_batches_tracked"
"""Ending of the tensors of a backbone that a file need not hold: counters of steps, absent in files of other programs."""

_FIRST = 1000.0
"""First of the numbers that stand for the tensors of a file while they are traced; no random weight comes near."""


@dataclass(frozen=True)
class Filled:
    """Counts of what first weights have set.

    Attributes:
        tensors: that were set.
        of: all tensors of the backbone (the rest are counters of batch norm), or of the method.
        unused: tensors that the source has besides, such as the classifier of ImageNet's classes.
        prefix: what stood before the names in the file.
        part: "backbone", or "method" where a training of the same method goes on.
    """

    tensors: int
    of: int
    unused: int = 0
    prefix: str = ""
    part: Literal["backbone", "method"] = "backbone"

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)


@dataclass(frozen=True)
class Source:
    """A backbone's architecture, as far as its weight files depend on it.

    Attributes:
        name: of the backbone, for messages.
        build: a network of it, from tensors in the layout of its published weights (None: random ones); None where it has no such
            layout of its own, and a file must hold the tensors by their names.
        whole: the names of the tensors of the published network, which the backbone is a part of.
    """

    name: str
    build: Callable[[dict[str, Tensor]], nn.Module] | None
    whole: Callable[[], frozenset[str]]


def read_weight_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of safetensors or of ``torch.save``, wrappers taken off; nothing in it is executed.

    Raises:
        MissingWeightsError: there is no such file, it cannot be read, or there are no tensors in it.
    """
    try:
        with path.open("rb") as stream:
            is_safetensors = stream.read(9)[8:] == b"{"
            stream.seek(0)
            # a stream, because torch.load goes by the suffix of a path
            content: Any = (
                load_file(path) if is_safetensors else torch.load(stream, map_location="cpu", weights_only=True)
            )
    except OSError as error:
        raise MissingWeightsError(
            f"cannot be read ({error.strerror or error}); name another file, or start from random weights with initial_weights: "
            "none"
        ) from error
    except Exception as error:  # a damaged file, or one that would execute something, raises many unrelated kinds
        said = " ".join(str(error).split())[:160]
        raise MissingWeightsError(
            f"neither safetensors nor tensors saved by torch.save ({said}); of a whole network, save its state_dict()"
        ) from error
    while isinstance(content, Mapping) and (
        inner := [key for key in WRAPPERS if isinstance(content.get(key), Mapping)]
    ):
        content = content[inner[0]]
    named = content if isinstance(content, Mapping) else {}
    state = {key: value for key, value in named.items() if isinstance(key, str) and _is_plain(value)}
    if not state:
        found = ", ".join(map(repr, list(named)[:5])) or f"a {type(content).__name__}"
        raise MissingWeightsError(f"holds no tensors by name, also not below {' or '.join(WRAPPERS)}; found {found}")
    return state


def _is_plain(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"


def fill(net: nn.Module, source: Source, file: Path) -> Filled:
    """Sets every tensor of a network from a file, or none.

    A file may hold more: what lies beside the backbone, such as classifiers, is left and counted. More tensors of the backbone's
    own layers than it has are refused: they are of a deeper network.

    Args:
        net: changed in place.
        source: its architecture.
        file: as ``read_weight_file``; names may begin with ``PREFIXES``.

    Raises:
        MissingWeightsError: the file is none, or not of this network; the first tensor that is missing and the first that is not
            used are named.
    """
    try:
        stored = read_weight_file(file)
        wanted = {name: tensor for name, tensor in net.state_dict().items() if tensor.numel()}
        prefix = _prefix(stored, wanted)
        state = {name.removeprefix(prefix): tensor for name, tensor in stored.items() if name.startswith(prefix)}
        named = all(name in state for name in wanted if not name.endswith(_OPTIONAL))
        build = None if named else source.build
        taken = _taken(state, wanted, build)
        if build is None or not taken:
            _check_shapes(state, prefix, wanted)
        _check(stored, state, prefix, wanted, taken, source)
        used = frozenset().union(*taken.values())
        found = {name: tensor for name, tensor in state.items() if name in used}
        if build is not None:
            with _silent():
                found = build(found).state_dict()
        net.load_state_dict(found, strict=False)  # all but the optional ones are there
    except MissingWeightsError as error:
        raise MissingWeightsError(f"{file}: not weights of {source.name!r}: {error}") from error
    return Filled(len(taken), len(wanted), len(stored) - len(used), prefix)


def _prefix(stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """The chain of known prefixes below which most of the wanted names lie; or most names, where that does not tell."""
    chains = {""}
    for name in stored:
        chain = ""
        while known := [prefix for prefix in PREFIXES if name[len(chain) :].startswith(prefix)]:
            chain += known[0]
            chains.add(chain)
    below = {chain: [name[len(chain) :] for name in stored if name.startswith(chain)] for chain in chains}
    # a model that only gives feature maps puts "model." in front, or writes "_" for "."
    plain = {name.removeprefix("model.").replace(".", "_") for name in wanted} | set(wanted)
    fitting = {
        chain: sum(name in plain or name.replace(".", "_") in plain for name in names) for chain, names in below.items()
    }
    if any(fitting.values()):
        return max(sorted(chains, key=len), key=lambda chain: fitting[chain])
    return max(sorted(chains, key=len, reverse=True), key=lambda chain: len(below[chain]))


def _taken(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], build: Callable[[dict[str, Tensor]], nn.Module] | None
) -> dict[str, frozenset[str]]:
    """For each tensor of the backbone that is set, the tensors of the file that set it.

    Where timm converts other layouts and names, nothing says which tensors it has used. So the file is replaced by one in which
    every tensor holds a number of its own, and the numbers are looked for.
    """
    if build is None:
        return {name: frozenset([name]) for name in wanted if name in state}
    names = list(state)
    marked = {name: torch.tensor(_FIRST + i).expand(state[name].shape) for i, name in enumerate(names)}
    try:
        with _silent():
            traced = build(marked).state_dict()
    except Exception:  # a converter that meets another layout raises many unrelated kinds
        return {}
    found: dict[str, frozenset[str]] = {}
    for name in wanted:
        numbers = (traced[name].double().unique() - _FIRST).round().long().tolist()
        if numbers[0] >= 0 and numbers[-1] < len(names):
            found[name] = frozenset(names[number] for number in numbers)
    return found


def _check_shapes(state: Mapping[str, Tensor], prefix: str, wanted: Mapping[str, Tensor]) -> None:
    """Raises:
    MissingWeightsError: a tensor has another shape than that of its name in the backbone.
    """  # noqa: D205
    for name, tensor in wanted.items():
        if name in state and state[name].shape != tensor.shape:
            raise MissingWeightsError(
                f"{prefix + name!r} has shape {tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
            )


def _check(
    stored: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    prefix: str,
    wanted: Mapping[str, Tensor],
    taken: Mapping[str, frozenset[str]],
    source: Source,
) -> None:
    """Raises:
    MissingWeightsError: a tensor is missing or not finite, or belongs to a deeper network.
    """  # noqa: D205
    used = frozenset().union(*taken.values())
    unused = [name for name in stored if not (name.startswith(prefix) and name.removeprefix(prefix) in used)]
    missing = [name for name in wanted if name not in taken and not name.endswith(_OPTIONAL)]
    if missing:
        besides = f"the first that is not used {unused[0]!r}" if unused else "and all of its tensors are used"
        raise MissingWeightsError(
            f"it sets {len(taken)} of {len(wanted)} tensors; the first that is missing is {missing[0]!r}, {besides}; take a "
            "file of this backbone, or set the backbone to that of the file"
        )
    for name in used:
        if not bool(torch.isfinite(state[name]).all()):
            raise MissingWeightsError(f"{prefix + name!r} holds values that are not finite")
    layers = {name.partition(".")[0] for name in used}
    own = [name for name in state if name not in used and name.partition(".")[0] in layers]
    deeper = [name for name in own if not name.endswith(_OPTIONAL) and name not in source.whole()] if own else []
    if deeper:
        raise MissingWeightsError(
            f"it sets all of its tensors, but has {len(deeper)} more of the same layers, the first {prefix + deeper[0]!r}: it is "
            "of a deeper network; set the backbone to that one"
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Without timm's warnings of tensors that are not used: they are counted here."""
    log = logging.getLogger("timm.models._builder")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
