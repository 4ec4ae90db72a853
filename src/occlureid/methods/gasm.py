"""GASM: a mask layer and a pose layer say where the person is; each location of a query looks for its like in the gallery.

Lingxiao He, Wu Liu, "Guided Saliency Feature Learning for Person Re-identification in Crowded Scenes", ECCV 2020,
https://doi.org/10.1007/978-3-030-58604-1_22

Implements Eq. 1 to 4 (Eq. 4 is the matching rule). The authors' code was never released. Differs from the paper in
- an image in which nothing was found, nobody's mask or no landmark, is left out of Eq. 1 or 2: it tells nothing;
- the scores D of Eq. 4 are 1 - cosine, of which the smallest counts: the paper calls them similarities and d a distance.
Where the paper is silent
- the two layers end in a sigmoid; a pose map is the sum of 13 such channels, the saliency sums to 1 (else d would grow with
  the person), and mask and pose are each scaled to the sum 1 before they are fused, by default to their mean (``fusion``);
- Eq. 1 and 2 are norms, unsquared, of each image, and means over the batch (``distillation: mse``);
- a true landmark is a Gaussian of height 1 and of ``sigma``, 0.05 of the image's height: CenterNet's for a person that fills it;
- the identity loss has a batch-norm neck, the triplet loss stands before it, with a margin of 0.3, and images are matched by
  the vector behind it (``neck``, ``margin``, ``test_feature``): as in the authors' FastReID, whose schedule it is.
Beyond the paper
- local vectors can be shortened (``local_dim``) to principal components without a centre, so that all of them together would
  change no distance. They are measured on training images at the end of a training, and travel with the weights; before,
  as when a run validates, vectors have their full length;
- locations of little saliency can be dropped (``keep_locations``), of queries as of the gallery.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.nn import functional as F

from occlureid.config import Settings
from occlureid.cues.heatmaps import gaussian_heatmaps
from occlureid.errors import SettingsError, ShapeError
from occlureid.guidance import TrainingView
from occlureid.matching import MatchRule, pairwise_distances, prune
from occlureid.methods import Maps, Method, Needs, Paper, Preprocess
from occlureid.models.backbone import Backbone
from occlureid.models.heads import BatchNormNeck
from occlureid.models.losses import batch_hard_triplet
from occlureid.models.principal import SecondMoment
from occlureid.types import KEYPOINT_NAMES, CueName, Cues, Descriptor

Fusion = Literal["mean", "product", "max", "mask_only", "pose_only"]

_SIDES = [
    f"{side}_{name}" for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
]
JOINTS: tuple[tuple[str, ...], ...] = (
    ("nose", "right_eye", "left_eye", "right_ear", "left_ear"),
    *((n,) for n in _SIDES),
)
"""The 13 joints of the pose layer (footnote 1): the landmarks whose largest heatmap value counts, the head first."""

_TRIPLET_RULE = MatchRule(metric="euclidean", part_factor=0)
_STEP = 16
"""Images whose local vectors are added to the components at a time."""


class GASMConfig(Settings):
    """Settings of GASM; the defaults are the paper's."""

    backbone: str = "resnet50"
    """timm name of the backbone"""
    size: tuple[int, int] = (384, 128)
    """image height and width"""
    last_stride: Literal[1, 2] = 1
    """stride of the last stage"""
    mask_layer: bool = True
    """false leaves the mask layer out ("+pose" of Table 4); without both layers the saliency is uniform ("Baseline")"""
    pose_layer: bool = True
    """false leaves the pose layer out ("+mask" of Table 4)"""
    fusion: Fusion = "mean"
    """how mask and pose, each scaled to the sum 1, make the saliency; mask_only and pose_only still train the other layer"""
    detach: bool = False
    """whether identity and triplet loss leave the saliency alone, so that only masks and landmarks teach it"""
    distillation: Literal["frobenius", "mse"] = "frobenius"
    """frobenius: the norms of Eq. 1 and 2; mse: the mean of squares over a map"""
    weight_mask: float = Field(0.05, ge=0)
    """lambda_mask of Eq. 3; 0 leaves the mask layer to the other losses, and needs no masks"""
    weight_pose: float = Field(0.1, ge=0)
    """lambda_pose of Eq. 3; 0 leaves the pose layer to the other losses, and needs no landmarks"""
    weight_identity: float = Field(1.0, gt=0)
    """weight of the identity loss"""
    weight_triplet: float = Field(1.0, ge=0)
    """weight of the triplet loss; 0 leaves it out"""
    sigma: float = Field(0.05, gt=0, le=1)
    """standard deviation of a landmark's Gaussian, as a share of the image's height"""
    confidence: float = Field(0.2, ge=0, le=1)
    """landmarks less certain than this are not in the image"""
    neck: bool = True
    """batch norm between the saliency feature and the classifier"""
    margin: float | None = Field(0.3, ge=0)
    """margin of the triplet loss; null for the soft margin"""
    test_feature: Literal["normalised", "pooled"] = "normalised"
    """which global vector is matched: behind the neck's batch norm, or before it"""
    spatial_weight: float = Field(0.5, ge=0, le=1)
    """share of Eq. 4 in the distance, the rest is the global vector's: 0.5 is the paper's average, 1 Eq. 4 alone; with 0 no
    local vectors are given at all"""
    match_saliency: bool = True
    """false matches all locations alike"""
    keep_locations: int | None = Field(None, ge=1)
    """how many of an image's locations are kept, the most salient ones; null for all"""
    components: int = Field(256, ge=0)
    """principal components of the local vectors that the weights carry, at most the vectors' length; 0 for none"""
    component_images: int = Field(1024, ge=1)
    """training images, drawn by the run's seed, on which they are measured"""
    local_dim: int | None = Field(None, ge=1)
    """how many of the components local vectors are shortened to; null leaves them as they are"""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        layers = {"mask": (self.mask_layer, self.weight_mask), "pose": (self.pose_layer, self.weight_pose)}
        problems = []
        for name, (there, weight) in layers.items():
            if self.fusion == f"{name}_only" and not there:
                problems.append(f"fusion {self.fusion} needs the {name}_layer; set it to true, or fusion to mean")
            other = "pose" if name == "mask" else "mask"
            if there and weight == 0 and (self.detach or self.fusion == f"{other}_only"):
                problems.append(
                    f"nothing teaches the {name}_layer; set weight_{name} above 0, or {name}_layer to false"
                )
        if self.keep_locations is not None and not (self.mask_layer or self.pose_layer):
            problems.append("keep_locations needs a saliency: a mask_layer or a pose_layer")
        if self.local_dim is not None and self.local_dim > self.components:
            problems.append(f"local_dim can be at most components, {self.components}, got {self.local_dim}")
        if problems:
            raise PydanticCustomError("settings", "; ".join(problems))
        return self


