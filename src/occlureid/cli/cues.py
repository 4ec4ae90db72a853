"""Commands that make cues: landmarks and part maps for people who have only images, and the look at what came out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlureid.cli.options import Commands, add_device, add_set, bar, layers
from occlureid.cli.weights import weights_file
from occlureid.errors import MissingWeightsError, UsageError

if TYPE_CHECKING:
    from occlureid.cues import CueCache, CueSummary, PartFolder, PoseFolder, Provider
    from occlureid.data import CueSource
    from occlureid.types import CueName
    from occlureid.zoo.record import Task

__all__ = ["register"]

_POSE = ("vitpose", "exact", "degraded", "import")
_PARSING = ("segformer", "exact", "degraded", "import")
_TRAINED_SUFFIX = ".safetensors"
_TRAINED_BY: dict[tuple[str, ...], str] = {_POSE: "train-landmarks", _PARSING: "train-parser"}
_TASKS: dict[tuple[str, ...], Task] = {_POSE: "landmarks", _PARSING: "parser"}


def register(commands: Commands) -> None:
    """Adds these commands."""
    kinds = commands.group(
        "cues",
        "make landmarks or part maps for a folder of images",
        "occlureid cues pose data/market --device cuda",
        title="kinds",
        metavar="KIND",
    )
    pose = kinds.add(
        "pose",
        _pose,
        "find landmarks and write them where methods look for them, in pose/",
        "occlureid cues pose data/market --provider vitpose --model usyd-community/vitpose-base-simple",
    )
    _add_building(pose, _POSE)
    parsing = kinds.add(
        "parsing",
        _parsing,
        "find body parts and write them where methods look for them, in parts/",
        "occlureid cues parsing data/market --provider import --from schp_output --labels lip20",
    )
    _add_building(parsing, _PARSING)
    parsing.add_argument("--labels", help="label set of the imported files, such as lip20, atr18 or densepose24")
    parsing.add_argument("--probabilities", action="store_true", help="write the probabilities of all parts too")
    erase = kinds.add(
        "erase",
        _erase,
        "remove cues from a cache: those of some images, of one provider, or all",
        "occlureid cues erase runs/cue_cache data/market/query/0001_c1s1_001051_00.jpg",
    )
    erase.add_argument("cache", type=Path, metavar="CACHE", help="folder of the cache")
    erase.add_argument("images", type=Path, nargs="*", metavar="IMAGE", help="images whose cues go")
    erase.add_argument("--provider", help="name or fingerprint of a provider whose cues go, whatever the image")
    erase.add_argument("--all", action="store_true", help="everything goes")


def _add_building(command: argparse.ArgumentParser, providers: tuple[str, ...]) -> None:
    command.add_argument("images", type=Path, metavar="PATH", help="folder of images, or of a dataset")
    trained = (
        f"a network that {_TRAINED_BY[providers]} has written, a file {_TRAINED_SUFFIX}, or a model of the package"
    )
    command.add_argument("--provider", help=f"{', '.join(providers)}; or {trained} (default: the one for this)")
    command.add_argument(
        "--model",
        help=f"with --provider {providers[0]}: a model on the Hugging Face hub by its name, or a folder with one",
    )
    command.add_argument("--from", type=Path, dest="source", metavar="FOLDER", help="output of another tool to import")
    command.add_argument("--out", type=Path, help="folder that gets the cues (default: PATH itself)")
    command.add_argument("--cache", type=Path, help="folder that keeps what a provider has computed, by image")
    command.add_argument("--sheet", type=Path, help="contact sheet to draw (default: contact_sheet.jpg among the cues)")
    command.add_argument("--batch-size", type=int, default=32, help="images at a time (default: 32)")
    command.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="float32",
        help="arithmetic of the network; auto: what this processor is best at (default: float32)",
    )
    command.add_argument(
        "--on-corrupt", choices=("fatal", "skip"), default="fatal", help="what an unreadable image does"
    )
    command.add_argument("--overwrite", action="store_true", help="replace cues that something else has made")
    command.add_argument("--json", action="store_true", help="print the summary as JSON")
    add_set(command, "miss=0.2 (with --provider degraded: how the true cues are spoiled)")
    add_device(command)


def _cache(options: argparse.Namespace) -> CueCache | None:
    from occlureid.cues import CueCache

    return CueCache(options.cache) if options.cache else None


def _true(options: argparse.Namespace, cue: CueName) -> CueSource:
    """The exact cues of a rendered world, spoiled where that is asked for."""
    from occlureid.cues import Degradation, Degraded, ExactCues

    exact = ExactCues(options.images, {cue}, grouping="sorn8")
    if options.provider == "exact":
        return exact
    return Degraded(exact, Degradation.build(*layers(options)), options.images)


def _is_trained(options: argparse.Namespace) -> bool:
    """Whether the provider is a file, a network of one's own, or a model of the package."""
    from occlureid.zoo import model_names

    return str(options.provider).endswith(_TRAINED_SUFFIX) or options.provider in model_names()


