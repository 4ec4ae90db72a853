"""From a dataset to its occluded copy, image by image."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from occlureid.cues.mirror import mirrored
from occlureid.data.dataset import ReidDataset
from occlureid.data.images import read_image
from occlureid.data.own_data import CSV_COLUMNS, SPLITS
from occlureid.data.paste import Pasted, body_prior, paste
from occlureid.data.transforms import to_tensor
from occlureid.data.truth import TRUTH_FILE
from occlureid.errors import DataError, SettingsError
from occlureid.occlude.files import CueFiles, save_image
from occlureid.staging import staged_folder
from occlureid.synthetic.sprites import Sprite, obstacle_sprites
from occlureid.types import Sample

__all__ = ["Occluded", "occlude"]

_FORMAT = 1
_SPRITES, _SPRITE_SIZE = 96, 192
_TRIES, _NEAR = 24, 0.03
_MARKET_LAYOUTS = ("market1501", "synthetic")


@dataclass(frozen=True)
class Occluded:
    """What ``occlude`` made.

    Attributes:
        path: what ``open_dataset`` takes: the folder, or the ``dataset.csv`` in it where the layout has no place for truth.
        images: written in all.
        occluded: of them.
        by_kind: how many each kind of obstacle hides.
        by_mask: occluded images whose visible fraction was measured on their part labels; the others were estimated.
        visible: mean visible fraction of the occluded images.
    """

    path: Path
    images: int
    occluded: int
    by_kind: dict[str, int]
    by_mask: int
    visible: float

    def summary(self) -> str:
        """One sentence in numbers."""
        kinds = ", ".join(f"{count} by {kind}" for kind, count in sorted(self.by_kind.items()))
        how = f"{self.by_mask} measured on part labels, {self.occluded - self.by_mask} estimated by a fixed figure"
        return (
            f"{self.path}: {self.images} images, {self.occluded} occluded ({kinds}); on average {self.visible:.0%} of the "
            f"person stays visible ({how})"
        )


def occlude(
    dataset: ReidDataset,
    out: Path | str,
    *,
    splits: Sequence[str] = ("query",),
    visible_range: tuple[float, float] = (0.3, 0.8),
    seed: int = 0,
    test: bool = True,
    kinds: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Occluded:
    """Writes an occluded copy of a dataset.

    What happens to an image depends on its path below the dataset's root, the seed and the settings, on no other image. The
    copy is written beside ``out`` under another name and renamed at the end. Images that are not occluded are copied byte by
    byte; occluded ones keep their format (JPEG of quality 95).

    Args:
        dataset: of one folder.
        out: the folder to make; an empty one may be there.
        splits: which of train, query and gallery are occluded; the others are copied.
        visible_range: least and greatest share of the person that stays visible.
        seed: decides obstacles and places.
        test: obstacles of the test splits instead of those that ``paste_obstacles`` trains with.
        kinds: some kinds of obstacle (``synthetic.obstacles.KINDS`` but the border); all unless given.
        progress: called with the images done and their number in all.

    Raises:
        SettingsError: a split or range that cannot be.
        DataError: ``out`` is not empty, an image or a cue is damaged (it is named), the dataset is joined from several
            folders, or no obstacle leaves an image visible as far as is wanted.
    """
    out = Path(out)
    unknown = sorted(set(splits) - set(SPLITS))
    if unknown or not splits:
        raise SettingsError(f"splits must be some of {', '.join(SPLITS)}, got {', '.join(unknown) or 'none'}")
    low, high = visible_range
    if not 0.05 <= low <= high <= 0.95:
        raise SettingsError(f"visible_range must satisfy 0.05 <= low <= high <= 0.95, got {low}, {high}")
    if dataset.more_roots:
        raise DataError(
            f"{dataset.root}: only a dataset of one folder can be occluded; occlude each one, then join them"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty folder; choose another one, or remove it")
    sprites = obstacle_sprites(_SPRITES, seed, _SPRITE_SIZE, test=test, kinds=kinds)
    with staged_folder(out) as partial:
        work = _Work(dataset, partial, frozenset(splits), visible_range, seed, sprites)
        work.write_images(progress)
        record = {"splits": sorted(splits), "visible_range": [low, high], "seed": seed, "test": test, "kinds": kinds}
        return work.finish(record, out)


@dataclass(frozen=True, slots=True)
class _Row:
    """One image of the copy: its sample with the new path and truth, its split, and how the fraction was measured."""

    sample: Sample
    target: str
    split: str
    measured: str | None


class _Work:
    """The copy while it is being written."""

    def __init__(
        self,
        dataset: ReidDataset,
        root: Path,
        splits: frozenset[str],
        visible_range: tuple[float, float],
        seed: int,
        sprites: Sequence[Sprite],
    ) -> None:
        self.dataset, self.root, self.splits, self.seed = dataset, root, splits, seed
        self.visible_range, self.sprites = visible_range, sprites
        self.cues = CueFiles(dataset.root, root)
        self.rows: list[_Row] = []

    def write_images(self, progress: Callable[[int, int], None] | None) -> None:
        """Every image, with its cues."""
        everything = list(self._samples())
        self.cues.check([sample for _, sample in everything])
        places: dict[PurePosixPath, int] = Counter(mirrored(sample.path, self.dataset.root) for _, sample in everything)
        for done, (split, sample) in enumerate(everything, start=1):
            place = mirrored(sample.path, self.dataset.root)
            if split in self.splits:
                # An image that is query and gallery at once becomes two.
                self._occluded(
                    sample, split, PurePosixPath(f"{split}-occluded") / place if places[place] > 1 else place
                )
            else:
                self._copied(sample, split, place)
            if progress is not None:
                progress(done, len(everything))

    def _samples(self) -> Iterator[tuple[str, Sample]]:
        for split in SPLITS:
            for sample in getattr(self.dataset, split):
                yield split, sample

    def _copied(self, sample: Sample, split: str, place: PurePosixPath) -> None:
        target = self._target(place)
        try:
            shutil.copyfile(sample.path, target)
        except OSError as error:
            raise DataError(f"{sample.path}: cannot be copied ({error.strerror})") from error
        self.cues.write(sample, place, None)
        self.rows.append(_Row(sample, place.as_posix(), split, None))

    def _occluded(self, sample: Sample, split: str, place: PurePosixPath) -> None:
        image = to_tensor(read_image(sample.path))
        size = int(image.shape[1]), int(image.shape[2])
        body, measured = body_prior(*size), "prior"
        if self.cues.parts is not None and self.cues.parts.has(sample):
            found = self.cues.parts(sample, size).foreground
            if found is not None and bool((found >= 0.5).any()):
                body, measured = found >= 0.5, "mask"
        digest = hashlib.sha256(mirrored(sample.path, self.dataset.root).as_posix().encode()).digest()
        random = np.random.default_rng([self.seed, *digest[:8]])
        sprite, done = self._best(sample, image, body, random)
        pixels = (done.image * 255.0 + 0.5).floor().to(torch.uint8).permute(1, 2, 0).numpy()
        save_image(Image.fromarray(np.ascontiguousarray(pixels)), self._target(place), sample)
        self.cues.write(sample, place, done.hidden)
        before = 1.0 if sample.visible_fraction is None else sample.visible_fraction
        told = replace(sample, visible_fraction=round(before * done.visible, 6), obstacle=sprite.kind)
        self.rows.append(_Row(told, place.as_posix(), split, measured))

    def _best(self, sample: Sample, image: Tensor, body: Tensor, random: np.random.Generator) -> tuple[Sprite, Pasted]:
        """The first of some obstacles that comes near the wanted fraction, or the nearest of them that lies in the range."""
        low, high = self.visible_range
        wanted = float(random.uniform(low, high))
        best: tuple[float, Sprite, Pasted] | None = None
        for number in random.permutation(len(self.sprites))[:_TRIES]:
            sprite = self.sprites[int(number)]
            done = paste(image, sprite, body, wanted, random)
            off = abs(done.visible - wanted)
            if low <= done.visible <= high and (best is None or off < best[0]):
                best = off, sprite, done
                if off <= _NEAR:
                    break
        if best is None:
            raise DataError(
                f"{sample.path}: no obstacle leaves {low:.0%} to {high:.0%} of the person visible; widen visible_range, or "
                "allow more kinds of obstacle"
            )
        return best[1], best[2]

    def _target(self, place: PurePosixPath) -> Path:
        target = self.root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def finish(self, asked: dict[str, Any], out: Path) -> Occluded:
        """The lists and the record; returns what the folder will be once it is ``out``."""
        self.cues.finish()
        self.rows.sort(key=lambda row: (row.target, row.split))
        with (self.root / "dataset.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(CSV_COLUMNS)
            for row in self.rows:
                s = row.sample
                told = (s.time, s.visible_fraction, s.obstacle)
                writer.writerow(
                    [row.target, s.person, s.camera, row.split, *("" if value is None else value for value in told)]
                )
        market = self.dataset.name in _MARKET_LAYOUTS
        if market:
            lines = [json.dumps(_truth(row)) + "\n" for row in self.rows]
            (self.root / TRUTH_FILE).write_text("".join(lines), encoding="utf-8")
        hidden = [row for row in self.rows if row.measured is not None]
        made = Occluded(
            path=out if market else out / "dataset.csv",
            images=len(self.rows),
            occluded=len(hidden),
            by_kind=dict(Counter(str(row.sample.obstacle) for row in hidden)),
            by_mask=sum(row.measured == "mask" for row in hidden),
            visible=sum(row.sample.visible_fraction or 0.0 for row in hidden) / max(1, len(hidden)),
        )
        record = {
            "format": _FORMAT,
            "occlureid": metadata.version("occlureid"),
            "layout": self.dataset.name,
            "source": self.dataset.checksum(),
            "asked": {**asked, "kinds": None if asked["kinds"] is None else sorted(asked["kinds"])},
            "images": made.images,
            "occluded": made.occluded,
            "by_kind": made.by_kind,
            "measured": {"mask": made.by_mask, "prior": made.occluded - made.by_mask},
            "images_measured": {row.target: row.measured for row in hidden},
        }
        (self.root / "occlusion.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        return made


def _truth(row: _Row) -> dict[str, Any]:
    s = row.sample
    known = {"visible_fraction": s.visible_fraction, "obstacle": s.obstacle, "measured": row.measured}
    told = {key: value for key, value in known.items() if value is not None}
    return {"path": row.target, "split": row.split, "person": s.person, "camera": s.camera, **told}
