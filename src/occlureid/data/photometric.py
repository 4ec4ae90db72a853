"""What cameras, compression and networks do to a photograph: colours, blur, noise, JPEG, few pixels.

Transforms as in ``data.transforms``: frozen, all randomness from ``rng``, nothing changed in place. They change the image
alone: every pixel stays where it was, so the cues come back as they are. Lengths are in pixels of an image that is 256
high, and grow with the image. Each draws first whether it acts, then how, and draws nothing further where it does not.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from occlureid.data.transforms import Picture, to_tensor
from occlureid.errors import SettingsError
from occlureid.types import Cues

__all__ = ["Blur", "ColourJitter", "Grey", "JpegArtefacts", "LowResolution", "Noise"]

_LUMA = np.array([0.299, 0.587, 0.114])
"""How bright red, green and blue are to the eye (ITU-R BT.601)."""

_TO_YIQ = np.array([_LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)

_HEIGHT = 256
"""Height of the image in whose pixels lengths are given."""

_LEAST_TAP = 1e-4
"""A tap of a blur that is smaller, as a share of the greatest, changes nothing that eight bits can show."""

_NORMAL = np.array([NormalDist().inv_cdf((n + 0.5) / 256) for n in range(256)])
_NORMAL = (_NORMAL / _NORMAL.std()).astype(np.float32)
"""The normal distribution in 256 steps, each as likely: a byte is cheaper to draw than a number."""

_ENLARGE = ("nearest-exact", "bilinear", "bicubic")
"""Plain "nearest" takes the pixel that holds a pixel's corner, not its centre: it moves the image by half a pixel."""


def _check_probability(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise SettingsError(f"p must lie in [0, 1], got {p}")


def _check_range(name: str, values: tuple[float, float], least: float, greatest: float) -> None:
    if not least <= values[0] <= values[1] <= greatest:  # also where one of them is not a number
        raise SettingsError(f"{name} must be a rising range within [{least}, {greatest}], got {values}")


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


@dataclass(frozen=True, slots=True)
class ColourJitter:
    """Another camera, another lamp: brightness, contrast, saturation, hue, white balance and gamma, each a little.

    All but gamma are one affine map of the three channels. A factor lies in [exp(-x), exp(x)], its logarithm uniform, so
    that darker is as likely as brighter.

    Attributes:
        brightness: x of the factor of all channels.
        contrast: x of the factor of the distance to the image's mean brightness.
        saturation: x of the factor of the distance to grey.
        hue: largest turn of the hue, as a share of the whole circle, either way; brightness stays.
        balance: x of the factor of each channel of its own; brightness stays.
        gamma: x of the exponent, drawn as a factor is.
    """

    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.4
    hue: float = 0.04
    balance: float = 0.1
    gamma: float = 0.25

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "balance", "gamma"):
            if not 0.0 <= getattr(self, name) <= 3.0:
                raise SettingsError(f"{name} must lie in [0, 3], got {getattr(self, name)}")
        if not 0.0 <= self.hue <= 0.5:
            raise SettingsError(f"hue must lie in [0, 0.5], got {self.hue}")

    @classmethod
    def of_strength(cls, strength: float) -> ColourJitter:
        """The defaults, all of them times ``strength`` in [0, 1].

        Raises:
            SettingsError: the strength is out of range.
        """
        if not 0.0 <= strength <= 1.0:
            raise SettingsError(f"strength must lie in [0, 1], got {strength}")
        usual = cls()
        names = ("brightness", "contrast", "saturation", "hue", "balance", "gamma")
        return cls(**{name: strength * getattr(usual, name) for name in names})

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """See ``Transform``."""
        image = to_tensor(image)
        draws = rng.uniform(-1.0, 1.0, 8)
        scales = (self.brightness, self.contrast, self.saturation, self.gamma)
        bright, contrast, saturation, gamma = np.exp(draws[:4] * scales)
        balance = np.exp(draws[4:7] * self.balance)
        turn = 2.0 * np.pi * self.hue * draws[7]
        cosine, sine = math.cos(turn), math.sin(turn)
        hue = _FROM_YIQ @ np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]]) @ _TO_YIQ
        vivid = saturation * np.eye(3) + (1.0 - saturation) * _LUMA[None, :].repeat(3, axis=0)
        white = np.diag(balance / float(_LUMA @ balance))
        colours = bright * white @ vivid @ hue
        flat = image.reshape(3, -1)
        middle = float(_LUMA @ (colours @ flat.mean(dim=1).double().numpy()))
        matrix = torch.from_numpy(contrast * colours).to(image)
        changed = torch.addmm(image.new_full((3, 1), (1.0 - contrast) * middle), matrix, flat).clamp_(0.0, 1.0)
        return changed.pow_(float(gamma)).view(image.shape), cues


