"""From linear light to the bytes of an image: lens, motion, exposure, tone, noise, sharpening, compression, enlargement."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from occlureid.synthetic.primitives import Array

__all__ = ["NO_JPEG", "Exposure", "Tone", "compress", "draw_noise", "expose"]

NO_JPEG = 100
"""The quality at which an image is not compressed at all."""

_LENS = 0.50
"""Standard deviation, in native pixels, of the blur of a lens in focus: a pixel is no point."""

_FLARE = 0.010
"""Light that strays in every lens, as a share of white: black cloth is never quite black."""

_BATCH = 8
"""Images developed at once on a CPU: few enough to stay in its caches."""

_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Tone:
    """How a camera draws brightness and colour.

    Attributes:
        black: the value of black, in [0, 1): haze and stray light wash an image out.
        contrast: slope about the middle of the range; 1 leaves it as it is.
        saturation: 0 is grey, 1 leaves colours as they are.
        bend: in [-1, 1] lifts (positive) or lowers the middle tones.
    """

    black: float
    contrast: float
    saturation: float
    bend: float


@dataclass(frozen=True, slots=True)
class Exposure:
    """One shot of one camera.

    Attributes:
        tint: (3,) white balance times exposure.
        tone: of the camera at that moment.
        blur: standard deviation of the focus blur, as a share of the image's height.
        motion: smear to the right and downwards, as a share of the image's height.
        noise: standard deviation at half of the sensor's range.
        sharpen: strength of the halo along edges.
        quality: of the JPEG; ``NO_JPEG`` for none.
    """

    tint: Array
    tone: Tone
    blur: float
    motion: tuple[float, float]
    noise: float
    sharpen: float
    quality: int


def draw_noise(random: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """Noise of deviation about 0.9: fine and grey with a coarse, coloured part, as a cheap sensor and its cleaning leave it.

    Args:
        random: the image's generator.
        size: (H, W) native.

    Returns:
        (3, H, W) float32.
    """
    height, width = size
    fine = random.standard_normal((height, width), dtype=np.float32)
    colour = random.standard_normal((3, -(-height // 2), -(-width // 2)), dtype=np.float32)
    coarse = colour.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width]
    return np.asarray(np.float32(0.70) * fine[None] + np.float32(0.50) * coarse, dtype=np.float32)


def expose(linear: Tensor, shots: Sequence[Exposure], noise: Tensor) -> Tensor:
    """Develops images at native resolution; each pixel depends on its own image alone.

    Args:
        linear: (B, 3, H, W) linear light.
        shots: B of them.
        noise: (B, 3, H, W) float32 of ``draw_noise``.

    Returns:
        (B, 3, H, W) uint8 on the device of ``linear``.
    """
    step = _BATCH if linear.device.type == "cpu" else len(shots)
    return torch.cat(
        [
            _expose(linear[k : k + step], shots[k : k + step], noise[k : k + step].to(linear.device))
            for k in range(0, len(shots), step)
        ]
    )


def _expose(linear: Tensor, shots: Sequence[Exposure], noise: Tensor) -> Tensor:
    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=linear.device)[:, None, None, None]

    height = linear.shape[2]
    image = _smeared(linear, [(shot.motion[0] * height, shot.motion[1] * height) for shot in shots])
    spread = [math.hypot(_LENS, shot.blur * height) for shot in shots]
    image = _blurred(_blurred(image, spread, 3), spread, 2)
    tint = torch.from_numpy(np.stack([shot.tint for shot in shots]).astype(np.float32)).to(linear.device)
    image = ((image * tint[:, :, None, None]).clamp_min(0.0) + _FLARE).sqrt()
    # Highlights bend over instead of clipping.
    image = torch.where(image > 0.8, 1.0 - 0.04 / (image - 0.6).clamp_min(1e-3), image)
    # The root of the light makes photon noise even; what the amplifier adds shows in the dark.
    image = image + noise * column([shot.noise for shot in shots]) * (1.3 - 0.6 * image)
    grey = image[:, :1] * _LUMA[0] + image[:, 1:2] * _LUMA[1] + image[:, 2:] * _LUMA[2]
    image = grey + (image - grey) * column([shot.tone.saturation for shot in shots])
    image = image + column([shot.tone.bend for shot in shots]) * image * (1.0 - image)
    image = 0.5 + (image - 0.5) * column([shot.tone.contrast for shot in shots])
    black = column([shot.tone.black for shot in shots])
    image = black + (1.0 - black) * image
    if any(shot.sharpen > 0 for shot in shots):
        width = [0.9] * len(shots)
        halo = image - _blurred(_blurred(image, width, 3), width, 2)
        image = image + column([shot.sharpen for shot in shots]) * halo
    return (image.clamp(0.0, 1.0) * 255.0 + 0.5).floor().to(torch.uint8)


def _moved(image: Tensor, down: int, right: int) -> Tensor:
    """The image moved by whole pixels, its border repeated."""
    height, width = image.shape[-2:]
    if down:
        pad = image[..., :1, :] if down > 0 else image[..., -1:, :]
        pad = pad.expand(*image.shape[:-2], min(abs(down), height), width)
        kept = image[..., : max(height - down, 0), :] if down > 0 else image[..., -down:, :]
        image = torch.cat([pad, kept] if down > 0 else [kept, pad], dim=-2)
    if right:
        pad = image[..., :1] if right > 0 else image[..., -1:]
        pad = pad.expand(*image.shape[:-1], min(abs(right), width))
        kept = image[..., : max(width - right, 0)] if right > 0 else image[..., -right:]
        image = torch.cat([pad, kept] if right > 0 else [kept, pad], dim=-1)
    return image


def _blurred(image: Tensor, spread: Sequence[float], axis: int) -> Tensor:
    """A Gaussian along one axis, each image with its own standard deviation in pixels.

    Taps beyond an image's own reach weigh exactly nothing, so the company it is in changes no bit.
    """
    reach = [max(1, math.ceil(2.5 * value)) for value in spread]
    weights = np.zeros((max(reach) + 1, len(spread)), dtype=np.float64)
    for k, (value, far) in enumerate(zip(spread, reach, strict=True)):
        taps = [math.exp(-0.5 * (step / max(value, 1e-3)) ** 2) for step in range(far + 1)]
        total = taps[0] + 2.0 * math.fsum(taps[1:])
        weights[: far + 1, k] = [tap / total for tap in taps]
    columns = torch.from_numpy(weights.astype(np.float32)).to(image.device)[:, :, None, None, None]
    result = image * columns[0]
    for step in range(1, len(columns)):
        shift = (step, 0) if axis == 2 else (0, step)
        both = _moved(image, *shift) + _moved(image, -shift[0], -shift[1])
        result = result + both * columns[step]
    return result


def _smeared(image: Tensor, paths: Sequence[tuple[float, float]]) -> Tensor:
    """Each image averaged along its own path (right, down) in pixels."""
    rows = []
    for row, (right, down) in enumerate(paths):
        one = image[row]
        steps = math.ceil(math.hypot(right, down))
        if steps >= 1:
            shifts = [(k + 0.5) / (steps + 1) - 0.5 for k in range(steps + 1)]
            total = torch.zeros_like(one)
            for shift in shifts:
                total = total + _moved(one, round(down * shift), round(right * shift))
            one = total * (1.0 / len(shifts))
        rows.append(one)
    return torch.stack(rows)


def compress(images: Tensor, qualities: Sequence[int], size: tuple[int, int]) -> Tensor:
    """What a camera's stream leaves of its images, enlarged.

    Args:
        images: (B, 3, h, w) uint8 at native resolution.
        qualities: B JPEG qualities; ``NO_JPEG`` leaves the compression out.
        size: (H, W) of the result.

    Returns:
        (B, 3, H, W) uint8 on the CPU.
    """

    def one(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
        picture = Image.fromarray(pixels)
        if quality < NO_JPEG:
            file = io.BytesIO()
            picture.save(file, format="JPEG", quality=quality)  # colour at half of the resolution, as in streams
            picture = Image.open(file)
            picture.load()
        if picture.size != (size[1], size[0]):
            picture = picture.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        return np.asarray(picture, dtype=np.uint8)

    pixels = np.ascontiguousarray(images.permute(0, 2, 3, 1).cpu().numpy())
    with ThreadPoolExecutor(max_workers=2) as pool:
        done = list(pool.map(one, pixels, qualities))
    return torch.from_numpy(np.stack(done)).permute(0, 3, 1, 2).contiguous()
