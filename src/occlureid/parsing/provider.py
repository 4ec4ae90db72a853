"""A trained parser as a provider of cues, like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from occlureid.cues.groupings import label_set, part_flip
from occlureid.cues.providers import ImageArray, as_arrays, fingerprint_of, weights_checksum
from occlureid.data.transforms import Resize
from occlureid.errors import SettingsError
from occlureid.parsing.weights import TrainedParser, load_parser
from occlureid.types import CueName, Cues

__all__ = ["ParserProvider"]


class ParserProvider:
    """Part maps from a parser of one's own: ``occlureid cues parsing DATA --provider parser.safetensors``.

    Probabilities are rounded to 255ths, as the cache stores them.

    Args:
        parser: the file that ``train_parser`` wrote, or a parser.
        device: where the network runs.
        batch_size: images at a time; no part of the fingerprint.

    Raises:
        MissingWeightsError: there is no such file.
        DataError: the file is no parser, or is damaged.
        SettingsError: the batch size is below 1.
    """

    name = "parser"
    cues: frozenset[CueName] = frozenset({"part_map", "foreground"})

    def __init__(
        self, parser: Path | str | TrainedParser, *, device: torch.device | str = "cpu", batch_size: int = 16
    ) -> None:
        if batch_size < 1:
            raise SettingsError(f"batch_size must be at least 1, got {batch_size}")
        self.parser = parser if isinstance(parser, TrainedParser) else load_parser(parser)
        self.labels: str | None = self.parser.settings.labels
        self._flip = part_flip(label_set(self.parser.settings.labels).parts)
        self._device, self._batch_size = torch.device(device), batch_size
        self.record: dict[str, Any] = {
            "name": self.name,
            "weights": weights_checksum(self.parser.network),
            "settings": self.parser.settings.to_dict(),
        }
        self.fingerprint = fingerprint_of(self.record)
        self.parser.network.to(self._device).eval()

    def __call__(self, images: Sequence[ImageArray] | Tensor) -> list[Cues]:
        """Part maps (K, H, W) of the label set's parts, and the foreground, in each image's pixels.

        Raises:
            ShapeError: the images are none.
        """
        found = []
        for maps in self.probabilities(as_arrays(images)):
            parts = (maps[1:] * 255).round() / 255
            foreground = (parts.sum(0).clamp(max=1.0) * 255).round() / 255
            found.append(Cues(part_map=parts, foreground=foreground, part_flip=self._flip))
        return found

    def probabilities(self, images: Sequence[ImageArray]) -> list[Tensor]:
        """(classes, H, W) float32 of each image, the background first."""
        resize, rng = Resize(*self.parser.preprocess.size), np.random.default_rng(0)  # resizing draws nothing
        found = []
        for start in range(0, len(images), self._batch_size):
            batch = images[start : start + self._batch_size]
            tensors = torch.stack([resize(Image.fromarray(image), Cues(), rng)[0] for image in batch])
            with torch.inference_mode():
                logits = self.parser.network(self.parser.preprocess.normalise(tensors).to(self._device))[0].float()
                for image, one in zip(batch, logits, strict=True):
                    sized = F.interpolate(one[None], image.shape[:2], mode="bilinear", align_corners=False)[0]
                    found.append(sized.softmax(0).cpu().clone())
        return found
