"""The few pixels out of many that something is worked out for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["picked"]


def picked(mask: Tensor) -> Tensor:
    """(P,) int64 places of what is true, in order, counted through all axes.

    The same as ``mask.flatten().nonzero()[:, 0]``, which takes ten times as long on a CPU.
    """
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.flatten().nonzero()[:, 0]
