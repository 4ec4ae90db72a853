"""What a world is made to: its size, its shares of occlusion, its nuisances."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from occlureid.config import Settings
from occlureid.errors import DataError
from occlureid.synthetic.streams import SPLITS

__all__ = ["WorldSettings"]

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Pixels = Annotated[int, Field(ge=16, le=2048)]


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
    look_alike: Share = 0.35
    """Share of the persons who are dressed like somebody else but for a few features."""
    passers_by: Annotated[int, Field(ge=0, le=3)] = 2
    """Most people who walk behind the target in one image."""
    colour_cast: Annotated[float, Field(ge=0.0, le=0.3)] = 0.08
    """Spread of the cameras' white balance, as a factor of each channel."""
    exposure: Annotated[float, Field(ge=0.0, le=0.6)] = 0.25
    """Greatest change of brightness from image to image, as a share."""
    sensor_noise: Annotated[float, Field(ge=0.0, le=0.2)] = 0.03
    """Greatest standard deviation of a pixel's noise, as a share of the sensor's range."""
    keypoint_noise: Annotated[float, Field(ge=0.0, le=0.1)] = 0.006
    """Standard deviation of the written landmarks, as a share of the image's height (x: of twice its width); 0 is exact."""
    image_format: Literal["jpg", "png"] = "jpg"
    """File format of the images."""
    jpeg_quality: Annotated[int, Field(ge=30, le=100)] = 92
    """Quality of JPEG files."""

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        low, high = self.visible_range
        if not 0.1 <= low <= high - 0.2 or high > 0.9:
            raise ValueError(
                f"visible_range must satisfy 0.1 <= low, low + 0.2 <= high and high <= 0.9, got {low}, {high}"
            )
        return self

    def images_per_camera(self, split: str) -> int:
        """Images of one person in one camera of a split.

        Raises:
            DataError: no such split.
        """
        check_split(split)
        return {"train": self.train_images, "query": self.query_images, "gallery": self.gallery_images}[split]

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
