"""Everything about there being one or several training processes, and about being told to stop."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Self

import torch
from lightning_fabric import Fabric

from occlureid.arithmetic import train_precision
from occlureid.errors import OcclureidError, SettingsError
from occlureid.training.precision import device_kind
from occlureid.training.settings import TrainSettings

__all__ = ["Agreement", "StopSignals", "TrainingStoppedError", "agree", "start_processes"]

_log = logging.getLogger(__name__)


class TrainingStoppedError(OcclureidError):
    """A signal ended the run between two steps; a checkpoint of that moment is written."""

    exit_code = 130


def start_processes(settings: TrainSettings) -> Fabric:
    """A launched Fabric: under torchrun it joins the processes that are there, otherwise it starts those asked for.

    One process needs no strategy; several train with DistributedDataParallel: gradients are averaged, and before each
    forward pass the first process's buffers (the running statistics of batch norm) are sent to the others. What batch norm and
    triplets see of the batch is up to ``together.train_together``.

    Raises:
        SettingsError: the accelerator, the devices or the precision is not there, or the batch does not divide.
    """
    devices, nodes = settings.devices, settings.nodes
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    processes = devices * nodes
    if settings.batch_size % processes or settings.batch_size // processes < 2:
        works = max(2, -(-settings.batch_size // processes)) * processes
        raise SettingsError(
            f"batch_size must be a multiple of the {processes} processes, at least two images for each, "
            f"got {settings.batch_size}; set for example train.batch_size={works}"
        )
    accelerator = device_kind(settings)
    if accelerator == "cpu" and settings.precision == "16-mixed":
        raise SettingsError('precision "16-mixed" needs a GPU and none is here; take "bf16-mixed" or "32-true"')
    precision = train_precision(settings.precision, accelerator)
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy="ddp" if processes > 1 else "auto",
            precision=precision,
        )
    except (RuntimeError, ValueError) as error:  # MisconfigurationException is a ValueError or an Exception by version
        raise SettingsError(f"accelerator {accelerator!r} with {devices} devices on {nodes} nodes: {error}") from error
    fabric.launch()
    if fabric.world_size > 1:
        atexit.unregister(_leave_processes)  # once is enough
        atexit.register(_leave_processes)
        _check_same_arithmetic(fabric, precision)
    return fabric


def _check_same_arithmetic(fabric: Fabric, precision: str) -> None:
    """Raises:
    SettingsError: "auto" has chosen differently in some of the processes, whose processors differ; in each of them.
    """  # noqa: D205
    said: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(said, precision)
    if len(set(said)) > 1:
        raise SettingsError(
            f"the processes' processors choose different arithmetics ({', '.join(map(str, said))}, by rank): set "
            "train.precision to 32-true or bf16-mixed for all"
        )


def _leave_processes() -> None:
    """Ends the processes' connection, as Fabric does with GPUs only: gloo's threads must not outlive the interpreter."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@dataclass(frozen=True)
class Agreement:
    """What all processes know of the step before them.

    Attributes:
        images: images in the whole batch.
        smallest: images in the smallest process's share.
        stop: some process was told to stop.
        skipped: images that could not be read, in all processes: path to number of draws.
    """

    images: int
    smallest: int
    stop: bool
    skipped: Mapping[str, int]


def agree(fabric: Fabric, images: int, skipped: Mapping[str, int], *, stop: bool) -> Agreement:
    """Lets every process know the same of all: called at the same point in each."""
    if fabric.world_size == 1:
        return Agreement(images, images, stop, skipped)
    table = torch.zeros(fabric.world_size, 3, dtype=torch.long, device=fabric.device)
    table[fabric.global_rank] = torch.tensor([images, int(stop), len(skipped)])
    counts, stops, skips = torch.as_tensor(fabric.all_reduce(table, reduce_op="sum")).cpu().T.tolist()
    tally: dict[str, int] = {}
    if any(skips):  # names travel only when there are any
        gathered: list[Any] = [None] * fabric.world_size
        torch.distributed.all_gather_object(gathered, dict(skipped))
        for part in gathered:
            for path, times in part.items():
                tally[path] = tally.get(path, 0) + times
    return Agreement(sum(counts), min(counts), any(stops), tally)


class StopSignals:
    """While active, the first SIGINT or SIGTERM only sets ``received``; a second one acts as it did before.

    Outside the main thread, where Python does not let signals be handled, nothing changes.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        self._restore()
        _log.warning(
            "%s received: finishing this step and writing a checkpoint; once more to end at once", self.received
        )

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
