"""Images a second that the world renders: ``python benchmarks/render.py --device cpu``."""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from occlureid.synthetic import World, WorldSettings


def measure(world: World, split: str, images: int, batch: int, repeats: int) -> float:
    """Median images a second over the repeats, after one batch to warm up."""
    world.render(split, range(batch))
    rates = []
    for repeat in range(repeats):
        begin = time.perf_counter()
        for start in range(0, images, batch):
            first = (repeat * images + start) % (world.settings.count(split) - batch)
            world.render(split, range(first, first + batch))
        rates.append(images / (time.perf_counter() - begin))
    return statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/render.py --device cuda --batch 256 --images 1024"
    )
    parser.add_argument("--device", default="cpu", help="torch device that renders (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch (default: %(default)s)")
    parser.add_argument(
        "--images", type=int, default=64, help="images a repeat, a multiple of the batch (default: %(default)s)"
    )
    parser.add_argument("--batch", type=int, default=32, help="images rendered at once (default: %(default)s)")
    parser.add_argument(
        "--repeats", type=int, default=3, help="repeats, of which the median counts (default: %(default)s)"
    )
    parser.add_argument(
        "--sizes", nargs="+", default=["128x64", "256x128", "384x128"], help="height x width (default: %(default)s)"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"device {arguments.device}, torch {torch.__version__}, {arguments.threads} threads, batches of {arguments.batch}"
    )
    print(f"{'size':>8}  {'train':>9}  {'query':>9}   images a second (train: 9 % occluded, query: all)")
    for text in arguments.sizes:
        height, width = (int(part) for part in text.split("x"))
        settings = WorldSettings(size=(height, width), train_persons=500, test_persons=500)
        world = World(settings, arguments.device)
        rates = [measure(world, s, arguments.images, arguments.batch, arguments.repeats) for s in ("train", "query")]
        print(f"{text:>8}  {rates[0]:9.1f}  {rates[1]:9.1f}")


if __name__ == "__main__":
    main()
