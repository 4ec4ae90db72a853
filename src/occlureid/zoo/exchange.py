"""Described images as one file that any program reads, the benchmark of occlusion among them.

    names       of the N images: in NPZ a Unicode array (N,), in safetensors a JSON list under the metadata's "names"
    global      (N, D) float32, one vector an image
    local       (N, P, C) float32, one vector a part, top to bottom; left out without parts
    visibility  (N, P) float32 in [0, 1], how much of each part the image shows; left out without parts
    spatial     (N, T, S) float32 and
    saliency    (N, T) float32: local vectors and their weights, of methods whose rule compares them

Beside them, in the metadata or as Unicode scalars: "fingerprint" (of method and weights) and "rule" (JSON, how they compare).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file

from occlureid.errors import DataError, UsageError
from occlureid.matching import MatchRule
from occlureid.types import Descriptor

__all__ = ["SUFFIXES", "check_target", "write_described_images"]

SUFFIXES = (".safetensors", ".npz")
"""The two forms that a file may have."""


def check_target(path: Path) -> None:
    """Raises:
    UsageError: the file's suffix is neither .safetensors nor .npz.
    """  # noqa: D205
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: described images are written to a file {' or '.join(SUFFIXES)}")


def write_described_images(path: Path | str, names: Sequence[str], descriptor: Descriptor, rule: MatchRule) -> Path:
    """Writes the file, atomically; its suffix says in which form.

    Args:
        path: the file; its folder is made.
        names: of the N images, each once.
        descriptor: of the N images, in the same order.
        rule: how they are compared.

    Raises:
        UsageError: the suffix is neither .safetensors nor .npz.
        DataError: there is not one name for each image, two have the same, or the file cannot be written.
    """
    path = Path(path)
    check_target(path)
    if len(names) != len(descriptor) or len(set(names)) < len(names):
        raise DataError(f"{path}: expected {len(descriptor)} different names, one an image, got {len(set(names))}")
    arrays = {"global": descriptor.global_}
    if descriptor.parts.shape[1]:
        arrays |= {"local": descriptor.parts, "visibility": descriptor.visibility}
    if descriptor.spatial is not None and descriptor.saliency is not None and rule.spatial_weight > 0:
        arrays |= {"spatial": descriptor.spatial, "saliency": descriptor.saliency}
    arrays = {name: array.detach().cpu().float().contiguous() for name, array in arrays.items()}
    texts = {"fingerprint": descriptor.fingerprint, "rule": json.dumps(rule.to_json())}
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npz":
            values: dict[str, Any] = {name: array.numpy() for name, array in arrays.items()}
            values |= {name: np.array(text) for name, text in texts.items()}
            with partial.open("wb") as file:
                np.savez(file, names=np.array(names, dtype=np.str_), **values)
        else:
            save_file(arrays, partial, metadata={"occlureid": "images", "names": json.dumps(list(names)), **texts})
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path
