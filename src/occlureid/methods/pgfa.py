"""PGFA: pose landmarks say where to look and which stripes may be compared.

Jiaxu Miao, Yu Wu, Ping Liu, Yuhang Ding, Yi Yang, "Pose-Guided Feature Alignment for Occluded Person Re-Identification",
ICCV 2019, https://doi.org/10.1109/ICCV.2019.00063

Implements Eq. 1 to 8. Differs from the paper in
- Eq. 2 and 5: a landmark below the threshold is left out; the paper moves it to the origin, where it would make the first part
  visible (``dropped_landmarks: origin``);
- fewer than ``min_landmarks`` landmarks say nothing of the parts: all are taken as visible (the paper does not treat the case;
  its released code does this);
- the max over landmark features leaves out landmarks without a heatmap, rather than letting their zeros win. After a ReLU, as
  in ResNet-50, the two are equal;
- the reduction is the released code's block (dropout, linear, batch norm), not a bare 1x1 convolution (``reducer: conv``).
Differs from the released code in
- Eq. 6: the reduced part features are compared, as the paper says; the code compares the pooled ones
  (``partial_test_feature: pooled``);
- the Gaussian is measured on images of ``reference_size``, so that it does not change with the size an image was stored at;
  heatmaps are not rounded to 8 bits; heatmaps and part labels take the same person where several have as many landmarks;
- Eq. 8 is a distance here: lower is closer. The code's (s + 1)/2 instead of s does not change the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from occlureid.config import Settings
from occlureid.cues.heatmaps import gaussian_heatmaps
from occlureid.matching import MatchRule
from occlureid.methods import Method, Needs, Paper, Preprocess
from occlureid.models.backbone import Backbone
from occlureid.models.heads import ReducedClassifier, stripe_pool, stripes_with_points
from occlureid.models.stripes import stripe_regions
from occlureid.types import Cues, Descriptor


class PGFAConfig(Settings):
    """Settings of PGFA; the defaults are the paper's for Occluded-DukeMTMC."""

    backbone: str = "resnet50"
    """timm name of the backbone"""
    size: tuple[int, int] = (384, 128)
    """image height and width"""
    last_stride: Literal[1, 2] = 1
    """stride of the last stage"""
    parts: int = Field(3, ge=1, le=32)
    """number p of stripes (3; 6 on Partial-REID and Partial-iLIDS)"""
    balance: float = Field(0.2, ge=0, le=1)
    """lambda of Eq. 4: weight of the partial branch (0.9 on Partial-*); 0 and 1 train and match one branch alone"""
    confidence: float = Field(0.2, ge=0, le=1)
    """gamma of Eq. 2: landmarks less certain than this are dropped"""
    confidence_rule: Literal["at_least", "above"] = "at_least"
    """Eq. 2 keeps confidence >= gamma; the released code keeps confidence > gamma"""
    dropped_landmarks: Literal["left_out", "origin"] = "left_out"
    """origin: literally Eq. 2, a dropped landmark lies at (0, 0) and makes the first part visible"""
    interval: Literal["closed_open", "open"] = "closed_open"
    """Eq. 5's interval; the released code leaves out both ends"""
    min_landmarks: int = Field(3, ge=0, le=18)
    """with fewer landmarks all parts count as visible; 0 trusts any pose that was found"""
    sigma: float | Literal["area"] = "area"
    """standard deviation of the Gaussian in pixels of ``reference_size``; area: height x width / 1000, as the released code"""
    reference_size: tuple[int, int] = (256, 128)
    """height and width of the images on which sigma is measured"""
    reduced: int = Field(256, ge=1)
    """channels of a reduced feature"""
    reducer: Literal["block", "conv"] = "block"
    """block: dropout, linear, batch norm, as the released code; conv: a bare 1x1 convolution, as the text"""
    dropout: float = Field(0.5, ge=0, lt=1)
    """dropout of the block"""
    partial_test_feature: Literal["reduced", "pooled"] = "reduced"
    """which part features are matched: f_i of Eq. 6, or the pooled stripes before reduction, as the released code"""
    match: Literal["shared", "all_visible", "global_only", "parts_only"] = "shared"
    """shared is Eq. 8; the others are ablations: every part taken as visible, or one branch alone ("only for matching")"""
    backbone_lr_factor: float = Field(0.1, gt=0)
    """learning rate of the backbone as a share of the others'"""


@dataclass(frozen=True)
class Output:
    """What both branches say of a batch.

    pooled (B, p, C), reduced (B, p, R) and part_logits (B, p, classes) of the partial branch; pose (B, R) and pose_logits
    (B, classes) of the pose-guided global branch; part_labels (B, p), the l_i of Eq. 5.
    """

    pooled: Tensor
    reduced: Tensor
    part_logits: Tensor
    pose: Tensor
    pose_logits: Tensor
    part_labels: Tensor


