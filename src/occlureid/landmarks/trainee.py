"""A landmark network in the clothes of a method, so that the one training loop trains it."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from occlureid.cues.heatmaps import gaussian_heatmaps
from occlureid.errors import ShapeError, UsageError
from occlureid.landmarks.settings import LandmarkSettings
from occlureid.matching import MatchRule
from occlureid.methods import Method, Needs, Paper, Preprocess
from occlureid.models.landmarks import LandmarkNetwork
from occlureid.types import KEYPOINT_NAMES, Cues, Descriptor

__all__ = ["LandmarkTrainee", "build_network", "heatmap_loss"]


def build_network(settings: LandmarkSettings) -> LandmarkNetwork:
    """The network of some settings, with random weights.

    Raises:
        SettingsError: there is no such backbone, or it lacks a map.
    """
    return LandmarkNetwork(
        len(KEYPOINT_NAMES),
        settings.size,
        backbone=settings.backbone,
        stride=settings.stride,
        width=settings.width,
    )


def heatmap_loss(heatmaps: Tensor, targets: Tensor, sigma: float, peak_weight: float) -> Tensor:
    r"""The squared error of heatmaps (SimpleBaseline, section 2), weighted, in units of one Gaussian's own.

        L = 1 / (B K pi sigma^2)  sum  (1 + w T) (P - T)^2

    pi sigma^2 is the sum of a squared Gaussian: with w = 0, not to find a landmark that is there costs 1 / (B K). A landmark
    that is hidden has T = 0 everywhere, so that a peak of P is how likely the landmark is there *and* visible; w > 0 raises it
    for landmarks that are seen, but not to the pixel, such as wrists.

    Args:
        heatmaps: P, (B, K, h, w).
        targets: T, of the same shape, in [0, 1].
        sigma: of the targets, in cells.
        peak_weight: w, at least 0.

    Raises:
        ShapeError: the shapes differ.
    """
    if heatmaps.shape != targets.shape:
        raise ShapeError(f"heatmaps {tuple(heatmaps.shape)} and targets {tuple(targets.shape)} must have one shape")
    errors = (1 + peak_weight * targets) * (heatmaps.float() - targets).square()
    return errors.sum() / (heatmaps.shape[0] * heatmaps.shape[1] * math.pi * sigma**2)


class LandmarkTrainee(Method[Tensor]):
    """A landmark network to be trained; it describes nobody. Its output is the heatmaps (B, 18, h, w)."""

    paper = Paper(
        "Simple Baselines for Human Pose Estimation and Tracking",
        "Xiao, Wu, Wei",
        "ECCV",
        2018,
        "https://arxiv.org/abs/1804.06208",
    )
    needs = Needs(train=frozenset({"keypoints"}))
    Config = LandmarkSettings
    config: LandmarkSettings
    rule = MatchRule()

    def __init__(self, config: LandmarkSettings, classes: int = 1) -> None:
        super().__init__(config, classes)
        self.network = build_network(config)
        self.preprocess = Preprocess(config.size, self.network.mean, self.network.std)

    def forward(self, images: Tensor, cues: Cues) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1]; cues are not looked at."""
        heatmaps: Tensor = self.network(self.preprocess.normalise(images))
        return heatmaps

    def losses(self, output: Tensor, labels: Tensor, cues: Cues) -> dict[str, Tensor]:
        """The weighted squared error to a Gaussian at each visible landmark, and to nothing for the others.

        Raises:
            MissingCueError: there are no keypoints.
            ShapeError: they are not (B, 18, 3).
        """
        settings = self.config
        targets = gaussian_heatmaps(
            cues.require("keypoints").float(), settings.size, self.network.map_size, settings.sigma * settings.stride
        )
        return {"heatmaps": heatmap_loss(output, targets, settings.sigma, settings.peak_weight)}

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
        raise UsageError("a landmark network describes nobody; use its weights as a provider of landmarks")
