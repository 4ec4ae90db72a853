"""Several processes that learn as one: batch norm over the whole batch, and batches gathered for losses that compare images."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from occlureid.errors import SettingsError
from occlureid.methods import Method
from occlureid.training.settings import TrainSettings

__all__ = ["gather_rows", "synchronised_norm", "train_together"]

_log = logging.getLogger(__name__)


@contextmanager
def train_together(fabric: Fabric, method: Method[Any], settings: TrainSettings) -> Iterator[None]:
    """While this lasts, a method learns over all processes as the settings say; warns of what each process does for itself.

    Raises:
        SettingsError: a batch norm of the method cannot be synchronised.
    """
    if fabric.world_size == 1:
        yield
        return
    here = settings.batch_size // fabric.world_size
    norms = [module for module in method.modules() if isinstance(module, _BatchNorm)]
    if norms and not settings.sync_batch_norm and fabric.is_global_zero:
        _log.warning(
            "%d processes: each normalises its own %d of the %d images of a batch, so that the weights are not those of one "
            "process; set train.sync_batch_norm=true to normalise all of them together",
            fabric.world_size, here, settings.batch_size,
        )  # fmt: skip
    if settings.sampler == "identity" and not settings.gather_triplets and fabric.is_global_zero:
        _log.warning(
            "%d processes: each compares the images of its own %d persons; set train.gather_triplets=true to compare all",
            fabric.world_size, here // settings.instances,
        )  # fmt: skip
    changed = norms if settings.sync_batch_norm else []
    for norm in changed:
        if type(norm).forward is not nn.BatchNorm2d.forward and not hasattr(norm, "act"):
            raise SettingsError(
                f"train.sync_batch_norm: a {type(norm).__name__} cannot be synchronised; set it to false"
            )
        norm.forward = _Synchronised(norm)  # type: ignore[method-assign, assignment]
    method.whole_batch = gather_rows if settings.gather_triplets else None
    try:
        yield
    finally:
        method.whole_batch = None
        for norm in changed:
            del norm.forward


class _Synchronised:
    """Forward pass of a batch norm: over all processes in training, and its own otherwise; then timm's activation."""

    def __init__(self, norm: _BatchNorm) -> None:
        self._norm, self._own = norm, norm.forward

    def __call__(self, images: Tensor) -> Tensor:
        norm = self._norm
        if not norm.training:
            return self._own(images)
        result = synchronised_norm(norm, images)
        for name in ("drop", "act"):  # timm's BatchNormAct2d
            layer = getattr(norm, name, None)
            result = result if layer is None else layer(result)
        return result


def synchronised_norm(norm: _BatchNorm, images: Tensor) -> Tensor:
    r"""Batch norm by the statistics of all processes' images, differentiable; updates the running statistics alike everywhere.

    With process r's count n_r, mean m_r and sum of squared deviations s_r, as Chan, Golub and LeVeque (1983) join them:

        n = sum_r n_r,    m = sum_r n_r m_r / n,    var = sum_r (s_r + n_r (m_r - m)^2) / n

    Args:
        norm: in training mode.
        images: (B, C) or (B, C, ...), of a size of its own in each process.

    Returns:
        The same shape and type.
    """
    values = images.float()
    axes = [axis for axis in range(values.ndim) if axis != 1]
    shape = [1, -1, *[1] * (values.ndim - 2)]
    count = values.new_tensor(values.numel() / values.shape[1])
    mean = values.mean(axes)
    squares = (values - mean.view(shape)).square().sum(axes)
    table = _table(torch.cat([mean, squares, count[None]])[None], *_place(1, images.device))
    means, squared, counts = table[:, : len(mean)], table[:, len(mean) : -1], table[:, -1:]
    total = counts.sum().detach()
    whole = (means * counts).sum(0) / total
    variance = (squared + counts * (means - whole).square()).sum(0) / total
    if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
        with torch.no_grad():
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.add_(1)
            tracked = float(norm.num_batches_tracked or 1)
            momentum = 1 / tracked if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(whole.to(norm.running_mean), momentum)
            norm.running_var.lerp_((variance * total / (total - 1)).to(norm.running_var), momentum)
    result = (values - whole.view(shape)) * torch.rsqrt(variance + norm.eps).view(shape)
    if norm.affine:
        result = result * norm.weight.float().view(shape) + norm.bias.float().view(shape)
    return result.to(images.dtype)


def gather_rows(vectors: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of all processes, in their order, with gradients: a loss of them is the same in all, and learns as in one process.

    Every process's gradient is the sum over all processes' losses, which data parallel training averages.

    Args:
        vectors: (B, D), B of each process's own.
        labels: (B,) int64.
    """
    first, total = _place(len(vectors), vectors.device)
    numbers = labels.new_zeros(total)
    numbers[first : first + len(labels)] = labels
    torch.distributed.all_reduce(numbers)
    return _table(vectors, first, total), numbers


def _place(rows: int, device: torch.device) -> tuple[int, int]:
    """First row of this process among the rows of all processes, and the number of all rows."""
    counts = torch.zeros(torch.distributed.get_world_size(), dtype=torch.long, device=device)
    rank = torch.distributed.get_rank()
    counts[rank] = rows
    torch.distributed.all_reduce(counts)
    return int(counts[:rank].sum()), int(counts.sum())


def _table(rows: Tensor, first: int, total: int) -> Tensor:
    """The rows of all processes one below the other, differentiable."""
    padding = (0, 0, first, total - first - len(rows))
    summed: Tensor = _Sum.apply(nn.functional.pad(rows, padding))  # type: ignore[no-untyped-call]
    return summed


class _Sum(torch.autograd.Function):
    """Sum over all processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        summed = values.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(summed)
        return summed
