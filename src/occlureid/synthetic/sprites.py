"""Obstacles and people alone, with transparency around them: to be laid over images that somebody else took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.errors import DataError
from occlureid.synthetic.background import Atlas, draw_backdrop
from occlureid.synthetic.camera import to_camera
from occlureid.synthetic.cast import cast, table
from occlureid.synthetic.light import Daylight, Light, draw_daylight
from occlureid.synthetic.obstacles import BORDER, KINDS, PERSON, check_kinds, draw_model
from occlureid.synthetic.people import people
from occlureid.synthetic.pose import draw_pose
from occlureid.synthetic.primitives import Array, Primitives, dot3
from occlureid.synthetic.scene import Walker
from occlureid.synthetic.shade import shade, view_of
from occlureid.synthetic.streams import Stream, generator
from occlureid.synthetic.wardrobe import draw_appearance, outfit

__all__ = ["Sprite", "obstacle_sprites"]

_PERSON = 1.75
"""Metres of the person for whom sprites are scaled."""

_DISTANCE, _TOP = 9.0, 2.45
"""Metres: of the obstacle from the camera, and from the ground to the upper edge of the picture."""

_WIDE = {"car": 2.7, "hedge": 1.6, "fence": 1.6}
"""Half the width of the picture in metres, where it is not that of the other kinds."""

_HALF = 1.5
_VARIETY = 0.55
_PERSON_SHARE = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """An obstacle or a person without surroundings.

    Attributes:
        kind: as in ``truth.jsonl``: "car", "tree", ..., "person".
        rgba: (H, W, 4) uint8, colours not multiplied by the opacity, which is anti-aliased; trimmed to what is there.
        person: pixels that a person who stands at the same distance is tall.
        low: height of the lower edge above the ground, as a share of that person's height; a little below 0 for what
            stands nearer to the camera than the person.
        enters: how it comes before somebody: from a "side", from "below" (too wide to have ends), from "above" (it hangs).
    """

    kind: str
    rgba: NDArray[np.uint8]
    person: int
    low: float
    enters: Literal["side", "below", "above"]


def obstacle_sprites(
    count: int,
    seed: int,
    size: int,
    *,
    test: bool = False,
    kinds: Sequence[str] | None = None,
    device: torch.device | str = "cpu",
) -> list[Sprite]:
    """Renders sprites, each seen from a height of its own in a light of its own.

    A sprite depends on its place in the list, the seed, the size, the split and the kinds alone.

    Args:
        count: how many.
        seed: not negative.
        size: pixels that a person is tall at the distance of the obstacle, 32 to 1024.
        test: the models and colours of the test splits, and other people, instead of those for training.
        kinds: some of ``KINDS``; all unless given. The border is nothing to be laid over an image.
        device: that renders.

    Raises:
        DataError: an argument is out of range, or there is no such kind.
    """
    if count < 0 or seed < 0 or not 32 <= size <= 1024:
        raise DataError(
            f"count and seed must not be negative and size must lie in [32, 1024], got {count}, {seed}, {size}"
        )
    chosen = KINDS if kinds is None else tuple(kinds)
    check_kinds(chosen)
    models = [kind for kind in KINDS if kind in chosen and kind not in (PERSON, BORDER)]
    if not models and PERSON not in chosen:
        raise DataError("the border cannot be laid over an image; name another kind of obstacle")
    place = torch.device(device)
    atlas = Atlas([draw_backdrop(generator(seed, Stream.SPRITE, int(test)), 30.0, 0.0, 0.0)], place)
    sprites = []
    for number in range(count):
        random = generator(seed, Stream.SPRITE, int(test), number)
        lot = random.random()
        if PERSON in chosen and (not models or lot < _PERSON_SHARE):
            sprites.append(_sprite(PERSON, random, size, test, place, atlas))
        else:
            sprites.append(_sprite(models[int(random.integers(len(models)))], random, size, test, place, atlas))
    return sprites


def _sprite(
    kind: str, random: np.random.Generator, size: int, test: bool, device: torch.device, atlas: Atlas
) -> Sprite:
    eye, at = random.uniform(1.9, 3.8), (0.0, -_DISTANCE)
    if kind == PERSON:
        look = outfit(draw_appearance(random))
        walker = Walker(0, look, draw_pose(random, *look.carries), at, float(random.uniform(-np.pi, np.pi)))
        things, landmarks, _ = people([(walker, 0, 1)])
        middle = landmarks[0, 1, [0, 2]]
    else:
        model, place = draw_model(random, kind, 0.8, (0.0, -_DISTANCE - 0.7), eye, _PERSON, test=test)
        things, middle = model.build(place, 1.0), np.zeros(2)
    daylight = draw_daylight(random, _VARIETY)
    half = _WIDE.get(kind, _HALF)
    # The camera looks at the person's middle; the picture spans from the ground nearer by to above the head.
    pitch = float(np.arctan2(eye - 0.9, _DISTANCE))
    cos, sin = np.cos(pitch), np.sin(pitch)
    rotation = np.array([[1.0, 0.0, 0.0], [0.0, -cos, sin], [0.0, -sin, -cos]])

    def slope(height: float) -> float:
        """Slope downwards of a point above the obstacle's spot."""
        up, away = height - eye, -_DISTANCE
        return float((-cos * up + sin * away) / (-sin * up - cos * away))

    pixel = (slope(0.0) - slope(_PERSON)) / size
    top, bottom = slope(_TOP), slope(-0.65)
    across = half / float(np.hypot(_DISTANCE, eye - 0.9))
    native = (2 * max(1, round((bottom - top) / pixel)), 2 * max(1, round(2 * across / pixel)))
    window = np.array([[-across, top, 2 * across, bottom - top]])
    rgba = _render(things, middle, rotation, eye, window, native, daylight, device, atlas)
    rows, columns = np.flatnonzero(rgba[..., 3].any(axis=1)), np.flatnonzero(rgba[..., 3].any(axis=0))
    cut = columns[0] == 0 and columns[-1] == rgba.shape[1] - 1
    trimmed = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    low = (slope(0.0) - (top + (rows[-1] + 1) * pixel)) / (slope(0.0) - slope(_PERSON))
    enters: Literal["side", "below", "above"] = "above" if low > 0.08 else "below" if cut else "side"
    return Sprite(kind, np.ascontiguousarray(trimmed), size, float(low), enters)


