"""Making a gallery for the descriptors of some weights, and putting crops into it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from occlureid.cli.gallery_crops import Crop, Group, Naming, collect, cut
from occlureid.cli.gallery_describing import CropDescriber
from occlureid.cli.gallery_place import ageing, check_model, opened, say, who, write_names
from occlureid.cli.options import bar
from occlureid.cli.weights import describer_of, restored
from occlureid.describing import Describer
from occlureid.errors import DataError
from occlureid.gallery import Filter, Gallery
from occlureid.service.pictures import thumbnail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from occlureid.types import Descriptor

__all__ = ["add", "create"]

TOGETHER = 256
"""Crops that are added in one commit, and lost where the command is interrupted before it."""

THUMBNAIL = 192
"""Pixels of the longer side."""

_DAY = 86_400.0


def create(options: argparse.Namespace) -> int:
    """The command ``gallery create``."""
    describer = Describer(restored(options))
    gallery = Gallery.create(
        options.gallery, like=describer, audit=options.audit, by=who(options),
        retention=None if options.retention is None else options.retention * _DAY, exist_ok=options.exist_ok,
    )  # fmt: skip
    write_names(gallery, describer.method)
    kept = "for ever" if options.retention is None else f"for {options.retention:g} days"
    values = {
        "gallery": gallery.path,
        "fingerprint": gallery.fingerprint,
        **asdict(describer.shape),
        "retention_days": options.retention,
    }
    return say(options, values, f"{gallery.path}: a gallery for {gallery.fingerprint}; items are kept {kept}")


def add(options: argparse.Namespace) -> int:
    """The command ``gallery add``."""
    gallery, by = opened(options), who(options)
    describer = describer_of(options)
    check_model(gallery, describer.method, options.weights)
    naming = Naming(options.layout, options.split, options.camera, options.person, options.prefix)
    groups = collect(options.images, naming)
    adding = _Adding(gallery, describer, options, by)
    shown = None if options.json else bar("add")
    total = sum(len(group.crops) for group in groups)
    try:
        adding.all(groups, lambda done: shown(done, total) if shown else None)
    except KeyboardInterrupt:
        print(f"\n{adding.added} items were added; the same command goes on from there", file=sys.stderr)
        raise
    for id, reason in adding.unreadable.items():
        print(f"left out {id!r}: {reason}", file=sys.stderr)
    if adding.others:
        print(
            f"{len(adding.others)} ids belong to other images already, the first is {adding.others[0]!r}; they were left as "
            "they are (--prefix gives these images ids of their own)",
            file=sys.stderr,
        )
    if adding.unreadable and not adding.added and not adding.present:
        raise DataError(f"none of the {total} images could be read")
    values = {
        "added": adding.added,
        "present": adding.present,
        "unreadable": adding.unreadable,
        "other_images": adding.others,
        "expired": adding.expired,
        "overdue": adding.overdue,
        "items": len(gallery),
    }
    text = (
        f"{adding.added} items added, {adding.present} were there already, {len(adding.unreadable)} could not be read; "
        f"{values['items']} in {gallery.path}"
    ) + ageing(gallery, adding.expired, adding.overdue)
    return say(options, values, text)


class _Adding:
    """Puts crops into a gallery, some at a time; what is there already is not even read."""

    def __init__(self, gallery: Gallery, describer: Describer, options: argparse.Namespace, by: str) -> None:
        self.added = self.present = self.expired = self.overdue = 0
        self.unreadable: dict[str, str] = {}
        self.others: list[str] = []
        self._gallery = gallery
        self._describer = CropDescriber(describer)
        self._options = options
        self._by = by

    def all(self, groups: Sequence[Group], progress: Callable[[int], None]) -> None:
        done = 0
        for group in groups:
            for start in range(0, len(group.crops), TOGETHER):
                some = group.crops[start : start + TOGETHER]
                self._some(group.root, some, lambda described, _, before=done: progress(before + described))  # type: ignore[misc]
                done += len(some)
                progress(done)

    def _some(self, root: Path, crops: Sequence[Crop], progress: Callable[[int, int], None]) -> None:
        known = {one.id: one for one in self._gallery.items(Filter(ids=tuple(crop.item.id for crop in crops)))}
        new = [crop for crop in crops if crop.item.id not in known]
        self.present += len(known)
        self.others += [
            crop.item.id
            for crop in crops
            if (one := known.get(crop.item.id)) is not None
            and (one.source, one.box) != (crop.item.source, crop.item.box)
        ]
        if not new:
            return
        descriptor, kept, failed = self._describer.describe(
            root, new, batch_size=self._options.batch_size, on_corrupt="skip", progress=progress
        )
        self.unreadable |= failed
        if descriptor is not None:
            self._commit([new[number] for number in kept], descriptor)

    def _commit(self, crops: Sequence[Crop], descriptor: Descriptor) -> None:
        items = [crop.item for crop in crops]
        if self._options.thumbnails:
            items = [replace(crop.item, thumbnail=thumbnail(cut(crop), THUMBNAIL)) for crop in crops]
        result = self._gallery.add(items, descriptor, by=self._by)
        self.added += result.added
        self.present += result.present  # another process was faster
        self.expired += result.expired
        self.overdue = max(self.overdue, result.overdue)
