"""The training loop: one for all methods, on one process or many, that can be killed at any moment and go on."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from lightning_fabric import Fabric
from tqdm import tqdm

from occlureid.data.dataset import ReidDataset, label_map
from occlureid.data.loader import CueSource
from occlureid.data.paste import Cutout
from occlureid.errors import DataError, UsageError
from occlureid.guidance import Guidance
from occlureid.methods import Method
from occlureid.training.batches import Batches, plain_cues, relative_paths, samples_checksum
from occlureid.training.checkpoint import Checkpoint, RunIdentity, RunState
from occlureid.training.folder import RunFolder
from occlureid.training.guidance_file import guidance_name, write_guidance
from occlureid.training.guiding import Guiding
from occlureid.training.logbook import Logbook
from occlureid.training.precision import settled
from occlureid.training.processes import StopSignals, TrainingStoppedError, agree, start_processes
from occlureid.training.schedule import learning_rate_factor, warn_of_unreached
from occlureid.training.settings import TrainSettings
from occlureid.training.step import Share, StepSummary, Updater
from occlureid.training.together import train_together
from occlureid.training.validation import ValidationSplit, score, split_validation
from occlureid.training.view import RunView
from occlureid.types import Sample

__all__ = ["TrainResult", "train_method", "training_labels"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """What a finished run leaves.

    Attributes:
        folder: where it wrote.
        weights: the file of the chosen epoch's weights; ``methods.restore`` reads it.
        epoch: the chosen epoch, from 1.
        score: its mAP in [0, 1] on the held-out persons; None where nobody was held out and the last epoch was kept.
        steps: steps done over the whole run.
        skipped: images that could not be read, and how often each was drawn.
    """

    folder: Path
    weights: Path
    epoch: int
    score: float | None
    steps: int
    skipped: dict[str, int]

    def summary(self) -> str:
        """One sentence: which epoch was chosen, and by what."""
        if self.score is None:
            return f"kept the last epoch, {self.epoch}: no training person was held out to choose one"
        return f"chose epoch {self.epoch}: mAP {self.score:.1%} on training persons that were held out"


def training_labels(dataset: ReidDataset | Sequence[Sample], settings: TrainSettings) -> dict[str, int]:
    """Person to label in [0, classes), for the persons that are trained on: those not held out for validation.

    Its length is the number of classes that a method to be trained needs.
    """
    return label_map(split_validation(_train_samples(dataset), settings.validation_fraction, settings.seed).train)


def train_method(
    method: Method[Any],
    dataset: ReidDataset | Sequence[Sample],
    settings: TrainSettings,
    out: Path | str,
    *,
    cues: CueSource | None = None,
    obstacles: Sequence[Cutout] = (),
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
    record: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Trains a method; afterwards it holds the chosen weights, on the device it was trained on, in evaluation mode.

    ``out`` receives ``settings.yaml``, ``labels.json``, ``log.jsonl``, TensorBoard ``events/``, ``checkpoint.pt`` and
    ``weights.safetensors``, and ``guidance/`` where the settings ask for the part labels that a method makes. Only training
    images are looked at: query and gallery of the dataset play no part. The caller's random state is left as it was. With
    several processes all call this alike, and ``out`` is on storage that all of them see.

    Args:
        method: with as many classes as ``training_labels`` has persons.
        dataset: a dataset, of which ``train`` is used, or training samples.
        settings: the recipe.
        out: the run's folder; made if it is not there.
        cues: gives the cues of a sample, in pixels of its stored image, where the method needs cues.
        obstacles: to be pasted on images where ``settings.paste_obstacles`` asks for it; the same ones on resume.
        resume: go on from the checkpoint in ``out``; starts from the beginning if there is none, returns at once if the
            run is finished. The weights become those of a run that was never interrupted (on a GPU as far as its
            kernels repeat their results).
        overwrite: start again although ``out`` holds a run, whose files are removed.
        progress: show a bar for each epoch.
        record: further plain values that the run depends on (where the first weights come from); written into
            ``settings.yaml``, and compared on resume.

    Raises:
        UsageError: ``out`` holds a run and neither ``resume`` nor ``overwrite`` is given, or what is resumed differs.
        DataError: an image or the checkpoint is damaged, or too few persons are there.
        MissingCueError: the method needs a cue that ``cues`` does not give.
        SettingsError: the device or the number of processes does not fit.
        DivergedError: the loss is no longer finite.
        TrainingStoppedError: SIGINT or SIGTERM came; a checkpoint was written after the step.
    """
    if resume and overwrite:
        raise UsageError("resume continues a run, overwrite starts it again: give one of them")
    split = split_validation(_train_samples(dataset), settings.validation_fraction, settings.seed)
    labels = label_map(split.train)
    if method.classes != len(labels):
        raise UsageError(
            f"method {method.name()!r} was made for {method.classes} persons, expected {len(labels)}: those of the "
            "training images that are not held out for validation (training_labels)"
        )
    settings = settled(settings, out, resume=resume)
    folder = RunFolder(Path(out))
    fabric = start_processes(settings)
    warn_of_unreached(settings)
    cuda = [fabric.device] if fabric.device.type == "cuda" else []
    together = train_together(fabric, method, settings)
    with torch.random.fork_rng(devices=cuda), StopSignals() as signals, together:
        run = _Run(
            fabric, method, split, labels, settings, folder, cues, obstacles, signals, progress, dict(record or {})
        )
        return run.to_the_end(resume=resume, overwrite=overwrite)


