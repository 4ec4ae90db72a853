"""Draws the pictures in docs/images: ``python docs/pictures.py``.

world.jpg: persons of the rendered world as its cameras see them, and the same persons behind obstacles.
truth.jpg: some images, and all that is known of them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from occlureid.synthetic import Rendered, World, WorldSettings, contact_sheet, truth_sheet

SETTINGS = WorldSettings(seed=1, train_persons=150, test_persons=100, size=(256, 128))
PERSONS = 16
TILE = (104, 52)
TRUTH = (2, 13, 22, 29, 38, 51)
IMAGES = Path(__file__).parent / "images"


def clear_views(world: World) -> Rendered:
    """A gallery image of each person, from one camera after the other, with nothing in front."""
    per_person = SETTINGS.cameras * SETTINGS.gallery_images
    occluded = world.occluded("gallery")
    chosen = []
    for person in range(PERSONS):
        images = range(person * per_person, (person + 1) * per_person)
        camera = person % SETTINGS.cameras
        chosen += [i for i in images if not occluded[i] and i % per_person // SETTINGS.gallery_images == camera][:1]
    return world.render("gallery", chosen)


def hidden_views(world: World, further: int) -> Rendered:
    """A query image of each person, from a camera so much further on."""
    per_person = SETTINGS.cameras * SETTINGS.query_images
    return world.render("query", [k * per_person + (k + further) % SETTINGS.cameras for k in range(PERSONS)])


def draw_world(world: World) -> Image.Image:
    """Three rows: persons unhidden, and the same persons twice behind something, each time from another camera."""
    rows = [clear_views(world), hidden_views(world, 1), hidden_views(world, 2)]
    sheet = contact_sheet(torch.cat([row.images for row in rows]), PERSONS, gap=6)
    return sheet.resize((PERSONS * TILE[1] * 2, len(rows) * TILE[0] * 2), Image.Resampling.LANCZOS)


def main() -> None:
    """Draws both."""
    world = World(SETTINGS)
    IMAGES.mkdir(exist_ok=True)
    draw_world(world).save(IMAGES / "world.jpg", quality=88, optimize=True)
    truth_sheet(world.render("query", TRUTH), across=2, height=208).save(
        IMAGES / "truth.jpg", quality=88, optimize=True
    )


if __name__ == "__main__":
    main()
