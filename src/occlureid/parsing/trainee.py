"""A parser in the clothes of a method, so that the one training loop trains it: schedule, checkpoints, resume and log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from occlureid.cues.groupings import label_set, part_flip
from occlureid.cues.partmaps import group_labels, part_map
from occlureid.data.lip import ParsingSample
from occlureid.errors import ShapeError, UsageError
from occlureid.matching import MatchRule
from occlureid.methods import Method, Needs, Paper, Preprocess
from occlureid.models.losses import pixel_cross_entropy
from occlureid.models.parser import HumanParser
from occlureid.parsing.settings import ParserSettings
from occlureid.types import Cues, Descriptor, Sample

__all__ = ["Output", "ParserTrainee", "PixelLabels", "as_samples", "build_network"]


def build_network(settings: ParserSettings) -> HumanParser:
    """The network of some settings, with random weights.

    Raises:
        SettingsError: there is no such light backbone, or its strides cannot be changed.
    """
    return HumanParser(
        settings.architecture,
        len(label_set(settings.labels).labels),
        settings.size,
        backbone=settings.backbone,
        stride=settings.stride,
        width=settings.width,
        rates=settings.rates,
        auxiliary=settings.auxiliary_weight > 0,
    )


def as_samples(samples: Sequence[ParsingSample]) -> tuple[Sample, ...]:
    """Images of nobody in particular, for the training loop."""
    return tuple(Sample(sample.image, person="nobody", camera="none") for sample in samples)


class PixelLabels:
    """Labelled images as a source of part maps, one channel a label beside the background.

    Args:
        samples: images and the files of their LIP labels.
        labels: the label set to merge them into.
    """

    def __init__(self, samples: Sequence[ParsingSample], labels: str) -> None:
        self._samples = {sample.image: sample for sample in samples}
        self.grouping = "labels" if labels == "lip20" else labels
        self.parts = label_set(labels).parts
        self._flip = part_flip(self.parts)

    def __call__(self, sample: Sample, size: tuple[int, int]) -> Cues:
        """The labels of an image as maps of 0 and 1, and as foreground whatever is no background.

        Raises:
            DataError: the file of labels is missing, damaged, of another size, or has unknown labels.
        """
        values = group_labels(self._samples[sample.path].read_labels(size), "lip20", self.grouping)
        maps = part_map(values, len(self.parts))
        return Cues(part_map=maps, part_flip=self._flip, foreground=maps.amax(dim=0))


@dataclass(frozen=True)
class Output:
    """logits (B, K, H, W), and those of the auxiliary classifier or None."""

    logits: Tensor
    auxiliary: Tensor | None


class ParserTrainee(Method[Output]):
    """A human parser to be trained; it describes nobody."""

    paper = Paper(
        "Rethinking Atrous Convolution for Semantic Image Segmentation",
        "Chen, Papandreou, Schroff, Adam",
        "arXiv",
        2017,
        "https://arxiv.org/abs/1706.05587",
    )
    needs = Needs(train=frozenset({"part_map"}))
    Config = ParserSettings
    config: ParserSettings
    rule = MatchRule()

    def __init__(self, config: ParserSettings, classes: int = 1) -> None:
        super().__init__(config, classes)
        self.network = build_network(config)
        self.preprocess = Preprocess(config.size, self.network.mean, self.network.std)

    def forward(self, images: Tensor, cues: Cues) -> Output:
        """(B, 3, H, W) RGB in [0, 1]; cues are not looked at."""
        return Output(*self.network(self.preprocess.normalise(images)))

    def losses(self, output: Output, labels: Tensor, cues: Cues) -> dict[str, Tensor]:
        """The cross entropy of every pixel, and of the auxiliary classifier where there is one.

        Raises:
            MissingCueError: there is no part_map.
            ShapeError: it has another number of labels, or another size.
        """
        maps, logits = cues.require("part_map"), output.logits
        expected = (logits.shape[0], logits.shape[1] - 1, *logits.shape[2:])
        if tuple(maps.shape) != expected:
            raise ShapeError(f"part_map must have shape {expected}, the background left out, got {tuple(maps.shape)}")
        truth = torch.cat([(1 - maps.sum(1, keepdim=True)).clamp_min(0), maps], 1).argmax(1)
        average = self.config.loss_average
        terms = {"pixels": pixel_cross_entropy(logits, truth, average=average)}
        if output.auxiliary is not None:
            second = pixel_cross_entropy(output.auxiliary, truth, average=average)
            terms["auxiliary"] = self.config.auxiliary_weight * second
        return terms

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The backbone at a share of the rate."""
        backbone = list(self.network.backbone.parameters())
        known = {id(parameter) for parameter in backbone}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in known]
        return [{"params": backbone, "lr": lr * self.config.backbone_lr_factor}, {"params": rest, "lr": lr}]

    def embed(self, images: Tensor, cues: Cues) -> Descriptor:
        """Raises:
        UsageError: always.
        """  # noqa: D205
        raise UsageError("a human parser describes nobody; use its weights as a provider of part maps")
