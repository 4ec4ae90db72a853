"""Draws docs/images/world.jpg: persons of the rendered world as the cameras see them, and the same persons behind obstacles."""

from __future__ import annotations

from pathlib import Path

import torch

from occlureid.synthetic import World, WorldSettings, contact_sheet

PERSONS = 12


def main() -> None:
    """Two rows: a gallery image of each person, and a query of the same person from another camera."""
    settings = WorldSettings(seed=1, train_persons=150, test_persons=100, size=(256, 128))
    world = World(settings)
    per_query, per_gallery = settings.cameras * settings.query_images, settings.cameras * settings.gallery_images
    occluded = world.occluded("gallery")
    above = []
    for person in range(PERSONS):
        images = range(person * per_gallery, (person + 1) * per_gallery)
        camera = person % settings.cameras
        inside = [i for i in images if not occluded[i] and (i % per_gallery) // settings.gallery_images == camera]
        above.append(inside[0])
    below = [person * per_query + (person + 1) % settings.cameras for person in range(PERSONS)]
    images = torch.cat([world.render("gallery", above).images, world.render("query", below).images])
    path = Path(__file__).parent / "images" / "world.jpg"
    path.parent.mkdir(exist_ok=True)
    contact_sheet(images, PERSONS).resize((1584, 524)).save(path, quality=88, optimize=True)


if __name__ == "__main__":
    main()
