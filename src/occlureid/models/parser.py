"""Networks that label every pixel of an image of a person: DeepLabV3, and a light one with the same head."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from occlureid.models.backbone import Backbone, load_imagenet_weights
from occlureid.models.torchvision_operators import declare_missing
from occlureid.models.weight_files import Filled

__all__ = ["HumanParser", "load_parser_backbone"]


class HumanParser(nn.Module):
    """Logits for every pixel: (B, 3, H, W), normalised, to (B, K, H, W).

    "deeplabv3" is torchvision's DeepLabV3 (Chen et al., 2017, https://arxiv.org/abs/1706.05587) on a ResNet-50: the last two
    stages dilated, so that its map has an eighth of the image's size; atrous spatial pyramid pooling with rates 12, 24, 36 and
    256 channels. "light" puts the same head, with its own rates and width, on the last map of any timm model, whose last one
    or two halvings are left out.

    Args:
        architecture: "deeplabv3" or "light".
        classes: K, the background included.
        size: (height, width) of the images.
        backbone: timm name, for "light".
        stride: of the light backbone, 8 or 16: how much smaller its map is than the image.
        width: channels of the light head.
        rates: dilations of the light head.
        auxiliary: also classify the map of the third stage while training ("deeplabv3"), as torchvision does.

    Attributes:
        mean, std: the normalisation that the backbone's published weights expect.

    Raises:
        SettingsError: there is no such light backbone, or its strides cannot be changed.
    """

    def __init__(
        self,
        architecture: Literal["deeplabv3", "light"],
        classes: int,
        size: tuple[int, int],
        *,
        backbone: str = "mobilenetv3_small_100",
        stride: Literal[8, 16] = 8,
        width: int = 64,
        rates: tuple[int, ...] = (2, 4, 8),
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        declare_missing()
        from torchvision.models import segmentation
        from torchvision.models.segmentation.deeplabv3 import ASPP

        self.mean, self.std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        self.auxiliary: nn.Module | None = None
        self.backbone: nn.Module
        if architecture == "deeplabv3":
            net = segmentation.deeplabv3_resnet50(
                weights=None, weights_backbone=None, num_classes=classes, aux_loss=auxiliary
            )
            self.backbone, self.head, self.auxiliary = net.backbone, net.classifier, net.aux_classifier
            return
        light = Backbone(backbone, size, last_stride=1)
        if stride == 8:
            light.keep_last_resolution()
        self.backbone, self.mean, self.std = light, light.mean, light.std
        self.head = nn.Sequential(
            ASPP(light.channels, list(rates), width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, classes, 1),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits of the head and, where there is one and in training mode only, of the auxiliary classifier."""
        features = self.backbone(images)
        third = None
        if isinstance(features, dict):
            third, features = features.get("aux"), features["out"]
        logits = self._full_size(self.head(features), images)
        if self.auxiliary is None or third is None or not self.training:
            return logits, None
        return logits, self._full_size(self.auxiliary(third), images)

    @staticmethod
    def _full_size(logits: Tensor, images: Tensor) -> Tensor:
        return F.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=False)


def load_parser_backbone(parser: HumanParser, size: tuple[int, int], file: str | None = None) -> Filled:
    """Fills a parser's backbone with published ImageNet weights: timm's for its own, and timm's ResNet-50 for DeepLabV3.

    Args:
        parser: changed in place.
        size: (height, width) of the images.
        file: a weight file to read instead of asking the hub, as ``load_imagenet_weights``.

    Returns:
        How many tensors were set.

    Raises:
        MissingWeightsError: the weights are not in timm's cache and cannot be fetched, or the file does not hold them.
    """
    if isinstance(parser.backbone, Backbone):
        return load_imagenet_weights(parser.backbone, file)
    source = Backbone("resnet50", size, last_stride=2)
    filled = load_imagenet_weights(source, file)
    parser.backbone.load_state_dict(source.net.state_dict(), strict=True)
    return filled
