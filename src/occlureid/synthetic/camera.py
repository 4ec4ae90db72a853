"""Fixed cameras: where one stands, what light it has, how it draws colour, what is behind the people; and the window of a crop.

World frame: x to the right of the image, y up, z towards the camera, which stands at (0, height, 0) and looks along -z,
pitched down. Camera frame: x right, y down, z forward; a ray through the window has the direction (u, v, 1), so the
parameter along a ray *is* the depth in metres along the optical axis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from occlureid.synthetic.background import Backdrop, draw_backdrop
from occlureid.synthetic.furniture import draw_furniture
from occlureid.synthetic.light import Daylight, draw_daylight
from occlureid.synthetic.primitives import Array, Primitives, dot3
from occlureid.synthetic.sensor import Tone
from occlureid.synthetic.settings import WorldSettings
from occlureid.synthetic.streams import Stream, generator

__all__ = ["Camera", "draw_camera", "project", "to_camera", "window_around"]


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera of the world.

    Attributes:
        height: metres above the ground. pitch: radians downwards.
        near, far: where people walk, metres from the camera along the ground.
        side: half the width of the walked strip, as a share of the distance.
        share: native resolution in the middle of the strip as a share of the image's: what the focal length makes of a person.
        heading: the direction in which most people walk, radians; the others come the opposite way.
        light: of the place. backdrop: ground and wall. clutter: what stands there.
        tint: (3,) white balance times exposure. tone: curve and colours.
        blur, noise, sharpen: in [0, 1], how near it comes to the greatest of the settings. quality: of its JPEGs.
    """

    height: float
    pitch: float
    near: float
    far: float
    side: float
    share: float
    heading: float
    light: Daylight
    backdrop: Backdrop
    clutter: Primitives
    tint: Array
    tone: Tone
    blur: float
    noise: float
    sharpen: float
    quality: float

    def rotation(self) -> Array:
        """(3, 3) rows right, down, forward: world to camera."""
        cos, sin = np.cos(self.pitch), np.sin(self.pitch)
        return np.array([[1.0, 0.0, 0.0], [0.0, -cos, sin], [0.0, -sin, -cos]])

    def position(self) -> Array:
        """(3,) in the world."""
        return np.array([0.0, self.height, 0.0])


def draw_camera(settings: WorldSettings, number: int) -> Camera:
    """A camera with its place, light and surroundings.

    Args:
        settings: of the world.
        number: of the camera, from 0.
    """
    random = generator(settings.seed, Stream.CAMERA, number)
    near = random.uniform(5.0, 10.5)
    height = random.uniform(2.0, min(6.0, 1.4 + 0.42 * near))
    far = near + random.uniform(3.5, 7.0)
    wall = far + random.uniform(0.9, 7.0)
    share, heading = random.uniform(0.30, 0.80), random.uniform(-np.pi, np.pi)
    light = draw_daylight(random, settings.lighting)
    # A turned wall must not cross the strip.
    turn = random.uniform(-1.0, 1.0) * float(np.arctan((wall - far - 0.6) / (0.3 * far + 1.5)))
    backdrop = _backdrop(settings.seed, number, wall, turn, settings.background)
    # Automatic exposure and white balance take most of the light's own strength and colour back.
    met = light.on_ground() * 0.6 + light.sky * 0.4
    balance = (met / met.mean()) ** -random.uniform(0.5, 0.9)
    cast = np.clip(1.0 + random.normal(0.0, 1.0, 3) * settings.colour_cast, 0.6, 1.4)
    bright = float(np.exp(settings.tone * random.normal(0.16, 0.22)))
    tone = Tone(
        black=settings.tone * max(0.0, random.uniform(-0.05, 0.10)),
        contrast=1.0 + settings.tone * random.uniform(-0.14, 0.24),
        saturation=1.0 + settings.tone * random.uniform(-0.35, 0.15),
        bend=settings.tone * random.uniform(-0.15, 0.35),
    )
    return Camera(
        height=height,
        pitch=float(np.arctan2(height - 0.9, (near + far) / 2)),
        near=near,
        far=far,
        side=0.30,
        share=share,
        heading=heading,
        light=light,
        backdrop=backdrop,
        clutter=draw_furniture(
            generator(settings.seed, Stream.SCENERY, number, 1), near, far, backdrop, settings.background
        ),
        tint=balance * cast * (bright * 0.95 / float(met.mean())),
        tone=tone,
        blur=random.uniform(0.15, 1.0),
        noise=0.12 + 0.88 * random.random() ** 2,
        sharpen=random.uniform(0.0, 1.0),
        quality=random.uniform(0.0, 1.0),
    )


@lru_cache(maxsize=16)
def _backdrop(seed: int, number: int, wall: float, turn: float, amount: float) -> Backdrop:
    """Painted once for all worlds of a seed: it takes as long as several images."""
    return draw_backdrop(generator(seed, Stream.SCENERY, number, 0), wall, turn, amount)


def _rotate(rotation: Array, points: Array) -> Array:
    """(N, 3, 3) times (N, 3), additions in a fixed order."""
    return np.stack([dot3(rotation[:, row], points) for row in range(3)], axis=-1)


def to_camera(primitives: Primitives, rotation: Array, position: Array) -> Primitives:
    """Primitives of the world in the frame of the cameras of their images.

    Args:
        primitives: in the world.
        rotation: (B, 3, 3) of each image's camera.
        position: (B, 3) of each image's camera.
    """
    turn, place = rotation[primitives.image], position[primitives.image]
    rows = [[dot3(primitives.frame[:, row], turn[:, column]) for column in range(3)] for row in range(3)]
    frame = np.stack([np.stack(row, axis=-1) for row in rows], axis=1)
    return replace(primitives, frame=frame, origin=_rotate(turn, primitives.origin - place))


def project(points: Array, rotation: Array, position: Array) -> Array:
    """World points (B, J, 3) as (u, v, depth): slopes right and down, and metres along the optical axis."""
    moved = points - position[:, None]
    right, down, depth = (dot3(moved, rotation[:, None, row]) for row in range(3))
    return np.stack([right / depth, down / depth, depth], axis=-1)


def window_around(low: Array, high: Array, margins: Array, aspect: float) -> Array:
    """The crop that a detector would cut around a silhouette.

    Args:
        low: (B, 2) upper left corner (u, v) of the silhouette.
        high: (B, 2) its lower right corner.
        margins: (B, 4) left, top, right, bottom, as shares of the silhouette's height.
        aspect: the least width of the crop, as a share of its height.

    Returns:
        (B, 4) left, top, width, height of the window, in slopes.
    """
    tall = high[:, 1] - low[:, 1]
    top, bottom = low[:, 1] - margins[:, 1] * tall, high[:, 1] + margins[:, 3] * tall
    left, right = low[:, 0] - 0.02 * tall, high[:, 0] + 0.02 * tall
    width = np.maximum(right - left, (bottom - top) * aspect)
    middle = (left + right) / 2 + (margins[:, 2] - margins[:, 0]) * tall / 2
    return np.stack([middle - width / 2, top, width, bottom - top], axis=1)
