"""Images a second that the world renders and writes, with everything on and with each group of nuisances off.

All cases are measured in turn, again and again, and the median of each counts, so that a busy spell hits all alike.

    python benchmarks/render.py --json docs/results/render.json
    python benchmarks/render.py --devices cpu --size 256x128 --cases everything writing --images 64
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from occlureid.arithmetic import processor
from occlureid.described import made_with
from occlureid.synthetic import World, WorldSettings, write_world

GROUPS: dict[str, dict[str, Any]] = {
    "everything": {},
    "no other people": {"passers_by": 0, "far_people": 0},
    "no background": {"background": 0},
    "no light": {"lighting": 0, "tone": 0, "colour_cast": 0, "exposure": 0},
    "no shadows": {"shadows": 0, "ambient_occlusion": 0},
    "no blur": {"focus_blur": 0, "motion_blur": 0},
    "no sensor": {"sensor_noise": 0, "sharpening": 0, "jpeg": (100, 100)},
    "no box errors": {"box_visible": 0, "box_errors": 0, "crop_jitter": 0},
    "full resolution": {"resolution": (1, 1)},
}
"""Settings changed in each case; every case renders the same persons in the same places."""

WRITING = "writing"
"""Beside these: rendering and writing of a whole world."""

SPLITS = {"mostly clean": "train", "all occluded": "query"}


def rendering(settings: WorldSettings, device: str, split: str, images: int, batch: int) -> Callable[[int], float]:
    """A function of the repeat that renders some images and returns how many a second."""
    world = World(settings, device)

    def measure(repeat: int) -> float:
        begin = time.perf_counter()
        for start in range(0, images, batch):
            first = (repeat * images + start) % (settings.count(split) - batch)
            world.render(split, range(first, first + batch))
        return images / (time.perf_counter() - begin)

    return measure


def writing(settings: WorldSettings, device: str, images: int, batch: int) -> Callable[[int], float]:
    """A function of the repeat that writes a world of about as many images and returns how many a second."""

    def measure(repeat: int) -> float:
        # One training and four gallery and query images a person and camera: twenty images for each person of both splits.
        persons = max(1, round(images / (5 * settings.cameras)))
        changes = {"train_persons": persons, "test_persons": persons, "train_images": 1, "seed": settings.seed + repeat}
        world = settings.with_changes(**changes)
        count = sum(world.count(split) for split in ("train", "query", "gallery"))
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            write_world(world, Path(folder) / "world", device=device, batch=batch)
            return count / (time.perf_counter() - begin)

    return measure


def run_device(device: str, options: argparse.Namespace) -> dict[str, Any]:
    """All cases on one device, printed as a table."""
    on_cpu = device == "cpu"
    images, batch = options.images or (64 if on_cpu else 1024), options.batch or (32 if on_cpu else 256)
    height, width = (int(part) for part in options.size.split("x"))
    base = WorldSettings(seed=options.seed, size=(height, width), train_persons=500, test_persons=500)
    chosen = [name for name in GROUPS if name in options.cases]
    cases: dict[tuple[str, str], Callable[[int], float]] = {
        (name, label): rendering(base.with_changes(**GROUPS[name]), device, split, images, batch)
        for name in chosen
        for label, split in SPLITS.items()
    }
    if WRITING in options.cases:
        cases[WRITING, "mixed"] = writing(base, device, images, batch)
    rates: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    with tqdm(total=(1 + options.repeats) * len(cases), desc=device, leave=False) as bar:
        for repeat in range(1 + options.repeats):  # the first warms up and does not count
            for case, measure in cases.items():
                rate = measure(repeat)
                if repeat:
                    rates[case].append(rate)
                bar.update()
    medians = {case: statistics.median(values) for case, values in rates.items()}

    name = processor() if on_cpu else torch.cuda.get_device_name(device)
    threads = f", {options.threads} threads" if on_cpu else ""
    print(
        f"{device} ({name}{threads}), {options.size}, batches of {batch}, median of {options.repeats} x {images} images"
    )
    print(f"{'images a second':>18}  {'mostly clean':>12}  {'all occluded':>12}")
    for name_of_case in chosen:
        print(f"{name_of_case:>18}  " + "  ".join(f"{medians[name_of_case, label]:12.1f}" for label in SPLITS))
    if (WRITING, "mixed") in medians:
        print(f"{'write_world':>18}  {medians[WRITING, 'mixed']:12.1f}   (all three splits, rendered and written)")
    return {
        "device": name,
        "threads": options.threads if on_cpu else None,
        "batch": batch,
        "images": images,
        "images_a_second": {
            f"{name_of_case}, {label}": {
                "median": round(medians[name_of_case, label], 2),
                "all": [round(v, 2) for v in all_],
            }
            for (name_of_case, label), all_ in rates.items()
        },
    }


def main() -> None:
    """Measures, prints, and writes what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    parser.add_argument("--devices", nargs="+", default=devices, help="torch devices (default: %(default)s)")
    parser.add_argument(
        "--threads", type=int, default=min(2, os.cpu_count() or 1), help="of a CPU (default: %(default)s)"
    )
    parser.add_argument("--size", default="384x128", help="height x width (default: %(default)s)")
    parser.add_argument(
        "--cases",
        nargs="+",
        choices=[*GROUPS, WRITING],
        default=[*GROUPS, WRITING],
        help="default: all",
        metavar="CASE",
    )
    parser.add_argument("--images", type=int, help="a repeat, a multiple of the batch (default: 64, on a GPU 1024)")
    parser.add_argument("--batch", type=int, help="images rendered at once (default: 32, on a GPU 256)")
    parser.add_argument("--repeats", type=int, default=5, help="that count (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    measured = {device: run_device(device, options) for device in options.devices}
    if options.json:
        settings = {"size": options.size, "seed": options.seed, "repeats": options.repeats, "groups": GROUPS}
        record = {"settings": settings, **made_with(), "devices": measured}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
