"""SORN: stripes and a global vector, trained together with a segmentation branch that says which stripes to compare.

Xiaokang Zhang, Yan Yan, Jing-Hao Xue, Yang Hua, Hanzi Wang, "Semantic-Aware Occlusion-Robust Network for Occluded Person
Re-Identification", IEEE Transactions on Circuits and Systems for Video Technology 31(7), 2021,
https://doi.org/10.1109/TCSVT.2020.3033165

Implements Eq. 1 to 15. No code of the authors is known. Differs from the paper in
- Eq. 13 to 15: the paper calls these cosine similarities distances; here the distance is 1 minus Eq. 15: lower is closer;
- Eq. 12 is left to the matching rule: a descriptor holds the v_p of Eq. 11, so that tau can be changed afterwards;
- Eq. 5 belongs to one image: the mean over the batch is taken; Eq. 7 belongs to one pixel: the mean over pixels and batch is.
Where the paper is silent
- c' = 1024: with N = 3 the channels are "extended" from 2048 and yet "reduced" in each set (``set_channels``);
- the global vector has the batch norm of section IV-B, which III-C does not mention (``global_norm``), and both kinds of vector
  are matched behind it (``test_feature``);
- the deconvolutions have 256 channels and double the map exactly (``semantic_channels``);
- stripes that do not divide a map have the boundaries of adaptive pooling; those of Eq. 5 take the rows whose centre they hold;
- with five labels the foot counts as leg; weight decay and sampler are those that are usual (``recipes/sorn.yaml``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.nn import functional as F

from occlureid.config import Settings
from occlureid.cues.groupings import grouping_table
from occlureid.cues.partmaps import PART_NAMES
from occlureid.errors import SettingsError, ShapeError
from occlureid.matching import MatchRule
from occlureid.methods import Maps, Method, Needs, Paper, Preprocess
from occlureid.models.backbone import Backbone
from occlureid.models.heads import BatchNormNeck, stripe_pool, stripes_with_points
from occlureid.models.losses import pixel_cross_entropy
from occlureid.models.semantic_head import SemanticHead
from occlureid.models.stripes import stripe_regions
from occlureid.types import CueName, Cues, Descriptor


class SORNConfig(Settings):
    """Settings of SORN; the defaults are the paper's."""

    backbone: str = "resnet50"
    """timm name of the backbone"""
    size: tuple[int, int] = (384, 128)
    """image height and width"""
    last_stride: Literal[1, 2] = 1
    """stride of the last stage"""
    local_branch: bool = True
    """false leaves the local branch out ("Global+Semantic" of Table I)"""
    global_branch: bool = True
    """false leaves the global branch out ("Local+Semantic" of Table I): images that share no stripe cannot be compared"""
    semantic_branch: bool = True
    """false leaves the semantic branch out ("w/o Semantic" of Table III)"""
    parts: int = Field(3, ge=1, le=32)
    """number P of stripes"""
    channel_sets: int = Field(3, ge=1, le=8)
    """number N of channel sets, and of patches of an aggregation map; with 1 the SPC loss is zero"""
    set_channels: int = Field(1024, ge=1)
    """c', the channels of a set; the paper does not give it"""
    global_norm: bool = True
    """batch norm of the global vector (section IV-B); false as section III-C, which does not mention it"""
    norm_shift: bool = True
    """whether the batch norms of the vectors learn a shift"""
    classifier_bias: bool = True
    """whether the classifiers of persons have a bias"""
    labels: Literal[2, 5, 8] = 8
    """K, the background included: 8 (seven parts), 5 (head, torso, arm, leg), 2 (foreground)"""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """epsilon of Eq. 8; 0 is without label smoothing"""
    label_resize: Literal["nearest", "area"] = "nearest"
    """how part maps come to the size of the prediction: the nearest pixel, or the label that covers most of the area"""
    segmentation_average: Literal["pixels", "classes"] = "pixels"
    """what Eq. 7 is averaged over: all pixels alike, or within each class first"""
    semantic_channels: int = Field(256, ge=1)
    """channels of the deconvolutions; the paper does not give them"""
    spc_reduction: Literal["sum", "mean_pixels"] = "sum"
    """Eq. 5 sums over pixels; mean_pixels divides that by N h w"""
    weight_global: float = Field(0.75, gt=0)
    """lambda_1 of Eq. 10"""
    weight_spc: float = Field(0.5, ge=0)
    """lambda_2 of Eq. 10; 0 leaves the SPC loss out"""
    weight_semantic: float = Field(1.5, gt=0)
    """lambda_3 of Eq. 10"""
    test_feature: Literal["normalised", "pooled"] = "normalised"
    """which vectors are matched: behind the batch norm, or before it"""
    visibility: Literal["semantic", "parser", "pose"] = "semantic"
    """what says how much of a stripe is seen: the semantic branch (without one, all is), a given foreground ("+S" of Table III),
    or given landmarks ("+P")"""
    threshold: float = Field(0.15, gt=0, le=1)
    """tau of Eq. 12"""
    match: Literal["shared", "all_visible", "global_only"] = "shared"
    """shared is Eq. 15; the others are ablations: every stripe taken as visible, or the global vector alone"""
    confidence: float = Field(0.2, ge=0, le=1)
    """landmarks less certain than this are dropped ("+P")"""
    min_landmarks: int = Field(3, ge=0, le=18)
    """with fewer landmarks all stripes count as visible ("+P")"""

    @model_validator(mode="after")
    def _something_to_compare(self) -> Self:
        if not self.global_branch and (not self.local_branch or self.match == "global_only"):
            raise PydanticCustomError(
                "settings",
                "nothing is left to compare; set global_branch to true, or local_branch to true and match to shared",
            )
        return self


