"""The world: persons, cameras and scenes by (seed, split, index), rendered in batches of any size to the same pixels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from occlureid.errors import DataError
from occlureid.synthetic import labels
from occlureid.synthetic.background import Atlas
from occlureid.synthetic.boxes import visible_windows
from occlureid.synthetic.camera import Camera, draw_camera, project, to_camera
from occlureid.synthetic.cast import cast, table
from occlureid.synthetic.lighting import light_of
from occlureid.synthetic.people import crop_windows, occluder_at, of_image, people, seen_heading
from occlureid.synthetic.primitives import Primitives
from occlureid.synthetic.rendered import Rendered, number_others
from occlureid.synthetic.scene import Scene, Walker, draw_scene
from occlureid.synthetic.sensor import compress, draw_noise, expose
from occlureid.synthetic.settings import WorldSettings, check_split
from occlureid.synthetic.shade import View, shade, view_of
from occlureid.synthetic.shadows import leaf_pattern, sunlight
from occlureid.synthetic.solve import amounts_for
from occlureid.synthetic.streams import SPLITS, Stream, generator
from occlureid.synthetic.wardrobe import Appearance, Outfit, draw_appearance, outfit, resemble

__all__ = ["World", "WorldSettings"]

_ATTEMPTS = 12
_CHUNK_PIXELS = 1 << 18
"""Pixels rendered at once on a CPU: enough to share the cost of many small steps, few enough to keep all threads busy to the
end. A GPU takes 32 times as many."""

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
        return tuple(draw_camera(self.settings, number) for number in range(self.settings.cameras))

    @cached_property
    def _atlas(self) -> Atlas:
        return Atlas([camera.backdrop for camera in self.cameras], self.device)

    @cached_property
    def _leaves(self) -> Tensor:
        return leaf_pattern().to(self.device)

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
        pending = [int(index) for index in dict.fromkeys(indices)]
        done: list[Rendered] = []
        for attempt in range(_ATTEMPTS):
            failed: list[int] = []
            batches = self._batches([self._scene(split, i, attempt, bool(flags[i])) for i in pending])
            for scenes, shot in zip(batches, self._shots(batches, split), strict=True):
                chunk = [scene.index for scene in scenes]
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

    def _native(self, scale: float) -> tuple[int, int]:
        height, width = self.settings.size
        return max(8, round(height * scale)), max(8, round(width * scale))

    def _batches(self, scenes: list[Scene]) -> list[list[Scene]]:
        """Scenes of one native resolution together, as many at once as fit; the largest batches first."""
        batches: list[list[Scene]] = []
        for scale in dict.fromkeys(scene.scale for scene in scenes):
            same = [scene for scene in scenes if scene.scale == scale]
            height, width = self._native(scale)
            step = max(1, _CHUNK_PIXELS * (1 if self.device.type == "cpu" else 32) // (height * width))
            batches += [same[start : start + step] for start in range(0, len(same), step)]
        return sorted(batches, key=lambda scenes: -len(scenes) * scenes[0].scale ** 2)

    def _wear(self, split: str, person: int) -> Outfit:
        key = (split == "train", person)
        if key not in self._outfits:
            self._outfits[key] = outfit(self.appearance(split, person))
        return self._outfits[key]

    def _scene(self, split: str, index: int, attempt: int, occluded: bool) -> Scene:
        camera = self.cameras[index // self.settings.images_per_camera(split) % self.settings.cameras]
        return draw_scene(
            self.settings, split, index, attempt, occluded, lambda person: self._wear(split, person), camera
        )

    def _shots(self, batches: list[list[Scene]], split: str) -> list[Rendered]:
        """Renders batches side by side: the work is of many small steps, which gain little from threads within a step."""
        threads = min(torch.get_num_threads(), len(batches)) if self.device.type == "cpu" else 1
        if threads < 2:
            return [self._render(scenes, split) for scenes in batches]
        _ = self._atlas, self._leaves  # made once, before the threads want them
        within = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                return list(pool.map(lambda scenes: self._render(scenes, split), batches))
        finally:
            torch.set_num_threads(
                within
            )  # of this thread nothing changed, but threads to come would follow the last call

    def _render(self, scenes: list[Scene], split: str) -> Rendered:
        """Renders scenes of one native resolution."""
        size, native = self.settings.size, self._native(scenes[0].scale)
        count = len(scenes)
        views = [self.cameras[scene.camera] for scene in scenes]
        rotation, position = np.stack([v.rotation() for v in views]), np.stack([v.position() for v in views])

        walkers = [(scene.target, k, 0) for k, scene in enumerate(scenes)]
        walkers += [(other, k, 1 + n) for k, scene in enumerate(scenes) for n, other in enumerate(scene.others)]
        bodies, landmarks, image = people(walkers)
        targets = bodies[(bodies.owner == 0) & (bodies.label > 0)]  # without what they carry
        window = crop_windows(targets, scenes, rotation, position, self.settings.crop_aspect)
        amounts, window = amounts_for(scenes, bodies, window, rotation, position, self.device)

        solid: list[Primitives] = [bodies]
        front: list[tuple[Walker, int, int]] = []
        for k, (scene, amount) in enumerate(zip(scenes, amounts, strict=True)):
            if scene.model is not None and scene.placement is not None:
                solid.append(of_image(scene.model.build(scene.placement, amount), k))
            elif scene.occluder is not None:
                front.append((occluder_at(scene, amount), k, 1 + len(scene.others)))
        if front:
            more, more_landmarks, more_image = people(front)
            solid.append(more)
            landmarks, image = np.concatenate([landmarks, more_landmarks]), np.concatenate([image, more_image])
            walkers += front
        things = Primitives.cat(solid)
        owner = np.array([number for _, _, number in walkers], dtype=np.int64)

        clutter = [of_image(view.clutter, k) for k, view in enumerate(views)]
        whole = to_camera(Primitives.cat([things, *clutter]), rotation, position)
        window = visible_windows(scenes, whole, window, self.settings.crop_aspect, self.device)
        ready = table(whole, self.device)
        layers = cast(whole, labels.layer_of(whole), ready, window, native)
        known = labels.truth(layers, ready)

        light = light_of(scenes, views, landmarks, image, owner, self.settings.ambient_occlusion)
        nearest = view_of(layers.depth.amin(dim=0), light, window)
        row = torch.where(layers.depth[0] < layers.depth[1], layers.row[0], layers.row[1])
        sun = self._sunlight(nearest, things, scenes, views)
        linear = shade(row, layers.normal, ready, light, nearest, sun, self._atlas)
        noise = torch.from_numpy(np.stack([self._noise(split, scene, native) for scene in scenes]))
        shots = [scene.exposure for scene in scenes]
        images = compress(expose(linear, shots, noise), [shot.quality for shot in shots], size)

        points = project(landmarks, rotation[image], position[image])
        pixels = labels.pixels_of(points, window[image], size)
        # Labels are enlarged by taking the nearest native pixel; a landmark is seen or not where its label is taken from.
        down, right = (np.floor((np.arange(far) + 0.5) * (near / far)) for far, near in zip(size, native, strict=True))
        inside = [np.clip(np.floor(pixels[..., k]), -1, size[1 - k]).astype(np.int64) for k in range(2)]
        coarse = np.stack([np.r_[right, native[1], -1.0][inside[0]], np.r_[down, native[0], -1.0][inside[1]]], axis=-1)
        seen, behind_self = labels.landmarks_seen(layers, image, points, coarse + 0.5, np.arange(len(points)) < count)
        keypoints = torch.from_numpy(np.concatenate([pixels, seen[..., None]], axis=-1).astype(np.float32))
        rows, columns = down.astype(np.int64)[:, None], right.astype(np.int64)

        maps = [
            torch.from_numpy(np.ascontiguousarray(m[:, rows, columns])) for m in (known.parts, known.lip, known.people)
        ]
        others = []
        for k in range(count):
            mine = np.flatnonzero((image == k) & (owner > 0))
            mine = mine[np.argsort(owner[mine])]
            numbers = torch.tensor([walkers[figure][0].person for figure in mine], dtype=torch.int64)
            others.append(number_others(maps[2][k], keypoints[torch.from_numpy(mine)], numbers))
        return Rendered(
            images=images,
            keypoints=keypoints[:count],
            self_occluded=torch.from_numpy(behind_self[:count]),
            parts=maps[0],
            lip=maps[1],
            people=torch.stack([numbered for numbered, _, _ in others]),
            visible_fraction=torch.from_numpy(known.visible_fraction),
            part_visible_fraction=torch.from_numpy(known.part_visible_fraction),
            obstacles=tuple(scene.obstacle for scene in scenes),
            persons=torch.tensor([scene.target.person for scene in scenes]),
            cameras=torch.tensor([1 + scene.camera for scene in scenes]),
            headings=torch.tensor([seen_heading(scene.target) for scene in scenes], dtype=torch.float64),
            others=tuple(found for _, found, _ in others),
            other_persons=tuple(found for _, _, found in others),
            boxes=tuple(scene.box for scene in scenes),
            scales=torch.full((count,), scenes[0].scale, dtype=torch.float64),
            indices=torch.tensor([scene.index for scene in scenes]),
        )

    def _sunlight(self, nearest: View, things: Primitives, scenes: list[Scene], views: list[Camera]) -> Tensor | None:
        if not self.settings.shadows:
            return None
        towards, spot = np.stack([scene.light for scene in scenes]), np.array([scene.target.place for scene in scenes])
        points = (nearest.x, nearest.y, nearest.z)
        sun = sunlight(points, things, [view.light for view in views], towards, spot, self._leaves)
        return None if sun is None else 1.0 - self.settings.shadows * (1.0 - sun)

    def _noise(self, split: str, scene: Scene, native: tuple[int, int]) -> NDArray[np.float32]:
        random = generator(self.settings.seed, Stream.SENSOR, SPLITS.index(split), scene.index)
        return draw_noise(random, native)
