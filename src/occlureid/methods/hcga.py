"""HCGA: the images of a person parse each other; what they find teaches the network to align parts pixel by pixel.

Shuguang Dou, Cairong Zhao, Xinyang Jiang, Shanshan Zhang, Wei-Shi Zheng, Wangmeng Zuo, "Human Co-parsing Guided Alignment for
Occluded Person Re-identification", IEEE Transactions on Image Processing 32, 2023, https://doi.org/10.1109/TIP.2022.3229639

Implements Eq. 6 to 10: PRNet. HCNet and its losses (Eq. 1 to 5, Algorithm 1) are ``occlureid.coparsing``, which ``guide`` calls
before an epoch. Differs from the paper in
- Eq. 6 sums C maps of which one is the background: the foreground is the sum of the others, and is never thresholded;
- Eq. 10 is a similarity: the distance is 1 minus it;
- section IV-C adds the image feature on sets of whole people, without saying how: it makes one vector with the foreground's, as
  in ISP, on which PRNet is built (``features: I+F+P``, recipe ``hcga-holistic``).
Where the paper is silent, as its released code, which cannot run as it is (``*``: and selectable)
- a part is visible where some pixel has it as its likeliest label* (``visibility``);
- part features are classified together behind one batch norm* (``part_classifier``); the triplet loss is of the image feature
  before its own; features are matched behind them;
- the joined map is weighed by an attention, of which the paper does not speak* (``attention``);
- pairs of images in which Table VIII's "P" finds no shared part cannot be compared.
Differs from the released code in
- Eq. 8 gives 1 where the code gives one half* (``gam_test_value``) or, for CUHK03, leaves the maps as they are*
  (``gam_in_test``), and Eq. 10 is computed as printed* (``match``);
- decoders start with He's bounds, as the paper says, and not with those that PyTorch gives a convolution*
  (``coparsing.initial``); where C is not 4, foreground labels are divided evenly by rank in height, where the code makes them
  head, body and legs for every C* (``coparsing.part_rule``); labels that all have one height are the body, not legs;
- a diagonal neighbour weighs as much as another, where the code gives it a weight of its own* (``coparsing.diagonal_weight``);
- ISP's clustering sees activations as they are, and not through a sigmoid* (``clustering.activation``);
- bilinear resizing does not align corners; the centre loss of its presets for holistic sets is left out;
- pixels of which co-parsing knows nothing take no part in the parsing loss, and labels go through every transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.nn import functional as F

from occlureid.config import Settings
from occlureid.coparsing import ClusterSettings, CoparseSettings, cluster_parts, coparse
from occlureid.coparsing.training_images import ParsePersons, parse_training_images
from occlureid.cues.groupings import GROUPINGS, grouping_table
from occlureid.cues.partmaps import PART_NAMES
from occlureid.errors import ShapeError
from occlureid.guidance import Guidance, TrainingView
from occlureid.matching import MatchRule, pairwise_distances
from occlureid.methods import Maps, Method, Needs, Paper, Preprocess
from occlureid.models.backbone import Backbone
from occlureid.models.heads import BatchNormNeck
from occlureid.models.joined import Attention, JoinedLevels
from occlureid.models.losses import batch_hard_triplet, pixel_cross_entropy
from occlureid.types import Cues, Descriptor


class HCGAConfig(Settings):
    """Settings of HCGA; the defaults are the paper's."""

    backbone: str = "hrnet_w32"
    """timm name of the encoder"""
    size: tuple[int, int] = (256, 128)
    """image height and width"""
    last_stride: Literal[1, 2] = 2
    """stride of the last stage; 1 for a ResNet (Table X), while HRNet keeps its resolutions beside each other"""
    levels: int = Field(4, ge=1, le=5)
    """how many of the encoder's last maps are joined"""
    map_stride: int | None = Field(4, ge=1)
    """pixels of the image for one of the joined map, on a side; null for the finest of the levels"""
    width: int = Field(256, ge=1)
    """q, the channels of a pixel's feature"""
    attention: Attention = "spatial"
    """what weighs the pixels of the joined map; spatial (cbam for ResNet-50) in the released code, none in the paper"""
    labels: int = Field(4, ge=2, le=21)
    """C, the background included"""
    parsing_labels: Literal["coparsing", "isp", "external", "none"] = "coparsing"
    """what teaches the parsing head: co-parsing, clustering ("+ISP" of Table VI), given part maps ("+Extra info"); none leaves it
    out and what follows from it: the image feature alone is trained and matched ("Baseline")"""
    gam: bool = True
    """the guided alignment module; false takes the confidence maps as they are, in training and test"""
    gam_in_test: bool = True
    """false takes the confidence maps as they are in test alone, where Eq. 7 was trained with (the released code for CUHK03)"""
    t: int = Field(4, ge=2)
    """of Eq. 7 and 8"""
    gam_test_value: float = Field(1.0, gt=0, le=1)
    """of Eq. 8, where a part is certain; 0.5 in the released code"""
    image_feature: Literal["reduced", "joined"] = "reduced"
    """the image feature averages the reduced map, or the joined one before it (the released code for CUHK03)"""
    part_classifier: Literal["joint", "separate"] = "joint"
    """one batch norm and classifier for the joined part features, or one for each part, whose losses are averaged"""
    smoothing: float = Field(0.1, ge=0, lt=1)
    """label smoothing of the identity losses"""
    margin: float | None = Field(0.3, ge=0)
    """margin of the triplet loss; null for the soft margin"""
    weight_parsing: float = Field(0.1, ge=0)
    """lambda_hp of Eq. 9"""
    features: Literal["I", "F", "P", "F+P", "I+F", "I+F+P"] = "F+P"
    """which features are matched (Table VIII); image and foreground feature count as one vector"""
    match: Literal["paper_eq10", "released_sum", "isp_mean", "holistic"] = "paper_eq10"
    """Eq. 10 as printed; without division and half; without the half (with features I+F+P as ISP); or all features as one vector,
    whatever is visible"""
    visibility: Literal["argmax", "kept"] = "argmax"
    """a part is visible where some pixel has it as likeliest label; kept: and Eq. 8 keeps that pixel"""
    coparsing: CoparseSettings = CoparseSettings()
    """of HCNet; its parts are C - 1"""
    clustering: ClusterSettings = ClusterSettings()
    """of "isp"; its parts are C - 1"""
    coparse_every: int = Field(1, ge=1)
    """epochs from one co-parsing to the next"""
    coparse_until: int | None = Field(None, ge=0)
    """epochs after which the labels stay as they are (section IV-D); null for none"""
    coparse_batch: int = Field(64, ge=1)
    """images that the encoder takes at once for it"""
    coparse_memory: int = Field(1024, ge=1)
    """MiB that the decoders trained at once may take"""

    @model_validator(mode="before")
    @classmethod
    def _parts_follow_labels(cls, values: Any) -> Any:
        """C is said once: co-parsing and clustering find C - 1 parts, unless told otherwise, which is then refused."""
        if not isinstance(values, dict) or not isinstance(values.get("labels"), int):
            return values
        given = {name: values.get(name, {}) for name in ("coparsing", "clustering")}
        return values | {k: {"parts": values["labels"] - 1, **v} for k, v in given.items() if isinstance(v, dict)}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        parts = self.labels - 1
        if (self.coparsing.parts, self.clustering.parts) != (parts, parts):
            raise PydanticCustomError(
                "settings",
                f"labels {self.labels} are {parts} parts and the background; leave coparsing.parts and clustering.parts out",
            )
        return self