class PGFA(Method[Output]):
    """A partial branch of stripes, and a global branch guided by landmark heatmaps."""

    paper = Paper(
        "Pose-Guided Feature Alignment for Occluded Person Re-Identification",
        "Miao, Wu, Liu, Ding, Yang",
        "ICCV",
        2019,
        "https://doi.org/10.1109/ICCV.2019.00063",
    )
    needs = Needs(train=frozenset({"keypoints"}), describe=frozenset({"keypoints"}))
    Config = PGFAConfig
    config: PGFAConfig

    def __init__(self, config: PGFAConfig, classes: int) -> None:
        super().__init__(config, classes)
        self.backbone = Backbone(config.backbone, config.size, config.last_stride)
        self.preprocess = Preprocess(config.size, self.backbone.mean, self.backbone.std)
        channels, p = self.backbone.channels, config.parts
        self.part_heads = nn.ModuleList(
            ReducedClassifier(channels, config.reduced, classes, config.dropout, config.reducer) for _ in range(p)
        )
        self.pose_head = ReducedClassifier(2 * channels, config.reduced, classes, config.dropout, config.reducer)
        self.regions = stripe_regions(p)
        self.rule = self._rule()

    def _rule(self) -> MatchRule:
        """Eq. 8, or one of its ablations; a branch that was not trained (Eq. 4) is not matched."""
        match = {0.0: "global_only", 1.0: "parts_only"}.get(self.config.balance, self.config.match)
        return MatchRule(
            metric="cosine",
            visibility="ignore" if match == "all_visible" else "binary",
            global_weight=0.0 if match == "parts_only" else 1.0,
            part_factor=0.0 if match == "global_only" else 1.0,
        )

    # -- what the landmarks say (Eq. 2 and 5) ----------------------------------------------------------------------------

    def kept(self, keypoints: Tensor) -> Tensor:
        """Eq. 2: (B, J, 3) to (B, J) bool, the landmarks that are certain enough."""
        confidence = keypoints[..., 2]
        above = (
            confidence >= self.config.confidence
            if self.config.confidence_rule == "at_least"
            else confidence > self.config.confidence
        )
        return above & (confidence > 0)  # 0 is "not found", whatever the threshold

    def part_labels(self, keypoints: Tensor) -> Tensor:
        """Eq. 5: (B, J, 3) to (B, p) of 0 and 1: which stripes hold a kept landmark."""
        kept = self.kept(keypoints)
        cy = keypoints[..., 1]
        counts = kept
        if self.config.dropped_landmarks == "origin":
            cy, counts = torch.where(kept, cy, 0.0), torch.ones_like(kept)
        top_open = self.config.interval == "open"
        labels = stripes_with_points(cy, counts, self.config.parts, self.config.size[0], top_open=top_open)
        silent = ~self._found(keypoints) | (kept.sum(1) < self.config.min_landmarks)
        return (labels | silent[:, None]).float()

    @staticmethod
    def _found(keypoints: Tensor) -> Tensor:
        """(B,) whether the estimator found a person at all."""
        return (keypoints[..., 2] > 0).any(1)

    def heatmaps(self, keypoints: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The maps M_j at the size of the feature map: (B, J, h, w), and (B, J) whether each is in use.

        An image in which no person was found has maps of ones: it is looked at as a whole.
        """
        config = self.config
        reference = config.reference_size
        sigma = reference[0] * reference[1] / 1000 if config.sigma == "area" else config.sigma
        scale = [a / b for a, b in zip(config.size, reference, strict=True)]
        kept = self.kept(keypoints)
        maps = (
            gaussian_heatmaps(keypoints, config.size, size, (sigma * scale[0], sigma * scale[1]))
            * kept[..., None, None]
        )
        lost = ~self._found(keypoints)
        return torch.where(lost[:, None, None, None], 1.0, maps), kept | lost[:, None]

    # -- the two branches ------------------------------------------------------------------------------------------------

    def forward(self, images: Tensor, cues: Cues) -> Output:
        """(B, 3, H, W) RGB in [0, 1] and keypoints (B, 18, 3) in pixels of those images.

        Raises:
            MissingCueError: there are no keypoints.
        """
        keypoints = cues.require("keypoints")
        features = self.backbone(self.preprocess.normalise(images))

        pooled = stripe_pool(features, self.config.parts)
        reduced, part_logits = zip(*(head(pooled[:, i]) for i, head in enumerate(self.part_heads)), strict=True)

        heatmaps, used = self.heatmaps(keypoints, (features.shape[2], features.shape[3]))
        guided = torch.einsum("bjhw,bchw->bjc", heatmaps.to(features.dtype), features) / features[0, 0].numel()
        guided = guided.masked_fill(~used[..., None], -torch.inf).amax(1)
        guided = torch.where(used.any(1)[:, None], guided, 0.0)
        pose, pose_logits = self.pose_head(torch.cat([features.mean((2, 3)), guided], 1))

        return Output(
            pooled, torch.stack(reduced, 1), torch.stack(part_logits, 1), pose, pose_logits, self.part_labels(keypoints)
        )

    def losses(self, output: Output, labels: Tensor, cues: Cues) -> dict[str, Tensor]:
        """Eq. 4: lambda times Eq. 1 (a sum over the parts), and 1 - lambda times Eq. 3."""
        balance = self.config.balance
        part = torch.stack([F.cross_entropy(output.part_logits[:, i], labels) for i in range(self.config.parts)]).sum()
        return {"part": balance * part, "pose": (1 - balance) * F.cross_entropy(output.pose_logits, labels)}

    def embed(self, images: Tensor, cues: Cues) -> Descriptor:
        """f_pose, f_i and l_i: what Eq. 6 to 8 compare."""
        output = self(images, cues)
        parts = output.reduced if self.config.partial_test_feature == "reduced" else output.pooled
        return Descriptor(output.pose.float(), parts.float(), output.part_labels, fingerprint=self.fingerprint())