@dataclass(frozen=True, slots=True)
class Grey:
    """With probability p, all colour is taken away: each channel is the brightness."""

    p: float = 0.1

    def __post_init__(self) -> None:
        _check_probability(self.p)

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """See ``Transform``."""
        image = to_tensor(image)
        if rng.random() >= self.p:
            return image, cues
        brightness = image.new_tensor(_LUMA)[None] @ image.reshape(3, -1)
        return brightness.reshape(1, *image.shape[1:]).repeat(3, 1, 1).clamp_(0.0, 1.0), cues


@dataclass(frozen=True, slots=True)
class Blur:
    """With probability p, the image is out of focus (a Gaussian), or something moved while it was taken (a line).

    Beyond its edges the image goes on as it ends.

    Attributes:
        p: probability.
        sigma: least and greatest standard deviation of the Gaussian; its logarithm is uniform.
        motion: the chance that a blur is of movement.
        length: least and greatest length of the line, whose direction is any.
    """

    p: float = 0.3
    sigma: tuple[float, float] = (0.5, 2.0)
    motion: float = 0.3
    length: tuple[float, float] = (2.0, 8.0)

    def __post_init__(self) -> None:
        _check_probability(self.p)
        if not 0.0 <= self.motion <= 1.0:
            raise SettingsError(f"motion must lie in [0, 1], got {self.motion}")
        _check_range("sigma", self.sigma, 0.1, 20.0)
        _check_range("length", self.length, 1.0, 64.0)

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """See ``Transform``."""
        image = to_tensor(image)
        if rng.random() >= self.p:
            return image, cues
        scale = image.shape[1] / _HEIGHT
        if rng.random() < self.motion:
            kernel = _line(rng.uniform(*self.length) * scale, rng.uniform(0.0, math.pi))
            blurred = _convolved(image, kernel)
        else:
            column = _gaussian(_log_uniform(rng, *self.sigma) * scale)
            blurred = _convolved(_convolved(image, column[:, None]), column[None, :])
        return blurred.clamp_(0.0, 1.0), cues


def _gaussian(sigma: float) -> NDArray[np.float64]:
    radius = max(1, math.ceil(2.5 * sigma))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _line(length: float, angle: float) -> NDArray[np.float64]:
    """A square of odd side with a line through its middle, shared among the pixels that it crosses; sums to one."""
    radius = max(1, math.ceil(length / 2))
    along = np.linspace(-length / 2, length / 2, 8 * radius + 1)
    x, y = radius + along * math.cos(angle), radius + along * math.sin(angle)
    cells = np.arange(2 * radius + 1)
    across = np.maximum(0.0, 1.0 - np.abs(x[:, None] - cells))
    down = np.maximum(0.0, 1.0 - np.abs(y[:, None] - cells))
    kernel = down.T @ across
    return np.asarray(kernel / kernel.sum(), dtype=np.float64)


