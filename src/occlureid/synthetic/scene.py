"""One image before it is rendered: who walks where, seen by which camera, hidden by what. Drawn from (seed, split, index)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from occlureid.synthetic.body import Pose, draw_pose
from occlureid.synthetic.camera import Camera
from occlureid.synthetic.obstacles import BORDER, NONE, PERSON, Obstacle, Placement, draw_kind, draw_model
from occlureid.synthetic.primitives import Array
from occlureid.synthetic.sensor import Exposure, Tone
from occlureid.synthetic.settings import WorldSettings
from occlureid.synthetic.streams import SPLITS, Stream, generator
from occlureid.synthetic.wardrobe import Outfit

__all__ = ["SCALES", "Scene", "Walker", "draw_scene"]

SCALES: tuple[float, ...] = (1.0, 2 / 3, 1 / 2, 1 / 3)
"""The native resolutions, as shares of an image's size."""

_LAST_ATTEMPT = 8
"""From this attempt on the border hides the target: a cut can be placed exactly, a solid obstacle may be too small."""


@dataclass(frozen=True, slots=True)
class Walker:
    """Somebody on the ground.

    Attributes:
        person: number of the identity in the world, as in ``Rendered.persons``.
        outfit: what the person looks like. pose: how the person walks.
        place: x, z in metres. heading: radians.
    """

    person: int
    outfit: Outfit
    pose: Pose
    place: tuple[float, float]
    heading: float


@dataclass(frozen=True, slots=True)
class Scene:
    """What one image shows.

    Attributes:
        index: in its split. person, camera: numbers from 0 within the split, and of the world.
        target: the person whose image it is. others: people behind and far off.
        obstacle: "none", "border", "person", or a model's kind. model: the model, where it is one.
        placement: where an obstacle goes. occluder: the person in front, at its hidden-most place.
        edge: the side that a border cuts.
        wanted: the visible fraction asked for.
        margins: left, top, right, bottom of the crop.
        box: what the detector put its box around, "whole" or "visible".
        scale: native resolution as a share of the image's size, one of ``SCALES``.
        exposure: of the shot.
        light: (3,) towards the light, in the world. sun: factor of the camera's key light: clouds.
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
    box: str
    scale: float
    exposure: Exposure
    light: Array
    sun: float


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


def _stranger(random: np.random.Generator, settings: WorldSettings, split: str, person: int) -> int | None:
    """Somebody else of the split, counted from 0 there; often of the target's circle of four. None where nobody else is."""
    _, count = settings.persons(split)
    circle = [k for k in range(person - person % 4, min(person - person % 4 + 4, count)) if k != person]
    alike, lot = random.random() < settings.company_alike, random.random()
    if alike and circle:
        return circle[int(lot * len(circle))]
    return None if count < 2 else (person + 1 + int(lot * (count - 1))) % count


