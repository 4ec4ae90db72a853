"""What a parser is, and how it is trained: SGAM's by default, and a small one for two cores."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from occlureid.config import Settings
from occlureid.training.settings import TrainSettings

__all__ = ["ParserRunSettings", "ParserSettings", "small_parser"]

Side = Annotated[int, Field(ge=16, le=2048)]


class ParserSettings(Settings):
    """The network, its input and its labels; the defaults are those of SGAM's parser (section 4.2)."""

    architecture: Literal["deeplabv3", "light"] = "deeplabv3"
    """deeplabv3: torchvision's, on a ResNet-50; light: the same head on a light backbone"""
    labels: Literal["sgam5", "lip20"] = "sgam5"
    """what a pixel can be: SGAM's background, head, upper body, lower body and shoes; or LIP's 20 labels, merged afterwards"""
    size: tuple[Side, Side] = (320, 320)
    """height and width to which images are resized"""
    backbone: str = "mobilenetv3_small_100"
    """timm name of the light backbone"""
    stride: Literal[8, 16] = 8
    """how much smaller the light backbone's map is than the image"""
    width: int = Field(64, ge=8, le=1024)
    """channels of the light head (deeplabv3: 256)"""
    rates: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field((2, 4, 8), min_length=1, max_length=6)
    """dilations of the light head (deeplabv3: 12, 24, 36)"""
    loss_average: Literal["pixels", "classes"] = "pixels"
    """what the loss is averaged over: all pixels alike, or within each class first, so that shoes are learnt sooner"""
    auxiliary_weight: float = Field(0.0, ge=0)
    """weight of a second loss on the third stage of deeplabv3, which torchvision trains with (0.5) and the paper does not name"""
    backbone_lr_factor: float = Field(0.1, gt=0)
    """learning rate of the backbone as a share of the head's"""


class ParserRunSettings(Settings):
    """A parser's training as a whole. SGAM names 320 x 320, a batch of 16 and, for the rest, settings "similar" to its own."""

    parser: ParserSettings = ParserSettings()
    """the network, its input and its labels"""
    initial_weights: str = "imagenet"
    """imagenet (fetched, or from timm's cache), none (random), or a file that holds every tensor of the backbone: of timm, of
    another training, or on the command line a model of the package by its name"""
    validation_images: int = Field(0, ge=0)
    """how many of the held-out images the parser is judged by, spread evenly over them; 0 for all"""
    train: TrainSettings = TrainSettings(
        epochs=80, batch_size=16, lr=0.1, milestones=(40,), flip_probability=0.5, pad=10, erasing_probability=0.5
    )
    """how it is trained"""


def small_parser() -> dict[str, Any]:
    """Settings to lay over the defaults for two cores: the light network from random weights, at 192 x 96."""
    return {
        "parser": {"architecture": "light", "size": [192, 96], "backbone_lr_factor": 1.0},
        "initial_weights": "none",
        "train": {
            "epochs": 12,
            "batch_size": 16,
            "optimiser": "adamw",
            "lr": 0.002,
            "weight_decay": 0.01,
            "schedule": "cosine",
            "warmup_epochs": 1,
            "pad": 6,
            "workers": 1,
        },
    }
