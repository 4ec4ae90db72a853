"""The smallest method that can be trained: a pooled linear embedding, found by its dotted name or built directly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from occlureid.config import Settings
from occlureid.matching import MatchRule
from occlureid.methods import Method, Paper, Preprocess
from occlureid.types import Cues, Descriptor, Sample


class Config(Settings):
    norm: bool = False
    """batch norm behind the embedding"""
    dropout: float = 0.0
    """dropout behind the embedding"""
    fault: Literal["none", "nan"] = "none"
    """nan: the loss stops being a number at the third forward pass in training"""


@dataclass(frozen=True)
class Output:
    vectors: Tensor
    logits: Tensor


class TinyMethod(Method[Output]):
    paper = Paper("Tiny", "Nobody", "nowhere", 2024, "https://example.org")
    Config = Config
    config: Config
    rule = MatchRule(part_factor=0)
    preprocess = Preprocess((16, 8))

    def __init__(self, config: Config, classes: int) -> None:
        super().__init__(config, classes)
        self.backbone = nn.Conv2d(3, 4, 4, stride=4)
        self.embedding = nn.Linear(4 * 4 * 2, 8)
        self.norm = nn.BatchNorm1d(8) if config.norm else nn.Identity()
        self.classifier = nn.Linear(8, classes)
        self.passes = 0

    def forward(self, images: Tensor, cues: Cues) -> Output:
        features = self.backbone(self.preprocess.normalise(images)).flatten(1)
        vectors = self.norm(self.embedding(features))
        self.passes += self.training
        return Output(vectors, self.classifier(F.dropout(vectors, self.config.dropout, self.training)))

    def losses(self, output: Output, labels: Tensor, cues: Cues) -> dict[str, Tensor]:
        terms = {"identity": F.cross_entropy(output.logits, labels), "size": 0.01 * output.vectors.square().mean()}
        if self.config.fault == "nan" and self.passes >= 3:
            terms["size"] = terms["size"] * torch.nan
        return terms

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        rest = [*self.embedding.parameters(), *self.norm.parameters(), *self.classifier.parameters()]
        return [{"params": list(self.backbone.parameters()), "lr": 0.1 * lr}, {"params": rest, "lr": lr}]

    def embed(self, images: Tensor, cues: Cues) -> Descriptor:
        vectors = self(images, cues).vectors
        none = vectors.new_zeros(len(vectors), 0)
        return Descriptor(vectors, none[:, :, None], none, fingerprint=self.fingerprint())


def make_samples(folder: Path, persons: int = 6, cameras: int = 3, images: int = 1) -> list[Sample]:
    """Writes small images, each person in a colour of its own, and gives their samples."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    samples = []
    for person in range(persons):
        colour = random.integers(40, 216, 3)
        for camera in range(cameras):
            for number in range(images):
                path = folder / f"{person:04d}_c{camera}_{number}.png"
                pixels = colour + random.integers(-40, 40, (20, 10, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(path)
                samples.append(Sample(path, f"{person:04d}", str(camera)))
    return samples


def make_method(classes: int, seed: int = 1, **settings: Any) -> TinyMethod:
    """The same first weights every time; the caller's random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyMethod(Config(**settings), classes)
