"""A tiny method that makes its own part labels, and what two processes of it do: ``python -m tests.guided_method <folder>``.

Its labels are what its backbone says of the images at the moment, so that they change with every step that was learned before.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from occlureid.errors import ShapeError
from occlureid.guidance import Guidance, TrainingView
from occlureid.training import TrainSettings, read_checkpoint, train_method
from occlureid.types import Cues
from tests.tiny_method import Config, TinyMethod, make_samples
from tests.tiny_method import Output as TinyOutput

PARTS = 3
TOGETHER = TrainSettings(
    epochs=3, batch_size=6, workers=0, lr=0.05, milestones=(2,), log_every=1, accelerator="cpu", devices=2
)


class GuidedConfig(Config):
    every: int = 1
    """epochs between two guidances"""
    unknown: bool = True
    """whether nothing is known of every fifth image"""


@dataclass(frozen=True)
class Output(TinyOutput):
    pixels: Tensor


class GuidedMethod(TinyMethod):
    Config = GuidedConfig
    config: GuidedConfig

    def __init__(self, config: GuidedConfig, classes: int) -> None:
        super().__init__(config, classes)
        self.head = nn.Conv2d(3, 1 + PARTS, 3, padding=1)
        self.register_buffer("mean", torch.zeros(8))
        self.asked: list[tuple[int, int | None]] = []
        self.concluded: list[int] = []
        self.seen: list[tuple[Tensor, Cues]] = []

    def forward(self, images: Tensor, cues: Cues) -> Output:
        self._images = images
        tiny = super().forward(images, cues)
        return Output(tiny.vectors, tiny.logits, self.head(images))

    def losses(self, output: TinyOutput, labels: Tensor, cues: Cues) -> dict[str, Tensor]:
        assert isinstance(output, Output)
        self.seen.append((self._images.clone(), cues))
        truth = torch.cat([(cues.require("foreground")[:, None] == 0).float(), cues.require("part_map")], 1)
        unknown = truth.sum(1) == 0
        pixels = F.cross_entropy(output.pixels, truth.argmax(1).masked_fill(unknown, -1), ignore_index=-1)
        return {**super().losses(output, labels, cues), "pixels": pixels}

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        return [*super().parameter_groups(lr), {"params": list(self.head.parameters()), "lr": lr}]

    def label(self, view: TrainingView, indices: list[int]) -> tuple[Tensor, Tensor]:
        """(B, 4, 2) uint8 and (B,) bool."""
        images, read = view.images(indices)
        with torch.no_grad():
            turn = (self(images, Cues()).vectors > 0).sum(1)  # depends on the running statistics too
            return ((self.backbone(images - 0.5).argmax(1) + turn[:, None, None]) % (1 + PARTS)).to(torch.uint8), read

    def guide(self, view: TrainingView) -> Guidance | None:
        self.asked.append((view.epoch, None if view.previous is None else view.previous.epoch))
        if view.epoch % self.config.every:
            return None
        torch.rand(7)  # whoever draws here must not change what the training draws
        self.eval()
        count = len(view.samples)
        own = [i for i in range(count) if int(view.labels[i]) % view.world == view.rank]
        labels, known = torch.full((count, 4, 2), 9, dtype=torch.uint8), torch.zeros(count, dtype=torch.bool)
        labels[own], known[own] = self.label(view, own)
        if self.config.unknown:
            known[::5] = False
        labels, known = view.merge(labels, known)
        record = {"known": int(known.sum()), "mean": float(labels.double().mean()), "here": len(own)}
        return Guidance(labels, known, PARTS, view.epoch, record)

    def conclude(self, view: TrainingView) -> None:
        self.concluded.append(view.epoch)
        assert view.previous is not None
        self.eval()
        with torch.no_grad():
            self.mean.copy_(self(view.images(range(len(view.samples)))[0], Cues()).vectors.mean(0))


def make_guided(classes: int, kind: type[GuidedMethod] = GuidedMethod, **settings: Any) -> GuidedMethod:
    """The same first weights every time; the caller's random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return kind(GuidedConfig(norm=True, dropout=0.3, **settings), classes)


class Quarrelsome(GuidedMethod):
    def guide(self, view: TrainingView) -> Guidance | None:
        labels = torch.full((len(view.samples), 4, 2), view.rank, dtype=torch.uint8)
        return Guidance(labels, torch.ones(len(labels), dtype=torch.bool), PARTS, view.epoch)


class Merging(GuidedMethod):
    def guide(self, view: TrainingView) -> Guidance | None:
        count = len(view.samples)
        labels, known = torch.full((count, 4, 2), 1 + view.rank, dtype=torch.uint8), torch.ones(count, dtype=torch.bool)
        known[:4] = False
        known[9:] = view.rank == 1
        try:
            view.merge(labels[:, : 4 - view.rank], known)
        except ShapeError as error:
            self.refused = str(error)
        return Guidance(*view.merge(labels, known), PARTS, view.epoch)


class CutInGuide(GuidedMethod):
    def guide(self, view: TrainingView) -> Guidance | None:
        if view.epoch == 1:
            raise InterruptedError
        return super().guide(view)


class CutInEpoch(GuidedMethod):
    def losses(self, output: TinyOutput, labels: Tensor, cues: Cues) -> dict[str, Tensor]:
        if self.passes == 5:  # in the second epoch
            raise InterruptedError
        return super().losses(output, labels, cues)


def together(folder: Path) -> None:
    """Each process leaves what it saw in ``rank<r>.pt``."""
    rank = int(os.environ["RANK"])
    samples = make_samples(folder / f"images{rank}")
    seen: dict[str, Any] = {}

    def keep(name: str, method: GuidedMethod) -> None:
        seen[name] = {key: value.clone() for key, value in method.state_dict().items()}

    method = make_guided(6)
    train_method(method, samples, TOGETHER, folder / "whole")
    keep("whole", method)
    seen["asked"], seen["concluded"] = method.asked, method.concluded

    for kind in (CutInGuide, CutInEpoch):
        name, short = kind.__name__, TOGETHER.with_changes(checkpoint_every=2)
        try:
            train_method(make_guided(6, kind), samples, short, folder / name)
        except InterruptedError:
            method = make_guided(6)
            train_method(method, samples, TOGETHER, folder / name, resume=True)
            keep(name, method)

    try:
        train_method(make_guided(6, Quarrelsome), samples, TOGETHER, folder / "quarrel")
    except Exception as error:
        seen["quarrel"] = f"{type(error).__name__}: {error}"
    merging = make_guided(6, Merging)
    train_method(merging, samples, TOGETHER.with_changes(epochs=1, warmup_epochs=0), folder / "merge")
    seen["refused"] = getattr(merging, "refused", "")
    for name in ("whole", "merge"):
        guidance = read_checkpoint(folder / name / "checkpoint.pt").guidance
        assert guidance is not None
        seen[f"{name} guidance"] = guidance.labels, guidance.known, json.dumps(guidance.record)
    torch.save(seen, folder / f"rank{rank}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    together(Path(sys.argv[1]))
