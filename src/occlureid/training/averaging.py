"""The moving average of the weights over the steps of a run: what is validated and kept in the place of the last weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from occlureid.errors import DataError, SettingsError

__all__ = ["WeightAverage"]


class WeightAverage:
    """An exponential moving average of a module's weights, over the steps of its training.

    After its step n, counted from 0, the average a of the weights w becomes a + (1 - d) (w - a), where
    d = min(decay, (1 + n) / (10 + n)): the first weights are forgotten quickly. Averaged are the parameters, and the
    running means and variances of batch normalisation, which so fit the averaged weights as well as they fitted each of
    those that were averaged. Other buffers (counters, what a method has measured) are no weights: they stay as they are.

    Args:
        module: whose weights are averaged, on the device where it is trained.
        decay: in [0, 1); 0 averages nothing, and keeps no copy of the weights.

    Attributes:
        updates: steps averaged so far.

    Raises:
        SettingsError: the decay is out of range.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise SettingsError(f"decay must lie in [0, 1), got {decay}")
        self._decay = decay
        self._live = _weights(module) if decay > 0 else {}
        self._means = {name: weight.detach().clone() for name, weight in self._live.items()}
        self.updates = 0

    @property
    def active(self) -> bool:
        """Whether anything is averaged."""
        return self._decay > 0

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the weights after a step."""
        if not self.active:
            return
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        for name, weight in self._live.items():
            self._means[name].lerp_(weight, 1.0 - decay)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module holds the average within, and after it, bit for bit, the weights that it held before."""
        held = {name: weight.detach().clone() for name, weight in self._live.items()}
        self._hold(self._means)
        try:
            yield
        finally:
            self._hold(held)

    @torch.no_grad()
    def _hold(self, weights: Mapping[str, Tensor]) -> None:
        for name, weight in self._live.items():
            weight.copy_(weights[name])

    def state(self) -> dict[str, Any] | None:
        """What ``load_state`` goes back to: "updates", and "weights" by name; None where nothing is averaged."""
        return {"updates": self.updates, "weights": dict(self._means)} if self.active else None

    def load_state(self, state: Mapping[str, Any] | None) -> None:
        """Goes back to a state.

        Raises:
            DataError: it is not that of an average of this module.
        """
        if state is None and not self.active:
            return
        if state is None or not self.active:
            raise DataError(
                f"the checkpoint holds {'no' if state is None else 'an'} average of the weights, while average_decay is "
                f"{self._decay}; start again with overwrite"
            )
        updates, weights = state.get("updates"), state.get("weights")
        if type(updates) is not int or updates < 0 or not isinstance(weights, Mapping):
            raise DataError(
                "the checkpoint's average of the weights must hold updates and weights; start again with overwrite"
            )
        for name in sorted(weights.keys() ^ self._means.keys(), key=str):
            raise DataError(
                f"the checkpoint's average of the weights does not fit this method: {name!r} is in one alone"
            )
        for name, mean in self._means.items():
            found = weights[name]
            if not isinstance(found, Tensor) or found.shape != mean.shape or found.dtype != mean.dtype:
                what = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
                raise DataError(
                    f"the checkpoint's average of the weights does not fit this method: {name} must be {mean.dtype} "
                    f"{tuple(mean.shape)}, got {what}"
                )
        for name, mean in self._means.items():
            mean.copy_(weights[name])
        self.updates = updates


def _weights(module: nn.Module) -> dict[str, Tensor]:
    """The module's own tensors that are averaged, by name, each once."""
    found: dict[str, Tensor] = dict(module.named_parameters())
    for prefix, part in module.named_modules():
        if isinstance(part, _BatchNorm):
            for name in ("running_mean", "running_var"):
                statistic = getattr(part, name)
                if statistic is not None:  # a layer that keeps none
                    found[f"{prefix}.{name}" if prefix else name] = statistic
    return found
