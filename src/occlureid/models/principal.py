"""The directions in which many vectors lie, measured a few vectors at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from occlureid.errors import ShapeError, UsageError

__all__ = ["SecondMoment"]


class SecondMoment:
    r"""The sum of v v^T over vectors v, in float64, and its leading eigenvectors: principal components without a centre.

    Projecting vectors on the first P of them is the linear map to P numbers that changes inner products least (in the sum
    of squares over all pairs that were added). Taking a mean away first would compare something else: 1 - cos of what is left.

    Args:
        channels: C, the length of a vector.
        device: where the sum is kept: 8 C^2 bytes.

    Attributes:
        count: the vectors added so far.
    """

    def __init__(self, channels: int, device: torch.device | str = "cpu") -> None:
        self._sum = torch.zeros(channels, channels, dtype=torch.float64, device=device)
        self.count = 0

    def add(self, vectors: Tensor) -> None:
        """Adds (N, C) vectors.

        Raises:
            ShapeError: they are not (N, C).
        """
        if vectors.ndim != 2 or vectors.shape[1] != len(self._sum):
            raise ShapeError(f"vectors must have shape (N, {len(self._sum)}), got {tuple(vectors.shape)}")
        exact = vectors.detach().to(self._sum)
        self._sum.addmm_(exact.T, exact)
        self.count += len(exact)

    def directions(self, count: int) -> Tensor:
        """The ``count`` leading eigenvectors, the largest first, each with its largest entry positive.

        Returns:
            (C, count) float64 with orthonormal columns, on the CPU.

        Raises:
            ShapeError: count is not in [1, C].
            UsageError: nothing was added.
        """
        if not 1 <= count <= len(self._sum):
            raise ShapeError(f"count must lie in [1, {len(self._sum)}], got {count}")
        if self.count == 0:
            raise UsageError("no vectors were added, so that they have no directions")
        found: Tensor = torch.linalg.eigh(self._sum.cpu()).eigenvectors.flip(1)[:, :count]
        largest = found.gather(0, found.abs().argmax(0, keepdim=True))
        return found * largest.sign()
