"""Descriptors from strangers: base64 of a safetensors file, checked before anything is computed with it."""

from __future__ import annotations

import base64
import binascii
import json

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from occlureid.errors import DataError, ShapeError
from occlureid.types import Descriptor

__all__ = ["read_descriptor"]

_NAMES = {"global_", "parts", "visibility", "spatial", "saliency"}
_TYPES = (torch.float16, torch.bfloat16, torch.float32)
_LARGEST = 65_504.0
"""What half precision, in which galleries keep descriptors, can hold."""


def read_descriptor(text: str, most: int) -> Descriptor:
    """The descriptor of some crops.

    Args:
        text: base64 of what ``Descriptor.save`` writes.
        most: crops.

    Returns:
        N crops in float32, 1 <= N <= most, all values finite and of at most 65504.

    Raises:
        DataError: it is anything else.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("descriptor: not base64 (RFC 4648, with padding, without line ends)") from error
    try:
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    except (SafetensorError, ValueError, KeyError, TypeError, AssertionError, RuntimeError, RecursionError) as error:
        raise DataError("descriptor: not a safetensors file") from error
    if metadata.get("occlureid") != "descriptor" or not {"global_", "parts", "visibility"} <= tensors.keys() <= _NAMES:
        raise DataError('descriptor: not a descriptor, as "Descriptor.save" writes it')
    for name, tensor in tensors.items():
        if tensor.dtype not in _TYPES:
            raise DataError(f"descriptor: {name} must be of a float type of 16 or 32 bits, got {tensor.dtype}")
        if tensor.numel() and not bool(tensor.float().abs().amax() <= _LARGEST):  # False for NaN
            raise DataError(f"descriptor: the values of {name} must be finite and at most {_LARGEST:g}")
    try:
        made = Descriptor(
            **{n: t.float() for n, t in tensors.items()}, fingerprint=str(metadata.get("fingerprint", ""))
        )
        made = made.check()
    except (ShapeError, IndexError) as error:
        raise DataError(f"descriptor: {error}") from error
    if not 1 <= len(made) <= most:
        raise DataError(f"descriptor: expected 1 to {most} crops, got {len(made)}")
    return made
