"""Trains the weights that come with the package: on rendered worlds alone, from random numbers.

Worlds to train on, and two others to choose by: no person, camera, street or obstacle model of those is in the others. First a
SORN on small images teaches the encoder (``ENCODER``); everything else starts from it. Then the embedders of ``TRIED`` are
trained alike and scored on the two worlds to choose by, to see which data, which augmentation and which method carry over.
What did is trained longer, in ``STAGES``; the parser and the landmark network start from the first of these. Every part goes on
from what is there.

    python benchmarks/weights.py --out runs/weights worlds
    python benchmarks/weights.py --out runs/weights encoder
    python benchmarks/weights.py --out runs/weights tried --json docs/results
    python benchmarks/weights.py --out runs/weights embedder parser landmarks --json docs/results
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tqdm import tqdm

from occlureid import methods
from occlureid.config import merge
from occlureid.data import ReidDataset, join_training, open_dataset
from occlureid.data.lip import ParsingDataset, read_parsing_world
from occlureid.described import describe_dataset, made_with, score
from occlureid.landmarks import LandmarkRunSettings, read_landmark_worlds, small_landmarks, train_landmarks
from occlureid.methods import sorn
from occlureid.models.backbone import Backbone
from occlureid.parsing import ParserRunSettings, small_parser, train_parser
from occlureid.runs import train, training_obstacles
from occlureid.synthetic import WorldSettings, write_world

TRAINING = {
    "cameras": 8,
    "train_images": 1,
    "gallery_images": 1,
    "train_persons": 700,
    "test_persons": 30,
    "occluded_train": 0.35,
    "visible_range": (0.25, 0.85),
}
"""Each of the worlds to train on; the persons of its test split are not used."""

CHOOSING = {
    "cameras": 6,
    "gallery_images": 1,
    "train_persons": 1,
    "test_persons": 150,
    "occluded_gallery": 0.2,
    "visible_range": (0.2, 0.8),
}
"""Each of the worlds to choose by."""

LARGE = {f"train{seed}": {"seed": seed, **TRAINING} for seed in range(1001, 1006)}
"""Worlds of many persons and few cameras: the encoder's."""

SMALL = {
    f"train{seed}": {"seed": seed, **TRAINING, "train_persons": 120, "test_persons": 1} for seed in range(3001, 3081)
}
"""Worlds of few persons, each with streets and cameras of its own: 76,800 images of 9,600 persons in 640 cameras."""

HALF = tuple(SMALL)[:40]
"""Those of them that the embedders are trained on; the networks that give cues see all."""

CHOSEN_BY = {f"val{seed}": {"seed": seed, **CHOOSING} for seed in (2001, 2002)}

WORLDS: dict[str, dict[str, Any]] = {**LARGE, **SMALL, **CHOSEN_BY}

SORN: dict[str, Any] = {
    "method": "sorn",
    "model": {
        "parts": 4,
        "set_channels": 256,
        "semantic_channels": 64,
        "segmentation_average": "classes",
        "spc_reduction": "mean_pixels",
    },
}
"""What all of these SORN have in common."""

BASE: dict[str, Any] = {
    "model": {"backbone": "resnet10t", "size": [160, 80]},
    "train": {
        "batch_size": 64,
        "optimiser": "adamw",
        "lr": 0.0015,
        "weight_decay": 0.02,
        "schedule": "cosine",
        "final_factor": 0.05,
        "warmup_epochs": 0.5,
        "precision": "auto",
        "flip_probability": 0.5,
        "pad": 6,
        "erasing_probability": 0.3,
        "workers": 1,
        "checkpoint_every": 200,
        "clip_norm": 5.0,
    },
}

ENCODER = merge(BASE, SORN, {"initial_weights": "none", "train": {"epochs": 10}})
"""How the encoder learns to see people. The vectors of its SORN are not used."""

PHOTOGRAPHS: dict[str, Any] = {
    "train": {
        "box_jitter": 0.1,
        "partial_probability": 0.1,
        "paste_obstacles": 0.2,
        "background_probability": 0.4,
        "colour_jitter": 0.5,
        "grey_probability": 0.1,
        "blur_probability": 0.2,
        "low_resolution_probability": 0.25,
        "noise": 0.04,
        "jpeg_probability": 0.3,
    }
}
"""Augmentation aimed at real photographs."""

START = {"train": {"lr": 0.0008, "warmup_epochs": 0.1, "epochs": 1}}
"""How those that start from the encoder are trained, to be compared."""

GASM: dict[str, Any] = {
    "method": "gasm",
    "model": {"weight_mask": 0.5, "weight_pose": 0.5},
    "train": {"sampler": "identity", "instances": 4},
}
HCGA: dict[str, Any] = {
    "method": "hcga",
    "model": {"levels": 3, "map_stride": 8, "width": 128, "parsing_labels": "external"},
    "train": {"sampler": "identity", "instances": 4},
}

