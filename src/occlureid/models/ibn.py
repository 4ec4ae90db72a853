"""IBN-a: instance norm for half of the channels of a ResNet's first stages, so that style counts for less.

Xingang Pan, Ping Luo, Jianping Shi, Xiaoou Tang, "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net",
ECCV 2018, https://arxiv.org/abs/1807.09441

What a camera does to all colours and contrasts of an image alike is taken out of half of the channels, at a depth where features
still are colours and edges; the other half, and the last stage, keep it. Names of the tensors are those of the published IBN
networks, whose weight files can be read.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from occlureid.errors import SettingsError

__all__ = ["SUFFIX", "InstanceBatchNorm", "use_instance_batch_norm"]

SUFFIX = "_ibn_a"
"""What the name of a backbone ends in: "resnet50_ibn_a"."""

_STAGES = ("layer1", "layer2", "layer3")


class InstanceBatchNorm(nn.Module):
    """Instance norm of the first half of the channels, batch norm of the others: (B, C, h, w) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = channels // 2
        self.IN = nn.InstanceNorm2d(self.first, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.first)

    def forward(self, features: Tensor) -> Tensor:
        """Each half behind its norm."""
        return torch.cat([self.IN(features[:, : self.first]), self.BN(features[:, self.first :])], 1)


def use_instance_batch_norm(net: nn.Module, name: str) -> None:
    """Puts an ``InstanceBatchNorm`` behind the first convolution of every block in the first three stages; changed in place.

    Raises:
        SettingsError: not a ResNet of timm: there are no such stages, or their blocks have another norm.
    """
    stages = [getattr(net, stage, None) for stage in _STAGES]
    blocks = [block for stage in stages if stage is not None for block in stage.children()]
    if not blocks or None in stages or not all(isinstance(getattr(b, "bn1", None), nn.BatchNorm2d) for b in blocks):
        raise SettingsError(f"backbone {name + SUFFIX!r}: {name} has no stages that IBN-a could change; take a ResNet")
    for block in blocks:
        block.bn1 = InstanceBatchNorm(block.bn1.num_features)
