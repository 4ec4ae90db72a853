"""Images into a gallery: described some at a time, each part committed before the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlureid.errors import DataError, FingerprintError, UsageError
from occlureid.gallery.records import Filter, Item
from occlureid.gallery.writing import AddResult
from occlureid.types import Sample

if TYPE_CHECKING:
    from occlureid.gallery.like import DescribesImages
    from occlureid.gallery.store import Gallery

__all__ = ["add_images"]


def add_images(
    gallery: Gallery,
    images: Iterable[Any],
    describer: DescribesImages,
    *,
    ids: Iterable[str] | None = None,
    camera: str = "unknown",
    person: str | None = None,
    by: str = "local",
    together: int = 256,
    progress: Callable[[int], None] | None = None,
) -> AddResult:
    """Describes images and adds them, some at a time; images whose id is there already are not even read.

    Args:
        gallery: to add to.
        images: samples of a dataset, image files, or pictures in memory (Pillow images, (H, W, 3) uint8 RGB arrays).
        describer: what the gallery was made like.
        ids: one an image; the names of the files unless given.
        camera: of images that are no samples.
        person: of images that are no samples, where it is known.
        by: who adds them.
        together: images of one commit, which are lost where the process is killed before it.
        progress: called with the number of images done.

    Returns:
        Their number, and that of images whose id was there already.

    Raises:
        FingerprintError: the gallery was made like another describer.
        DataError: an image cannot be read, or two have one id; what was committed before stays.
        UsageError: the images are a single one, there is not one id an image, or a picture in memory has none.
        MissingCueError: the describer's method needs a cue that is not there.
        BusyError: another process was writing all the time.
    """
    if isinstance(images, str | bytes | Path) or not isinstance(images, Iterable):
        raise UsageError(f"images must be several, got one {type(images).__name__}; give a list of them")
    if together < 1:
        raise UsageError(f"together must be at least 1, got {together}")
    if describer.fingerprint != gallery.fingerprint:
        raise FingerprintError(
            f"{gallery.path} holds descriptors of {gallery.fingerprint}, this describer is {describer.fingerprint}; give the one "
            "that the gallery was made like"
        )
    total, done = AddResult(0, 0, gallery.version), 0
    seen: set[str] = set()
    for some in _portions(_items(images, ids, camera, person), together):
        for _, item in some:
            if item.id in seen:
                raise DataError(f"two images have the id {item.id!r}; give ids of your own (ids=)")
            seen.add(item.id)
        known = {one.id for one in gallery.items(Filter(ids=tuple(item.id for _, item in some)))}
        new = [(image, item) for image, item in some if item.id not in known]
        if new:
            sources = [image for image, _ in new]
            if all(isinstance(source, Sample) for source in sources):  # cues from files need the samples
                descriptor = describer.samples(sources)[0]
            else:
                pictures = [source.path if isinstance(source, Sample) else source for source in sources]
                descriptor = describer.pictures(pictures)
            total += gallery.add([item for _, item in new], descriptor, by=by)
        total += AddResult(0, len(known), gallery.version)
        done += len(some)
        if progress is not None:
            progress(done)
    return total


def _items(
    images: Iterable[Any], ids: Iterable[str] | None, camera: str, person: str | None
) -> Iterator[tuple[Any, Item]]:
    names = iter(ids) if ids is not None else None
    for number, image in enumerate(images):
        sample = image if isinstance(image, Sample) else None
        path = sample.path if sample is not None else Path(image) if isinstance(image, str | Path) else None
        id = next(names, None) if names is not None else path.name if path is not None else None
        if id is None:
            missing = "there are fewer ids than images" if names is not None else "a picture in memory has no name"
            raise UsageError(f"image {number}: {missing}; give one id an image (ids=)")
        source = str(path.absolute()) if path is not None else None
        if sample is not None:
            yield sample, Item(id, sample.camera, sample.person, source=source)
        else:
            yield image if path is None else path, Item(id, camera, person, source=source)
    if names is not None and next(names, None) is not None:
        raise UsageError("there are more ids than images; give one id an image (ids=)")


def _portions(pairs: Iterator[tuple[Any, Item]], size: int) -> Iterator[Sequence[tuple[Any, Item]]]:
    while some := list(islice(pairs, size)):
        yield some
