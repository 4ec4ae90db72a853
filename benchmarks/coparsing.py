"""Time and memory of one epoch's co-parsing: many decoders as one batch against one decoder after another.

    python benchmarks/coparsing.py --json coparsing.json

A few persons and steps are measured, and the epoch is EXTRAPOLATED from them: seconds of a step and person, times persons,
times steps; once for the most steps that there may be, and once for those that decoders took here until they stopped. All
competitors run once in every round, in turn, so that a busy machine slows all of them; ratios are medians over rounds. The
features are smooth random maps behind a ReLU: how soon decoders stop depends on features, so expect another number from an
encoder's. Peak memory is measured in a process of its own, while persons stream through ``coparse``.

HCGA's Table XI reports 119 s an epoch for Occluded-Duke (702 persons, 15,618 images), on a GPU of 2020.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from occlureid.arithmetic import processor
from occlureid.coparsing import CoparseSettings, PersonImages, coparse
from occlureid.coparsing.decoders import train_decoders


def person(label: int, arguments: argparse.Namespace) -> PersonImages:
    random = torch.Generator().manual_seed(label)
    height, width = arguments.size
    coarse = torch.randn(
        arguments.images, arguments.channels, max(height // 4, 2), max(width // 4, 2), generator=random
    )
    features = F.interpolate(coarse, size=(height, width), mode="bilinear").relu()
    cameras = tuple(str(number * 4 // arguments.images) for number in range(arguments.images))
    frames = tuple(range(arguments.images))
    return PersonImages(label, features.to(arguments.device), cameras, frames, torch.arange(arguments.images))


def persons(count: int, arguments: argparse.Namespace) -> Iterator[PersonImages]:
    return (person(label, arguments) for label in range(count))


def one_after_another(given: list[PersonImages], settings: CoparseSettings) -> None:
    """The plain way: a network of ordinary layers for each person, trained to its end before the next."""
    for one in given:
        network = nn.Sequential(
            nn.Conv2d(one.features.shape[1], settings.width, 3, padding=1), nn.BatchNorm2d(settings.width), nn.ReLU(),
            nn.Conv2d(settings.width, settings.narrow, 1), nn.BatchNorm2d(settings.narrow), nn.ReLU(),
            nn.Conv2d(settings.narrow, settings.width, 3, padding=1), nn.BatchNorm2d(settings.width), nn.ReLU(),
            nn.Conv2d(settings.width, settings.kernels, 1), nn.BatchNorm2d(settings.kernels),
        ).to(one.features.device)  # fmt: skip
        optimiser = torch.optim.SGD(network.parameters(), lr=settings.lr, momentum=settings.momentum)
        for step in range(settings.steps):
            scores = network(one.features)
            labels = scores.argmax(1)
            if len(labels.unique()) <= settings.min_labels or step == settings.steps - 1:
                break
            loss = F.cross_entropy(scores, labels)
            for later, earlier in (
                (scores[:, :, 1:], scores[:, :, :-1]),
                (scores[..., 1:], scores[..., :-1]),
                (scores[:, :, 1:, 1:], scores[:, :, :-1, :-1]),
                (scores[:, :, 1:, :-1], scores[:, :, :-1, 1:]),
            ):
                loss = loss + settings.weight_local * F.l1_loss(later, earlier)
            loss = loss + settings.weight_background * F.l1_loss(scores[1:], scores[:-1])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def probe(arguments: argparse.Namespace) -> None:
    """Runs in a process of its own: MiB that streaming some persons through co-parsing takes at most."""
    settings = CoparseSettings(steps=2, min_labels=1, precision=arguments.probe)
    small = argparse.Namespace(**{**vars(arguments), "images": 2, "size": (8, 8), "channels": 8})
    list(
        coparse(persons(2, small), settings, seed=0, device=arguments.device)
    )  # libraries allocate their own buffers once
    if arguments.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the present size (Linux)
        before = resident("VmRSS") * 1024
    stream = persons(arguments.streamed, arguments)
    for _ in coparse(stream, settings, seed=0, device=arguments.device, memory=arguments.memory * 2**20):
        pass
    on_gpu = arguments.device.startswith("cuda")
    peak = torch.cuda.max_memory_allocated() if on_gpu else resident("VmHWM") * 1024
    print((peak - before) / 2**20)


def peak_memory(arguments: argparse.Namespace, precision: str) -> float:
    command = [sys.executable, __file__, "--probe", precision, "--device", arguments.device]
    for name in ("images", "channels", "threads", "memory", "streamed"):
        command += [f"--{name}", str(getattr(arguments, name))]
    command += ["--size", *map(str, arguments.size)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=702, help="of the epoch that is extrapolated to")
    parser.add_argument("--images", type=int, default=22, help="of each person")
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--size", type=int, nargs=2, default=(64, 32))
    parser.add_argument("--measured", type=int, default=2, help="persons that are measured together")
    parser.add_argument("--streamed", type=int, default=6, help="persons that memory is measured with")
    parser.add_argument("--steps", type=int, default=4, help="steps that are measured")
    parser.add_argument("--memory", type=int, default=512, help="MiB that co-parsing is told to keep within")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.probe:
        return probe(arguments)

    given = list(persons(arguments.measured, arguments))
    fixed = CoparseSettings(steps=arguments.steps, min_labels=1)
    competitors: dict[str, Callable[[], object]] = {
        "one after another": lambda: one_after_another(given, fixed),
        "batched float32": lambda: train_decoders(given, fixed, seed=0, device=arguments.device),
        "batched bfloat16": lambda: train_decoders(
            given, fixed.with_changes(precision="bfloat16"), seed=0, device=arguments.device
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in competitors}
    for turn in range(arguments.rounds + 1):
        for name, run in competitors.items():
            wait(arguments.device)
            start = time.perf_counter()
            run()
            wait(arguments.device)
            if turn > 0:  # the first round warms up
                seconds[name].append((time.perf_counter() - start) / (arguments.steps * arguments.measured))
    stopped = train_decoders(given, CoparseSettings(precision="bfloat16"), seed=0, device=arguments.device)
    usual = statistics.mean(decoded.steps for decoded in stopped)
    everything = arguments.persons * given[0].features.nbytes / 2**30
    figures: dict[str, object] = {
        "persons": arguments.persons, "images": arguments.images, "channels": arguments.channels,
        "size": list(arguments.size), "device": arguments.device, "threads": arguments.threads,
        "torch": torch.__version__, "processor": processor(), "steps_until_few_labels": usual,
        "memory_MiB": arguments.memory, "features_of_all_GiB": everything,
    }  # fmt: skip
    print(
        f"{arguments.persons} persons x {arguments.images} images x {arguments.channels} x {arguments.size[0]} x "
        f"{arguments.size[1]}, {arguments.device}, {processor()}, {arguments.threads} threads"
    )
    print(f"measured: {arguments.measured} persons, {arguments.steps} steps; the columns of an epoch are extrapolated")
    print(
        f"{'':20}{'ms a step and person':>22}{'x faster':>10}{'epoch, 32 steps':>17}{f'{usual:.1f} steps':>12}{'peak MiB':>10}"
    )
    for name, times in seconds.items():
        middle = statistics.median(times)
        faster = statistics.median(plain / t for plain, t in zip(seconds["one after another"], times, strict=True))
        epoch = [arguments.persons * steps * middle for steps in (32, usual)]
        memory = peak_memory(arguments, name.split()[-1]) if name.startswith("batched") else None
        figures[name] = {
            "seconds_a_step_and_person": middle, "faster": faster, "extrapolated_epoch_32_steps_seconds": epoch[0],
            "extrapolated_epoch_usual_steps_seconds": epoch[1], "peak_MiB": memory,
        }  # fmt: skip
        beside = "" if memory is None else f"{memory:.0f}"
        print(f"{name:20}{1000 * middle:>22.1f}{faster:>10.2f}{epoch[0]:>15.0f} s{epoch[1]:>10.0f} s{beside:>10}")
    print(
        f"the features of all {arguments.persons} persons would take {everything:.1f} GiB; "
        f"co-parsing was told {arguments.memory} MiB"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