@dataclass(frozen=True)
class Output:
    """What the branches say of a batch; None for those that are left out.

    Of the local branch local_pooled and local (B, P, C), before and behind the batch norm, and local_logits (B, P, classes); of
    the global branch global_pooled and global_ (B, N c'), global_logits (B, classes) and maps (B, N, h, w), the M_n of Eq. 4; of
    the semantic branch part_logits (B, K, 4h, 4w). context (B, C) is the average of T.
    """

    context: Tensor
    local_pooled: Tensor | None
    local: Tensor | None
    local_logits: Tensor | None
    global_pooled: Tensor | None
    global_: Tensor | None
    global_logits: Tensor | None
    maps: Tensor | None
    part_logits: Tensor | None


def aggregation_maps(features: Tensor, sets: int) -> Tensor:
    """Eq. 2 to 4: T_g (B, N c', h, w) to the normalised aggregation maps M (B, N, h, w) in (0, 1), float32."""
    batch, _, height, width = features.shape
    aggregated = features.float().reshape(batch, sets, -1, height, width).sum(2)  # Eq. 2: A_n
    average = aggregated.mean((2, 3), keepdim=True)  # Eq. 3
    return torch.sigmoid(aggregated - average)  # Eq. 4


def spatial_patch_contrast(maps: Tensor) -> Tensor:
    """Eq. 5, the SPC loss of each image: (B, N, h, w) to (B,), what each map holds outside its own of N stripes.

    Adding a number to all activations changes nothing, for Eq. 4 takes the average away; so what is taken from the other
    stripes goes to a map's own. Maps without any contrast have (N - 1) h w / 2, the value of knowing nothing.
    """
    sets, height = maps.shape[1], maps.shape[2]
    rows, numbers = torch.arange(height, device=maps.device), torch.arange(sets, device=maps.device)
    stripe = (2 * rows + 1) * sets // (2 * height)  # the stripe that holds the centre of the row
    outside = stripe[None, :] != numbers[:, None]  # (N, h)
    return (maps.sum(3) * outside).sum((1, 2))


