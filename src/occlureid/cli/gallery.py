"""Galleries on disk: made, filled, searched, emptied, looked into."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from occlureid.cli.gallery_place import add_describing, add_place, ageing, named, opened, say, table, when, who
from occlureid.cli.options import Commands
from occlureid.cli.weights import DEFAULT, WEIGHTS
from occlureid.errors import UsageError

__all__ = ["register"]

_SPLITS = ("gallery", "query", "train", "all")


def register(commands: Commands) -> None:
    """Adds these commands."""
    actions = commands.group(
        "gallery",
        "keep described crops in a gallery on disk, and search it",
        "occlureid gallery search runs/people query.jpg",
        title="what to do",
        metavar="ACTION",
    )
    _add_filling(actions)
    _add_searching(actions)
    _add_emptying(actions)
    _add_keeping(actions)


# -- the commands' arguments -------------------------------------------------------------------------------------------


def _add_filling(actions: Commands) -> None:
    create = actions.add(
        "create",
        _create,
        "make an empty gallery for the descriptors of some weights",
        "occlureid gallery create runs/people --retention 30",
    )
    add_place(create)
    create.add_argument("--weights", type=Path, help=f"{WEIGHTS}; describes the crops {DEFAULT}")
    create.add_argument("--retention", type=float, metavar="DAYS", help="erase items of this age (default: never)")
    create.add_argument(
        "--exist-ok",
        action="store_true",
        help="leave a gallery that is there already for the same weights and retention",
    )
    adding = actions.add(
        "add",
        _add,
        "describe crops and add them; those that are there already are left as they are",
        "occlureid gallery add runs/people crops.csv --thumbnails",
    )
    add_place(adding)
    adding.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGES",
        help="images, folders of images, datasets in a known layout, or CSV files of crops with the columns path, camera, and if "
        "known id, person, time, box",
    )
    add_describing(adding, "those that the gallery was created with")
    adding.add_argument(
        "--layout", default="auto", help="layout of datasets; none takes folders as they are (default: recognised)"
    )
    adding.add_argument(
        "--split", choices=_SPLITS, default="gallery", help="which images of a dataset (default: gallery)"
    )
    adding.add_argument("--camera", default="unknown", help="of plain images (default: unknown)")
    adding.add_argument("--person", help="who is on all plain images, where that is known")
    adding.add_argument("--prefix", default="", help="put before every id, such as entrance/")
    adding.add_argument("--thumbnails", action="store_true", help="keep a small picture of each crop, to show")


def _add_searching(actions: Commands) -> None:
    searching = actions.add(
        "search",
        _search,
        "find the people on some images, or of some stored items",
        "occlureid gallery search runs/people query.jpg --sheet runs/hits.png",
    )
    add_place(searching)
    searching.add_argument(
        "images", type=Path, nargs="*", metavar="IMAGE", help="images, folders, or CSV files of crops"
    )
    add_describing(searching, "those that the gallery was created with")
    searching.add_argument(
        "--item", action="append", default=[], metavar="ID", help="search for who is on a stored item; repeatable"
    )
    searching.add_argument("--together", action="store_true", help="all images or items show one person: one search")
    searching.add_argument("-k", type=int, default=10, help="how many hits (default: 10)")
    for name, text in (
        ("camera", "only of this camera"),
        ("not-camera", "not of this camera"),
        ("person", "only this person"),
    ):
        searching.add_argument(f"--{name}", action="append", default=[], metavar="NAME", help=f"{text}; repeatable")
    searching.add_argument(
        "--since",
        metavar="TIME",
        help="taken at or after: a date such as 2026-01-31, or a date and time such as 2026-01-31T14:05:00Z",
    )
    searching.add_argument("--until", metavar="TIME", help="taken before: as --since")
    searching.add_argument(
        "--calibration", type=Path, help="threshold (default: the gallery's own, where calibrate made one)"
    )
    searching.add_argument(
        "--approximate",
        action="store_true",
        help="build an index in memory and compare only what it names; its recall against the exact search is printed",
    )
    searching.add_argument("--explain", action="store_true", help="print what each distance is made of")
    searching.add_argument(
        "--sheet", type=Path, metavar="PNG", help="draw the hits, compared parts outlined, others greyed"
    )

    calibrating = actions.add(
        "calibrate",
        _calibrate,
        'set the thresholds of "match likely" and "probably not in the gallery", from people whose names are known',
        "occlureid gallery calibrate runs/people --described runs/baseline/described --rate 0.01",
    )
    add_place(calibrating)
    calibrating.add_argument(
        "--described", type=Path, help="described validation set (default: the gallery's own labelled persons)"
    )
    calibrating.add_argument("--rate", type=float, default=0.01, help="false-positive rate to keep (default: 0.01)")
    calibrating.add_argument(
        "--unit", choices=("pair", "search"), default="pair", help="what the rate is a share of (default: pair)"
    )
    calibrating.add_argument(
        "--miss",
        type=float,
        default=0.05,
        help='share of true pairs that may lie where a hit is called "probably not" (default: 0.05)',
    )
    calibrating.add_argument("--images", type=int, default=2000, help="most images of each side (default: 2000)")
    calibrating.add_argument("--out", type=Path, help="file of the threshold (default: in the gallery's folder)")


def _add_emptying(actions: Commands) -> None:
    for name, run, summary in (
        ("remove", _remove, "take items out; their bytes stay on disk until compact or erase"),
        ("erase", _erase, "take items out, and every byte of them off the disk"),
    ):
        command = actions.add(name, run, summary, f"occlureid gallery {name} runs/people --person 0042 --yes")
        add_place(command)
        command.add_argument("--id", action="append", default=[], metavar="ID", help="of an item; repeatable")
        command.add_argument("--person", help="all items of this person")
        command.add_argument("--yes", action="store_true", help="do not ask")
    expire = actions.add(
        "expire",
        _expire,
        "erase what is older than the gallery keeps items",
        "occlureid gallery expire runs/people",
    )
    add_place(expire)
    expire.add_argument(
        "--yes",
        action="store_true",
        help="also where the clock is far ahead of the newest item, or more than a tenth of the gallery would go",
    )


def _add_keeping(actions: Commands) -> None:
    stats = actions.add("stats", _stats, "say what is in a gallery", "occlureid gallery stats runs/people")
    add_place(stats, logged=False)
    verify = actions.add(
        "verify",
        _verify,
        "compare everything with its checksums, and say what to do about damage",
        "occlureid gallery verify runs/people",
    )
    add_place(verify)
    verify.add_argument(
        "--seal", action="store_true", help="give a gallery from before there were checksums those of what it holds now"
    )
    compact = actions.add(
        "compact",
        _compact,
        "join small files, and free what removed items take",
        "occlureid gallery compact runs/people",
    )
    add_place(compact, logged=False)
    exporting = actions.add(
        "export",
        _export,
        "write all items with their vectors to one Parquet file",
        "occlureid gallery export runs/people people.parquet",
    )
    add_place(exporting)
    exporting.add_argument("file", type=Path, metavar="FILE", help="to write")
    exporting.add_argument("--overwrite", action="store_true", help="replace the file")
    importing = actions.add(
        "import",
        _import,
        "add the items of a Parquet file that export has written",
        "occlureid gallery import runs/people people.parquet",
    )
    add_place(importing)
    importing.add_argument("file", type=Path, metavar="FILE", help="to read")
    audit = actions.add(
        "audit", _audit, "print who did what, and when", "occlureid gallery audit runs/people --item 0042_c1_17.jpg"
    )
    add_place(audit, logged=False)
    audit.add_argument("--item", metavar="ID", help="only what concerns this item, erased or not")


# -- those that describe images: kept apart, for they load torch -------------------------------------------------------


def _create(options: argparse.Namespace) -> int:
    from occlureid.cli.gallery_add import create

    return create(options)


def _add(options: argparse.Namespace) -> int:
    from occlureid.cli.gallery_add import add

    return add(options)


def _search(options: argparse.Namespace) -> int:
    from occlureid.cli.gallery_search import search

    return search(options)


def _calibrate(options: argparse.Namespace) -> int:
    from occlureid.cli.gallery_calibrate import calibrate

    return calibrate(options)


# -- the others --------------------------------------------------------------------------------------------------------


def _remove(options: argparse.Namespace) -> int:
    from occlureid.cli.gallery_keep import remove

    return remove(options)


def _erase(options: argparse.Namespace) -> int:
    from occlureid.cli.gallery_keep import erase

    return erase(options)


def _expire(options: argparse.Namespace) -> int:
    from occlureid.cli.gallery_keep import expire

    return expire(options)


def _verify(options: argparse.Namespace) -> int:
    from occlureid.cli.gallery_keep import verify

    return verify(options)


def _stats(options: argparse.Namespace) -> int:
    gallery = opened(options)
    found = gallery.stats()
    shape = gallery.shape
    days = None if shape.retention is None else shape.retention / 86_400
    values: dict[str, Any] = {
        "gallery": gallery.path,
        "fingerprint": gallery.fingerprint,
        **asdict(found),
        "global_size": shape.global_size,
        "parts": shape.parts,
        "part_size": shape.part_size,
        "local_size": shape.local_size,
        "rule": gallery.rule.to_json(),
        "retention_days": days,
    }
    vectors = f"{shape.global_size} and {shape.parts} parts of {shape.part_size}"
    rows = [
        ("items", f"{found.items:,}"),
        ("persons", f"{found.persons:,}, {found.unnamed:,} items without a name"),
        ("taken", "not known" if found.first is None else f"{when(found.first)} to {when(found.last)}"),
        ("described by", gallery.fingerprint),
        ("vectors", vectors + (f", local vectors of {shape.local_size}" if shape.local_size else "")),
        ("checksums", "yes" if found.sealed else "none: occlureid gallery verify --seal gives some"),
        ("kept", "for ever" if days is None else f"for {days:g} days"),
        ("on disk", "-" if found.bytes is None else f"{found.bytes:,} bytes in {found.files} data files"),
        ("version", found.version),
    ]
    cameras = [(camera, f"{count:,}") for camera, count in found.cameras.items()]
    text = table((gallery.path, ""), rows)
    return say(options, values, f"{text}\n\n{table(('camera', 'items'), cameras)}" if cameras else text)


def _compact(options: argparse.Namespace) -> int:
    gallery = opened(options)
    before = gallery.stats().bytes
    gallery.compact()
    after = gallery.stats().bytes
    text = "compacted" if before is None or after is None else f"compacted: {before:,} bytes are now {after:,}"
    return say(options, {"bytes_before": before, "bytes": after}, text)


def _export(options: argparse.Namespace) -> int:
    gallery, by = opened(options), who(options)
    if options.file.exists() and not options.overwrite:
        raise UsageError(f"{options.file}: is there already; give another name, or --overwrite")
    gallery.audit.write(by, "export", state="begun")
    damaged = list[str]()
    count = gallery.export_parquet(options.file, left_out=damaged.append)
    gallery.audit.write(by, "export", count=count)
    text = f"{count} items written to {options.file}"
    if damaged:
        text += f"; {len(damaged)} damaged items were left out: {named(damaged)}"
    return say(options, {"exported": count, "file": str(options.file), "damaged": damaged}, text)


def _import(options: argparse.Namespace) -> int:
    gallery = opened(options)
    result = gallery.import_parquet(options.file, by=who(options))
    text = f"{result.added} items added, {result.present} were there already; {len(gallery)} in {gallery.path}"
    values = {"added": result.added, "present": result.present, "expired": result.expired, "overdue": result.overdue}
    return say(options, {**values, "items": len(gallery)}, text + ageing(gallery, result.expired, result.overdue))


def _audit(options: argparse.Namespace) -> int:
    events = list(opened(options).audit.read(options.item))
    if options.json:
        print(json.dumps(events, indent=1))
        return 0
    known = ("time", "who", "action", "state", "count", "items")
    rows = []
    for event in events:
        details = ", ".join(f"{key} {json.dumps(value)}" for key, value in event.items() if key not in known)
        # The file may be damaged: what it says is shown as JSON would say it
        shown = [json.dumps(event[key])[:60].strip('"') if key in event else None for key in known[:5]]
        rows.append((*shown, details or None))
    print(table(("time", "who", "what", "state", "items", "details"), rows))
    return 0
