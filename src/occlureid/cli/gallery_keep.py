"""Taking items out of a gallery, by name or by age, and looking whether what is in it is still what was stored."""

from __future__ import annotations

import argparse
import sys

from occlureid.cli.gallery_place import named, opened, say, who
from occlureid.errors import DataError, UsageError
from occlureid.gallery import Filter, Gallery

__all__ = ["erase", "expire", "remove", "verify"]


def _meant(options: argparse.Namespace, gallery: Gallery) -> list[str]:
    """The ids that a command is about and that are there."""
    if not options.id and options.person is None:
        raise UsageError("say what goes: --id ID, any number of times, or --person NAME")
    wanted = [Filter(ids=tuple(options.id))] if options.id else []
    if options.person is not None:
        wanted.append(Filter(persons=(options.person,)))
    found = {id: None for one in wanted for id in gallery.columns(one).ids.to_pylist()}
    return list(found)


def _confirm(options: argparse.Namespace, question: str) -> bool:
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody is there to answer: say --yes")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _missing(options: argparse.Namespace, gallery: Gallery, ids: list[str]) -> list[str]:
    """Whoever a command names and who is not there, in words."""
    there = set(ids)
    missing = [f"item {one!r}" for one in dict.fromkeys(options.id) if one not in there]
    if options.person is not None and not len(gallery.columns(Filter(persons=(options.person,)))):
        missing.append(f"item of person {options.person!r}")
    return missing


def _taken_out(
    options: argparse.Namespace, gallery: Gallery, missing: list[str], done: dict[str, int], text: str
) -> int:
    """Says what was taken out; an error where somebody who was named is not there, for that is no success."""
    say(options, {**done, "items": len(gallery), "missing": missing}, text)
    if not missing:
        return 0
    more = f" (nor {len(missing) - 1} more that were named)" if len(missing) > 1 else ""
    raise DataError(
        f"{gallery.path}: there is no {missing[0]}{more}; ids and names are compared letter by letter, the audit log says what "
        "was taken out before"
    )


def remove(options: argparse.Namespace) -> int:
    """The command ``gallery remove``."""
    gallery, by = opened(options), who(options)
    ids = _meant(options, gallery)
    missing = _missing(options, gallery, ids)
    if ids and not _confirm(options, f"Remove {len(ids)} items from {gallery.path}?"):
        return say(options, {"removed": 0}, "nothing was removed")
    count = gallery.remove(ids, by=by)
    text = f"{count} items removed; their bytes go with compact or erase" if count else "nothing was removed"
    return _taken_out(options, gallery, missing, {"removed": count}, text)


def erase(options: argparse.Namespace) -> int:
    """The command ``gallery erase``."""
    gallery, by = opened(options), who(options)
    ids = _meant(options, gallery)
    missing = _missing(options, gallery, ids)
    if ids and not _confirm(options, f"Erase {len(ids)} items from {gallery.path} for good?"):
        return say(options, {"erased": 0}, "nothing was erased")
    # Also where nothing is there any more: what was removed before then goes off the disk too
    count = gallery.erase(ids=options.id, person=options.person, by=by)
    text = f"{count} items erased; neither they nor what was removed before are on disk any more"
    text = text if count else "nobody was erased; what was removed before is off the disk too"
    return _taken_out(options, gallery, missing, {"erased": count}, text)


def expire(options: argparse.Namespace) -> int:
    """The command ``gallery expire``."""
    gallery, by = opened(options), who(options)
    if gallery.shape.retention is None:
        raise UsageError(f"{gallery.path}: items of this gallery are kept for ever; it was created without --retention")
    found = gallery.expiring()
    if found.doubt is not None and not _confirm(
        options, f"{len(found)} items would expire, but {found.doubt}. Erase them?"
    ):
        return say(options, {"expired": 0, "items": len(gallery), "future": list(found.future)}, "nothing expired")
    count = gallery.expire(found.now, by=by, sure=found.doubt is not None)
    text = f"{count} items expired and are erased"
    if found.future:
        text += f"; {len(found.future)} are from the future and will be kept too long: {named(found.future)}"
    return say(options, {"expired": count, "items": len(gallery), "future": list(found.future)}, text)


def verify(options: argparse.Namespace) -> int:
    """The command ``gallery verify``."""
    gallery, by = opened(options), who(options)
    sealed = gallery.seal(by=by) if options.seal else False
    found, future = gallery.verify(), gallery.expiring().future
    values = {
        "items": found.items,
        "sealed": found.sealed,
        "damaged": {one: list(what) for one, what in found.damaged.items()},
        "future": list(future),
    }
    lines = [f"{found.items} items read, {len(found.damaged)} damaged" + ("; checksums were added" if sealed else "")]
    lines += [f"{one!r}: {', '.join(what)}" for one, what in found.damaged.items()]
    if future:
        lines.append(f"{len(future)} items are from the future, which no retention ever reaches: {named(future)}")
    say(options, values, "\n".join(lines))
    if not found.damaged:
        return 0
    raise DataError(
        f"{gallery.path}: {len(found.damaged)} items are not what was stored, and are left out of searches. Copy the gallery "
        f"from a backup, or erase them (occlureid gallery erase {gallery.path} --id ID) and add their images again; then look "
        "after the disk"
    )
