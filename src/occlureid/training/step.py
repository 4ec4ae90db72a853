"""One step: losses of a batch, gradients, update; and what keeps it the same after a resume."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from occlureid.errors import DataError, OcclureidError, UsageError
from occlureid.methods import Method
from occlureid.training.averaging import WeightAverage
from occlureid.training.settings import TrainSettings
from occlureid.types import Cues

__all__ = ["DivergedError", "StepSummary", "Updater", "make_optimiser", "step_seed"]


class DivergedError(OcclureidError):
    """The loss or the gradient is no longer a finite number."""


class Share:
    """One process's share of a batch; a plain object, so that Fabric does not cast coordinates to half precision."""

    def __init__(self, images: Tensor, cues: Cues, labels: Tensor) -> None:
        self.images, self.cues, self.labels = images, cues, labels


@dataclass(frozen=True)
class StepSummary:
    """What came out of a step: the summed loss (mean over processes), and each term as this process saw it."""

    loss: float
    terms: dict[str, Tensor]


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of what is random inside the network in a step of a process; in [0, 2^63)."""
    digest = hashlib.blake2b(f"{seed} {step} {rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def make_optimiser(method: Method[Any], settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimiser over the method's own parameter groups, each at its own base rate.

    Raises:
        UsageError: the groups leave out a trainable parameter, or name one twice.
    """
    groups = method.parameter_groups(settings.lr)
    given = [id(parameter) for group in groups for parameter in group["params"]]
    missing = [n for n, p in method.named_parameters() if p.requires_grad and id(p) not in given]
    if missing or len(given) != len(set(given)):
        raise UsageError(
            f"{method.name()}.parameter_groups must hold every trainable parameter once; "
            f"missing {missing[:3]}, twice {len(given) - len(set(given))}"
        )
    decay = settings.weight_decay
    if settings.optimiser == "sgd":
        momentum, nesterov = settings.momentum, settings.nesterov
        return torch.optim.SGD(groups, settings.lr, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    cls = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
    return cls(groups, settings.lr, weight_decay=decay)


class _Losses(nn.Module):
    """Forward pass and loss terms as one module, so that gradients are averaged over processes for both."""

    def __init__(self, method: Method[Any]) -> None:
        super().__init__()
        self.method = method

    def forward(self, share: Share) -> dict[str, Tensor]:
        output = self.method(share.images, share.cues)
        with torch.autocast(share.images.device.type, enabled=False):  # losses are float32 whatever the network is
            return self.method.losses(_float32(output), share.labels, share.cues)


def _float32(value: Any) -> Any:
    """A method's output with its half-precision tensors in float32."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _float32(getattr(value, f.name)) for f in fields(value)})
    if isinstance(value, dict):
        return {key: _float32(item) for key, item in value.items()}
    return type(value)(_float32(item) for item in value) if isinstance(value, list | tuple) else value


class Updater:
    """A method and its optimiser under Fabric: makes steps, and gives and takes their state.

    Attributes:
        average: of the weights, as ``settings.average_decay`` asks for it; takes in each step.
    """

    def __init__(self, fabric: Fabric, method: Method[Any], settings: TrainSettings) -> None:
        self._fabric, self._method, self._settings = fabric, method, settings
        optimiser = make_optimiser(method, settings)
        self._base_rates = [float(group["lr"]) for group in optimiser.param_groups]
        self._module, self._optimiser = fabric.setup(_Losses(method), optimiser)
        self.average = WeightAverage(method, settings.average_decay)  # on the device, and the same in all processes

    def state(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The state of the method, the optimiser, and the loss scaler of 16-mixed precision (else empty)."""
        return self._method.state_dict(), self._optimiser.state_dict(), self._fabric.strategy.precision.state_dict()

    def load_state(self, model: dict[str, Any], optimiser: dict[str, Any], scaler: dict[str, Any]) -> None:
        """Goes back to a state.

        Raises:
            DataError: it does not fit the method.
        """
        try:
            self._method.load_state_dict(model, strict=True)
            self._optimiser.load_state_dict(optimiser)
            self._fabric.strategy.precision.load_state_dict(scaler)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"the checkpoint does not fit this method and optimiser: {error}") from error

    def update(self, share: Share, *, step: int, factor: float, share_of_batch: float) -> StepSummary:
        """One step.

        Args:
            share: this process's images, at least two, on the device.
            step: steps done before this one, for seeds and messages.
            factor: what the groups' base rates are multiplied by.
            share_of_batch: images here over images in the average process; weighs the loss, so that averaging the
                gradients gives the mean over images.

        Raises:
            DivergedError: a loss term or the gradient is not finite.
        """
        for group, rate in zip(self._optimiser.param_groups, self._base_rates, strict=True):
            group["lr"] = rate * factor
        torch.manual_seed(step_seed(self._settings.seed, step, self._fabric.global_rank))
        self._module.train()
        self._optimiser.zero_grad()
        terms = self._module(share)
        loss = torch.stack([term.reshape(()) for term in terms.values()]).sum() * share_of_batch
        mean = self._fabric.all_reduce(loss.detach().clone(), reduce_op="mean")
        value = float(torch.as_tensor(mean))
        if not math.isfinite(value):
            raise DivergedError(self._message(step, "the loss is not finite", terms))
        self._fabric.backward(loss)
        if self._settings.clip_norm > 0:
            norm = self._fabric.clip_gradients(
                self._module, self._optimiser, max_norm=self._settings.clip_norm, error_if_nonfinite=False
            )
            # the loss scaler of 16-mixed meets infinite gradients on purpose, skips that step and lowers its scale
            if norm is not None and not math.isfinite(float(norm)) and self._settings.precision != "16-mixed":
                raise DivergedError(self._message(step, "the gradient is not finite", terms))
        self._optimiser.step()
        self.average.update()
        return StepSummary(value, {name: term.detach() for name, term in terms.items()})

    def _message(self, step: int, problem: str, terms: dict[str, Tensor]) -> str:
        return (
            f"step {step + 1}: {problem} ({_list(terms.items())}); try a lower lr (it is {self._settings.lr}), a "
            "longer warm-up or clip_norm; the last checkpoint is from before this step"
        )


def _list(terms: Iterable[tuple[str, Tensor]]) -> str:
    return ", ".join(f"{name} {float(term.detach()):.4g}" for name, term in terms)