def _convolved(image: Tensor, kernel: NDArray[np.float64]) -> Tensor:
    """Tap by tap: a line has few of them, and for three channels that is faster than a convolution layer."""
    (height, width), high, wide = image.shape[1:], kernel.shape[0] // 2, kernel.shape[1] // 2
    around = F.pad(image[None].contiguous(), (wide, wide, high, high), mode="replicate")[0]
    total = torch.zeros(image.shape, dtype=image.dtype)
    kernel = np.where(kernel > _LEAST_TAP * kernel.max(), kernel, 0.0)
    kernel = kernel / kernel.sum()
    for row, column in np.argwhere(kernel > 0):
        total.add_(around[:, row : row + height, column : column + width], alpha=float(kernel[row, column]))
    return total


@dataclass(frozen=True, slots=True)
class LowResolution:
    """With probability p, the person was far away: made smaller, with antialiasing, and brought back to size.

    It is enlarged by nearest neighbour, bilinear or bicubic interpolation, each as likely.

    Attributes:
        p: probability.
        factor: least and greatest share of height and width that is left in between; its logarithm is uniform.
    """

    p: float = 0.3
    factor: tuple[float, float] = (0.25, 0.8)

    def __post_init__(self) -> None:
        _check_probability(self.p)
        _check_range("factor", self.factor, 0.01, 1.0)

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """See ``Transform``."""
        image = to_tensor(image)
        if rng.random() >= self.p:
            return image, cues
        height, width = image.shape[1:]
        factor = _log_uniform(rng, *self.factor)
        mode = _ENLARGE[int(rng.integers(len(_ENLARGE)))]
        seen = max(1, round(height * factor)), max(1, round(width * factor))
        small = F.interpolate(image[None], seen, mode="bilinear", antialias=True, align_corners=False)
        corners = None if mode == "nearest-exact" else False
        large = F.interpolate(small, (height, width), mode=mode, align_corners=corners)
        return large[0].clamp_(0.0, 1.0), cues


@dataclass(frozen=True, slots=True)
class Noise:
    """The sensor's noise: normal (in 256 steps), independent in every pixel, as strong as is drawn for each image.

    Half of the images have it in each channel of its own, half in all three alike, as grey grain.

    Attributes:
        most: the greatest standard deviation; it is uniform from 0 on. White is 1.
    """

    most: float = 0.04

    def __post_init__(self) -> None:
        if not 0.0 <= self.most <= 1.0:
            raise SettingsError(f"most must lie in [0, 1], got {self.most}")

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """See ``Transform``."""
        image = to_tensor(image)
        deviation, channels = self.most * rng.random(), 1 if rng.random() < 0.5 else 3
        grain = _NORMAL.take(rng.integers(0, 256, (channels, *image.shape[1:]), dtype=np.uint8))
        return torch.add(image, torch.from_numpy(grain).to(image), alpha=deviation).clamp_(0.0, 1.0), cues


@dataclass(frozen=True, slots=True)
class JpegArtefacts:
    """With probability p, the image is stored as a JPEG file (in memory) and read again.

    Half of the files keep colour at half the resolution (4:2:0), half keep it whole (4:4:4).

    Attributes:
        p: probability.
        quality: least and greatest quality of the file, both in [1, 100]; whole numbers, each as likely.
    """

    p: float = 0.4
    quality: tuple[int, int] = (20, 85)

    def __post_init__(self) -> None:
        _check_probability(self.p)
        _check_range("quality", self.quality, 1, 100)
        if any(int(value) != value for value in self.quality):
            raise SettingsError(f"quality must be whole numbers, got {self.quality}")

    def __call__(self, image: Picture, cues: Cues, rng: np.random.Generator) -> tuple[Tensor, Cues]:
        """See ``Transform``."""
        image = to_tensor(image)
        if rng.random() >= self.p:
            return image, cues
        quality = int(rng.integers(int(self.quality[0]), int(self.quality[1]) + 1))
        subsampling = 2 if rng.random() < 0.5 else 0
        pixels = image.permute(1, 2, 0).mul(255.0).round_().clamp_(0.0, 255.0).to(torch.uint8).contiguous().numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
        with Image.open(file, formats=("JPEG",)) as stored:
            return to_tensor(stored.convert("RGB")).to(image), cues