class SORN(Method[Output]):
    """A local, a global and a semantic branch on one backbone."""

    paper = Paper(
        "Semantic-Aware Occlusion-Robust Network for Occluded Person Re-Identification",
        "Zhang, Yan, Xue, Yang, Wang",
        "TCSVT",
        2021,
        "https://doi.org/10.1109/TCSVT.2020.3033165",
    )
    needs = Needs(train=frozenset({"part_map"}))
    Config = SORNConfig
    config: SORNConfig
    backbone: Backbone

    def __init__(self, config: SORNConfig, classes: int) -> None:
        super().__init__(config, classes)
        self.backbone = Backbone(config.backbone, config.size, config.last_stride, 3 if config.semantic_branch else 1)
        self.preprocess = Preprocess(config.size, self.backbone.mean, self.backbone.std)
        channels, p, n = self.backbone.channels, config.parts, config.channel_sets
        if config.local_branch:
            self.local_necks = nn.ModuleList(self._neck(channels, True) for _ in range(p))
            self.regions = stripe_regions(p)
        if config.global_branch:
            if n > self.backbone.map_size[0]:
                raise SettingsError(
                    f"channel_sets is {n}, but a feature map of {config.backbone} has only {self.backbone.map_size[0]} rows"
                )
            # a bias would go with the average of Eq. 3 and with the batch norm
            self.expand = nn.Conv2d(channels, n * config.set_channels, 1, bias=not config.global_norm)
            self.global_neck = self._neck(n * config.set_channels, config.global_norm)
        if config.semantic_branch:
            second, third, fourth = self.backbone.level_channels
            self.semantic_head = SemanticHead((second, third, fourth), config.labels, config.semantic_channels)
        self.needs = self._needs()
        self.rule = self._rule()

    def _neck(self, channels: int, norm: bool) -> BatchNormNeck:
        config = self.config
        return BatchNormNeck(channels, self.classes, shift=config.norm_shift, bias=config.classifier_bias, norm=norm)

    def _needs(self) -> Needs:
        """Part maps to train the semantic branch; to describe only what stands in for it."""
        cue: dict[str, CueName] = {"parser": "foreground", "pose": "keypoints"}
        describe = [cue[self.config.visibility]] if self.config.visibility in cue and self.config.local_branch else []
        return Needs(frozenset({"part_map"} if self.config.semantic_branch else ()), frozenset(describe))

    def _rule(self) -> MatchRule:
        """Eq. 12 to 15, or an ablation of them; a branch that is left out is not matched."""
        config = self.config
        return MatchRule(
            metric="cosine",
            visibility="ignore" if config.match == "all_visible" else "binary",
            threshold=config.threshold,
            global_weight=1.0 if config.global_branch else 0.0,
            part_factor=1.0 if config.local_branch and config.match != "global_only" else 0.0,
        )

    # -- the three branches (section III-B to III-D) ---------------------------------------------------------------------

    def forward(self, images: Tensor, cues: Cues) -> Output:
        """(B, 3, H, W) RGB in [0, 1]; cues are not looked at."""
        config = self.config
        levels = self.backbone.pyramid(self.preprocess.normalise(images))
        features = levels[-1]  # T

        local_pooled = local = local_logits = None
        if config.local_branch:  # P stripes of T, GAP, BN: f_local^p; FC: y^p
            local_pooled = stripe_pool(features, config.parts)
            pairs = [neck(local_pooled[:, p]) for p, neck in enumerate(self.local_necks)]
            local, local_logits = (torch.stack(tensors, 1) for tensors in zip(*pairs, strict=True))

        global_pooled = global_ = global_logits = maps = None
        if config.global_branch:  # 1x1 convolution: T_g; GAP, BN: f_global; FC: g
            expanded = self.expand(features)
            maps = aggregation_maps(expanded, config.channel_sets)
            global_pooled = expanded.mean((2, 3))
            global_, global_logits = self.global_neck(global_pooled)

        part_logits = self.semantic_head(*levels) if config.semantic_branch else None  # s, before the softmax
        return Output(
            features.mean((2, 3)), local_pooled, local, local_logits,
            global_pooled, global_, global_logits, maps, part_logits,
        )  # fmt: skip

    # -- the losses (Eq. 1, 5 to 10) -------------------------------------------------------------------------------------

    def losses(self, output: Output, labels: Tensor, cues: Cues) -> dict[str, Tensor]:
        """Eq. 10: the terms of the branches that are there, weighted.

        Raises:
            MissingCueError: the semantic branch is there, and there is no part_map.
            ShapeError: the part_map is not (B, 7, H, W).
        """
        config, terms = self.config, {}
        if output.local_logits is not None:  # Eq. 1
            stripes = [F.cross_entropy(logits, labels) for logits in output.local_logits.unbind(1)]
            terms["local"] = torch.stack(stripes).sum()
        if output.global_logits is not None and output.maps is not None:
            terms["global"] = config.weight_global * F.cross_entropy(output.global_logits, labels)  # Eq. 6
            if config.weight_spc > 0:  # Eq. 5
                pixels = output.maps[0].numel() if config.spc_reduction == "mean_pixels" else 1
                terms["spc"] = config.weight_spc * spatial_patch_contrast(output.maps).mean() / pixels
        if output.part_logits is not None:  # Eq. 7 to 9
            _, _, height, width = output.part_logits.shape
            truth = self.pixel_labels(cues.require("part_map"), (height, width))
            loss = pixel_cross_entropy(output.part_logits, truth, config.label_smoothing, config.segmentation_average)
            terms["semantic"] = config.weight_semantic * loss
        return terms

    def pixel_labels(self, part_map: Tensor, size: tuple[int, int]) -> Tensor:
        """The t of Eq. 9: (B, 7, H, W) in [0, 1], a channel for each of PART_NAMES, to (B, *size) int64 in [0, K).

        A pixel gets the label that most of it has; the background is what no part covers.

        Raises:
            ShapeError: another number of parts, or not of the images' size.
        """
        expected = (len(PART_NAMES), *self.config.size)
        if part_map.ndim != 4 or tuple(part_map.shape[1:]) != expected:
            raise ShapeError(
                f"part_map must have shape (B, {', '.join(map(str, expected))}) with the parts {', '.join(PART_NAMES)}, "
                f"of the images' size; got {tuple(part_map.shape)}"
            )
        if self.config.label_resize == "nearest":
            part_map = F.interpolate(part_map.float(), size, mode="nearest-exact")
        else:
            part_map = F.adaptive_avg_pool2d(part_map.float(), size)
        table = grouping_table("eanet8", f"sorn{self.config.labels}")  # region: its labels, 1 to 7; the background last
        shares = [
            part_map[:, [label - 1 for label in table[region]]].sum(1) for region in table if region != "background"
        ]
        return torch.stack([(1 - part_map.sum(1)).clamp_min(0), *shares], 1).argmax(1)

    # -- what is visible, and what is matched (section III-E) ------------------------------------------------------------

    def embed(self, images: Tensor, cues: Cues) -> Descriptor:
        """f_global, f_local^p and v_p: what Eq. 12 to 15 compare.

        Without the global branch the average of T stands in ``global_``, to which the rule gives no weight.
        """
        output = self(images, cues)
        normalised = self.config.test_feature == "normalised"
        whole = output.global_ if normalised else output.global_pooled
        whole = output.context if whole is None else whole
        parts = output.local if normalised else output.local_pooled
        if parts is None:
            return Descriptor.from_vectors(whole.float(), self.fingerprint())
        visibility = self.visibility(output, cues)
        return Descriptor(whole.float(), parts.float(), visibility, fingerprint=self.fingerprint())

    def maps(self, images: Tensor, cues: Cues) -> Maps:
        """The predicted parts (Fig. 5) and the aggregation maps of Eq. 4 (Fig. 4), of the branches that are there."""
        output = self(images, cues)
        labels = None if output.part_logits is None else output.part_logits.argmax(1)
        names = [region for region in grouping_table("eanet8", f"sorn{self.config.labels}") if region != "background"]
        return Maps(labels, tuple(names) if labels is not None else (), output.maps)

    def visibility(self, output: Output, cues: Cues) -> Tensor:
        """Eq. 11: (B, P) in [0, 1], how much of each stripe is foreground; from landmarks, 0 or 1.

        Raises:
            MissingCueError: ``visibility`` is "parser" or "pose" and its cue is not there.
        """
        if self.config.visibility == "pose":
            return self.stripes_with_landmarks(cues.require("keypoints"))
        if self.config.visibility == "parser":
            mask = cues.require("foreground") >= 0.5
        elif output.part_logits is not None:
            mask = output.part_logits.argmax(1) != 0  # E: any of the parts
        else:
            return output.context.new_ones(len(output.context), self.config.parts, dtype=torch.float32)
        return stripe_pool(mask[:, None].float(), self.config.parts).squeeze(2)

    def stripes_with_landmarks(self, keypoints: Tensor) -> Tensor:
        """As PGFA's Eq. 5, for "+P" of Table III: (B, 18, 3) to (B, P) of 0 and 1, which stripes hold a certain landmark."""
        kept = (keypoints[..., 2] >= self.config.confidence) & (keypoints[..., 2] > 0)  # 0 is "not found"
        inside = stripes_with_points(keypoints[..., 1], kept, self.config.parts, self.config.size[0])
        silent = kept.sum(1) < max(1, self.config.min_landmarks)
        return (inside | silent[:, None]).float()
