"""Part-based convolutional baseline: stripes, each with its own classifier, all of them always compared.

Yifan Sun, Liang Zheng, Yi Yang, Qi Tian, Shengjin Wang, "Beyond Part Models: Person Retrieval with Refined Part Pooling (and A
Strong Convolutional Baseline)", ECCV 2018, https://arxiv.org/abs/1711.09349

Implements PCB (section 3) without refined part pooling. The distance is the mean of the stripes' cosine distances, which is the
cosine of the concatenated stripes once each has unit length. A plain average of the feature map stands in ``global_`` for
searches that need one vector; the rule gives it no weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from occlureid.config import Settings
from occlureid.matching import MatchRule
from occlureid.methods import Method, Paper, Preprocess
from occlureid.models.backbone import Backbone
from occlureid.models.heads import ReducedClassifier, stripe_pool
from occlureid.models.stripes import stripe_regions
from occlureid.types import Cues, Descriptor


class PCBConfig(Settings):
    """Settings of PCB; the defaults are the paper's."""

    backbone: str = "resnet50"
    """timm name of the backbone"""
    size: tuple[int, int] = (384, 128)
    """image height and width"""
    last_stride: Literal[1, 2] = 1
    """stride of the last stage"""
    parts: int = Field(6, ge=1, le=32)
    """number p of stripes"""
    reduced: int = Field(256, ge=1)
    """channels of a reduced stripe"""
    dropout: float = Field(0.5, ge=0, lt=1)
    """dropout around the reduction"""
    test_feature: Literal["pooled", "reduced"] = "pooled"
    """what is matched: the pooled stripes g (2,048 channels with ResNet-50) or the reduced ones h"""
    backbone_lr_factor: float = Field(0.1, gt=0)
    """learning rate of the backbone as a share of the others'"""


@dataclass(frozen=True)
class Output:
    """features (B, C, h, w), pooled (B, K, C), reduced (B, K, R), logits (B, K, classes)."""

    features: Tensor
    pooled: Tensor
    reduced: Tensor
    logits: Tensor


class PCB(Method[Output]):
    """Horizontal stripes, one classifier a stripe."""

    paper = Paper(
        "Beyond Part Models: Person Retrieval with Refined Part Pooling (and A Strong Convolutional Baseline)",
        "Sun, Zheng, Yang, Tian, Wang",
        "ECCV",
        2018,
        "https://arxiv.org/abs/1711.09349",
    )
    Config = PCBConfig
    config: PCBConfig
    rule = MatchRule(metric="cosine", visibility="ignore", global_weight=0)

    def __init__(self, config: PCBConfig, classes: int) -> None:
        super().__init__(config, classes)
        self.backbone = Backbone(config.backbone, config.size, config.last_stride)
        self.preprocess = Preprocess(config.size, self.backbone.mean, self.backbone.std)
        self.heads = nn.ModuleList(
            ReducedClassifier(self.backbone.channels, config.reduced, classes, config.dropout)
            for _ in range(config.parts)
        )
        self.regions = stripe_regions(config.parts)

    def forward(self, images: Tensor, cues: Cues) -> Output:
        """(B, 3, H, W) RGB in [0, 1]; no cue is used."""
        features = self.backbone(self.preprocess.normalise(images))
        pooled = stripe_pool(features, self.config.parts)
        reduced, logits = zip(*(head(pooled[:, k]) for k, head in enumerate(self.heads)), strict=True)
        return Output(features, pooled, torch.stack(reduced, 1), torch.stack(logits, 1))

    def losses(self, output: Output, labels: Tensor, cues: Cues) -> dict[str, Tensor]:
        """The sum of the stripes' cross entropies."""
        terms = [F.cross_entropy(output.logits[:, k], labels) for k in range(self.config.parts)]
        return {"parts": torch.stack(terms).sum()}

    def embed(self, images: Tensor, cues: Cues) -> Descriptor:
        """One vector a stripe, every stripe taken as visible."""
        output = self(images, cues)
        parts = output.pooled if self.config.test_feature == "pooled" else output.reduced
        visibility = torch.ones(parts.shape[:2], device=parts.device)
        return Descriptor(
            output.features.mean((2, 3)).float(), parts.float(), visibility, fingerprint=self.fingerprint()
        )