def draw_scene(
    settings: WorldSettings,
    split: str,
    index: int,
    attempt: int,
    occluded: bool,
    wardrobe: Callable[[int], Outfit],
    camera: Camera,
) -> Scene:
    """The scene of one image.

    Args:
        settings: of the world.
        split: of the image.
        index: of the image in its split.
        attempt: 0 first; a scene whose obstacle could not hide as much as wanted is drawn again with the next number.
        occluded: whether the target is to be partly hidden.
        wardrobe: the outfit of each person of the split, counted from 0.
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
    target = wardrobe(person)
    first, _ = settings.persons(split)
    walker = Walker(
        first + person, target, draw_pose(stream(Stream.POSE), *target.carries), place, _heading(random, camera)
    )

    def others_at(random: np.random.Generator, at: tuple[float, float]) -> list[Walker]:
        """Somebody else of the split there, or nobody."""
        number = _stranger(random, settings, split, person)
        if number is None:
            return []
        at = camera.backdrop.before_wall(*at)
        look = wardrobe(number)
        return [Walker(first + number, look, draw_pose(random, *look.carries), at, _heading(random, camera))]

    others: list[Walker] = []
    random = stream(Stream.PASSER_BY)
    for _ in range(int(random.integers(settings.passers_by + 1))):
        aside = random.choice((-1.0, 1.0)) * random.uniform(0.15, 0.85)
        others += others_at(random, _put(place, aside, random.uniform(1.1, 3.5)))
    random = stream(Stream.FAR)
    for _ in range(int(random.integers(settings.far_people + 1))):
        away = random.uniform(4.0, 12.0)
        others += others_at(random, _put(place, random.uniform(-1.0, 1.0) * (0.5 + 0.06 * away), away))

    random = stream(Stream.OBSTACLE)
    low, high = settings.visible_range
    margin = min(0.06, 0.25 * (high - low))
    wanted = random.uniform(low + margin, high - margin) if occluded else 1.0
    obstacle, model, placement, occluder = NONE, None, None, None
    test, side = split != "train", float(random.choice((-1.0, 1.0)))
    if occluded:
        obstacle = draw_kind(random, settings.obstacles, wanted, test=test)
        if attempt >= _LAST_ATTEMPT and BORDER in settings.obstacles:
            obstacle = BORDER
    if obstacle == PERSON:
        front = _put(place, 0.0, -random.uniform(0.55, 0.95))
        occluder = next(iter(others_at(random, front)), None)
        obstacle = BORDER if occluder is None else PERSON  # in a split of one person there is nobody else
        placement = Placement(np.array(front), _rightwards(front), side, target.height, np.zeros(3))
        if occluder is None:  # the only person of the split
            obstacle, placement = BORDER, None
    elif obstacle not in (NONE, BORDER):
        model, placement = draw_model(random, obstacle, wanted, place, camera.height, target.height, test=test)

    random = stream(Stream.CROP)
    margins = random.uniform(-0.1, 1.0, 4) * settings.crop_jitter
    edge = str(random.choice(("bottom", "top", "left", "right"), p=(0.7, 0.06, 0.12, 0.12)))
    random = stream(Stream.BOX)
    if random.random() < settings.box_errors:
        margins = margins + _box_error(random)
    tight = random.random() < settings.box_visible
    random = stream(Stream.LIGHT)
    light = camera.light.towards + settings.lighting * random.normal(0.0, 0.12, 3)
    sun = 1.0 - settings.lighting * random.uniform(0.0, 0.35)
    return Scene(
        index=index,
        person=person,
        camera=camera_number,
        target=walker,
        others=tuple(others),
        obstacle=obstacle,
        model=model,
        placement=placement,
        occluder=occluder,
        edge=edge,
        wanted=wanted,
        margins=margins,
        box="visible" if tight and obstacle not in (NONE, BORDER) else "whole",
        scale=_scale(settings, camera, distance),
        exposure=_exposure(settings, camera, walker, random),
        light=light / np.sqrt((light * light).sum()),
        sun=sun,
    )


def _box_error(random: np.random.Generator) -> Array:
    """What a poor detector adds to the margins left, top, right, bottom."""
    sort = random.integers(4)
    if sort == 0:  # far too large
        return np.asarray(random.uniform(0.05, 0.32, 4))
    if sort == 1:  # off to a side
        aside = random.uniform(-0.14, 0.14)
        return np.array([-aside, random.uniform(0.0, 0.1), aside, random.uniform(0.0, 0.1)])
    if sort == 2:  # into the feet
        return np.array([0.0, random.uniform(0.0, 0.2), 0.0, -random.uniform(0.03, 0.085)])
    return np.array([0.0, -random.uniform(0.02, 0.055), 0.0, random.uniform(0.0, 0.2)])  # into the hair


def _scale(settings: WorldSettings, camera: Camera, distance: float) -> float:
    """The native resolution nearest to what focal length and distance give, within the settings' range."""
    least, greatest = settings.resolution
    allowed = [scale for scale in SCALES if least - 0.005 <= scale <= greatest + 0.005]
    if not allowed:
        allowed = [min(SCALES, key=lambda scale: abs(scale - (least + greatest) / 2))]
    share = camera.share * (camera.near + camera.far) / (2.0 * distance)
    return min(allowed, key=lambda scale: abs(scale - share))


def _exposure(settings: WorldSettings, camera: Camera, walker: Walker, random: np.random.Generator) -> Exposure:
    """How the camera takes this shot: its own habits, a little off each time."""
    own = random.uniform(0.75, 1.25, 3)
    x, z = walker.place
    seen = walker.heading - math.atan2(-x, -z)
    # A walker smears along the own way, seen from a little above; nobody stands still all the time.
    length = settings.motion_blur * float(np.clip(random.uniform(-0.7, 1.0), 0.0, 1.0))
    tone = camera.tone
    quality = settings.jpeg[0] + (settings.jpeg[1] - settings.jpeg[0]) * float(
        np.clip(camera.quality + random.normal(0.0, 0.12), 0.0, 1.0)
    )
    return Exposure(
        tint=camera.tint * (1.0 + settings.exposure * random.uniform(-1.0, 1.0)),
        tone=Tone(
            black=tone.black,
            contrast=tone.contrast,
            saturation=tone.saturation,
            bend=tone.bend + settings.tone * random.normal(0.0, 0.06),
        ),
        blur=settings.focus_blur * min(1.0, camera.blur * float(own[0])),
        motion=(length * math.sin(seen), 0.3 * length * math.cos(seen)),
        noise=settings.sensor_noise * min(1.0, camera.noise * float(own[1])),
        sharpen=settings.sharpening * min(1.0, camera.sharpen * float(own[2])),
        quality=round(quality),
    )


def _rightwards(place: tuple[float, float]) -> Array:
    away = np.array(place) / np.hypot(*place)
    return np.array([-away[1], away[0]])