@dataclass(frozen=True)
class Output:
    """What the network says of a batch.

    features (B, C, h, w), the x of section 3.1; mask (B, h, w) and pose (B, 13, h, w) in (0, 1), None without their layer;
    saliency (B, h, w), each summing to 1, float32; pooled (B, C), the saliency feature, and normalised (B, C) behind the
    neck; logits (B, classes).
    """

    features: Tensor
    mask: Tensor | None
    pose: Tensor | None
    saliency: Tensor
    pooled: Tensor
    normalised: Tensor
    logits: Tensor


def fuse(mask: Tensor | None, pose: Tensor | None, fusion: Fusion) -> Tensor:
    """The saliency S of a mask map and a pose map (the sum of its channels): not negative, (B, h, w), summing to 1 each.

    Of mask and pose at least one must be there; where there is only one, it is the saliency whatever the fusion.
    """
    used = (mask if fusion != "pose_only" else None, pose if fusion != "mask_only" else None)
    maps = [_shared_out(each) for each in used if each is not None]
    if len(maps) == 1:
        return maps[0]
    one, other = maps
    if fusion == "product":
        return _shared_out(one * other)
    return _shared_out(torch.maximum(one, other) if fusion == "max" else one + other)


def _shared_out(maps: Tensor) -> Tensor:
    """(B, h, w) maps scaled to the sum 1."""
    return maps / maps.sum((1, 2), keepdim=True).clamp_min(1e-20)


