"""A strong global baseline: the file to copy when adding a method.

Hao Luo, Youzhi Gu, Xingyu Liao, Shenqi Lai, Wei Jiang, "Bag of Tricks and a Strong Baseline for Deep Person
Re-identification", CVPR workshops 2019, https://arxiv.org/abs/1903.07071

Implements the backbone with last stride 1, the batch-norm neck of section 2.5, identity loss with label smoothing and
batch-hard triplet loss. Differs from the paper in leaving out the centre loss of section 2.6 (it changes the neck's training, not
its descriptor). Warm-up, random erasing and the identity-balanced sampler belong to the recipe (``recipes/baseline.yaml``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from occlureid.config import Settings
from occlureid.matching import MatchRule, pairwise_distances
from occlureid.methods import Method, Paper, Preprocess
from occlureid.models.backbone import Backbone
from occlureid.models.heads import BatchNormNeck
from occlureid.models.losses import batch_hard_triplet
from occlureid.types import Cues, Descriptor


class BaselineConfig(Settings):
    """Settings of the baseline; the defaults are the paper's."""

    backbone: str = "resnet50"
    """timm name of the backbone"""
    size: tuple[int, int] = (256, 128)
    """image height and width"""
    last_stride: Literal[1, 2] = 1
    """stride of the last stage"""
    smoothing: float = Field(0.1, ge=0, lt=1)
    """label smoothing of the identity loss (Eq. 2)"""
    margin: float | None = Field(0.3, ge=0)
    """margin of the triplet loss; null for the soft margin"""
    triplet_weight: float = Field(1.0, ge=0)
    """weight of the triplet loss; 0 leaves it out"""


@dataclass(frozen=True)
class Output:
    """pooled (B, C) before the neck, normalised (B, C) after it, logits (B, classes)."""

    pooled: Tensor
    normalised: Tensor
    logits: Tensor


TRIPLET_RULE = MatchRule(metric="euclidean", part_factor=0)


class Baseline(Method[Output]):
    """Backbone, average pooling, batch-norm neck; one global vector an image."""

    paper = Paper(
        "Bag of Tricks and a Strong Baseline for Deep Person Re-identification",
        "Luo, Gu, Liao, Lai, Jiang",
        "CVPRW",
        2019,
        "https://arxiv.org/abs/1903.07071",
    )
    Config = BaselineConfig
    config: BaselineConfig
    rule = MatchRule(metric="cosine", part_factor=0)

    def __init__(self, config: BaselineConfig, classes: int) -> None:
        super().__init__(config, classes)
        self.backbone = Backbone(config.backbone, config.size, config.last_stride)
        self.preprocess = Preprocess(config.size, self.backbone.mean, self.backbone.std)
        self.neck = BatchNormNeck(self.backbone.channels, classes)

    def forward(self, images: Tensor, cues: Cues) -> Output:
        """(B, 3, H, W) RGB in [0, 1]; no cue is used."""
        features = self.backbone(self.preprocess.normalise(images))
        pooled = features.mean((2, 3))
        return Output(pooled, *self.neck(pooled))

    def losses(self, output: Output, labels: Tensor, cues: Cues) -> dict[str, Tensor]:
        """Identity loss after the neck, triplet loss before it."""
        terms = {"identity": F.cross_entropy(output.logits, labels, label_smoothing=self.config.smoothing)}
        if self.config.triplet_weight > 0:
            vectors, persons = self.compared(output.pooled.float(), labels)
            pooled = Descriptor.from_vectors(vectors)
            distances = pairwise_distances(TRIPLET_RULE, pooled, pooled)
            terms["triplet"] = self.config.triplet_weight * batch_hard_triplet(distances, persons, self.config.margin)
        return terms

    def embed(self, images: Tensor, cues: Cues) -> Descriptor:
        """The vector after the neck, compared by cosine (section 2.5)."""
        return Descriptor.from_vectors(self(images, cues).normalised.float(), self.fingerprint())
