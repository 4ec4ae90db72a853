"""What the training tests start as processes of their own: ``python -m tests.training_process <what> <folder>``.

killed: a run that is killed (SIGKILL) again and again, each time at another of the moments that matter, until it ends.
together, synchronised: run under torchrun; each process leaves what it saw in ``rank<r>.pt``.
"""

import logging
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from occlureid import methods
from occlureid.arithmetic import FORCE
from occlureid.errors import SettingsError
from occlureid.models.losses import batch_hard_triplet
from occlureid.training import TrainingStoppedError, TrainSettings, checkpoint, logbook, step, train_method
from occlureid.training.together import gather_rows, synchronised_norm
from tests.tiny_method import make_method, make_samples

KILLED = TrainSettings(
    epochs=4, batch_size=4, workers=0, lr=0.05, milestones=(2,), checkpoint_every=2, log_every=1, accelerator="cpu"
)
TOGETHER = TrainSettings(
    epochs=3,
    batch_size=6,
    workers=0,
    lr=0.05,
    milestones=(2,),
    log_every=1,
    drop_last=False,
    accelerator="cpu",
    devices=2,
)
AVERAGED = TOGETHER.with_changes(average_decay=0.8)


def run_killed(folder: Path) -> TrainSettings:
    """Trains, in this process, the run that ``killed`` interrupts."""
    samples = make_samples(folder / "images")
    train_method(make_method(6, norm=True, dropout=0.3), samples, KILLED, folder / "run", resume=True)
    return KILLED


def kill_at(moment: int) -> None:
    """Lets this process die, as by kill -9, at the given one of the calls that write something or change a weight."""
    seen = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            for when in ("before", "after"):
                nonlocal seen
                seen += 1
                if seen == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                if when == "before":
                    result = function(*arguments, **named)
            return result

        return call

    for owner, name in (
        (os, "fsync"),
        (Path, "replace"),
        (Path, "write_text"),
        (checkpoint.torch, "save"),
        (logbook.Logbook, "write"),
        (step.Updater, "update"),
    ):
        setattr(owner, name, counted(getattr(owner, name)))


def killed(folder: Path) -> None:
    random_moments, kills = random.Random(0), 0
    while True:
        moment = random_moments.randint(1, 40)
        child = os.fork()
        if child == 0:
            kill_at(moment)
            run_killed(folder)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            print(kills, os.waitstatus_to_exitcode(status))
            return
        kills += 1


def together(folder: Path) -> None:
    rank = int(os.environ["RANK"])
    samples = make_samples(folder / f"images{rank}")[:17]  # the same pictures in a folder of each process's own

    def run(name: str, method: Any, **options: Any) -> dict[str, torch.Tensor]:
        train_method(method, samples, options.pop("settings", TOGETHER), folder / name, **options)
        return {key: value.clone() for key, value in method.state_dict().items()}

    seen: dict[str, Any] = {}
    before = os.environ.get(FORCE, "")
    os.environ[FORCE] = ("float32", "bfloat16")[rank]
    try:
        run("differing", make_method(6))
    except SettingsError as error:
        seen["differing"] = str(error)
    os.environ[FORCE] = before

    seen |= {"plain": run("plain", make_method(6))}
    seen["dropout"] = run("dropout", make_method(6, norm=True, dropout=0.5))
    method = make_method(6, norm=True, dropout=0.5)
    if rank == 1:
        method.register_forward_pre_hook(
            lambda *_: os.kill(os.getpid(), signal.SIGTERM) if method.passes == 5 else None
        )
    try:
        run("stopped", method)
    except TrainingStoppedError as error:
        seen["message"] = str(error)
    seen["resumed"] = run("stopped", make_method(6, norm=True, dropout=0.5), resume=True)

    seen["averaged plain"] = run("averaged plain", make_method(6), settings=AVERAGED)
    seen["averaged"] = run("averaged", make_method(6, norm=True, dropout=0.5), settings=AVERAGED)
    short = AVERAGED.with_changes(epochs=1)
    run("averaged resumed", make_method(6, norm=True, dropout=0.5), settings=short)
    seen["averaged resumed"] = run(
        "averaged resumed", make_method(6, norm=True, dropout=0.5), settings=AVERAGED, resume=True
    )

    for sample in samples[:5]:
        sample.path.write_bytes(b"no image")
    skip = TOGETHER.with_changes(on_corrupt="skip")
    method = make_method(6)
    seen["skipped"] = train_method(method, samples, skip, folder / "skip").skipped
    seen["skip"] = method.state_dict()
    torch.save(seen, folder / f"rank{rank}.pt")


BASELINE = {"backbone": "test_efficientnet", "size": [32, 16], "last_stride": 2, "triplet_weight": 1.0}
SYNCHRONISED = TrainSettings(
    epochs=2, batch_size=8, sampler="identity", instances=2, workers=0, lr=0.02, milestones=(), log_every=1,
    erasing_probability=0.0, flip_probability=0.0, accelerator="cpu", devices=2, sync_batch_norm=True,
)  # fmt: skip


def train_baseline(settings: TrainSettings, samples: Any, folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a network with batch norms and a triplet loss."""
    method = methods.create("baseline", 6, BASELINE, seed=1)
    train_method(method, samples, settings, folder)
    assert not any("forward" in vars(module) for module in method.modules())
    return {key: value.clone() for key, value in method.state_dict().items()}


def uneven_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Seven maps and their labels: the first process has three, the second four."""
    draw = torch.Generator().manual_seed(3)
    return 5 + torch.randn(7, 4, 3, 2, generator=draw), torch.tensor([0, 1, 0, 1, 2, 2, 0])


def norm_and_triplet(
    norm: torch.nn.BatchNorm2d, images: torch.Tensor, labels: torch.Tensor, **how: Any
) -> torch.Tensor:
    """A batch-hard triplet loss behind a batch norm; with ``how``, of all processes."""
    out = how["normalise"](norm, images) if how else norm(images)
    vectors, persons = (how["gather"] if how else lambda *both: both)(out.flatten(1), labels)
    return batch_hard_triplet(torch.cdist(vectors, vectors), persons, 0.3)


def synchronised(folder: Path) -> None:
    rank = int(os.environ["RANK"])
    samples = make_samples(folder / f"images{rank}")
    seen: dict[str, Any] = {"both": train_baseline(SYNCHRONISED, samples, folder / "both")}
    log: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: log.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("occlureid.training.together").addHandler(handler)
    for name, changes in (
        ("neither", {"sync_batch_norm": False, "gather_triplets": False}),
        ("triplets", {"sync_batch_norm": False}),
    ):
        log.clear()
        seen[name] = train_baseline(SYNCHRONISED.with_changes(**changes), samples, folder / name)
        seen[f"{name} log"] = list(log)
    images, labels = uneven_batch()
    rows = slice(0, 3) if rank == 0 else slice(3, 7)
    mine, norm = images[rows].clone().requires_grad_(), torch.nn.BatchNorm2d(4)
    loss = norm_and_triplet(norm, mine, labels[rows], normalise=synchronised_norm, gather=gather_rows)
    loss.backward()
    seen |= {"loss": loss.detach(), "gradient": mine.grad, "weight": norm.weight.grad, "norm": norm.state_dict()}
    torch.save(seen, folder / f"rank{rank}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"killed": killed, "together": together, "synchronised": synchronised}[sys.argv[1]](Path(sys.argv[2]))
