"""What a world is made to: its size, its shares of occlusion, its nuisances."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from occlureid.config import Settings
from occlureid.errors import DataError
from occlureid.synthetic.obstacles import KINDS
from occlureid.synthetic.streams import SPLITS

__all__ = ["WorldSettings"]

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Pixels = Annotated[int, Field(ge=16, le=2048)]
Quality = Annotated[int, Field(ge=10, le=100)]


class WorldSettings(Settings):
    """A rendered world of pedestrians, cameras and obstacles; one seed and these settings give the same images for ever."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Everything random derives from it."""
    train_persons: Annotated[int, Field(ge=1)] = 100
    """Identities of the training split."""
    test_persons: Annotated[int, Field(ge=1)] = 50
    """Identities of query and gallery; none of them is in the training split."""
    cameras: Annotated[int, Field(ge=2, le=9)] = 4
    """Cameras; every person passes every one of them."""
    train_images: Annotated[int, Field(ge=1)] = 4
    """Training images of each person in each camera."""
    query_images: Annotated[int, Field(ge=1)] = 1
    """Query images of each test person in each camera."""
    gallery_images: Annotated[int, Field(ge=1)] = 3
    """Gallery images of each test person in each camera."""
    size: tuple[Pixels, Pixels] = (256, 128)
    """Height and width of the images in pixels; the same scene is squeezed into any size."""
    crop_aspect: Annotated[float, Field(ge=0.25, le=2.0)] = 0.5
    """Least width of a crop as a share of its height, in the scene; wide strides give wider crops."""
    crop_jitter: Annotated[float, Field(ge=0.0, le=0.2)] = 0.05
    """How far a crop's sides may lie from the silhouette, as a share of its height."""
    occluded_train: Share = 0.09
    """Share of the training images in which the person is partly hidden."""
    occluded_query: Share = 1.0
    """The same for the query images."""
    occluded_gallery: Share = 0.10
    """The same for the gallery images."""
    visible_range: tuple[Share, Share] = (0.3, 0.8)
    """Least and greatest visible fraction of an occluded image; the others show at least 0.95."""
    obstacles: tuple[str, ...] = KINDS
    """Kinds of what hides people: car, tree, ..., person (somebody else of the split), border (the image's own)."""
    look_alike: Share = 0.35
    """Share of the persons who are dressed like somebody else but for a few features."""
    passers_by: Annotated[int, Field(ge=0, le=3)] = 2
    """Most people who walk behind the target in one image."""
    far_people: Annotated[int, Field(ge=0, le=4)] = 2
    """Most people far off, small in the background of one image."""
    company_alike: Share = 0.25
    """Share of the other people who come from the target's own circle of four, whose members may be dressed like the target."""
    box_visible: Share = 0.3
    """Share of the occluded images whose simulated detector put its box around the visible part, not the whole person."""
    box_errors: Share = 0.12
    """Share of the images whose box is far off: much too large, off to a side, or cutting into head or feet."""
    resolution: tuple[Share, Share] = (0.33, 1.0)
    """Least and greatest native resolution as a share of ``size``: a camera's focal length and the distance give each image
    1, 2/3, 1/2 or 1/3; the image passes the optics at that resolution and is then enlarged. (1, 1) turns it off."""
    lighting: Share = 1.0
    """How far the cameras' light departs from a white, diffuse day: sun, haze, evening, lamps, their colours and ratios."""
    shadows: Share = 1.0
    """How dark people, obstacles, buildings and leaves shade what lies behind them from the light; 0 casts none."""
    ambient_occlusion: Share = 1.0
    """How dark corners are: between legs, under arms and chins, where feet meet the ground; 0 is off."""
    background: Share = 1.0
    """How much of a street stands behind the people, from 0 (plain ground and wall) to 1 (everything drawn)."""
    colour_cast: Annotated[float, Field(ge=0.0, le=0.3)] = 0.08
    """Spread of the cameras' white balance, as a factor of each channel."""
    tone: Share = 1.0
    """How far the cameras' tone curves differ: washed out or hard, pale or garish, dark or bright; 0 gives all the same."""
    exposure: Annotated[float, Field(ge=0.0, le=0.6)] = 0.25
    """Greatest change of brightness from image to image, as a share."""
    focus_blur: Annotated[float, Field(ge=0.0, le=0.03)] = 0.005
    """Greatest standard deviation of the blur of a lens out of focus, as a share of the image's height."""
    motion_blur: Annotated[float, Field(ge=0.0, le=0.1)] = 0.02
    """Greatest length of the smear along the walker's motion, as a share of the image's height."""
    sensor_noise: Annotated[float, Field(ge=0.0, le=0.2)] = 0.025
    """Greatest standard deviation of a pixel's noise at half of the sensor's range; it grows with the root of the light, and
    a part of it is coarse and coloured."""
    sharpening: Annotated[float, Field(ge=0.0, le=2.0)] = 0.8
    """Greatest strength of the halo that cheap cameras draw along edges."""
    jpeg: tuple[Quality, Quality] = (40, 92)
    """Least and greatest quality of the cameras' own compression, before the image is enlarged; (100, 100) leaves it out."""
    keypoint_noise: Annotated[float, Field(ge=0.0, le=0.1)] = 0.006
    """Standard deviation of the written landmarks, as a share of the image's height (x: of twice its width); 0 is exact."""
    image_format: Literal["jpg", "png"] = "jpg"
    """File format of the images."""
    jpeg_quality: Annotated[int, Field(ge=30, le=100)] = 92
    """Quality of the JPEG files on disk; the cameras' own compression is ``jpeg``."""

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        low, high = self.visible_range
        if not 0.1 <= low <= high - 0.05 or high > 0.95:
            raise ValueError(
                f"visible_range must satisfy 0.1 <= low, low + 0.05 <= high and high <= 0.95, got {low}, {high}"
            )
        if unknown := sorted(set(self.obstacles) - set(KINDS)):
            raise ValueError(f"obstacles must be some of {', '.join(KINDS)}; got {', '.join(unknown)}")
        if not self.obstacles or len(set(self.obstacles)) < len(self.obstacles):
            raise ValueError("obstacles must name at least one kind, and each once")
        if not 0.3 <= self.resolution[0] <= self.resolution[1]:
            raise ValueError(f"resolution must satisfy 0.3 <= least <= greatest <= 1, got {self.resolution}")
        if self.jpeg[0] > self.jpeg[1]:
            raise ValueError(f"jpeg must name the least quality first, got {self.jpeg}")
        return self

    def images_per_camera(self, split: str) -> int:
        """Images of one person in one camera of a split.

        Raises:
            DataError: no such split.
        """
        check_split(split)
        return {"train": self.train_images, "query": self.query_images, "gallery": self.gallery_images}[split]

    def persons(self, split: str) -> tuple[int, int]:
        """Number of a split's first identity, counted from 1 over the world, and how many it has.

        Raises:
            DataError: no such split.
        """
        check_split(split)
        return (1, self.train_persons) if split == "train" else (1 + self.train_persons, self.test_persons)

    def count(self, split: str) -> int:
        """Images of a split."""
        persons = self.train_persons if split == "train" else self.test_persons
        return persons * self.cameras * self.images_per_camera(split)

    def occluded_share(self, split: str) -> float:
        """Share of occluded images of a split."""
        check_split(split)
        return {"train": self.occluded_train, "query": self.occluded_query, "gallery": self.occluded_gallery}[split]


def check_split(split: str) -> None:
    """Raises:
    DataError: no such split.
    """  # noqa: D205
    if split not in SPLITS:
        raise DataError(f"a world has the splits {', '.join(SPLITS)}, got {split!r}")