def _render(
    things: Primitives, middle: Array, rotation: Array, eye: float, window: Array, native: tuple[int, int],
    daylight: Daylight, device: torch.device, atlas: Atlas,
) -> NDArray[np.uint8]:  # fmt: skip
    """(H, W, 4), half as large as rendered."""
    seen = to_camera(things, rotation[None], np.array([[0.0, eye, 0.0]]))
    ready = table(seen, device)
    layers = cast(seen, np.ones(len(seen), dtype=np.int64), ready, window, native)
    ground = float(daylight.on_ground().mean())
    light = Light(
        towards=np.stack([dot3(rotation[row], daylight.towards) for row in range(3)])[None],
        up=rotation[None, :, 1],
        key=daylight.key[None] / ground,
        sky=daylight.sky[None] / ground,
        bounce=(daylight.bounce * daylight.on_ground())[None] / ground,
        height=np.array([eye]),
        wall=np.array([[30.0, 1.0, 0.0]]),
        haze=np.zeros(1),
        camera=np.zeros(1, dtype=np.int64),
        feet=np.zeros((1, 1, 5)),
        axis=np.stack([middle, middle])[None],
        occlusion=0.8,
    )
    view = view_of(layers.depth[1], light, window)
    linear = shade(layers.row[1], layers.normal, ready, light, view, None, atlas)
    there = torch.isfinite(layers.depth[1]).float()[:, None]
    colour = linear.clamp(0.0, 1.0).sqrt() * there

    def halved(values: Tensor) -> Array:
        shape = (*values.shape[:2], values.shape[2] // 2, 2, values.shape[3] // 2, 2)
        return np.asarray(values.reshape(shape).mean(dim=(3, 5))[0].permute(1, 2, 0).cpu().numpy(), dtype=np.float64)

    opacity, mixed = halved(there), halved(colour)
    plain = mixed / np.maximum(opacity, 1e-6)
    return np.asarray((np.concatenate([plain, opacity], axis=-1) * 255.0 + 0.5).astype(np.uint8))
