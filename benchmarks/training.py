"""Images a second in training and in describing, from memory: ``python benchmarks/training.py --method pgfa``."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from occlureid import methods
from occlureid.arithmetic import processor, train_precision
from occlureid.config import parse_assignments
from occlureid.methods import Method
from occlureid.training import TrainSettings, device_kind
from occlureid.training.processes import start_processes
from occlureid.training.step import Share, Updater
from occlureid.types import KEYPOINT_NAMES, Cues


def random_cues(method: Method[Any], count: int, generator: torch.Generator) -> Cues:
    """Whatever cues the method needs, at random, for a batch of images of its size."""
    height, width = method.preprocess.size
    needed = method.needs.train | method.needs.describe
    keypoints = torch.rand(count, len(KEYPOINT_NAMES), 3, generator=generator) * torch.tensor([width, height, 1.0])
    return Cues(
        keypoints=keypoints if "keypoints" in needed else None,
        part_map=torch.rand(count, 5, height, width, generator=generator) if "part_map" in needed else None,
        foreground=torch.rand(count, height, width, generator=generator) if "foreground" in needed else None,
    )


def median_rate(work: Callable[[int], object], images: int, repeats: int, device: torch.device) -> float:
    """Median images a second over the repeats, after two calls to warm up."""
    rates = []
    for repeat in range(repeats + 2):
        begin = time.perf_counter()
        work(repeat)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        rates.append(images / (time.perf_counter() - begin))
    return statistics.median(rates[2:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python benchmarks/training.py --method pgfa --backbone resnet50 --size 384x128",
    )
    parser.add_argument("--method", default="pgfa", help="(default: %(default)s)")
    parser.add_argument("--backbone", default="resnet50", help="timm name (default: %(default)s)")
    parser.add_argument("--size", default="384x128", help="height x width (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="images at once (default: %(default)s)")
    parser.add_argument("--classes", type=int, default=702, help="training persons (default: %(default)s)")
    parser.add_argument(
        "--repeats", type=int, default=5, help="batches of which the median counts (default: %(default)s)"
    )
    parser.add_argument("--accelerator", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--precision", default="auto", choices=["auto", "32-true", "bf16-mixed", "16-mixed"])
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch (default: %(default)s)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="further settings of the method")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    size = [int(number) for number in arguments.size.split("x")]
    settings = TrainSettings.build(
        {"batch_size": arguments.batch, "accelerator": arguments.accelerator, "precision": arguments.precision}
    )
    arguments.precision = train_precision(settings.precision, device_kind(settings))
    chosen = {"backbone": arguments.backbone, "size": size, **parse_assignments(arguments.set)}
    method = methods.create(arguments.method, arguments.classes, chosen)
    fabric = start_processes(settings)
    updater = Updater(fabric, method, settings)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(arguments.batch, 3, *size, generator=generator).to(fabric.device)
    cues = random_cues(method, arguments.batch, generator).to(fabric.device)
    # pairs of images of one person, so that losses that compare images have something to do
    persons = torch.randint(arguments.classes, ((arguments.batch + 1) // 2,), generator=generator)
    labels = persons.repeat_interleave(2)[: arguments.batch].to(fabric.device)
    share = Share(images, cues, labels)

    def describe(_: int) -> None:
        with torch.autocast(fabric.device.type, torch.bfloat16, enabled=arguments.precision == "bf16-mixed"):
            method.describe(images, cues)

    def update(step: int) -> None:
        updater.update(share, step=step, factor=0.01, share_of_batch=1.0)

    trained = median_rate(update, arguments.batch, arguments.repeats, fabric.device)
    described = median_rate(describe, arguments.batch, arguments.repeats, fabric.device)
    threads = "" if fabric.device.type == "cuda" else f", {arguments.threads} threads"
    where = f"{processor(fabric.device)}{threads}"
    print(
        f"{arguments.method}, {arguments.backbone}, {arguments.size}, batches of {arguments.batch}, {arguments.precision}"
    )
    print(f"{where}, torch {torch.__version__}; median of {arguments.repeats} batches")
    print(f"training   {trained:9.1f} images a second")
    print(f"describing {described:9.1f} images a second")


if __name__ == "__main__":
    main()
