"""SGAM: a human parser's probability maps say where to pool, what to learn from, and how much each region counts in matching.

Qin Yang, Peizhi Wang, Zihan Fang, Qiyong Lu, "Focus on the Visible Regions: Semantic-Guided Alignment Model for Occluded Person
Re-Identification", Sensors 20(16), 2020, 4431, https://doi.org/10.3390/s20164431

Implements Eq. 2 to 7. The parser of Eq. 1 is ``occlureid.parsing``, and gives its maps as a cue; the automatic cropping of
section 3.1 stands in front of any method (``occlureid.cues.crop``). No code of the authors is known. Differs from the paper in
- Eq. 2: a sum over pixels grows with the image, makes the "+1" of Eq. 4 vanish and Eq. 5 outweigh Eq. 6 many times over. Here
  S_i is the region's area over its mean area in the training images, at most 1, so that "+1" weighs as much as one wholly
  visible region. The reference areas are buffers (``visibility``);
- Eq. 3: the same sum is over pixels of the image above the bar and of the feature map below it; here both are of the feature
  map, which makes f_i a mean (``denominator``).
Where the paper is silent
- Eq. 1 has no background, and yet the maps are to leave it out: they come from a softmax over it and the four regions
  (``regions_softmax``);
- the thresholds t_i are 0.1 each;
- text ("is not counted") and Eq. 5 (a weight that falls to 0) differ: Eq. 5 it is (``gate``);
- each of the five features has its own reduction, with the batch norm of PGFA's (``reducer``, ``shared_reducer``);
- the maps are constants: no gradient reaches the parser.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.nn import functional as F

from occlureid.config import Settings
from occlureid.cues.regions import REGIONS, RegionVisibility, body_regions, region_scores, region_visibility
from occlureid.errors import ShapeError
from occlureid.matching import MatchRule
from occlureid.methods import Method, Needs, Paper, Preprocess
from occlureid.models.backbone import Backbone
from occlureid.models.heads import ReducedClassifier
from occlureid.types import Cues, Descriptor


class SGAMConfig(Settings):
    """Settings of SGAM; the defaults are the paper's."""

    backbone: str = "resnet50"
    """timm name of the backbone"""
    size: tuple[int, int] = (384, 128)
    """image height and width, which the paper does not give"""
    last_stride: Literal[1, 2] = 1
    """stride of the last stage"""
    balance: float = Field(0.2, ge=0, le=1)
    """lambda of Eq. 7: weight of the global loss; 0 and 1 train and match the regions or the global feature alone"""
    visibility: RegionVisibility = "area_ref"
    """S_i: a region's area over its mean in training (area_ref), its share of the image (fraction), or its pixels (raw_sum)"""
    threshold: float | tuple[float, float, float, float] = 0.1
    """t_i of Eq. 5, compared with S_i; one number, or one each for head, upper body, lower body and shoes"""
    gate: Literal["soft", "hard", "none"] = "soft"
    """weight of a region's loss: max(S - t, 0) as Eq. 5, 1 where S reaches t, or always 1 ("SGAM-1")"""
    regions_softmax: Literal["with_background", "regions_only"] = "with_background"
    """regions_only: Eq. 1 to the letter, a softmax over the regions alone, so that the background is shared out among them"""
    denominator: Literal["map", "image"] = "map"
    """of Eq. 3: the sum over the feature map, or Eq. 2's over the image, which scales features by the ratio of the sizes"""
    reduced: int = Field(256, ge=1)
    """channels of a reduced feature"""
    reducer: Literal["block", "conv"] = "block"
    """block: dropout, linear, batch norm, as PGFA's released code; conv: a bare 1x1 convolution, as the text"""
    shared_reducer: bool = False
    """one reduction for all five features"""
    dropout: float = Field(0.5, ge=0, lt=1)
    """dropout of the block"""
    normalise: bool = False
    """scale the reduced features to length 1 before they are compared"""
    match: Literal["shared", "all_visible", "global_only", "parts_only"] = "shared"
    """shared is Eq. 4; all_visible averages all five distances alike ("SGAM-2"); or one kind of feature alone (parts_only: Eq. 4
    without D_global and +1)"""
    backbone_lr_factor: float = Field(0.1, gt=0)
    """learning rate of the backbone as a share of the others'"""

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        values = self.thresholds()
        if min(values) < 0 or (self.visibility != "raw_sum" and max(values) >= 1):
            raise PydanticCustomError(
                "settings", "threshold must lie in [0, 1), or not be negative with visibility raw_sum"
            )
        if (self.balance == 0 and self.match == "global_only") or (self.balance == 1 and self.match == "parts_only"):
            raise PydanticCustomError(
                "settings", "balance 0 trains no global feature and 1 no regions: none is left to match"
            )
        return self

    def thresholds(self) -> tuple[float, ...]:
        """One threshold a region."""
        return (self.threshold,) * len(REGIONS) if isinstance(self.threshold, float) else self.threshold


