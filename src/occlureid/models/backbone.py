"""Any timm model as a feature map: by name, without fetching anything until ``load_imagenet_weights`` is called."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from occlureid.errors import MissingWeightsError, SettingsError, reason
from occlureid.models.ibn import SUFFIX, use_instance_batch_norm
from occlureid.models.torchvision_operators import declare_missing
from occlureid.models.weight_files import Filled, Source, fill

__all__ = ["Backbone", "load_imagenet_weights"]


class Backbone(nn.Module):
    """The last feature map of a timm model: (B, 3, H, W), normalised, to (B, C, h, w).

    Args:
        name: a timm model name ("resnet50", "resnet18", "convnext_tiny", "hrnet_w32", ...); one of a ResNet may end in
            "_ibn_a": its first three stages get the norms of IBN-Net (``models/ibn.py``).
        size: (height, width) of the images; transformers need it to lay out their position embedding.
        last_stride: 1 keeps the resolution in the last stage (384 x 128 gives 24 x 8 with a ResNet, as PCB and PGFA do,
            without dilation); 2 leaves the model as timm has it.
        levels: how many of the model's last feature maps ``pyramid`` gives; of a ResNet, 3 are those of blocks 2, 3 and 4.

    Attributes:
        channels: C.
        level_channels: the channels of the maps of ``pyramid``, the finest first; the last is C.
        map_size: (h, w) for images of ``size``.
        mean, std: the normalisation that the model's published weights expect.

    Raises:
        SettingsError: timm has no such model, it gives no feature map, or its last stride cannot be changed.
    """

    def __init__(self, name: str, size: tuple[int, int], last_stride: Literal[1, 2] = 1, levels: int = 1) -> None:
        super().__init__()
        self.name = name
        self.size = size
        self.levels = levels
        # with channels last the convolutions of a ResNet train 1.2 to 1.3 times as fast on a CPU, and faster on GPUs too
        self.net = _create(name, size, levels, pretrained=False).to(memory_format=torch.channels_last)
        self.level_channels: tuple[int, ...] = tuple(int(c) for c in self.net.feature_info.channels())
        self.channels = self.level_channels[-1]
        config = self.net.pretrained_cfg
        self.mean: tuple[float, float, float] = tuple(config.get("mean", (0.485, 0.456, 0.406)))
        self.std: tuple[float, float, float] = tuple(config.get("std", (0.229, 0.224, 0.225)))
        self.map_size = self._probe()
        if last_stride == 1:
            self.keep_last_resolution()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), normalised, to (B, C, h, w)."""
        return self.pyramid(images)[-1]

    def pyramid(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W), normalised, to the last ``levels`` maps (B, C_i, h_i, w_i), the finest first."""
        maps = self.net(images.contiguous(memory_format=torch.channels_last))
        return tuple(
            # some transformers give (B, h, w, C)
            m.permute(0, 3, 1, 2).contiguous() if m.shape[1] != channels and m.shape[-1] == channels else m
            for m, channels in zip(maps, self.level_channels, strict=True)
        )

    def _probe(self) -> tuple[int, int]:
        training = self.training
        self.eval()
        with torch.inference_mode():
            shape = self(torch.zeros(1, 3, *self.size)).shape
        self.train(training)
        return int(shape[2]), int(shape[3])

    def keep_last_resolution(self) -> None:
        """Sets the strides of the last halving to 1: every strided layer whose output has the final resolution.

        Called once more, it keeps the resolution of the halving before, too.

        Raises:
            SettingsError: its layers do not allow stride 1.
        """
        final, strided = self.map_size, []
        before: set[tuple[int, ...]] = set()

        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if tuple(output.shape[-2:]) == final and inputs[0].shape[-2] >= max(2 * final[0] - 1, final[0] + 1):
                strided.append(module)
                before.add(tuple(inputs[0].shape[-2:]))

        hooks = [
            m.register_forward_hook(note)
            for m in self.modules()
            if isinstance(m, nn.Conv2d | nn.AvgPool2d | nn.MaxPool2d)
        ]
        self._probe()
        for hook in hooks:
            hook.remove()
        for module in strided:
            module.stride = (1, 1)  # type: ignore[assignment]
            if isinstance(module, nn.AvgPool2d):
                module.kernel_size = 1  # the pooling of a ResNet-D shortcut only serves to halve
        try:
            self.map_size = self._probe() if strided else final
        except RuntimeError:
            self.map_size = final
        if before != {self.map_size}:
            raise SettingsError(
                f"backbone {self.name!r}: the last stage cannot be kept at twice {final[0]} x {final[1]} (its layers do not "
                f"allow stride 1); set last_stride: 2 to take that map"
            )


def _create(
    name: str, size: tuple[int, int], levels: int, *, pretrained: bool, overlay: dict[str, Any] | None = None
) -> Any:
    declare_missing()
    import timm

    name, instance_norm = name.removesuffix(SUFFIX), name.endswith(SUFFIX)
    if not timm.is_model(name.partition(".")[0]):
        near = difflib.get_close_matches(name, timm.list_models(), n=5)
        raise SettingsError(f"timm {timm.__version__} has no model {name!r}; near: {', '.join(near) or 'none'}")
    arguments: dict[str, Any] = {
        "features_only": True,
        "out_indices": tuple(range(-levels, 0)),
        "pretrained": pretrained,
    }
    if overlay:
        arguments["pretrained_cfg_overlay"] = overlay
    try:
        try:
            net = timm.create_model(name, img_size=size, **arguments)
        except TypeError:  # convolutional models take images of any size and know no img_size
            net = timm.create_model(name, **arguments)
    except (TypeError, AttributeError, RuntimeError, AssertionError, IndexError) as error:
        if pretrained:
            raise
        maps = "feature map" if levels == 1 else f"{levels} feature maps"
        raise SettingsError(f"backbone {name!r} gives no {maps} for images of {size}: {error}") from error
    if instance_norm:
        use_instance_batch_norm(net, name)
    return net


def load_imagenet_weights(backbone: Backbone, file: Path | str | None = None) -> Filled:
    """Fills a backbone with its published ImageNet weights, by timm's own mechanism (its cache, or its hub), or from a file.

    Args:
        backbone: changed in place.
        file: a weight file to read instead of asking the hub: in a layout that timm reads for this model, below one of
            ``weight_files.WRAPPERS`` or not, its names behind ``weight_files.PREFIXES`` or not.

    Returns:
        How many tensors were set.

    Raises:
        MissingWeightsError: the weights are not in timm's cache and cannot be fetched, or the model has none; or the file does
            not hold every tensor of the backbone.
    """
    if file is not None:
        return fill(backbone.net, _source(backbone), Path(file))
    if backbone.name.endswith(SUFFIX):
        raise MissingWeightsError(
            f"timm has no weights for {backbone.name!r}; give a file (those that are published with IBN-Net fit), or start from "
            "random weights with initial_weights: none"
        )
    try:
        source = _create(backbone.name, backbone.size, backbone.levels, pretrained=True)
    except Exception as error:  # the hub client raises many unrelated kinds
        raise MissingWeightsError(
            f"ImageNet weights of {backbone.name!r} could not be loaded ({reason(error)}); give a "
            "network or a file, or start from random weights with initial_weights: none"
        ) from error
    state = source.state_dict()
    backbone.net.load_state_dict(state, strict=True)
    return Filled(len(state), len(state))


def _source(backbone: Backbone) -> Source:
    """Layouts of weight files of a backbone: as timm converts them; of an IBN network, by its own names."""
    name, size, levels = backbone.name, backbone.size, backbone.levels

    def build(state: dict[str, Tensor]) -> nn.Module:
        overlay = {"state_dict": dict(state), "file": None, "hf_hub_id": None, "url": "", "source": ""}
        net: nn.Module = _create(name, size, levels, pretrained=True, overlay=overlay)
        return net

    def whole() -> frozenset[str]:
        import timm

        return frozenset(timm.create_model(name.removesuffix(SUFFIX)).state_dict())

    return Source(name, None if name.endswith(SUFFIX) else build, whole)
