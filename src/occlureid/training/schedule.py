"""The learning rate as a pure function of the step: nothing to save, nothing to restore."""

from __future__ import annotations

import logging
import math

from occlureid.errors import UsageError
from occlureid.training.settings import TrainSettings

__all__ = ["learning_rate_factor", "warn_of_unreached"]

_log = logging.getLogger(__name__)


def learning_rate_factor(settings: TrainSettings, step: int, steps_per_epoch: int) -> float:
    r"""What every parameter group's own learning rate is multiplied by in a step.

    With t = step / steps_per_epoch, in epochs, E = ``epochs`` and W = ``warmup_epochs``:

        step:      decay ^ (number of milestones <= floor(t))
        cosine:    f + (1 - f) (1 + cos(pi min(1, max(0, (t - W) / (E - W))))) / 2,   f = final_factor
        constant:  1

    During warm-up (t < W) that is further multiplied by w + (1 - w) t / W, w = ``warmup_factor``.

    Args:
        settings: the schedule's values.
        step: steps done before this one over the whole run, from 0.
        steps_per_epoch: steps in an epoch, at least 1.

    Returns:
        A factor in [0, 1].

    Raises:
        UsageError: a negative step, or an epoch without steps.
    """
    if step < 0 or steps_per_epoch < 1:
        raise UsageError(f"expected step >= 0 and steps_per_epoch >= 1, got {step} and {steps_per_epoch}")
    epoch = step / steps_per_epoch
    factor = 1.0
    if settings.schedule == "step":
        factor = settings.decay ** sum(milestone <= step // steps_per_epoch for milestone in settings.milestones)
    elif settings.schedule == "cosine":
        progress = (epoch - settings.warmup_epochs) / (settings.epochs - settings.warmup_epochs)
        cosine = (1 + math.cos(math.pi * min(1.0, max(0.0, progress)))) / 2
        factor = settings.final_factor + (1 - settings.final_factor) * cosine
    if epoch < settings.warmup_epochs:
        factor *= settings.warmup_factor + (1 - settings.warmup_factor) * epoch / settings.warmup_epochs
    return factor


def warn_of_unreached(settings: TrainSettings) -> None:
    """Logs a warning where a step schedule has milestones behind the last epoch: the learning rate does not fall there."""
    late = [milestone for milestone in settings.milestones if milestone >= settings.epochs]
    if settings.schedule == "step" and late:
        _log.warning(
            "the run ends after %d epochs, before the learning rate falls at %s; set train.milestones to earlier epochs, or to "
            "[] if it is not to fall",
            settings.epochs,
            ", ".join(map(str, late)),
        )