TRIED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "sorn, 16 cameras": (merge(BASE, SORN, START), tuple(LARGE)[:2]),
    "sorn, 96 cameras": (merge(BASE, SORN, START), tuple(SMALL)[:12]),
    "sorn, 96 cameras, augmented": (merge(BASE, SORN, START, PHOTOGRAPHS), tuple(SMALL)[:12]),
    "gasm, 96 cameras, augmented": (merge(BASE, GASM, START, PHOTOGRAPHS), tuple(SMALL)[:12]),
    "hcga, 96 cameras, augmented": (merge(BASE, HCGA, START, PHOTOGRAPHS), tuple(SMALL)[:12]),
}
"""The embedders that are compared on the worlds to choose by, and the worlds whose images (some 11,000) they pass over once."""

SIX = merge(BASE, SORN, PHOTOGRAPHS, {"model": {"parts": 6}, "train": {"warmup_epochs": 0.1, "average_decay": 0.998}})

LATER = merge(SIX, {"model": {"segmentation_average": "pixels", "threshold": 0.05}})

STAGES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "embedder-1": (merge(SIX, {"model": {"size": [256, 128]}, "train": {"epochs": 2, "lr": 0.0008}}), HALF),
    "embedder-2": (merge(LATER, {"train": {"epochs": 8, "lr": 0.001}}), HALF),
    "embedder-3": (merge(LATER, {"model": {"size": [256, 128]}, "train": {"epochs": 2, "lr": 0.0008}}), HALF),
}
"""Each goes on from the one before, the first from the encoder; the last two are shipped."""

ONE_PASS: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 32,
    "lr": 0.001,
    "warmup_epochs": 0.05,
    "precision": "auto",
    "checkpoint_every": 200,
    "average_decay": 0.998,
    **PHOTOGRAPHS["train"],
}
"""How networks that give cues are trained, on all of the small worlds."""

PARSER: dict[str, Any] = {
    "parser": {"backbone": "resnet10t", "loss_average": "pixels", "backbone_lr_factor": 0.5},
    "train": ONE_PASS,
}
"""The parser, over ``small_parser()``."""

LANDMARKS: dict[str, Any] = {
    "landmarks": {"backbone": "resnet10t"},
    "train": ONE_PASS,
}
"""The landmark network, over ``small_landmarks()``."""


def joined(worlds: Path, names: Iterable[str]) -> ReidDataset:
    """Some worlds to train on as one set, without query and gallery."""
    sets = [open_dataset(worlds / name) for name in names]
    more = tuple(root for each in sets[1:] for root in each.roots)
    return replace(sets[0], train=join_training(*sets), query=(), gallery=(), more_roots=more)


def render(out: Path) -> None:
    """All worlds."""
    for name, settings in WORLDS.items():
        write_world(WorldSettings.build(settings), out / "worlds" / name, progress=bar(name))


def encode(out: Path) -> Path:
    """Trains the encoder, and writes it as timm would: ``encoder.safetensors``."""
    result = train(joined(out / "worlds", LARGE), out / "encoder", ENCODER, resume=True, progress=True)
    return extract(result.weights, out / "encoder.safetensors")


def extract(weights: Path, file: Path) -> Path:
    """Writes the backbone of a method as timm would."""
    backbone = methods.restore(weights).backbone
    if not isinstance(backbone, Backbone):
        raise TypeError(f"{weights}: has no timm backbone")
    save_file({name: tensor.contiguous() for name, tensor in backbone.net.state_dict().items()}, file)
    return file


def started(file: Path) -> dict[str, Any]:
    """The setting that lets a training start from a file."""
    return {"initial_weights": str(file)}


def first_stage(out: Path) -> dict[str, Any]:
    """The setting that lets a network of cues start from the embedder's first stage."""
    return started(extract(out / "embedder-1" / "weights.safetensors", out / "embedder-1.safetensors"))


def choose(out: Path) -> dict[str, Any]:
    """Trains those of ``TRIED`` alike, and scores them on the worlds to choose by."""
    record: dict[str, Any] = {
        **made_with(),
        "worlds": CHOOSING,
        "tried": {},
    }
    for name, (recipe, worlds) in TRIED.items():
        folder, data = out / "tried" / name.replace(", ", "-").replace(" ", "-"), joined(out / "worlds", worlds)
        file = train(data, folder, recipe, started(out / "encoder.safetensors"), resume=True, progress=True).weights
        record["tried"][name] = {"settings": recipe, "images": len(data.train), "scores": scored(out, file)}
    return record


