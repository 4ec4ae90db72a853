"""The world: persons, cameras and scenes by (seed, split, index), rendered in batches of any size to the same pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from occlureid.errors import DataError
from occlureid.synthetic import labels
from occlureid.synthetic.camera import Camera, draw_camera, project, to_camera
from occlureid.synthetic.cast import cast, table
from occlureid.synthetic.people import crop_windows, occluder_at, of_image, people, seen_heading
from occlureid.synthetic.primitives import Array, Primitives, dot3
from occlureid.synthetic.rendered import Rendered
from occlureid.synthetic.scene import Scene, Walker, draw_scene
from occlureid.synthetic.sensor import expose
from occlureid.synthetic.settings import WorldSettings, check_split
from occlureid.synthetic.shade import Light, shade
from occlureid.synthetic.solve import amounts_for
from occlureid.synthetic.streams import SPLITS, Stream, generator
from occlureid.synthetic.wardrobe import Appearance, Outfit, draw_appearance, outfit, resemble

__all__ = ["World", "WorldSettings"]

_ATTEMPTS = 12
_CHUNK_PIXELS = 1 << 19
"""Pixels rendered at once on a CPU; a GPU takes sixteen times as many."""

WHOLE = 0.95
"""The least visible fraction of an image that counts as not occluded."""


class World:
    """Renders images of a world by split and index.

    An image depends on the settings, its split and its index alone: neither the batch nor the order nor the number of
    threads changes a bit of it on a CPU. (A GPU rounds some quotients differently; there the same holds among GPU runs.)

    Args:
        settings: of the world.
        device: "cpu", "cuda", ...
    """

    def __init__(self, settings: WorldSettings, device: torch.device | str = "cpu") -> None:
        self.settings = settings
        self.device = torch.device(device)
        self._outfits: dict[tuple[bool, int], Outfit] = {}

    @cached_property
    def cameras(self) -> tuple[Camera, ...]:
        """The cameras, numbered from 0."""
        seed, spread = self.settings.seed, self.settings.colour_cast
        return tuple(draw_camera(generator(seed, Stream.CAMERA, k), spread) for k in range(self.settings.cameras))

    def appearance(self, split: str, person: int) -> Appearance:
        """What a person of a split looks like; query and gallery show the same persons.

        Args:
            split: "train", "query" or "gallery".
            person: number from 0 within the split.
        """
        check_split(split)
        part = 0 if split == "train" else 1
        random = generator(self.settings.seed, Stream.WARDROBE, part, person)
        first = person - person % 4  # in every four persons, the later ones may look like the first
        if person != first and random.random() < self.settings.look_alike:
            return resemble(random, self.appearance(split, first))
        return draw_appearance(random)

    def occluded(self, split: str) -> NDArray[np.bool_]:
        """Which images of a split are occluded: exactly the rounded share, spread by the seed."""
        check_split(split)
        count = self.settings.count(split)
        chosen = generator(self.settings.seed, Stream.OCCLUDED, SPLITS.index(split)).permutation(count)
        flags = np.zeros(count, dtype=bool)
        flags[chosen[: round(self.settings.occluded_share(split) * count)]] = True
        return flags

    def render(self, split: str, indices: Sequence[int]) -> Rendered:
        """Renders images.

        Args:
            split: "train", "query" or "gallery".
            indices: which images, each in [0, settings.count(split)).

        Raises:
            DataError: no such split or index, or no index at all.
        """
        count = self.settings.count(split)
        wrong = [index for index in indices if not 0 <= index < count]
        if wrong or not len(indices):
            raise DataError(f"{split} has the images 0 to {count - 1}, got {wrong[:5] if wrong else 'none'}")
        flags = self.occluded(split)
        height, width = self.settings.size
        step = max(1, _CHUNK_PIXELS * (1 if self.device.type == "cpu" else 16) // (height * width))
        pending = [int(index) for index in dict.fromkeys(indices)]
        done: list[Rendered] = []
        for attempt in range(_ATTEMPTS):
            failed: list[int] = []
            for start in range(0, len(pending), step):
                chunk = pending[start : start + step]
                shot = self._render([self._scene(split, i, attempt, bool(flags[i])) for i in chunk], split)
                low, high = self.settings.visible_range
                fraction = shot.visible_fraction.numpy()
                good = np.where(flags[chunk], (fraction >= low) & (fraction <= high), fraction >= WHOLE)
                failed += [chunk[k] for k in np.flatnonzero(~good)]
                if good.any():
                    done.append(shot if good.all() else shot.pick(np.flatnonzero(good).tolist()))
            pending = failed
            if not pending:
                break
        if pending:
            raise DataError(
                f"{split} images {pending[:5]} could not be given the wanted visible fraction in {_ATTEMPTS} attempts; "
                f"widen visible_range {self.settings.visible_range} or lower crop_jitter {self.settings.crop_jitter}"
            )
        order = {int(index): row for row, index in enumerate(torch.cat([shot.indices for shot in done]))}
        return Rendered.cat(done, [order[int(index)] for index in indices])

    def _scene(self, split: str, index: int, attempt: int, occluded: bool) -> Scene:
        per_camera = self.settings.images_per_camera(split)
        person, camera = index // (self.settings.cameras * per_camera), index // per_camera % self.settings.cameras
        key = (split == "train", person)
        if key not in self._outfits:
            self._outfits[key] = outfit(self.appearance(split, person))
        return draw_scene(self.settings, split, index, attempt, occluded, self._outfits[key], self.cameras[camera])

    def _render(self, scenes: list[Scene], split: str) -> Rendered:
        size = self.settings.size
        views = [self.cameras[scene.camera] for scene in scenes]
        rotation, position = np.stack([v.rotation() for v in views]), np.stack([v.position() for v in views])

        walkers = [(scene.target, k, 0) for k, scene in enumerate(scenes)]
        walkers += [(other, k, 1) for k, scene in enumerate(scenes) for other in scene.others]
        bodies, landmarks, figure_image = people(walkers)
        window = crop_windows(bodies[bodies.owner == 0], scenes, rotation, position, self.settings.crop_aspect)
        amounts, window = amounts_for(scenes, bodies, window, rotation, position, self.device)

        things: list[Primitives] = []
        front: list[tuple[Walker, int, int]] = []
        for k, (scene, amount) in enumerate(zip(scenes, amounts, strict=True)):
            if scene.model is not None and scene.placement is not None:
                things.append(of_image(scene.model.build(scene.placement, amount), k))
            elif scene.occluder is not None:
                front.append((occluder_at(scene, amount), k, 2))
        if front:
            more, more_landmarks, more_image = people(front)
            things.append(more)
            landmarks, figure_image = (
                np.concatenate([landmarks, more_landmarks]),
                np.concatenate([figure_image, more_image]),
            )
        things += [of_image(view.clutter, k) for k, view in enumerate(views)]

        whole = to_camera(Primitives.cat([bodies, *things]), rotation, position)
        ready = table(whole, self.device)
        layers = cast(whole, (whole.owner != 0).astype(np.int64), ready, window, size)
        known = labels.truth(layers, ready)
        nearest = layers.depth.amin(dim=0)
        row = torch.where(layers.depth[0] < layers.depth[1], layers.row[0], layers.row[1])
        light = self._light(scenes, views, rotation, landmarks, figure_image)
        noise = np.stack([self._noise(split, scene) for scene in scenes])
        images = expose(shade(nearest, row, ready, light, window), light, noise).cpu()

        points = project(landmarks, rotation[figure_image], position[figure_image])
        pixels = labels.pixels_of(points, window[figure_image], size)
        count = len(scenes)
        is_target = np.arange(len(points)) < count
        seen, behind_self = labels.landmarks_seen(layers, figure_image, points, pixels, is_target)
        keypoints = torch.from_numpy(np.concatenate([pixels, seen[..., None]], axis=-1).astype(np.float32))
        rest = np.arange(len(points)) >= count
        others = tuple(
            keypoints[torch.from_numpy(rest & (figure_image == k) & (seen.sum(axis=1) >= 3))] for k in range(count)
        )
        first = 1 if split == "train" else 1 + self.settings.train_persons
        return Rendered(
            images=images,
            keypoints=keypoints[:count],
            self_occluded=torch.from_numpy(behind_self[:count]),
            parts=torch.from_numpy(known.parts),
            visible_fraction=torch.from_numpy(known.visible_fraction),
            part_visible_fraction=torch.from_numpy(known.part_visible_fraction),
            obstacles=tuple(scene.obstacle for scene in scenes),
            persons=torch.tensor([first + scene.person for scene in scenes]),
            cameras=torch.tensor([1 + scene.camera for scene in scenes]),
            headings=torch.tensor([seen_heading(scene.target) for scene in scenes], dtype=torch.float64),
            others=others,
            indices=torch.tensor([scene.index for scene in scenes]),
        )

    def _noise(self, split: str, scene: Scene) -> NDArray[np.float32]:
        random = generator(self.settings.seed, Stream.SENSOR, SPLITS.index(split), scene.index)
        return random.standard_normal((3, *self.settings.size), dtype=np.float32) * np.float32(scene.noise)

    def _light(
        self, scenes: list[Scene], views: list[Camera], rotation: Array, feet: Array, image: NDArray[np.int64]
    ) -> Light:
        towards = np.stack([scene.light for scene in scenes])
        turned = np.stack([dot3(rotation[:, row], towards) for row in range(3)], axis=-1)
        most = int(np.bincount(image).max())
        shadows = np.zeros((len(scenes), 2 * most, 6))
        taken = np.zeros(len(scenes), dtype=np.int64)
        for figure, k in enumerate(image):
            x, z = feet[figure, 1, 0], feet[figure, 1, 2]
            flat = np.hypot(towards[k, 0], towards[k, 2]) + 1e-6
            along = -towards[k, [0, 2]] / flat
            reach = min(2.2, 0.9 * flat / max(towards[k, 1], 0.2))
            slot = 2 * taken[k]
            shadows[k, slot] = (x, z, *along, 0.42, 0.36)
            shadows[k, slot + 1] = (x + along[0] * reach, z + along[1] * reach, *along, reach + 0.15, 0.30)
            taken[k] += 1
        return Light(
            towards=turned,
            up=rotation[:, :, 1],
            key=np.array([view.key for view in views]),
            ambient=np.array([view.ambient for view in views]),
            tint=np.stack([view.tint * scene.gain for view, scene in zip(views, scenes, strict=True)]),
            height=np.array([view.height for view in views]),
            wall=np.array([view.wall for view in views]),
            ground=np.stack([view.ground for view in views]),
            wall_material=np.stack([view.wall_material for view in views]),
            shadows=shadows,
            softness=np.stack([scene.softness for scene in scenes]),
        )
