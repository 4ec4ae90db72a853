"""What a landmark network is, and how it is trained: SimpleBaseline's recipe by default, and a small one for two cores."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from occlureid.config import Settings
from occlureid.training.settings import TrainSettings

__all__ = ["LandmarkRunSettings", "LandmarkSettings", "small_landmarks"]

Side = Annotated[int, Field(ge=32, le=1024, multiple_of=32)]


class LandmarkSettings(Settings):
    """The network, its input and what it learns; the defaults are of the size of SimpleBaseline's (ECCV 2018)."""

    backbone: str = "resnet50"
    """timm name of a model whose maps have a 4th, an 8th, a 16th and a 32nd of the image's size"""
    size: tuple[Side, Side] = (256, 128)
    """height and width to which images are resized, multiples of 32"""
    stride: Literal[4, 8] = 4
    """how much smaller the heatmaps are than the image"""
    width: int = Field(128, ge=8, le=1024)
    """channels of the head"""
    sigma: float = Field(2.0, ge=0.5, le=16)
    """width of the Gaussian that a visible landmark is, in cells of the heatmap"""
    peak_weight: float = Field(2.0, ge=0, le=100)
    """how much more an error weighs at the top of a Gaussian than where there is nothing; 0 is the plain squared error"""
    backbone_lr_factor: float = Field(1.0, gt=0)
    """learning rate of the backbone as a share of the head's"""


class LandmarkRunSettings(Settings):
    """A landmark network's training as a whole. SimpleBaseline: Adam, 140 epochs, the rate divided by ten at 90 and at 120."""

    landmarks: LandmarkSettings = LandmarkSettings()
    """the network, its input and what it learns"""
    initial_weights: str = "imagenet"
    """imagenet (fetched, or from timm's cache), none (random), or a file that holds every tensor of the backbone: of timm, of
    another training, or on the command line a model of the package by its name"""
    threshold: float = Field(0.2, ge=0, le=1)
    """the least confidence of a landmark that counts as visible in the figures; methods that use landmarks take 0.2"""
    validation_images: int = Field(0, ge=0)
    """how many held-out images of each world the network is judged by, spread evenly over them; 0 for all"""
    train: TrainSettings = TrainSettings(
        epochs=140, batch_size=32, optimiser="adam", lr=0.001, weight_decay=0.0, milestones=(90, 120), pad=10,
        flip_probability=0.5, erasing_probability=0.3,
    )  # fmt: skip
    """how it is trained"""


def small_landmarks() -> dict[str, Any]:
    """Settings to lay over the defaults for two cores: a light network from random weights, at 192 x 96.

    The epochs are those of some ten thousand images; of a few hundred, take more.
    """
    return {
        "landmarks": {"backbone": "mobilenetv3_small_100", "size": [192, 96], "width": 64, "sigma": 1.5},
        "initial_weights": "none",
        "train": {
            "epochs": 4,
            "batch_size": 32,
            "optimiser": "adamw",
            "lr": 0.002,
            "weight_decay": 0.01,
            "schedule": "cosine",
            "milestones": [],
            "warmup_epochs": 0.1,
            "pad": 6,
            "workers": 1,
        },
    }
