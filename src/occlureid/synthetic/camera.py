"""Fixed cameras: where one stands, how it sees colour, what is behind the people; and the window that a crop cuts from it.

World frame: x to the right of the image, y up, z towards the camera, which stands at (0, height, 0) and looks along -z,
pitched down. Camera frame: x right, y down, z forward; a ray through the window has the direction (u, v, 1), so the
parameter along a ray *is* the depth in metres along the optical axis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from occlureid.synthetic.primitives import Array, Primitives, boxes, dot3, material, round_cones

__all__ = ["Camera", "draw_camera", "project", "scenery", "to_camera", "window_around"]


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera of the world.

    Attributes:
        height: metres above the ground. pitch: radians downwards.
        near, far: where people walk, metres from the camera along the ground.
        side: half the width of the walked strip, as a share of the distance.
        heading: the direction in which most people walk, radians; the others come the opposite way.
        light: (3,) unit vector towards the light, in the world. key, ambient: strengths.
        tint: (3,) white balance. wall: distance of the wall behind, metres.
        ground, wall_material: rows of ``MATERIAL_COLUMNS``.
        seed_key: names the scenery's generator.
    """

    height: float
    pitch: float
    near: float
    far: float
    side: float
    heading: float
    light: Array
    key: float
    ambient: float
    tint: Array
    wall: float
    ground: Array
    wall_material: Array
    clutter: Primitives

    def rotation(self) -> Array:
        """(3, 3) rows right, down, forward: world to camera."""
        cos, sin = np.cos(self.pitch), np.sin(self.pitch)
        return np.array([[1.0, 0.0, 0.0], [0.0, -cos, sin], [0.0, -sin, -cos]])

    def position(self) -> Array:
        """(3,) in the world."""
        return np.array([0.0, self.height, 0.0])


_SURFACES = (
    (0.52, 0.52, 0.51), (0.40, 0.40, 0.41), (0.60, 0.56, 0.50), (0.48, 0.42, 0.38), (0.66, 0.65, 0.62), (0.44, 0.47, 0.44),
)  # fmt: skip
_WALLS = (
    (0.66, 0.62, 0.55), (0.55, 0.38, 0.31), (0.72, 0.72, 0.70), (0.45, 0.48, 0.52), (0.58, 0.56, 0.44), (0.36, 0.40, 0.36),
)  # fmt: skip
_CLUTTER = (
    (0.70, 0.68, 0.62), (0.25, 0.27, 0.30), (0.18, 0.30, 0.17), (0.55, 0.22, 0.18), (0.20, 0.28, 0.42), (0.62, 0.55, 0.30),
    (0.85, 0.85, 0.83), (0.35, 0.24, 0.17),
)  # fmt: skip


def _surface(
    random: np.random.Generator, colours: tuple[tuple[float, float, float], ...], sizes: tuple[float, float]
) -> Array:
    base = np.clip(np.asarray(colours[int(random.integers(len(colours)))]) + random.normal(0, 0.03, 3), 0.05, 0.95)
    shade = np.clip(base * random.uniform(0.72, 0.92), 0.03, 0.95)
    first, second = 1.0 / random.uniform(*sizes, 2)
    return material(
        base,
        second=shade,
        wave=(first, 0.0, 0.0, random.random()),
        cross=(0.0, second, second, random.random()),
        duty=random.uniform(0.86, 0.96),
        grain=random.uniform(0.10, 0.30),
    )


def scenery(random: np.random.Generator, far: float, wall: float) -> Primitives:
    """Things that stand behind the walked strip of one camera: doors, boards, benches, bushes, lamp posts."""
    parts: list[Primitives] = []
    for _ in range(34):
        colour = np.clip(
            np.asarray(_CLUTTER[int(random.integers(len(_CLUTTER)))]) + random.normal(0, 0.04, 3), 0.03, 0.95
        )
        x = random.uniform(-0.62, 0.62) * wall
        sort = random.integers(4)
        if sort == 0:  # a door, window or poster on the wall
            half = np.array([[random.uniform(0.4, 1.4), random.uniform(0.5, 1.2), 0.05]])
            spot = np.array([[x, half[0, 1] + random.choice((0.0, 0.9, 1.6)), -wall + 0.05]])
            paint = material(colour, second=colour * 0.6, wave=(random.uniform(0, 1.5), 0, 0, 0.1), duty=0.8)
            parts.append(boxes(spot, half, np.zeros(1), materials=paint[None], owner=-2))
            continue
        z = -random.uniform(far + 2.0, wall - 0.6)
        if sort == 1:  # a box: bench, planter, cabinet
            half = random.uniform((0.2, 0.2, 0.2), (0.9, 0.7, 0.5))[None]
            spot = np.array([[x, half[0, 1], z]])
            paint = material(colour, second=colour * 0.7, wave=(0, random.uniform(0, 6), 0, 0.2), duty=0.7, grain=0.1)
            parts.append(boxes(spot, half, random.uniform(-0.5, 0.5, 1), materials=paint[None], owner=-2))
        elif sort == 2:  # a bush
            size = random.uniform(0.35, 0.8)
            green = np.array([0.16, 0.26, 0.13]) * random.uniform(0.7, 1.5)
            parts.append(_upright(x, z, 0.3, 0.5 + size, size, size, material(green, grain=0.5)))
        else:  # a post
            size = random.uniform(0.05, 0.11)
            parts.append(_upright(x, z, 0.0, random.uniform(1.0, 5.0), size, size, material(colour * 0.6)))
    return Primitives.cat(parts)


def _upright(
    x: float, z: float, low: float, high: float, radius_low: float, radius_high: float, paint: Array
) -> Primitives:
    return round_cones(
        np.array([[x, low, z]]), np.array([[x, high, z]]), np.array([radius_low]), np.array([radius_high]),
        hint=np.array([[0.0, 0.0, 1.0]]), squeeze=np.ones((1, 2)), materials=paint[None], owner=-2,
    )  # fmt: skip


def draw_camera(random: np.random.Generator, colour_cast: float) -> Camera:
    """A camera with its place, light and surroundings.

    Args:
        random: the camera's generator.
        colour_cast: standard deviation of the white balance of each channel.
    """
    height, near = random.uniform(2.2, 4.6), random.uniform(5.5, 8.0)
    far = near + random.uniform(4.0, 7.0)
    wall = far + random.uniform(4.0, 9.0)
    angle, climb = random.uniform(-np.pi, np.pi), random.uniform(0.5, 1.1)
    # The light comes from the camera's half of the sky three times out of four, or the persons would be dark against it.
    light = np.array([np.sin(angle) * np.cos(climb), np.sin(climb), np.cos(angle) * np.cos(climb)])
    if random.random() < 0.75:
        light[2] = abs(light[2])
    return Camera(
        height=height,
        pitch=float(np.arctan2(height - 0.9, (near + far) / 2)),
        near=near,
        far=far,
        side=0.30,
        heading=random.uniform(-np.pi, np.pi),
        light=light,
        key=random.uniform(0.5, 1.1),
        ambient=random.uniform(0.5, 0.75),
        tint=np.clip(1.0 + random.normal(0.0, colour_cast, 3), 0.6, 1.4),
        wall=wall,
        ground=_surface(random, _SURFACES, (0.4, 2.0)),
        wall_material=_surface(random, _WALLS, (0.3, 2.5)),
        clutter=scenery(random, far, wall),
    )


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
