"""When a method is asked for part labels, and what keeps its answer the same after a resume and in every process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from lightning_fabric import Fabric

from occlureid.errors import DataError, UsageError
from occlureid.guidance import Guidance
from occlureid.methods import Method
from occlureid.training.step import step_seed
from occlureid.training.view import RunView

__all__ = ["Guiding"]


class Guiding:
    """Asks a method for part labels, and lets it measure at the end; neither touches what the training draws.

    Args:
        fabric: launched, with the method set up.
        method: the method.
        view: what it gets to see.

    Attributes:
        guides: whether the method's class makes part labels.
        concludes: whether it measures something at the end.
    """

    def __init__(self, fabric: Fabric, method: Method[Any], view: RunView) -> None:
        self._fabric, self._method, self._view = fabric, method, view
        self.guides = type(method).guide is not Method.guide
        self.concludes = type(method).conclude is not Method.conclude

    def ask(self, epoch: int, previous: Guidance | None) -> Guidance | None:
        """The part labels from an epoch on, on the CPU.

        Args:
            epoch: the coming epoch, from 0.
            previous: those in force.

        Returns:
            None where those in force are kept.

        Raises:
            UsageError: they do not fit the run, or differ between processes.
        """
        with self._apart(epoch, previous):
            found = self._method.guide(self._view)
        new = None if found is None or found is previous else self._checked(found, epoch)
        self._check_agreement(new)
        return new

    def conclude(self, epochs: int, guidance: Guidance | None) -> None:
        """Lets the method, which holds the chosen weights, measure what belongs with them."""
        with self._apart(epochs, guidance):
            self._method.conclude(self._view)

    def check(self, guidance: Guidance) -> None:
        """Raises:
        DataError: a guidance from a checkpoint is not of this run's images.
        """  # noqa: D205
        if len(guidance.labels) != len(self._view.samples):
            raise DataError(
                f"the checkpoint's guidance is of {len(guidance.labels)} images, the run has {len(self._view.samples)}; "
                "start again with overwrite"
            )

    @contextmanager
    def _apart(self, epoch: int, previous: Guidance | None) -> Iterator[None]:
        """The method with equal buffers in all processes, and with random numbers of its own, the same in all of them."""
        self._view.epoch, self._view.previous = epoch, previous
        if self._fabric.world_size > 1:  # each process has its own running statistics since the last forward pass
            for buffer in self._method.buffers():
                torch.distributed.broadcast(buffer, 0)
        training = self._method.training
        cuda = [self._fabric.device] if self._fabric.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(
                step_seed(self._view.seed, -1 - epoch, 0)
            )  # steps count from 0: nothing else has this seed
            try:
                yield
            finally:
                self._method.train(training)

    def _checked(self, found: Guidance, epoch: int) -> Guidance:
        name, count = self._method.name(), len(self._view.samples)
        if len(found.labels) != count or found.labels.numel() == 0 or found.epoch != epoch:
            raise UsageError(
                f"{name}.guide must give labels (N, h, w) of the N={count} training images, made before epoch {epoch}; "
                f"got {tuple(found.labels.shape)}, made before epoch {found.epoch}"
            )
        try:
            record = json.loads(json.dumps(found.record, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise UsageError(f"{name}.guide: the record must hold plain, finite values: {error}") from error
        return replace(found, labels=found.labels.cpu(), known=found.known.cpu(), record=record)

    def _check_agreement(self, guidance: Guidance | None) -> None:
        if self._fabric.world_size == 1:
            return
        digest = ""
        if guidance is not None:
            content = hashlib.sha256(f"{guidance.parts} {tuple(guidance.labels.shape)}".encode())
            for tensor in (guidance.labels, guidance.known):
                content.update(tensor.contiguous().numpy().tobytes())
            digest = content.hexdigest()
        digests: list[Any] = [None] * self._fabric.world_size
        torch.distributed.all_gather_object(digests, digest)
        if len(set(digests)) > 1:
            raise UsageError(
                f"{self._method.name()}.guide made different labels in different processes; join them with view.merge"
            )
