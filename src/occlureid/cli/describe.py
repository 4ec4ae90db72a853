"""Describing: a dataset into a folder that is scored, or any images into one file."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlureid.cli.options import Commands, add_device, add_set, bar, changes
from occlureid.cli.weights import DEFAULT, WEIGHTS, add_cues, cues_of, restored
from occlureid.errors import UsageError

if TYPE_CHECKING:
    from occlureid.data.dataset import ReidDataset
    from occlureid.methods import Method
    from occlureid.types import Sample

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Adds this command."""
    describe = commands.add(
        "describe",
        _describe,
        "describe images into a file, or the query and gallery images of a dataset into a folder that evaluate scores",
        "occlureid describe crops --out crops.npz\n"
        "  occlureid describe runs/world --weights runs/pgfa/weights.safetensors --out runs/pgfa/described",
    )
    describe.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGES",
        help="images, and folders of images; for a dataset its folder, or a CSV file",
    )
    describe.add_argument("--weights", type=Path, help=f"{WEIGHTS} {DEFAULT}")
    describe.add_argument(
        "--out",
        type=Path,
        required=True,
        help="a file .npz or .safetensors gets the names of the images and arrays of their vectors; anything else is a folder "
        "for the described dataset",
    )
    describe.add_argument("--layout", help="layout of a dataset's folder (default: recognised by what is in it)")
    add_cues(describe, "those beside a dataset's images, in pose/ and parts/; for images the package's own models")
    describe.add_argument("--batch-size", type=int, default=64, help="images at a time (default: 64)")
    describe.add_argument("--workers", type=int, default=0, help="processes that read images (default: 0)")
    describe.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="float32",
        help="arithmetic of the network; auto: what this processor is best at (default: float32, much alike on all)",
    )
    describe.add_argument(
        "--on-corrupt", choices=("fatal", "skip"), default="fatal", help="what an unreadable image does"
    )
    describe.add_argument("--overwrite", action="store_true", help="replace descriptors of other weights or data")
    describe.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="describe a dataset on the Ray cluster at this address (auto: the one this machine belongs to)",
    )
    add_set(describe, "model.partial_test_feature=pooled (settings that leave the layers as they are)")
    add_device(describe)


def _describe(options: argparse.Namespace) -> int:
    from occlureid.zoo.exchange import SUFFIXES

    into_file = options.out.suffix in SUFFIXES
    if into_file and (options.ray or options.layout):
        raise UsageError(
            f"--ray and --layout go with a dataset, which is described into a folder, not into {options.out}"
        )
    if not into_file and len(options.images) > 1:
        raise UsageError(
            f"a folder --out is for one dataset, got {len(options.images)} paths; images are described into a file "
            f"{' or '.join(SUFFIXES)}"
        )
    changed = changes(options, "model", "describe --set changes only the model, for example model.match=parts_only")
    method = restored(options, changed)
    return _images(options, method) if into_file else _dataset(options, method)


# -- any images into one file ------------------------------------------------------------------------------------------


def _images(options: argparse.Namespace, method: Method[Any]) -> int:
    from occlureid.described import describe
    from occlureid.zoo.exchange import write_described_images

    if options.out.exists() and not options.overwrite:
        raise UsageError(f"{options.out}: is there already; give another --out, or --overwrite")
    samples, root = listed(options.images)
    descriptor, kept = describe(
        method, samples, cues=cues_of(options, method, always=True), batch_size=options.batch_size,
        workers=options.workers, device=options.device, precision=options.precision, on_corrupt=options.on_corrupt,
        progress=bar("describe"),
    )  # fmt: skip
    for index in sorted(set(range(len(samples))) - set(kept)):
        print(f"left out, unreadable: {samples[index].path}", file=sys.stderr)
    names = [samples[index].path.relative_to(root).as_posix() for index in kept]
    print(write_described_images(options.out, names, descriptor, method.rule))
    return 0


def listed(places: list[Path]) -> tuple[list[Sample], Path]:
    """The images of files and folders, each once, folders sorted, and the innermost folder that holds all that was named.

    Raises:
        UsageError: there are no images.
        DataError: there is no such file or folder.
    """
    from occlureid.cues.images import listed_images
    from occlureid.errors import DataError
    from occlureid.types import Sample

    found: dict[Path, Sample] = {}
    roots = []
    for place in (place.absolute() for place in places):
        if place.is_dir():
            roots.append(place)
            found |= {sample.path: sample for sample in listed_images(place)[0]}
        elif place.is_file():
            roots.append(place.parent)
            found[place] = Sample(place, "unknown", "unknown")
        else:
            raise DataError(f"{place}: there is no such image or folder of images")
    return list(found.values()), Path(os.path.commonpath(roots))


# -- a dataset into a folder -------------------------------------------------------------------------------------------


def _dataset(options: argparse.Namespace, method: Method[Any]) -> int:
    from occlureid.data import open_dataset
    from occlureid.described import Described, describe_dataset

    dataset = open_dataset(options.images[0], options.layout or "auto")
    if options.ray:
        return _on_ray(options, method, dataset)
    if (options.out / "described.json").exists() and not options.overwrite:
        old = Described.load(options.out)
        if old.query.fingerprint != method.fingerprint() or old.record["data"]["checksum"] != dataset.checksum():
            raise UsageError(
                f"{options.out} holds descriptors by {old.query.fingerprint} of other weights or data; "
                "give another --out, or --overwrite"
            )
    source = cues_of(options, method)
    networks = {"cue_networks": [one.provider.record for one in source.sources]} if source is not None else None
    described = describe_dataset(
        method, dataset, cues=source, record=networks, bar=lambda split: bar(f"describe {split}"),
        batch_size=options.batch_size, workers=options.workers, device=options.device, precision=options.precision,
        on_corrupt=options.on_corrupt,
    )  # fmt: skip
    skipped = sum(map(len, described.record["skipped"].values()))
    if skipped:
        print(f"{skipped} unreadable images were left out; they are named in described.json", file=sys.stderr)
    print(described.save(options.out))
    return 0


def _on_ray(options: argparse.Namespace, method: Method[Any], dataset: ReidDataset) -> int:
    from occlureid.scaleout import describe_on_ray

    if options.workers:
        raise UsageError("--workers says how this machine reads images; with --ray the cluster's processes do")
    if options.cues:
        raise UsageError("--cues compute on this machine; with --ray make the cues first (occlureid cues)")
    print(
        describe_on_ray(
            method,
            dataset,
            options.out,
            address=options.ray,
            batch_size=options.batch_size,
            device=options.device,
            precision=options.precision,
            on_corrupt=options.on_corrupt,
            overwrite=options.overwrite,
            bar=lambda split: bar(f"describe {split}"),
        )
    )
    return 0
