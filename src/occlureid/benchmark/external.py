"""Descriptors that were made elsewhere, from a NumPy or safetensors file with the names of the images; nothing is executed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open

from occlureid.data import ReidDataset
from occlureid.described import Described
from occlureid.errors import DataError, ShapeError, reason
from occlureid.matching import MatchRule
from occlureid.types import Descriptor, Sample

__all__ = ["read_descriptors"]

_DIMENSIONS = {"global": 2, "local": 3, "visibility": 2, "spatial": 3, "saliency": 2}
_SHOWN = 3

_HARMLESS = 2**30
"""Bytes that an .npz file may unpack to, whatever its own size; beyond these its share of ``_PACKED`` counts."""

_PACKED = 100
"""How many times its own size a larger .npz file may unpack to: descriptors pack far less well."""

Array = npt.NDArray[np.float32]


def read_descriptors(
    path: Path, dataset: ReidDataset, distance: Literal["cosine", "euclidean"] | None = None
) -> Described:
    """The descriptors of a world's query and gallery images from a file, such as ``occlureid describe`` writes.

    The file is a NumPy ``.npz`` (without pickled objects), or a ``.safetensors`` file. It holds

    - ``names``: N texts, the images' paths relative to the world ("query/0251_c1s1_300000_01.jpg"), or paths that end in
      these; in a safetensors file, whose tensors hold no text, a JSON list under ``names`` of its metadata;
    - ``global``: (N, D) floats, one vector an image;
    - ``local``: (N, P, C) floats, one vector a part; may be left out;
    - ``visibility``: (N, P) floats in [0, 1], how much of each part the image shows; 1 where it is left out;
    - ``spatial`` (N, T, S) and ``saliency`` (N, T): local vectors and their weights, only for a rule that compares them;
    - ``rule``: how they are compared, a ``MatchRule`` as JSON text (in the metadata of a safetensors file); may be left out.

    Every query and gallery image must be there once, in any order; training images may be there, and are not looked at.

    Args:
        path: the file.
        dataset: the benchmark's world.
        distance: compare global vectors and, weighted by the visibility of both images, parts by this distance, and take their
            weighted mean; None takes the file's own rule, and cosine distances where it has none.

    Raises:
        DataError: the file cannot be read, lacks something, holds numbers of a wrong shape or range, or names images that the
            world does not have, or not all that it has.
    """
    content = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
    checked = _checked(path, content)
    rows = _rows(path, content.names, dataset)
    count = len(content.names)
    local = checked.get("local", np.zeros((count, 0, 1), np.float32))
    visibility = checked.get("visibility", np.ones(local.shape[:2], np.float32))
    arrays = {"global_": checked["global"], "parts": local, "visibility": visibility}
    arrays |= {name: checked[name] for name in ("spatial", "saliency") if name in checked}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    try:
        descriptor = Descriptor(**tensors, fingerprint=f"file:{path.name}").check()
    except ShapeError as error:
        raise DataError(f"{path}: {error}") from error
    query, gallery = (
        descriptor[[rows[sample.path] for sample in samples]] for samples in (dataset.query, dataset.gallery)
    )
    rule = _rule(path, content.rule, distance)
    if rule.spatial_weight > 0 and descriptor.spatial is None:
        raise DataError(
            f"{path}: its rule compares local vectors (spatial_weight {rule.spatial_weight:g}), and it has no spatial"
        )
    return Described(query, gallery, dataset.query, dataset.gallery, rule, dataset.protocol)


@dataclass(frozen=True)
class _Content:
    """What a file holds, before anything is believed of it."""

    names: list[str]
    arrays: dict[str, Any]
    rule: str | None


def _rule(path: Path, text: str | None, distance: Literal["cosine", "euclidean"] | None) -> MatchRule:
    if distance is not None or text is None:
        return MatchRule(metric=distance or "cosine", visibility="soft")
    try:
        record = json.loads(text)
        if not isinstance(record, dict):
            raise DataError(f"expected an object, got {text[:60]!r}")
        return MatchRule.from_json(record)
    except (DataError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: its rule is none: {error}; give --distance to compare without it") from error


def _read_npz(path: Path) -> _Content:
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: a single array; expected an .npz file with {_expected()}")
            with file:
                _check_unpacked(path, file)
                names, rule = (_member(file, name) for name in ("names", "rule"))
                found = {name: _member(file, name) for name in _DIMENSIONS}
    except DataError:
        raise
    except Exception as error:  # unpacking and parsing raise whatever a damaged file drives them to
        raise DataError(
            f"{path}: cannot be read as an .npz file of plain arrays ({error}); names must be an array of texts, not of objects"
        ) from error
    arrays = {name: array for name, array in found.items() if array is not None}
    if names is None:
        raise DataError(f"{path}: holds no names; expected {_expected()}")
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise DataError(f"{path}: names must be one text an image, got {names.dtype} of shape {names.shape}")
    try:
        texts = [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names.tolist()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: a name is not UTF-8 text: {error}") from error
    return _Content(texts, arrays, None if rule is None else str(rule))


def _check_unpacked(path: Path, file: np.lib.npyio.NpzFile) -> None:
    """Before anything is unpacked: a small file must not fill the memory."""
    size = sum(member.file_size for member in file.zip.infolist()) if file.zip is not None else 0
    if size > max(_HARMLESS, _PACKED * path.stat().st_size):
        raise DataError(
            f"{path}: would unpack to {size:,} bytes, more than {_PACKED} times its own size; it is not read"
        )


def _member(file: np.lib.npyio.NpzFile, name: str) -> npt.NDArray[Any] | None:
    """One array; None where there is none of this name. What is no .npy file comes out of a zip file as bytes."""
    value = file[name] if name in file.files else None
    if value is not None and not isinstance(value, np.ndarray):
        raise ValueError(f"{name} is not an array")
    return value


def _read_safetensors(path: Path) -> _Content:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            held = set(file.keys())
            tensors = {name: file.get_tensor(name) for name in _DIMENSIONS if name in held}
            # a complex tensor stays one, and is refused; others become what NumPy knows
            arrays = {name: (t if t.is_complex() else t.to(torch.float32)).numpy() for name, t in tensors.items()}
        names = json.loads(metadata["names"])
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: cannot be read as .npz (by its suffix) or safetensors ({error})") from error
    except (KeyError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: its metadata must hold names, a JSON list of texts ({reason(error)})") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: the metadata's names must be a JSON list of texts")
    return _Content(names, arrays, metadata.get("rule"))


def _expected() -> str:
    return "names (N), global (N, D) and, if there are parts, local (N, P, C) and visibility (N, P)"


def _checked(path: Path, content: _Content) -> dict[str, Array]:
    """The arrays as float32, of the right shapes and finite."""
    names, arrays = content.names, content.arrays
    if "global" not in arrays:
        raise DataError(f"{path}: holds no global; expected {_expected()}")
    if "visibility" in arrays and "local" not in arrays:
        raise DataError(f"{path}: holds visibility but no local; expected {_expected()}")
    checked: dict[str, Array] = {}
    for name, array in arrays.items():
        dimensions = _DIMENSIONS[name]
        if array.dtype.kind not in "fiu":
            raise DataError(f"{path}: {name} must hold numbers, got {array.dtype}")
        if array.ndim != dimensions or len(array) != len(names) or 0 in array.shape:
            raise DataError(
                f"{path}: {name} must have {dimensions} dimensions, the first of the {len(names)} names, and none empty; "
                f"got the shape {array.shape}"
            )
        with np.errstate(over="ignore"):
            values = array.astype(np.float32)
        wrong = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise DataError(f"{path}: {name} of {names[first]!r} is not finite ({int(wrong.sum())} images in all)")
        checked[name] = values
    return checked


def _rows(path: Path, names: Sequence[str], dataset: ReidDataset) -> dict[Path, int]:
    """The row of each of the world's images that is named.

    Raises:
        DataError: a name is unknown or there twice, or a query or gallery image has none.
    """
    known: dict[str, Sample] = {
        sample.path.relative_to(dataset.root).as_posix(): sample
        for sample in (*dataset.train, *dataset.query, *dataset.gallery)
    }
    rows: dict[Path, int] = {}
    unknown = []
    for row, name in enumerate(names):
        sample = known.get("/".join(name.replace("\\", "/").split("/")[-2:]))
        if sample is None:
            unknown.append(name)
        elif sample.path in rows:
            raise DataError(f"{path}: {name!r} and {names[rows[sample.path]]!r} are the same image")
        else:
            rows[sample.path] = row
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} of {len(names)} names are no images of the benchmark's world: {_some(unknown)}; expected "
            f"names such as {next(iter(known))!r}"
        )
    wanted = (*dataset.query, *dataset.gallery)
    missing = [sample.path.relative_to(dataset.root).as_posix() for sample in wanted if sample.path not in rows]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(wanted)} images of the benchmark are missing: {_some(missing)}"
        )
    return rows


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more
