"""What an occluded query and a camera's own backdrop each cost a single global vector: one training, four ways of asking.

The same weights are asked for the person of (a) the occluded query images and (b) the gallery images that hide nothing; the
right answers are always other cameras' unoccluded images of that person. The gallery is first what the protocol leaves of it,
then only what other cameras took, so that nobody shares the query's backdrop. The world is that of benchmarks/ablations.py,
which must have been run before. About five minutes on two cores.

    python benchmarks/global_vector.py --world runs/ablations/world --out runs/global --json docs/results/global_vector.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from ablations import ALL
from torch import Tensor

from occlureid import methods
from occlureid.config import merge
from occlureid.data import open_dataset
from occlureid.described import describe_dataset, made_with
from occlureid.matching import distance_matrix
from occlureid.runs import train
from occlureid.types import Descriptor, Sample

RECIPE = merge(ALL, {"method": "baseline", "model": {"triplet_weight": 0.0}, "train": {"epochs": 10}})
CLEAN = 0.95
"""Least visible fraction of an image that hides nothing."""


def rank_1(
    query: tuple[Descriptor, list[Sample]],
    gallery: tuple[Descriptor, list[Sample]],
    method: methods.Method[Any],
    others: bool,
) -> float:
    """The share of queries whose nearest image is of the same person.

    Args:
        query: descriptors, and the samples that they are of.
        gallery: likewise.
        method: gives the rule.
        others: whether only other cameras' images are looked at; else only those of the same person and camera are left out.
    """
    distances = distance_matrix(method.rule, query[0], gallery[0])
    same_camera = _equal([s.camera for s in query[1]], [s.camera for s in gallery[1]])
    same_person = _equal([s.person for s in query[1]], [s.person for s in gallery[1]])
    left_out = same_camera if others else same_camera & same_person
    nearest = distances.masked_fill(left_out, torch.inf).argmin(1)
    return float(same_person[torch.arange(len(nearest)), nearest].float().mean())


def _equal(ours: list[str], theirs: list[str]) -> Tensor:
    return torch.tensor([[a == b for b in theirs] for a in ours])


def main() -> None:
    """Trains, describes, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, default=Path("runs/ablations/world"))
    parser.add_argument("--out", type=Path, default=Path("runs/global"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    dataset = open_dataset(options.world)
    method = methods.restore(train(dataset, options.out, RECIPE, resume=True, progress=True).weights)
    described = describe_dataset(method, dataset)
    clean = [i for i, s in enumerate(described.gallery_samples) if (s.visible_fraction or 0) >= CLEAN]
    gallery = described.gallery[clean], [described.gallery_samples[i] for i in clean]
    asked = {"occluded queries": (described.query, list(described.query_samples)), "unoccluded images": gallery}
    record = {
        name: {"protocol": rank_1(query, gallery, method, False), "other cameras": rank_1(query, gallery, method, True)}
        for name, query in asked.items()
    }
    for name, row in record.items():
        print(f"{name:18} Rank-1 {row['protocol']:.1%}; among other cameras' images only {row['other cameras']:.1%}")
    if options.json:
        whole = {
            "rank_1": record,
            "gallery": len(clean),
            "queries": len(described.query),
            **made_with(),
        }
        options.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
