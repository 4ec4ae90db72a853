"""A trained landmark network as a provider of cues, like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from occlureid.arithmetic import resolve
from occlureid.cues.providers import ImageArray, as_arrays, fingerprint_of, weights_checksum
from occlureid.data.transforms import Resize
from occlureid.errors import SettingsError
from occlureid.landmarks.decode import decode_heatmaps
from occlureid.landmarks.weights import TrainedLandmarks, load_landmarks
from occlureid.types import KEYPOINT_FLIP, CueName, Cues

__all__ = ["LandmarkProvider"]

_TYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class LandmarkProvider:
    """Landmarks from a network of one's own: ``occlureid cues pose DATA --provider landmarks.safetensors``.

    Every landmark is given its likeliest place, and the height of its heatmap there as confidence: low where it is hidden.

    Args:
        landmarks: the file that ``train_landmarks`` wrote, or a network.
        device: where the network runs.
        precision: of its arithmetic, "auto" for what this processor is best at; the weights stay in float32.
        flip_test: run the mirrored image too, and take the mean of both heatmaps: twice the time.
        batch_size: images at a time; no part of the fingerprint.

    Raises:
        MissingWeightsError: there is no such file.
        DataError: the file is no landmark network, or is damaged.
        SettingsError: the batch size is below 1, or there is no such precision.
    """

    name = "landmarks"
    cues: frozenset[CueName] = frozenset({"keypoints"})
    labels: str | None = None

    def __init__(
        self,
        landmarks: Path | str | TrainedLandmarks,
        *,
        device: torch.device | str = "cpu",
        precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32",
        flip_test: bool = False,
        batch_size: int = 32,
    ) -> None:
        if precision not in ("auto", *_TYPES) or batch_size < 1:
            raise SettingsError(
                f"precision must be one of auto, {', '.join(_TYPES)} and batch_size at least 1, got {precision!r}, {batch_size}"
            )
        precision = precision if precision == "float16" else resolve(precision, device)
        self.landmarks = landmarks if isinstance(landmarks, TrainedLandmarks) else load_landmarks(landmarks)
        self._device, self._type, self._batch_size = torch.device(device), _TYPES[precision], batch_size
        self._flip_test = flip_test
        self.record: dict[str, Any] = {
            "name": self.name,
            "weights": weights_checksum(self.landmarks.network),
            "settings": self.landmarks.settings.to_dict(),
            "precision": precision,
            "flip_test": flip_test,
        }
        self.fingerprint = fingerprint_of(self.record)
        self.landmarks.network.to(self._device).eval()

    def __call__(self, images: Sequence[ImageArray] | Tensor) -> list[Cues]:
        """Keypoints (18, 3) of each image, in its pixels.

        Raises:
            ShapeError: the images are none.
        """
        arrays = as_arrays(images)
        found = []
        for image, maps in zip(arrays, self.heatmaps(arrays), strict=True):
            keypoints = decode_heatmaps(maps[None], (image.shape[0], image.shape[1]))[0]
            found.append(Cues(keypoints=keypoints))
        return found

    def heatmaps(self, images: Sequence[ImageArray]) -> list[Tensor]:
        """(18, h, w) float32 on the CPU of each image, not clamped; they cover the whole image."""
        resize, rng = Resize(*self.landmarks.preprocess.size), np.random.default_rng(0)  # resizing draws nothing
        found: list[Tensor] = []
        for start in range(0, len(images), self._batch_size):
            batch = images[start : start + self._batch_size]
            tensors = torch.stack([resize(Image.fromarray(image), Cues(), rng)[0] for image in batch])
            tensors = self.landmarks.preprocess.normalise(tensors).to(self._device)
            with (
                torch.inference_mode(),
                torch.autocast(self._device.type, self._type, enabled=self._type is not torch.float32),
            ):
                maps = self.landmarks.network(tensors).float()
                if self._flip_test:
                    mirrored = self.landmarks.network(tensors.flip(3)).float().flip(3)
                    maps = (maps + mirrored[:, list(KEYPOINT_FLIP)]) / 2
            found += list(maps.cpu().clone())
        return found
