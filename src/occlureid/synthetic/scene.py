"""One image before it is rendered: who walks where, seen by which camera, hidden by what. Drawn from (seed, split, index)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from occlureid.synthetic.body import Pose, draw_pose
from occlureid.synthetic.camera import Camera
from occlureid.synthetic.obstacles import BORDER, NONE, PERSON, Obstacle, Placement, models_of
from occlureid.synthetic.primitives import Array
from occlureid.synthetic.settings import WorldSettings
from occlureid.synthetic.streams import SPLITS, Stream, generator
from occlureid.synthetic.wardrobe import Outfit, draw_appearance, outfit

__all__ = ["Scene", "Walker", "draw_scene"]

_PERSON_SHARE, _BORDER_SHARE = 0.22, 0.10
_LAST_ATTEMPT = 8
"""From this attempt on the border hides the target: a cut can be placed exactly, a solid obstacle may be too small."""


@dataclass(frozen=True, slots=True)
class Walker:
    """Somebody on the ground: appearance as an outfit, pose, place (x, z) in metres, heading in radians."""

    outfit: Outfit
    pose: Pose
    place: tuple[float, float]
    heading: float


@dataclass(frozen=True, slots=True)
class Scene:
    """What one image shows.

    Attributes:
        index: in its split. person, camera: numbers from 0 within the split, and of the world.
        target: the person whose image it is. others: people behind.
        obstacle: "none", "border", "person", or a model's kind. model: the model, where it is one.
        placement: where an obstacle goes. occluder: the person in front, at its hidden-most place.
        edge: the side that a border cuts.
        wanted: the visible fraction asked for.
        margins: left, top, right, bottom of the crop. gain: exposure. noise: sensor noise. softness: of the lens.
        light: (3,) towards the light, in the world.
    """

    index: int
    person: int
    camera: int
    target: Walker
    others: tuple[Walker, ...]
    obstacle: str
    model: Obstacle | None
    placement: Placement | None
    occluder: Walker | None
    edge: str
    wanted: float
    margins: Array
    gain: float
    noise: float
    softness: Array
    light: Array


def _heading(random: np.random.Generator, camera: Camera) -> float:
    """Along the camera's main way or against it, sometimes across."""
    main = camera.heading + (np.pi if random.random() < 0.4 else 0.0)
    return float(random.uniform(-np.pi, np.pi) if random.random() < 0.2 else random.normal(main, 0.35))


def _put(place: tuple[float, float], right: float, away: float) -> tuple[float, float]:
    """A place moved right in the image and away from the camera, as seen from it, in metres."""
    x, z = place
    distance = float(np.hypot(x, z))
    out = (x / distance, z / distance)
    return x - out[1] * right + out[0] * away, z + out[0] * right + out[1] * away


def draw_scene(
    settings: WorldSettings, split: str, index: int, attempt: int, occluded: bool, target: Outfit, camera: Camera
) -> Scene:
    """The scene of one image.

    Args:
        settings: of the world.
        split: of the image.
        index: of the image in its split.
        attempt: 0 first; a scene whose obstacle could not hide as much as wanted is drawn again with the next number.
        occluded: whether the target is to be partly hidden.
        target: the person's outfit.
        camera: the image's camera.
    """
    number = SPLITS.index(split)

    def stream(purpose: Stream) -> np.random.Generator:
        return generator(settings.seed, purpose, number, index, attempt)

    per_camera = settings.images_per_camera(split)
    person, camera_number = index // (settings.cameras * per_camera), index // per_camera % settings.cameras
    random = stream(Stream.PLACE)
    distance = random.uniform(camera.near, camera.far)
    place = (random.uniform(-camera.side, camera.side) * distance, -distance)
    walker = Walker(target, draw_pose(stream(Stream.POSE)), place, _heading(random, camera))

    random = stream(Stream.PASSER_BY)
    others = tuple(
        Walker(
            outfit(draw_appearance(random)),
            draw_pose(random),
            _put(place, random.choice((-1.0, 1.0)) * random.uniform(0.15, 0.85), random.uniform(1.1, 3.5)),
            _heading(random, camera),
        )
        for _ in range(int(random.integers(settings.passers_by + 1)))
    )

    random = stream(Stream.OBSTACLE)
    low, high = settings.visible_range
    wanted = random.uniform(low + 0.06, high - 0.06) if occluded else 1.0
    obstacle, model, placement, occluder = NONE, None, None, None
    lot, side = random.random(), float(random.choice((-1.0, 1.0)))
    if occluded and (lot < _BORDER_SHARE or attempt >= _LAST_ATTEMPT):
        obstacle = BORDER
    elif occluded and lot < _BORDER_SHARE + _PERSON_SHARE:
        obstacle = PERSON
        front = _put(place, 0.0, -random.uniform(0.55, 0.95))
        occluder = Walker(outfit(draw_appearance(random)), draw_pose(random), front, _heading(random, camera))
    elif occluded:
        models = models_of(test=split != "train")
        model = models[int(random.integers(len(models)))]
        obstacle = model.kind
        base = np.asarray(model.colours[int(random.integers(len(model.colours)))])
        front = _put(place, random.normal(0.0, 0.03), -random.uniform(*model.gap))
        away = np.array(front) / np.hypot(*front)
        placement = Placement(
            spot=np.array(front),
            right=np.array([-away[1], away[0]]),
            side=side,
            tall=target.height,
            colour=np.clip(base * random.uniform(0.88, 1.12) + random.normal(0, 0.015, 3), 0.03, 0.95),
            size=random.uniform(0.92, 1.1),
            yaw=random.normal(0.0, 0.10),
        )
    if occluder is not None:
        placement = Placement(
            np.array(occluder.place), _rightwards(occluder.place), side, target.height, np.zeros(3), 1.0, 0.0
        )

    random = stream(Stream.CROP)
    margins = random.uniform(-0.1, 1.0, 4) * settings.crop_jitter
    edge = str(random.choice(("bottom", "top", "left", "right"), p=(0.7, 0.06, 0.12, 0.12)))
    random = stream(Stream.LIGHT)
    light = camera.light + random.normal(0.0, 0.12, 3)
    return Scene(
        index=index,
        person=person,
        camera=camera_number,
        target=walker,
        others=others,
        obstacle=obstacle,
        model=model,
        placement=placement,
        occluder=occluder,
        edge=edge,
        wanted=wanted,
        margins=margins,
        gain=1.0 + settings.exposure * random.uniform(-1.0, 1.0),
        noise=settings.sensor_noise * random.uniform(0.2, 1.0),
        softness=random.uniform(0.10, 0.24, 2),
        light=light / np.sqrt((light * light).sum()),
    )


def _rightwards(place: tuple[float, float]) -> Array:
    away = np.array(place) / np.hypot(*place)
    return np.array([-away[1], away[0]])
