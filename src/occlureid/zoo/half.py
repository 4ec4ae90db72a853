"""Weights in half the bytes, as far as they bear it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from occlureid.errors import DataError

__all__ = ["LOSS", "halve"]

LOSS = 2.0**-10
"""The greatest relative error of rounding to half precision within its range; where more is lost, a number is below it."""


def halve(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """A network's tensors in half precision, and the names of those that stay as they are.

    Integers stay. A floating tensor stays in single precision where a number of it would overflow, or, if it is a vector or a
    single number (statistics of a batch norm, a threshold, a bias), where one would lose more than ``LOSS`` of its value: these
    divide or are compared, are few, and a variance that became 0 would do harm. A small weight among larger ones does none.

    Raises:
        DataError: a number is not finite: such weights are not to be given away.
    """
    halved: dict[str, Tensor] = {}
    single: list[str] = []
    for name, tensor in state.items():
        value = tensor.detach().cpu().contiguous()
        if not value.is_floating_point():
            halved[name] = value
            continue
        if not bool(torch.isfinite(value).all()):
            raise DataError(f"{name}: holds numbers that are not finite; these weights are of no use")
        small = value.half()
        lost = (small.double() - value.double()).abs() > LOSS * value.double().abs()
        if not bool(torch.isfinite(small).all()) or (value.ndim <= 1 and bool(lost.any())):
            halved[name] = value.float()
            single.append(name)
        else:
            halved[name] = small
    return halved, tuple(sorted(single))