@dataclass(frozen=True)
class Output:
    """What PRNet says of a batch; all but the first three is None without a parsing head.

    image (B, D) is the average of the map before its batch norm, image_normalised behind it, image_logits (B, classes);
    parsing_logits (B, C, h, w); foreground (B, q) and parts (B, C - 1, q) are behind their batch norms; foreground_logits
    (B, classes), part_logits (B, 1 or C - 1, classes); visibility (B, C - 1) of 0 and 1.
    """

    image: Tensor
    image_normalised: Tensor
    image_logits: Tensor
    parsing_logits: Tensor | None = None
    foreground: Tensor | None = None
    foreground_logits: Tensor | None = None
    parts: Tensor | None = None
    part_logits: Tensor | None = None
    visibility: Tensor | None = None


def guided_alignment(confidence: Tensor, t: int, *, training: bool, test_value: float = 1.0) -> Tensor:
    """GAM: confidence maps of parts, of any shape, without what is uncertain.

    In training e if e > 1/t, else 0 (Eq. 7); in test 1 if e > 1 - 1/t, else 0 (Eq. 8), times ``test_value``.
    """
    if training:
        return torch.where(confidence > 1 / t, confidence, 0)
    return (confidence > 1 - 1 / t).to(confidence.dtype) * test_value