@dataclass(frozen=True)
class Output:
    """What the network says of a batch; None for what is not trained.

    context (B, C) is the average of T; global_ (B, R) the reduced f_global and global_logits (B, classes); pooled (B, 4, C) the
    f_i of Eq. 3, parts (B, 4, R) reduced, part_logits (B, 4, classes), visibility (B, 4) in [0, 1].
    """

    context: Tensor
    global_: Tensor | None
    global_logits: Tensor | None
    pooled: Tensor | None
    parts: Tensor | None
    part_logits: Tensor | None
    visibility: Tensor | None


class SGAM(Method[Output]):
    """Four features pooled by a parser's probability maps, and a global one."""

    paper = Paper(
        "Focus on the Visible Regions: Semantic-Guided Alignment Model for Occluded Person Re-Identification",
        "Yang, Wang, Fang, Lu",
        "Sensors",
        2020,
        "https://doi.org/10.3390/s20164431",
    )
    needs = Needs(train=frozenset({"part_map"}), describe=frozenset({"part_map"}))
    grouping = "sgam5"
    Config = SGAMConfig
    config: SGAMConfig
    reference_areas: Tensor

    def __init__(self, config: SGAMConfig, classes: int) -> None:
        super().__init__(config, classes)
        self.backbone = Backbone(config.backbone, config.size, config.last_stride)
        self.preprocess = Preprocess(config.size, self.backbone.mean, self.backbone.std)
        self.shared_reducer = self._head().reduce if config.shared_reducer else nn.Identity()
        if config.balance > 0:
            self.global_head = self._head()
        if config.balance < 1:
            self.part_heads = nn.ModuleList(self._head() for _ in REGIONS)
            self.register_buffer("reference_areas", torch.zeros(len(REGIONS)))  # 0 until calibrated
        else:
            self.needs = Needs()
        self.rule = self._rule()

    def _head(self) -> ReducedClassifier:
        """1x1 convolution from C to R and a softmax classifier (section 3.2)."""
        config = self.config
        head = ReducedClassifier(self.backbone.channels, config.reduced, self.classes, config.dropout, config.reducer)  # type: ignore[arg-type]
        if config.shared_reducer and hasattr(self, "shared_reducer"):
            head.reduce = nn.Sequential()
        return head

    def _rule(self) -> MatchRule:
        """Eq. 4, or an ablation of it; what is not trained (Eq. 7) is not matched.

        Descriptors hold visibilities in [0, 1]. Eq. 4 with S_i in pixels is Eq. 4 with those, and 1/(H W)^2 for each "1" in it.
        """
        config = self.config
        match = {0.0: "parts_only", 1.0: "global_only"}.get(config.balance, config.match)
        raw = config.visibility == "raw_sum" and match == "shared"
        one = (config.size[0] * config.size[1]) ** -2.0 if raw else 1.0
        return MatchRule(
            metric="euclidean",
            visibility="ignore" if match == "all_visible" else "soft",
            global_weight=0.0 if match == "parts_only" else one,
            part_factor=0.0 if match == "global_only" else 1.0,
        )

    def part_names(self) -> tuple[str, ...]:
        """The regions of Eq. 1; they lie where the part map says."""
        return REGIONS

    # -- what the maps say (Eq. 1 and 2) ---------------------------------------------------------------------------------

    def probabilities(self, part_map: Tensor) -> Tensor:
        """P(R_i | g): (B, 4 or 7, H, W) to (B, 4, H, W) in [0, 1], float32.

        Raises:
            ShapeError: other channels, or not of the images' size.
        """
        size = self.config.size
        if part_map.ndim != 4 or tuple(part_map.shape[2:]) != size:
            raise ShapeError(
                f"part_map must have shape (B, K, {size[0]}, {size[1]}), of the images' size, got {tuple(part_map.shape)}"
            )
        maps = body_regions(part_map).float()
        if self.config.regions_softmax == "regions_only":  # leaving a logit out of a softmax divides by the rest's sum
            maps = maps / maps.sum(1, keepdim=True).clamp_min(1e-6)
        return maps

    def calibrate(self, cues: Iterable[Cues]) -> None:
        """Measures the reference areas: the regions' mean areas in the training images, as shares of the image."""
        if self.config.balance == 1 or self.config.visibility != "area_ref":
            return
        total, count = torch.zeros(len(REGIONS), dtype=torch.float64), 0
        for batch in cues:
            maps = self.probabilities(batch.require("part_map"))
            total += maps.mean((2, 3)).double().sum(0).cpu()
            count += len(maps)
        self.reference_areas.copy_(total / max(1, count))

    def scores(self, visibility: Tensor) -> Tensor:
        """S_i of Eq. 2 in its own unit, in which the thresholds are given: (B, 4)."""
        return region_scores(visibility, self.config.visibility, self.config.size)

    # -- the network (section 3.2) ---------------------------------------------------------------------------------------

    def forward(self, images: Tensor, cues: Cues) -> Output:
        """(B, 3, H, W) RGB in [0, 1] and part maps (B, 4 or 7, H, W) of those images.

        Raises:
            MissingCueError: there is no part_map.
            ShapeError: it has other channels, or another size.
            UsageError: the reference areas were never measured.
        """
        features = self.backbone(self.preprocess.normalise(images))  # T
        context = features.mean((2, 3))
        global_ = global_logits = pooled = parts = part_logits = visibility = None
        if self.config.balance > 0:
            global_, global_logits = self.global_head(self.shared_reducer(context))
        if self.config.balance < 1:
            maps = self.probabilities(cues.require("part_map"))
            resized = F.adaptive_avg_pool2d(maps, (features.shape[2], features.shape[3]))  # AP(P)
            sums = resized.sum((2, 3))
            visibility = region_visibility(sums / resized[0, 0].numel(), self.reference_areas, self.config.visibility)
            weighted = torch.einsum("bkhw,bchw->bkc", resized.to(features.dtype), features)  # Eq. 3
            divisor = sums if self.config.denominator == "map" else maps.sum((2, 3))
            pooled = weighted / divisor.clamp_min(1e-6)[:, :, None].to(features.dtype)
            pairs = [head(self.shared_reducer(pooled[:, i])) for i, head in enumerate(self.part_heads)]
            parts, part_logits = (torch.stack(tensors, 1) for tensors in zip(*pairs, strict=True))
        return Output(context, global_, global_logits, pooled, parts, part_logits, visibility)

    # -- the losses (Eq. 5 to 7) -----------------------------------------------------------------------------------------

    def gates(self, visibility: Tensor) -> Tensor:
        """The weights of the regions' losses in Eq. 5: (B, 4) to (B, 4), constants."""
        scores = self.scores(visibility.detach())
        above = scores - scores.new_tensor(self.config.thresholds())
        if self.config.gate == "soft":
            return above.clamp_min(0)
        return (above >= 0).float() if self.config.gate == "hard" else torch.ones_like(above)

    def losses(self, output: Output, labels: Tensor, cues: Cues) -> dict[str, Tensor]:
        """Eq. 7: lambda times Eq. 6, and 1 - lambda times Eq. 5, a sum over the regions and a mean over the batch."""
        terms = {}
        if output.global_logits is not None:
            terms["global"] = self.config.balance * F.cross_entropy(output.global_logits, labels)  # Eq. 6
        if output.part_logits is not None and output.visibility is not None:
            logits = output.part_logits.transpose(1, 2)  # (B, classes, 4)
            entropy = F.cross_entropy(logits, labels[:, None].expand(-1, len(REGIONS)), reduction="none")
            part = (self.gates(output.visibility) * entropy).sum(1).mean()  # Eq. 5
            terms["part"] = (1 - self.config.balance) * part
        return terms

    # -- what is matched (section 3.3) -----------------------------------------------------------------------------------

    def embed(self, images: Tensor, cues: Cues) -> Descriptor:
        """f_global, f_i and S_i: what Eq. 4 compares. Without a global feature the average of T stands in, and is not matched."""
        output = self(images, cues)
        whole = (output.context if output.global_ is None else output.global_).float()
        whole = F.normalize(whole, dim=1) if self.config.normalise else whole
        if output.parts is None or output.visibility is None:
            return Descriptor.from_vectors(whole, self.fingerprint())
        parts = output.parts.float()
        parts = F.normalize(parts, dim=2) if self.config.normalise else parts
        return Descriptor(whole, parts, output.visibility, fingerprint=self.fingerprint())