class GASM(Method[Output]):
    """A backbone, two 1x1 convolutions that say where to look, and features of where they look."""

    paper = Paper(
        "Guided Saliency Feature Learning for Person Re-identification in Crowded Scenes",
        "He, Liu",
        "ECCV",
        2020,
        "https://doi.org/10.1007/978-3-030-58604-1_22",
    )
    needs = Needs(train=frozenset({"foreground", "keypoints"}))
    Config = GASMConfig
    config: GASMConfig
    backbone: Backbone
    components: Tensor

    def __init__(self, config: GASMConfig, classes: int) -> None:
        super().__init__(config, classes)
        self.backbone = Backbone(config.backbone, config.size, config.last_stride)
        self.preprocess = Preprocess(config.size, self.backbone.mean, self.backbone.std)
        channels = self.backbone.channels
        self.mask_layer = nn.Conv2d(channels, 1, 1) if config.mask_layer else None
        self.pose_layer = nn.Conv2d(channels, len(JOINTS), 1) if config.pose_layer else None
        self.neck = BatchNormNeck(channels, classes, norm=config.neck)
        stored = min(config.components, channels)
        if config.local_dim is not None and config.local_dim > stored:
            raise SettingsError(f"local_dim is {config.local_dim}, but {config.backbone} has only {channels} channels")
        self.register_buffer("components", torch.zeros(channels, stored))  # 0 until measured
        self.needs = self._needs()
        self.rule = MatchRule(metric="cosine", part_factor=0, spatial_weight=config.spatial_weight)

    def _needs(self) -> Needs:
        """What the two layers are distilled from; to describe nothing is needed."""
        config = self.config
        wanted: dict[CueName, bool] = {
            "foreground": config.mask_layer and config.weight_mask > 0,
            "keypoints": config.pose_layer and config.weight_pose > 0,
        }
        return Needs(train=frozenset(name for name, needed in wanted.items() if needed))

    # -- the network (section 3.1) ---------------------------------------------------------------------------------------

    def forward(self, images: Tensor, cues: Cues) -> Output:
        """(B, 3, H, W) RGB in [0, 1]; cues are not looked at."""
        features = self.backbone(self.preprocess.normalise(images))  # x
        mask = None if self.mask_layer is None else self.mask_layer(features).float().sigmoid()[:, 0]  # M_p
        pose = None if self.pose_layer is None else self.pose_layer(features).float().sigmoid()  # P_p
        if mask is None and pose is None:
            saliency = torch.full_like(features[:, 0], 1 / features[0, 0].numel(), dtype=torch.float32)
        else:
            saliency = fuse(mask, None if pose is None else pose.sum(1), self.config.fusion)
        weights = saliency.detach() if self.config.detach else saliency
        pooled = torch.einsum("bhw,bchw->bc", weights.to(features.dtype), features)
        return Output(features, mask, pose, saliency, pooled, *self.neck(pooled))

    # -- the losses (Eq. 1 to 3) -----------------------------------------------------------------------------------------

    def losses(self, output: Output, labels: Tensor, cues: Cues) -> dict[str, Tensor]:
        """Eq. 3: the four terms, weighted.

        Raises:
            MissingCueError: a layer is to be distilled from a cue that is not there.
            ShapeError: a cue is not of the images' size.
        """
        config, terms, size = self.config, {}, (output.saliency.shape[1], output.saliency.shape[2])
        if output.mask is not None and config.weight_mask > 0:  # Eq. 1
            truth = self.mask_target(cues.require("foreground"), size)
            terms["mask"] = config.weight_mask * self._regression(output.mask, truth)
        if output.pose is not None and config.weight_pose > 0:  # Eq. 2
            truth = self.pose_target(cues.require("keypoints"), size)
            terms["pose"] = config.weight_pose * self._regression(output.pose, truth)
        terms["identity"] = config.weight_identity * F.cross_entropy(output.logits, labels)
        if config.weight_triplet > 0:
            vectors, persons = self.compared(output.pooled.float(), labels)
            pooled = Descriptor.from_vectors(vectors)
            distances = pairwise_distances(_TRIPLET_RULE, pooled, pooled)
            terms["triplet"] = config.weight_triplet * batch_hard_triplet(distances, persons, config.margin)
        return terms

    def mask_target(self, foreground: Tensor, size: tuple[int, int]) -> Tensor:
        """M_gt: (B, H, W) in [0, 1], the share of each cell of a map of ``size`` that is foreground.

        Raises:
            ShapeError: the foreground is not of the images' size.
        """
        if foreground.ndim != 3 or tuple(foreground.shape[1:]) != self.config.size:
            height, width = self.config.size
            raise ShapeError(
                f"foreground must have shape (B, {height}, {width}), of the images' size, got {tuple(foreground.shape)}"
            )
        return F.adaptive_avg_pool2d(foreground.float()[:, None], size)[:, 0]

    def pose_target(self, keypoints: Tensor, size: tuple[int, int]) -> Tensor:
        """P_gt: (B, 18, 3) to (B, 13, *size), a Gaussian for each of JOINTS that is certain enough, else zeros."""
        image = self.config.size
        maps = gaussian_heatmaps(keypoints.float(), image, size, self.config.sigma * image[0], self.config.confidence)
        joints = [[KEYPOINT_NAMES.index(name) for name in names] for names in JOINTS]
        return torch.stack([maps[:, joint].amax(1) for joint in joints], 1)

    def _regression(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Eq. 1 or 2: the mean over the images of which anything is known; 0 where there is none."""
        apart = (predicted - truth).flatten(1)
        frobenius = self.config.distillation == "frobenius"
        each = torch.linalg.vector_norm(apart, dim=1) if frobenius else apart.square().mean(1)
        found = truth.flatten(1).any(1)
        return (each * found).sum() / found.sum().clamp_min(1)

    # -- what is matched (section 3.3) -----------------------------------------------------------------------------------

    def embed(self, images: Tensor, cues: Cues) -> Descriptor:
        """The saliency feature, and what Eq. 4 compares: the locations that are kept, each with its vector and its saliency."""
        config, output = self.config, self(images, cues)
        whole = output.normalised if config.test_feature == "normalised" else output.pooled
        described = Descriptor.from_vectors(whole.float(), self.fingerprint())
        if config.spatial_weight == 0:
            return described
        described = replace(described, spatial=local_vectors(output.features), saliency=output.saliency.flatten(1))
        if config.keep_locations is not None:
            described = prune(described, config.keep_locations)
        spatial, saliency = described.spatial, described.saliency
        if config.local_dim is not None and spatial is not None and bool(self.components.any()):
            described = replace(described, spatial=spatial @ self.components[:, : config.local_dim])
        if not config.match_saliency and saliency is not None:
            described = replace(described, saliency=torch.full_like(saliency, 1 / saliency.shape[1]))
        return described

    def conclude(self, view: TrainingView) -> None:
        """Measures the principal components on some of the training images, the same in every process."""
        generator = torch.Generator().manual_seed(view.seed)
        order = torch.randperm(len(view.samples), generator=generator)[: self.config.component_images]
        chosen = order.sort().values.tolist()

        def batches() -> Iterator[Tensor]:
            for start in range(0, len(chosen), _STEP):
                images, read = view.images(chosen[start : start + _STEP])
                yield images[read]

        self.measure_components(batches())

    def measure_components(self, batches: Iterable[Tensor]) -> None:
        """Measures the principal components of the local vectors on images as ``describe`` gets them; replaces earlier ones.

        ``conclude`` calls it when a method is trained; called afterwards, it fits weights to other images.

        Args:
            batches: (B, 3, H, W) RGB in [0, 1]. Memory is that of a batch and of 8 C^2 bytes. Where there are no images at
                all, the components stay as they are.
        """
        if self.components.numel() == 0:
            return
        moment = SecondMoment(self.components.shape[0], self.components.device)
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                for images in batches:
                    if len(images):
                        features = self.backbone(self.preprocess.normalise(images))
                        moment.add(local_vectors(features).flatten(0, 1))
                if moment.count:
                    self.components.copy_(moment.directions(self.components.shape[1]))
        finally:
            self.train(training)

    def maps(self, images: Tensor, cues: Cues) -> Maps:
        """Fig. 4: saliency, mask and summed pose, of those that are there; all but the mask as shares of their largest value."""
        output = self(images, cues)
        found = {} if output.mask is None else {"mask": output.mask}
        found |= {} if output.pose is None else {"pose": _of_largest(output.pose.sum(1))}
        if not found:
            return Maps()
        drawn = {"saliency": _of_largest(output.saliency), **found}
        return Maps(attention=torch.stack([*drawn.values()], 1), attention_names=tuple(drawn))


def local_vectors(features: Tensor) -> Tensor:
    """(B, C, h, w) to (B, h w, C) float32, row by row, each of length 1; an empty location stays 0."""
    return F.normalize(features.float().flatten(2).transpose(1, 2), dim=2)


def _of_largest(maps: Tensor) -> Tensor:
    return maps / maps.amax((1, 2), keepdim=True).clamp_min(1e-20)