def masked_average(features: Tensor, maps: Tensor) -> Tensor:
    """(B, q, h, w) and (B, K, h, w) to (B, K, q): the average over all pixels of the features times each map."""
    return torch.einsum("bkhw,bqhw->bkq", maps.to(features.dtype), features) / features[0, 0].numel()


TRIPLET_RULE = MatchRule(metric="euclidean", part_factor=0)


class HCGA(Method[Output]):
    """PRNet: image, foreground and part features on one encoder, and the parsing head that tells them apart."""

    paper = Paper(
        "Human Co-parsing Guided Alignment for Occluded Person Re-identification",
        "Dou, Zhao, Jiang, Zhang, Zheng, Zuo",
        "TIP",
        2023,
        "https://doi.org/10.1109/TIP.2022.3229639",
    )
    grouping = "hcga4"
    Config = HCGAConfig
    config: HCGAConfig
    backbone: Backbone

    def __init__(self, config: HCGAConfig, classes: int) -> None:
        super().__init__(config, classes)
        self.backbone = Backbone(config.backbone, config.size, config.last_stride, config.levels)
        self.preprocess = Preprocess(config.size, self.backbone.mean, self.backbone.std)
        height, width = config.size
        size = None if config.map_stride is None else (-(-height // config.map_stride), -(-width // config.map_stride))
        self.join = JoinedLevels(self.backbone.level_channels, config.width, size, config.attention)
        reduced = config.image_feature == "reduced"
        self.image_neck = BatchNormNeck(config.width if reduced else self.join.channels, classes)
        if config.parsing_labels != "none":
            parts = config.labels - 1
            self.parsing = nn.Conv2d(config.width, config.labels, 1)
            self.foreground_neck = BatchNormNeck(config.width, classes)
            necks, channels = (1, parts * config.width) if config.part_classifier == "joint" else (parts, config.width)
            self.part_necks = nn.ModuleList(BatchNormNeck(channels, classes) for _ in range(necks))
        self.needs = Needs(train=frozenset({"part_map"} if config.parsing_labels == "external" else ()))
        self.rule = self._rule()

    def _rule(self) -> MatchRule:
        """Eq. 10 or another reading of it, of the features that are matched (Table VIII)."""
        config = self.config
        with_parts = "P" in self._matched() and config.match != "holistic"
        half = 0.5 if config.match == "paper_eq10" else 1.0
        return MatchRule(
            metric="cosine",
            visibility="binary",
            global_weight=0.0 if self._matched() == "P" and with_parts else 1.0,
            part_factor=half if with_parts else 0.0,
            form="sum" if config.match == "released_sum" else "mean",
        )

    def _matched(self) -> str:
        """The features that are matched, "+" between them."""
        return "I" if self.config.parsing_labels == "none" else self.config.features

    # -- the network (section III-C) -------------------------------------------------------------------------------------

    def pixel_features(self, images: Tensor) -> Tensor:
        """E of Eq. 1: (B, 3, H, W) RGB in [0, 1] to V (B, q, h, w), which parsing head and HCNet look at."""
        reduced: Tensor = self.join(self.backbone.pyramid(self.preprocess.normalise(images)))[1]
        return reduced

    def guided(self, confidence: Tensor) -> Tensor:
        """What GAM makes of the (B, C - 1, h, w) confidence maps of the parts, in training or test as the mode is."""
        config = self.config
        if not config.gam or not (self.training or config.gam_in_test):
            return confidence
        return guided_alignment(confidence, config.t, training=self.training, test_value=config.gam_test_value)

    def forward(self, images: Tensor, cues: Cues) -> Output:
        """(B, 3, H, W) RGB in [0, 1]; cues are not looked at."""
        joined, features = self.join(self.backbone.pyramid(self.preprocess.normalise(images)))
        image = (features if self.config.image_feature == "reduced" else joined).mean((2, 3))
        image_normalised, image_logits = self.image_neck(image)
        if self.config.parsing_labels == "none":
            return Output(image, image_normalised, image_logits)

        parsing_logits = self.parsing(features)
        confidence = parsing_logits.float().softmax(1)[:, 1:]  # CM_part
        guided = self.guided(confidence)
        maps = torch.cat([confidence.sum(1, keepdim=True), guided], 1)  # Eq. 6: CM_fore
        pooled = masked_average(features, maps)
        foreground, foreground_logits = self.foreground_neck(pooled[:, 0])
        if self.config.part_classifier == "joint":
            parts, logits = self.part_necks[0](pooled[:, 1:].flatten(1))
            parts, part_logits = parts.view_as(pooled[:, 1:]), logits[:, None]
        else:
            pairs = [neck(pooled[:, 1 + i]) for i, neck in enumerate(self.part_necks)]
            parts, part_logits = (torch.stack(tensors, 1) for tensors in zip(*pairs, strict=True))
        visibility = self.visible(parsing_logits, guided)
        return Output(
            image, image_normalised, image_logits,
            parsing_logits, foreground, foreground_logits, parts, part_logits, visibility,
        )  # fmt: skip

    def visible(self, parsing_logits: Tensor, guided: Tensor) -> Tensor:
        """The parts of Eq. 10 that an image shows: (B, C, h, w) and (B, C - 1, h, w) to (B, C - 1) of 0 and 1, float32."""
        likeliest = F.one_hot(parsing_logits.argmax(1), self.config.labels)[..., 1:].permute(0, 3, 1, 2).bool()
        if self.config.visibility == "kept":
            likeliest = likeliest & (guided > 0)
        return likeliest.flatten(2).any(2).float()

    # -- the losses (Eq. 9) ----------------------------------------------------------------------------------------------

    def losses(self, output: Output, labels: Tensor, cues: Cues) -> dict[str, Tensor]:
        """Eq. 9; the parsing loss where there are part maps, which before the first co-parsing there are not.

        Raises:
            MissingCueError: part maps are to be given ("external"), and are not.
            ShapeError: the part_map is not (B, C - 1, H, W), or the seven parts of which HCGA's three are made.
        """
        config = self.config
        vectors, persons = self.compared(output.image.float(), labels)
        image = Descriptor.from_vectors(vectors)
        distances = pairwise_distances(TRIPLET_RULE, image, image)
        identity = partial(F.cross_entropy, label_smoothing=config.smoothing)
        terms = {
            "triplet": batch_hard_triplet(distances, persons, config.margin),
            "image": identity(output.image_logits, labels),
        }
        if output.foreground_logits is not None and output.part_logits is not None:
            terms["foreground"] = identity(output.foreground_logits, labels)
            terms["parts"] = torch.stack([identity(logits, labels) for logits in output.part_logits.unbind(1)]).mean()
        if output.parsing_logits is not None and config.weight_parsing > 0:
            if config.parsing_labels == "external":
                cues.require("part_map")
            if cues.part_map is not None:
                _, _, height, width = output.parsing_logits.shape
                truth = self.pixel_labels(cues, (height, width))
                terms["parsing"] = config.weight_parsing * pixel_cross_entropy(output.parsing_logits, truth)
        return terms

    def pixel_labels(self, cues: Cues, size: tuple[int, int]) -> Tensor:
        """Part maps (B, C - 1, H, W) to (B, *size) int64 in [0, C); with three parts, also (B, 7, H, W) of PART_NAMES.

        The background is what no part covers; but where co-parsing says foreground and names no part, nothing is known: -1.

        Raises:
            MissingCueError: there is no part_map.
            ShapeError: it has other channels, or is not of the images' size.
        """
        part_map, parts = cues.require("part_map"), self.config.labels - 1
        channels = part_map.shape[1] if part_map.ndim == 4 else 0
        joinable = channels == len(PART_NAMES) and parts == len(GROUPINGS[self.grouping])
        if not (channels == parts or joinable) or tuple(part_map.shape[2:]) != self.config.size:
            raise ShapeError(
                f"part_map must have shape (B, {parts}, {', '.join(map(str, self.config.size))}), a channel for each of C - 1 "
                f"parts and of the images' size, got {tuple(part_map.shape)}; set cues.grouping to one of {parts} regions"
            )
        maps = F.interpolate(part_map.float(), size, mode="nearest-exact")
        if channels != parts:
            table = grouping_table("eanet8", self.grouping)  # region: its labels, 1 to 7
            maps = torch.stack([maps[:, [n - 1 for n in table[name]]].sum(1) for name in GROUPINGS[self.grouping]], 1)
        covered = maps.sum(1)
        labels = torch.cat([(1 - covered).clamp_min(0)[:, None], maps], 1).argmax(1)
        if cues.foreground is not None and self.config.parsing_labels != "external":
            foreground = F.interpolate(cues.foreground[:, None].float(), size, mode="nearest-exact")[:, 0]
            labels = labels.masked_fill((foreground >= 0.5) & (covered < 0.5), -1)
        return labels

    # -- the labels (section III-A) --------------------------------------------------------------------------------------

    def guide(self, view: TrainingView) -> Guidance | None:
        """Step (1) of an epoch: parses the images of each training person together, with the encoder as it is.

        None, and so the labels in force, where they come from elsewhere, or their turn (``coparse_every``) has not come or is
        over (``coparse_until``).
        """
        config = self.config
        if config.parsing_labels not in ("coparsing", "isp"):
            return None
        over = config.coparse_until is not None and view.epoch >= config.coparse_until
        if view.previous is not None and (over or view.epoch % config.coparse_every != 0):
            return None
        parse: ParsePersons
        if config.parsing_labels == "coparsing":
            memory = config.coparse_memory * 2**20
            parse = partial(coparse, settings=config.coparsing, device=view.device, memory=memory)
        else:
            parse = partial(cluster_parts, settings=config.clustering)
        encode = torch.no_grad()(self.pixel_features)
        training = self.training
        self.eval()
        try:
            height, width = encode(torch.zeros(1, 3, *config.size, device=view.device)).shape[2:]
            return parse_training_images(
                view, encode, parse, size=(height, width), parts=config.labels - 1, batch_size=config.coparse_batch
            )
        finally:
            self.train(training)

    # -- what is matched (section III-D) ---------------------------------------------------------------------------------

    def embed(self, images: Tensor, cues: Cues) -> Descriptor:
        """F, or I and F as one vector, the P_i, and which of them are visible: what Eq. 10 compares.

        "holistic" has all that is matched in ``global_``. With "P", to which the rule gives all weight, F stands in there.
        """
        output = self(images, cues)
        if output.foreground is None or output.parts is None or output.visibility is None:
            return Descriptor.from_vectors(output.image_normalised.float(), self.fingerprint())
        whole = {"I": output.image_normalised, "F": output.foreground, "P": output.parts.flatten(1)}
        names = self._matched().split("+")
        if self.config.match == "holistic":
            vector = torch.cat([whole[name] for name in names], 1)
            return Descriptor.from_vectors(vector.float(), self.fingerprint())
        vector = torch.cat([whole[name] for name in names if name != "P"] or [output.foreground], 1)
        return Descriptor(vector.float(), output.parts.float(), output.visibility, fingerprint=self.fingerprint())

    def maps(self, images: Tensor, cues: Cues) -> Maps:
        """The predicted parts, and as attention the confidence in the foreground (Eq. 6) and what GAM makes of each part."""
        if self.config.parsing_labels == "none":
            return Maps()
        logits = self.parsing(self.pixel_features(images))
        confidence = logits.float().softmax(1)[:, 1:]
        maps = torch.cat([confidence.sum(1, keepdim=True).clamp(max=1), self.guided(confidence)], 1)
        names = self.part_names()
        return Maps(logits.argmax(1), names, maps, ("foreground", *names))

    def part_names(self) -> tuple[str, ...]:
        """Of the labels from 1 on: what three parts are thought to be, and numbers where there are more or fewer."""
        names = GROUPINGS[self.grouping]
        count = self.config.labels - 1
        return names if count == len(names) else tuple(f"part {i + 1}" for i in range(count))
