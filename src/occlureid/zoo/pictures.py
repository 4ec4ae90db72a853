"""Pictures that are computed and never stored, to test models by: the same on any machine, to the last bit."""

from __future__ import annotations

import numpy as np

from occlureid.cues.providers import ImageArray

__all__ = ["canonical_pictures", "rendered_pictures"]

_SIZE = (128, 64)

# Colours of background, hair, skin, upper and lower clothes, shoes, and where an obstacle begins (row, column; none at 128, 64)
_FIGURES = (
    ((120, 130, 110), (40, 30, 20), (210, 170, 140), (180, 40, 50), (40, 60, 120), (20, 20, 20), (128, 64)),
    ((120, 130, 110), (40, 30, 20), (210, 170, 140), (180, 40, 50), (40, 60, 120), (20, 20, 20), (70, 0)),
    ((90, 100, 140), (150, 120, 60), (160, 110, 80), (230, 220, 90), (90, 80, 70), (200, 200, 200), (128, 64)),
    ((60, 60, 60), (10, 10, 10), (110, 70, 50), (30, 120, 60), (200, 190, 170), (90, 40, 20), (0, 36)),
)


def canonical_pictures() -> list[ImageArray]:
    """Four (128, 64, 3) uint8 pictures of a figure of ellipses: two of one person, whole and with hidden legs, and two others.

    Integers alone make them, so that neither a renderer nor a library can change them.
    """
    return [_figure(*colours) for colours in _FIGURES]


def _figure(
    ground: tuple[int, ...],
    hair: tuple[int, ...],
    skin: tuple[int, ...],
    upper: tuple[int, ...],
    lower: tuple[int, ...],
    shoes: tuple[int, ...],
    hidden_from: tuple[int, int],
) -> ImageArray:
    height, width = _SIZE
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.empty((height, width, 3), np.int64)
    picture[:] = ground
    picture += ((rows * 7 + columns * 13) % 17 - 8 + rows // 8)[..., None]  # a wall that is not plain
    shapes = (
        (lower, 88, 25, 26, 7), (lower, 88, 39, 26, 7),  # legs
        (shoes, 116, 24, 5, 8), (shoes, 116, 40, 5, 8),
        (skin, 56, 14, 22, 4), (skin, 56, 50, 22, 4),  # arms
        (upper, 48, 32, 26, 16), (skin, 16, 32, 11, 8), (hair, 9, 32, 6, 9),
    )  # fmt: skip
    for colour, row, column, tall, wide in shapes:
        inside = ((rows - row) * wide) ** 2 + ((columns - column) * tall) ** 2 <= (tall * wide) ** 2
        shade = (columns - column) // 2 - (rows - row) // 6
        picture[inside] = np.array(colour) + shade[inside][:, None]
    top, left = hidden_from
    picture[top:, left:] = (140, 60, 30)
    picture[top::9, left:] = (90, 40, 20)
    return picture.clip(0, 255).astype(np.uint8)


def rendered_pictures(size: tuple[int, int], count: int = 16) -> list[ImageArray]:
    """(H, W, 3) uint8 pictures of a small rendered world, half of them occluded: of the kind that the models were trained on."""
    from occlureid.synthetic import World, WorldSettings

    settings = WorldSettings(
        seed=20_111, size=size, cameras=2, test_persons=max(2, count), query_images=1, occluded_query=0.5
    )
    return list(World(settings).render("query", range(count)).images.permute(0, 2, 3, 1).contiguous().numpy())