def _check(options: argparse.Namespace, providers: tuple[str, ...]) -> None:
    """Takes the package's own network where no provider is named; refuses what does not go together."""
    if options.source is not None and options.provider is None:
        raise UsageError("--provider import goes with --from FOLDER, and only with it")
    if options.provider is None:
        from occlureid.zoo.catalogue import default_name

        options.provider = providers[0] if options.model else default_name(_TASKS[providers])
        if options.provider is None:
            raise MissingWeightsError(
                f"this package holds no network for this; give --provider: {', '.join(providers)}"
            )
    if options.model and options.provider != providers[0]:
        raise UsageError(f"--model goes with --provider {providers[0]}, and only with it; leave one of the two out")
    if options.provider not in providers and not _is_trained(options):
        files = f"a file {_TRAINED_SUFFIX} of {_TRAINED_BY[providers]}"
        raise UsageError(f"no provider {options.provider!r}; choose one of: {', '.join(providers)}, or {files}")
    if (options.provider == "import") != (options.source is not None):
        raise UsageError("--provider import goes with --from FOLDER, and only with it")
    if options.set and options.provider != "degraded":
        raise UsageError("--set goes with --provider degraded: it says how the true cues are spoiled")


def _network(options: argparse.Namespace) -> dict[str, Any]:
    """How a network runs."""
    return {"device": options.device, "precision": options.precision, "batch_size": options.batch_size}


def _building(options: argparse.Namespace) -> dict[str, Any]:
    """What both kinds of cues are built with."""
    return {
        "cache": _cache(options),
        "batch_size": options.batch_size,
        "overwrite": options.overwrite,
        "on_corrupt": options.on_corrupt,
    }


def _pose(options: argparse.Namespace) -> int:
    from occlureid.cues import PoseFolder, TransformersPose, build_pose
    from occlureid.cues.transformers_models import POSE_MODEL

    _check(options, _POSE)
    provider: Provider | CueSource
    if options.provider == "vitpose":
        provider = TransformersPose(options.model or POSE_MODEL, **_network(options))
    elif _is_trained(options):
        from occlureid.landmarks import LandmarkProvider

        provider = LandmarkProvider(weights_file(options.provider), **_network(options))
    elif options.provider == "import":
        provider = PoseFolder(options.source, options.images)
    else:
        provider = _true(options, "keypoints")
    summary = build_pose(
        options.images, provider, options.out, progress=None if options.json else bar("pose"), **_building(options)
    )
    root = options.out or options.images
    return _finish(options, summary, PoseFolder(root / "pose", options.images))


def _parsing(options: argparse.Namespace) -> int:
    from occlureid.cues import PartFolder, TransformersParsing, build_parsing
    from occlureid.cues.transformers_models import PARSING_MODEL

    _check(options, _PARSING)
    provider: Provider | CueSource
    if options.provider == "segformer":
        provider = TransformersParsing(options.model or PARSING_MODEL, **_network(options))
    elif _is_trained(options):
        from occlureid.parsing import ParserProvider

        provider = ParserProvider(weights_file(options.provider), device=options.device, batch_size=options.batch_size)
    elif options.provider == "import":
        if not options.labels:
            raise UsageError("--provider import needs --labels, the label set of the files, such as lip20")
        # BPBReID's maps overlap and are no label set of their own: they are given as the eight classes.
        grouping = "sorn8" if options.labels == "bpbreid36" else "labels"
        provider = PartFolder(options.source, options.images, {"part_map"}, labels=options.labels, grouping=grouping)
    else:
        provider = _true(options, "part_map")
    summary = build_parsing(
        options.images,
        provider,
        options.out,
        probabilities=options.probabilities,
        progress=None if options.json else bar("parsing"),
        **_building(options),
    )
    root = options.out or options.images
    return _finish(options, summary, PartFolder(root / "parts", options.images, {"part_map"}, grouping="labels"))


def _finish(options: argparse.Namespace, summary: CueSummary, written: PoseFolder | PartFolder) -> int:
    """Prints the summary and draws the sheet of what was written."""
    from occlureid.cues import overlay_sheet
    from occlureid.cues.images import listed_images

    root = options.out or options.images
    sheet = options.sheet or root / ("pose" if summary.kind == "pose" else "parts") / "contact_sheet.jpg"
    sheet.parent.mkdir(parents=True, exist_ok=True)
    images = [sample.path for sample in listed_images(options.images)[0] if written.has(sample)]
    overlay_sheet(images, written, worst=summary.worst).save(sheet)
    print(json.dumps(summary.to_dict(), indent=1) if options.json else f"{summary}\n{sheet}")
    return 0


def _erase(options: argparse.Namespace) -> int:
    from occlureid.cues import CueCache

    chosen = [bool(options.images), bool(options.provider), options.all]
    if chosen.count(True) != 1:
        raise UsageError("say what goes: some images, --provider NAME, or --all")
    if not options.cache.is_dir():
        raise UsageError(f"{options.cache}: there is no such folder")
    cache = CueCache(options.cache)
    removed = cache.erase(options.images) if options.images else cache.clear(options.provider)
    print(f"{removed} entries removed")
    return 0