def embed(out: Path) -> dict[str, Any]:
    """Trains the embedders that are shipped, stage by stage."""
    record: dict[str, Any] = {**made_with(), "stages": {}}
    start = out / "encoder.safetensors"
    for name, (recipe, worlds) in STAGES.items():
        data = joined(out / "worlds", worlds)
        start = train(data, out / name, recipe, started(start), resume=True, progress=True).weights
        record["stages"][name] = {"settings": recipe, "images": len(data.train), "scores": scored(out, start)}
    return record


def parse(out: Path) -> dict[str, Any]:
    """Trains the parser."""
    worlds = {name: read_parsing_world(out / "worlds" / name) for name in (*SMALL, *CHOSEN_BY)}
    data = ParsingDataset(
        "synthetic",
        out / "worlds",
        tuple(sample for name in SMALL for sample in worlds[name].train),
        tuple(sample for name in CHOSEN_BY for sample in worlds[name].validation),
    )
    settings = ParserRunSettings.build(small_parser(), PARSER, first_stage(out))
    result = train_parser(
        data, out / "parser", settings.to_dict(), obstacles=training_obstacles(settings.train), resume=True, progress=True,
        bar=bar("judge"),
    )  # fmt: skip
    return {
        **made_with(),
        "settings": PARSER,
        "scores": read(result.folder / "scores.json"),
    }


def find_landmarks(out: Path) -> dict[str, Any]:
    """Trains the landmark network."""
    worlds = out / "worlds"
    data = read_landmark_worlds([worlds / name for name in SMALL], [worlds / name for name in CHOSEN_BY])
    settings = LandmarkRunSettings.build(small_landmarks(), LANDMARKS, first_stage(out))
    result = train_landmarks(
        data, out / "landmarks", settings.to_dict(), obstacles=training_obstacles(settings.train), resume=True, progress=True,
        bar=bar("judge"),
    )  # fmt: skip
    return {
        **made_with(),
        "settings": LANDMARKS,
        "scores": read(result.folder / "scores.json"),
    }


def scored(out: Path, weights: Path) -> dict[str, dict[str, float]]:
    """Rank-1 and mAP on each of the worlds to choose by, by the method's rule and by others.

    ``global``: by the global vector alone; ``all_visible``: every part taken as visible; ``papers``: SORN's threshold as it is
    printed; ``true_visibility``: for SORN, with the share of each stripe that the rendered truth says is the person. Next to
    it, the correlation of the visibilities that the method finds with these, over all stripes of all queries.
    """
    method = methods.restore(weights)
    found: dict[str, dict[str, float]] = {}
    for name in CHOSEN_BY:
        data = open_dataset(out / "worlds" / name)
        described = describe_dataset(method, data)
        scores = {
            "": score(described),
            "global_": score(described, {"part_factor": 0.0, "spatial_weight": 0.0}),
            "all_visible_": score(described, {"visibility": "ignore"}),
        }
        figures = found[name] = {}
        if isinstance(method, sorn.SORN):
            true = describe_dataset(methods.restore(weights, changes={"visibility": "parser"}), data)
            scores["papers_"] = score(described, {"threshold": sorn.SORNConfig().threshold})
            scores["true_visibility_"] = score(true)
            seen = [each.query.visibility.flatten() for each in (described, true)]
            if all(bool(each.std() > 0) for each in seen):  # it has no meaning where all stripes are alike
                figures["visibility_correlation"] = float(torch.corrcoef(torch.stack(seen))[0, 1])
        for prefix, each in scores.items():
            figures |= {f"{prefix}rank_1": each.rank(1), f"{prefix}mAP": each.average_precision}
        print(name, {key: f"{value:.1%}" for key, value in figures.items()}, flush=True)
    return found


def read(path: Path) -> Any:
    """The contents of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def bar(label: str) -> Callable[[int, int], None]:
    """A progress bar as functions of the package want it: called with (done, of)."""
    shown = tqdm(desc=label, file=sys.stderr, leave=False)

    def update(done: int, of: int) -> None:
        shown.total = of
        shown.update(done - shown.n)

    return update


PARTS: dict[str, Callable[[Path], Any]] = {
    "worlds": render,
    "encoder": encode,
    "tried": choose,
    "embedder": embed,
    "parser": parse,
    "landmarks": find_landmarks,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Renders, trains, scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=list(PARTS))
    parser.add_argument("--out", type=Path, default=Path("runs/weights"))
    parser.add_argument("--json", type=Path, help="folder that gets weights_PART.json")
    options = parser.parse_args(arguments)
    records = options.json.resolve() if options.json else None
    options.out.mkdir(parents=True, exist_ok=True)
    for part in options.parts:
        with contextlib.chdir(options.out):  # so that weights name the encoder's file, and no place on a machine
            result = PARTS[part](Path())
        if isinstance(result, dict) and records:
            records.mkdir(parents=True, exist_ok=True)
            path = records / f"weights_{part}.json"
            path.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
