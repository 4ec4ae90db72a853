"""How many parameters a method has, and how fast it describes: measured in turn with the others, quoted as ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import torch
from torch import nn

from occlureid.arithmetic import processor
from occlureid.data import OrderedBatches, ReidDataset, ReidImages, make_loader
from occlureid.data.loader import Batch
from occlureid.described import dataset_cues
from occlureid.methods import Method

__all__ = ["measure_rates", "parameter_counts"]


def measure_rates(
    methods: Mapping[str, Method[Any]],
    dataset: ReidDataset,
    *,
    batch: int,
    rounds: int,
    reference: str,
    device: str = "cpu",
) -> dict[str, Any]:
    """Parameters of methods, and the images that each describes in a second, once loaded, cropped and on the device.

    In every round each method describes the same gallery images once, so that what else the machine does meets all alike;
    a first round does not count.

    Args:
        methods: by name.
        dataset: images and cues come from its gallery.
        batch: images described at a time.
        rounds: that count, at least 1.
        reference: the method whose median time the others' are set beside.
        device: where they describe.

    Returns:
        How it was measured, and by method "images_per_second" (of the median), "of_reference" (ratio of the medians; below 1
        is slower than the reference), and the counts of ``parameter_counts``.
    """
    batches = {name: _batch(method, dataset, batch, device) for name, method in methods.items()}
    counts = {name: parameter_counts(method, batches[name]) for name, method in methods.items()}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for done in range(rounds + 1):
        for name, method in methods.items():
            start = time.perf_counter()
            method.describe(batches[name].images, batches[name].cues)
            if device != "cpu":
                torch.cuda.synchronize(device)
            if done:
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "batch": len(next(iter(batches.values()))),
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "device": device,
        "processor": processor(device),
        "reference": reference,
        "methods": {
            name: {
                "images_per_second": round(len(batches[name]) / median, 1),
                "of_reference": round(medians[reference] / median, 4) if reference in medians else None,
                **counts[name],
            }
            for name, median in medians.items()
        },
    }


def parameter_counts(method: Method[Any], batch: Batch) -> dict[str, int]:
    """How many parameters a method has.

    Args:
        method: the method.
        batch: images and cues that it describes.

    Returns:
        "parameters", all of them, classifiers included, and "parameters_to_describe", those of layers that describing runs.
    """
    used: set[nn.Module] = set()

    def note(module: nn.Module, _: Sequence[Any]) -> None:
        used.add(module)

    handles = [module.register_forward_pre_hook(note) for module in method.modules()]
    try:
        method.describe(batch.images, batch.cues)
    finally:
        for handle in handles:
            handle.remove()
    ran = {id(p): p.numel() for module in used for p in module.parameters(recurse=False)}
    return {
        "parameters": sum(parameter.numel() for parameter in method.parameters()),
        "parameters_to_describe": sum(ran.values()),
    }


def _batch(method: Method[Any], dataset: ReidDataset, batch: int, device: str) -> Batch:
    source, _ = dataset_cues(method, dataset)
    method.to(device)
    samples = dataset.gallery[:batch]
    images = ReidImages(samples, size=method.preprocess.size, cues=source, crop=method.cropping(source, "describe"))
    with closing(make_loader(images, OrderedBatches(len(samples), len(samples)), workers=0)) as loader:
        return next(iter(loader)).to(device)
