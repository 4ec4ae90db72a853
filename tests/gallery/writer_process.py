"""Writers that are killed, and writers that race: run as a process of its own by test_store_processes.py.

This process never loads Lance, which starts threads, so that it may fork; each child loads it and opens the gallery anew.
"""

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from occlureid.gallery.store import Gallery
from tests.gallery.crops import descriptor, item


def acknowledged(log: Path) -> tuple[set[int], set[int], set[int]]:
    """Numbers of the items that were said to be added, were asked to go, and were said to be gone."""
    told: dict[str, set[int]] = {"added": set(), "asked": set(), "removed": set()}
    for line in log.read_text().splitlines():
        word, *numbers = line.split()
        told[word].update(map(int, numbers))
    return told["added"], told["asked"], told["removed"]


def check(gallery: Gallery, log: Path) -> None:
    added, _, gone = acknowledged(log)
    found = {int(one.removeprefix("item-")) for one in gallery.columns().ids.to_pylist()}
    there = added - acknowledged(log)[1]  # the other writer of the round may have asked meanwhile
    if not there <= found or gone & found:
        raise SystemExit(f"lost {sorted(there - found)}, came back {sorted(gone & found)}")


def check_whole(gallery: Gallery, log: Path) -> None:
    check(gallery, log)
    ids = gallery.columns().ids.to_pylist()
    assert gallery.get(ids) == [item(int(one.removeprefix("item-"))) for one in ids]
    assert len(gallery.spatial(ids)) == len(ids)


def write_for_ever(folder: Path, log: Path, which: int, progress: int) -> None:
    gallery = Gallery.open(folder, patience=600)
    check(gallery, log)
    draw = random.Random(which)
    with log.open("a", buffering=1) as file:
        os.write(progress, b"r")
        for step in range(2_000):
            start = which * 8_000 + step * 4
            numbers = list(range(start, start + draw.randint(1, 4)))
            gallery.add([item(n) for n in numbers], descriptor(len(numbers), seed=start, local=2), by="writer")
            file.write(f"added {' '.join(map(str, numbers))}\n")
            act = draw.random()
            if act < 0.4:
                file.write(f"asked {start}\n")
                if act < 0.25:
                    gallery.remove([item(start).id], by="writer")
                else:
                    gallery.erase(ids=[item(start).id], by="writer")
                file.write(f"removed {start}\n")
            os.write(progress, b"a")


def in_child(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except SystemExit as error:
        print(error.code, flush=True)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def kill(folder: Path, log: Path, rounds: int) -> None:
    """Two writers a round; each is killed some time after an acknowledgement, at any moment of what it does next."""
    draw = random.Random(5)
    for round_ in range(rounds):
        pipes = [os.pipe() for _ in range(2)]
        children = [
            in_child(lambda w=2 * round_ + n, p=pipe: write_for_ever(folder, log, w, p[1]))
            for n, pipe in enumerate(pipes)
        ]
        for receive, send in pipes:
            os.close(send)
            if os.read(receive, 1) != b"r":
                raise SystemExit(f"round {round_}: the gallery did not open")
        started = time.monotonic()
        for _ in range(draw.choice((0, 1, 1))):
            os.read(pipes[0][0], 1)
        time.sleep(draw.random() * max(0.03, time.monotonic() - started))
        for child, (receive, _) in zip(children, pipes, strict=True):
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            os.close(receive)
            if not os.WIFSIGNALED(status):
                raise SystemExit(f"round {round_}: a writer ended by itself")


def race(folder: Path, writers: int, batches: int) -> None:
    """Writers add items of which they share every third batch; a reader checks that it never sees half of a batch."""

    def write(which: int) -> None:
        gallery = Gallery.open(folder, patience=600)
        for step in range(batches):
            number = step if step % 3 == 0 else step + 1000 * (which + 1)
            start = number * 5
            gallery.add(
                [item(n) for n in range(start, start + 5)], descriptor(5, seed=number, local=2), by=f"writer {which}"
            )
            if step % 4 == 3:
                gallery.compact()

    def read() -> None:
        gallery = Gallery.open(folder, patience=600)
        last = -1
        while last < 5 * (batches + (writers - 1) * (batches - (batches + 2) // 3)):
            seen = [n for block in gallery.blocks(rows=7) for n in block.columns.rows.tolist()]
            assert len(seen) == len(set(seen))
            assert len(seen) % 5 == 0
            assert len(seen) >= last
            last = len(seen)
            time.sleep(0.01)  # leave the processor to the writers

    children = [in_child(lambda w=w: write(w)) for w in range(writers)] + [in_child(read)]
    if any(os.waitpid(child, 0)[1] for child in children):
        raise SystemExit("a writer or the reader failed")


if __name__ == "__main__":
    if "lance" in sys.modules:
        raise SystemExit("Lance is loaded: not safe to fork")
    if sys.argv[1] == "kill":
        kill(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        race(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