def _train_samples(dataset: ReidDataset | Sequence[Sample]) -> Sequence[Sample]:
    return dataset.train if isinstance(dataset, ReidDataset) else tuple(dataset)


class _Run:
    """One process's view of a run."""

    def __init__(
        self,
        fabric: Fabric,
        method: Method[Any],
        split: ValidationSplit,
        labels: dict[str, int],
        settings: TrainSettings,
        folder: RunFolder,
        cues: CueSource | None,
        obstacles: Sequence[Cutout],
        signals: StopSignals,
        progress: bool,
        record: dict[str, Any],
    ) -> None:
        self.fabric, self.method, self.split, self.settings, self.folder = fabric, method, split, settings, folder
        self.cues, self.signals = cues, signals
        self.first = fabric.is_global_zero
        self.show = progress and self.first
        self.batches = Batches(
            split.train, labels, settings, method, cues, obstacles=obstacles, rank=fabric.global_rank,
            world=fabric.world_size,
        )  # fmt: skip
        self.identity = RunIdentity(
            method=method.name(),
            method_settings=method.config.to_dict(),
            settings=settings.to_dict(),
            record=record,
            labels=labels,
            data=samples_checksum([*split.train, *split.query, *split.gallery]),
            steps_per_epoch=self.batches.steps_per_epoch,
            processes=fabric.world_size,
            device=fabric.device.type,
        )
        self.state = RunState()
        self.guiding = Guiding(fabric, method, RunView(fabric, method, split.train, labels, settings, cues))
        self.guidance: Guidance | None = None
        self.since = 0.0

    def to_the_end(self, *, resume: bool, overwrite: bool) -> TrainResult:
        """From the beginning or a checkpoint to the end."""
        stored = self.folder.open(self.identity, resume=resume, overwrite=overwrite)
        self.fabric.barrier()  # all have looked before the first process writes
        if stored is not None:
            self.state = stored.state
            self.method.provenance["first_weights"] = stored.first_weights
            if self.state.finished and self.state.closed >= self.settings.epochs:
                return self.result()
            self.state.finished = False  # a finished run may go on to more epochs
        else:
            self.method.calibrate(plain_cues(self.split.train, self.settings, self.method, self.cues))
        updater = Updater(self.fabric, self.method, self.settings)
        if stored is not None:
            updater.load_state(stored.model, stored.optimiser, stored.scaler)
            updater.average.load_state(stored.average)
            _log.info("%s: going on after step %d (epoch %d)", self.folder.path, self.state.step, self.state.closed + 1)
            if stored.guidance is not None:
                self.guiding.check(stored.guidance)
                self.take(stored.guidance)
        elif self.first:
            self.folder.clear()
        del stored
        log_bytes, step = self.state.log_bytes, self.state.step
        logbook = Logbook(self.folder.path, keep_bytes=log_bytes, step=step, active=self.first)
        with logbook as self.logbook, closing(self.batches):
            if step == 0:
                self.save(updater)  # from now on there is something to continue from at every moment
            if self.first:
                self.folder.write_about(self.identity)
            while self.state.closed < self.settings.epochs:
                self.train_epoch(updater)
                self.close_epoch(updater)
        return self.result()

    def save(self, updater: Updater) -> None:
        """Writes a checkpoint of this moment, between two steps."""
        if self.first:
            self.state.log_bytes = self.logbook.settle()
            tensors = updater.state()
            more = self.guidance, updater.average.state(), self.method.provenance.get("first_weights", {})
            self.folder.write_checkpoint(Checkpoint(self.identity, self.state, *tensors, *more))
        self.fabric.barrier()

    def result(self) -> TrainResult:
        """What the run leaves; the chosen weights go into the method."""
        self.folder.read_weights(self.method)
        self.method.eval()
        state, held_out = self.state, bool(self.split.query)
        result = TrainResult(
            folder=self.folder.path,
            weights=self.folder.weights,
            epoch=state.best_epoch if held_out else state.closed,
            score=state.best_score if held_out else None,
            steps=state.step,
            skipped=dict(state.skipped),
        )
        _log.info("%s: %s", self.folder.path, result.summary())
        return result

    def take(self, guidance: Guidance) -> None:
        """Lets part labels be in force from the next batches on."""
        self.guidance = guidance
        self.batches.guide(guidance)

    def guide(self, updater: Updater) -> None:
        """Asks the method for part labels; new ones are in a checkpoint before anything is learned from them."""
        state, every = self.state, self.settings.guidance_every
        if not self.guiding.guides or (self.guidance is not None and self.guidance.epoch == state.closed):
            return  # the second: they are in the checkpoint that this run goes on from
        clock = time.monotonic()
        new = self.guiding.ask(state.closed, self.guidance)
        if new is not None:
            self.take(new)
        if self.guidance is None:
            return
        age = state.closed - self.guidance.epoch
        record: dict[str, Any] = {"event": "guidance", "step": state.step, "epoch": state.closed + 1, "age": age}
        scalars = {"guidance/age": float(age)}
        if new is not None:
            record |= {"seconds": round(time.monotonic() - clock, 2), "record": new.record}
            scalars |= {f"guidance/{k}": v for k, v in new.record.items() if type(v) in (int, float)}
        self.logbook.write(record, step=state.step, scalars=scalars)
        if self.first and every and (state.closed % every == 0 or state.closed + 1 == self.settings.epochs):
            path = self.folder.path / guidance_name(state.closed)
            write_guidance(path, self.guidance, state.closed, relative_paths(self.split.train))
        if new is not None:
            self.save(updater)

    def train_epoch(self, updater: Updater) -> None:
        """The steps of an epoch that are still to do."""
        state, settings, per_epoch = self.state, self.settings, self.batches.steps_per_epoch
        start, trained = state.step - state.closed * per_epoch, 0
        if start == 0:
            self.guide(updater)
        self.since = time.monotonic()
        if self.fabric.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.fabric.device)
        batches = self.batches.epoch(state.closed, start)
        title = f"epoch {state.closed + 1}/{settings.epochs}"
        clock, images = time.monotonic(), 0
        for batch in tqdm(batches, title, total=per_epoch, initial=start, disable=not self.show, leave=False):
            here = len(batch)
            whole = agree(
                self.fabric,
                here,
                Counter(str(item.path) for item in batch.skipped),
                stop=self.signals.received is not None,
            )
            if whole.stop:
                self.stop(updater)
            for path, times in sorted(whole.skipped.items()):
                state.skipped[path] = state.skipped.get(path, 0) + times
            factor = learning_rate_factor(settings, state.step, per_epoch)
            summary = None
            if whole.smallest >= 2:  # else all processes step over: batch norm cannot learn from one image
                self.method.check_cues(batch.cues, "train")
                on_device = batch.to(self.fabric.device)
                share = Share(on_device.images, on_device.cues, on_device.labels)
                summary = updater.update(
                    share, step=state.step, factor=factor, share_of_batch=here * self.fabric.world_size / whole.images
                )
                trained += 1
            state.step += 1
            images += whole.images
            if whole.skipped or summary is None or state.step % settings.log_every == 0:
                self.log_step(summary, whole.skipped, factor, images / max(time.monotonic() - clock, 1e-9))
                clock, images = time.monotonic(), 0
            if settings.checkpoint_every and state.step % settings.checkpoint_every == 0:
                self.save(updater)
        if start == 0 and trained == 0:
            raise DataError(
                f"epoch {state.closed + 1}: not one batch of two readable images; see the log in {self.folder.path}"
            )

    def stop(self, updater: Updater) -> NoReturn:
        self.save(updater)
        name = self.signals.received or "a signal to another process"
        raise TrainingStoppedError(
            f"stopped by {name} after step {self.state.step} (epoch {self.state.closed + 1}); the checkpoint in "
            f"{self.folder.path} is of this moment: continue with resume"
        )

    def log_step(self, summary: StepSummary | None, skipped: Mapping[str, int], factor: float, speed: float) -> None:
        state = self.state
        lr = self.settings.lr * factor
        record: dict[str, Any] = {"event": "step", "step": state.step, "epoch": state.closed + 1, "lr": lr}
        scalars = {"train/lr": lr, "train/images_per_second": speed}
        if summary is None:
            record["stepped_over"] = "fewer than two readable images in a process"
        else:
            terms = {name: float(term) for name, term in summary.terms.items()}
            record |= {"loss": summary.loss, "terms": terms}
            scalars |= {"train/loss": summary.loss, **{f"train/{name}": value for name, value in terms.items()}}
        if skipped:
            record["skipped"] = sorted(skipped)
        record["images_per_second"] = round(speed, 2)
        self.logbook.write(record, step=state.step, scalars=scalars)

    def write_weights(self) -> None:
        if self.first:
            self.folder.write_weights(self.method)

    def conclude(self) -> None:
        """The last weights, with what the method measures at the end; the run's own state stays as it is, to be continued."""
        if not self.guiding.concludes:
            if not self.split.query:
                self.write_weights()
            return
        state = {name: value.clone() for name, value in self.method.state_dict().items()}
        if self.split.query:
            self.fabric.barrier()  # the first process has written the chosen weights
            self.folder.read_weights(self.method)
            self.fabric.barrier()  # all have read them before they are written anew
        self.guiding.conclude(self.settings.epochs, self.guidance)
        self.write_weights()
        self.method.load_state_dict(state)

    def close_epoch(self, updater: Updater) -> None:
        """Validation if it is due, the choice of weights, and a checkpoint."""
        state, settings = self.state, self.settings
        if self.fabric.broadcast(self.signals.received) is not None:
            self.stop(updater)
        epoch, clock = state.closed + 1, time.monotonic()
        last = epoch == settings.epochs
        record: dict[str, Any] = {"event": "epoch", "epoch": epoch, "step": state.step}
        record["train_seconds"] = round(clock - self.since, 2)  # since the resume, where the run was resumed within it
        if self.fabric.device.type == "cuda":
            record["train_peak_bytes"] = torch.cuda.max_memory_allocated(self.fabric.device)
        scalars: dict[str, float] = {}
        with updater.average.applied():
            if self.split.query and (last or epoch % settings.validate_every == 0):
                found = score(self.method, self.split, self.cues, settings, self.fabric.device) if self.first else 0.0
                value = self.fabric.broadcast(found)
                record["validation_map"] = scalars["validation/map"] = value
                _log.info("epoch %d: mAP %.4f on %d held-out queries", epoch, value, len(self.split.query))
                if value > state.best_score:
                    state.best_epoch, state.best_score = epoch, value
                    self.write_weights()
            if last:
                self.conclude()
        if last:
            record["chosen_epoch"] = state.best_epoch if self.split.query else epoch
            record["chosen_by"] = "validation" if self.split.query else "last epoch: nobody was held out"
        record["skipped_images"] = len(state.skipped)
        record["validation_seconds"] = round(time.monotonic() - clock, 2)
        self.logbook.write(record, step=state.step, scalars=scalars)
        state.closed, state.finished = epoch, last
        self.save(updater)
