"""Describes millions of crops on a Ray cluster: chunk by chunk on whatever machines there are, each image once.

What is finished is on disk and is not done again: neither when a machine dies (its chunks go to others), nor when the whole job
is killed and called again. Chunks are whole batches of the same images as on one machine, so that the result is the same too,
bit by bit where the machines compute alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from occlureid.arithmetic import Precision, processor, resolve
from occlureid.data import CueSource, ReidDataset, Tally
from occlureid.described import Described, dataset_cues, dataset_record, describe, write_index
from occlureid.errors import DataError, UsageError, reason
from occlureid.models.torchvision_operators import declare_missing
from occlureid.scaleout.chunks import Chunk, ChunkFolder, ChunkRecord, began_with, join_descriptors
from occlureid.scaleout.connection import Connection, cause_of, library
from occlureid.types import Descriptor, Sample

if TYPE_CHECKING:
    from occlureid.cues import CueSettings
    from occlureid.methods import Method

__all__ = ["describe_on_ray"]

_SPLITS = ("query", "gallery")
_DEATHS = 10
"""Workers that one chunk may lose before it is taken for the reason."""
_ENDING = 30.0
"""Seconds that workers are given to stop when a job is given up."""


@dataclass(frozen=True)
class _Options:
    batch_size: int
    device: str
    precision: Literal["float32", "bfloat16"]
    on_corrupt: Literal["fatal", "skip"]


def describe_on_ray(
    method: Method[Any],
    dataset: ReidDataset,
    out: Path | str,
    *,
    address: str = "auto",
    cues: CueSource | CueSettings | None = None,
    batch_size: int = 64,
    batches: int = 16,
    device: str = "cpu",
    precision: Precision = "float32",
    on_corrupt: Literal["fatal", "skip"] = "fatal",
    overwrite: bool = False,
    bar: Callable[[str], Callable[[int, int], None]] | None = None,
) -> Path:
    """Describes query and gallery of a dataset; the folder is as ``describe_dataset(...).save(out)`` writes it.

    A folder that is finished already is left as it is; what is missing of one that was begun is done. This process holds
    the dataset's list of samples, and vectors of one chunk at a time.

    Args:
        method: the method, in evaluation mode; it is sent to the workers.
        dataset: its images, which every machine must see below the same paths.
        out: the folder to write, which every machine must see at the same place.
        address: of the cluster, see ``Connection``.
        cues: as for ``describe_dataset``.
        batch_size: images at a time.
        batches: batches of a chunk: what a death loses at the most.
        device: where the method runs on the workers; with "cuda" each worker asks Ray for one GPU, otherwise for one processor.
        precision: as for ``describe``; "auto" goes on with what ``out`` was begun with, else it is what this process's processor
            is best at, for all workers.
        on_corrupt: as for ``describe``.
        overwrite: replaces what ``out`` holds of other weights, data or options.
        bar: makes, for "query" and for "gallery", a function that is called with (images done, images in all).

    Returns:
        ``out``.

    Raises:
        UsageError: ray is not installed, there is no cluster, a value is out of range, or ``out`` holds something else.
        DataError: an image cannot be read (fatal), none can, ``out`` is not shared, or a chunk kills every worker.
        MissingCueError: the method needs cues that are not there.
    """
    if batch_size < 1 or batches < 1:
        raise UsageError(f"batch_size and batches must be at least 1, got {batch_size} and {batches}")
    library()
    out = Path(out).absolute()
    source, cue_settings = dataset_cues(method, dataset, cues)
    began = began_with(out) if precision == "auto" and not overwrite else None
    precision = resolve(began or precision, device)
    options = _Options(batch_size, device, precision, on_corrupt)
    job = {
        **dataset_record(method, dataset, {}, {}, precision, cue_settings, {}),
        "batch_size": batch_size,
        "batches": batches,
        "on_corrupt": on_corrupt,
    }
    if _finished(out, job, overwrite):
        return out
    folder = ChunkFolder(out, job)
    folder.begin(overwrite=overwrite)
    plan = {split: _chunks(split, len(getattr(dataset, split)), batch_size * batches) for split in _SPLITS}
    missing = deque(chunk for split in _SPLITS for chunk in plan[split] if folder.read(chunk) is None)
    progress = _Progress(plan, missing, bar)
    if missing:
        with Connection(address) as cluster:
            _run(cluster, missing, (method, source), dataset, folder, options, progress)
    _join(out, folder, plan, method, dataset, (precision, cue_settings), device)
    folder.remove()
    return out


def _finished(out: Path, job: dict[str, Any], overwrite: bool) -> bool:
    """Whether ``out`` has the result already."""
    if not (out / "described.json").exists():
        return False
    old = Described.load(out).record
    if all(old.get(key) == job.get(key) for key in ("fingerprint", "data", "precision", "cues")):
        return True
    if not overwrite:
        raise UsageError(
            f"{out} holds descriptors of other weights, data or options (by {old.get('fingerprint')}); "
            "give another folder, or overwrite them"
        )
    return False


def _chunks(split: str, images: int, size: int) -> list[Chunk]:
    starts = range(0, images, size)
    return [Chunk(split, number, start, min(start + size, images)) for number, start in enumerate(starts)]


class _Progress:
    """Tells how many images are done."""

    def __init__(
        self,
        plan: dict[str, list[Chunk]],
        missing: Sequence[Chunk],
        bar: Callable[[str], Callable[[int, int], None]] | None,
    ) -> None:
        self._all = {split: sum(c.stop - c.start for c in chunks) for split, chunks in plan.items()}
        self._done = {s: n - sum(c.stop - c.start for c in missing if c.split == s) for s, n in self._all.items()}
        self._bar = bar
        self._shown: dict[str, Callable[[int, int], None]] = {}

    def add(self, chunk: Chunk) -> None:
        self._done[chunk.split] += chunk.stop - chunk.start
        if self._bar is None:
            return
        if chunk.split not in self._shown:
            self._shown[chunk.split] = self._bar(chunk.split)
        self._shown[chunk.split](self._done[chunk.split], self._all[chunk.split])


def _run(
    cluster: Connection,
    missing: deque[Chunk],
    shared: tuple[Method[Any], CueSource | None],
    dataset: ReidDataset,
    folder: ChunkFolder,
    options: _Options,
    progress: _Progress,
) -> None:
    """Has every missing chunk described, a bounded number at a time."""
    ray = cluster.ray
    needs = {"num_gpus": 1} if options.device.startswith("cuda") else {"num_cpus": 1}
    task = ray.remote(_describe_chunk).options(max_retries=_DEATHS, scheduling_strategy="SPREAD", **needs)
    held = ray.put(shared)
    pending: dict[Any, Chunk] = {}
    try:
        while missing or pending:
            while missing and len(pending) < 2 * cluster.cpus():
                chunk = missing.popleft()
                samples = getattr(dataset, chunk.split)[chunk.start : chunk.stop]
                pending[task.remote([held], folder, chunk, samples, options)] = chunk
            done, _ = ray.wait(list(pending), num_returns=1)
            for answer in done:
                chunk = pending.pop(answer)
                try:
                    ray.get(answer)
                except ray.exceptions.RayTaskError as error:
                    raise cause_of(error) from error
                except ray.exceptions.RayError as error:
                    raise DataError(
                        f"images {chunk.start} to {chunk.stop - 1} of {chunk.split} ended {_DEATHS + 1} workers in turn, the "
                        f"last: {reason(error)}; is there too little memory?"
                    ) from error
                progress.add(chunk)
    finally:
        for answer in pending:
            ray.cancel(answer)
        if pending:  # so that nothing is written any more when this has ended
            ray.wait(list(pending), num_returns=len(pending), timeout=_ENDING)


@lru_cache(maxsize=1)
def _fetched(held: Any) -> tuple[Method[Any], CueSource | None]:
    """Method and cues, once for each worker: a chunk is small beside them."""
    declare_missing()  # a network of timm's is unpickled by importing torchvision
    found: tuple[Method[Any], CueSource | None] = library().get(held)
    return found


def _describe_chunk(
    shared: list[Any], folder: ChunkFolder, chunk: Chunk, samples: Sequence[Sample], options: _Options
) -> None:
    """What a worker does."""
    method, cues = _fetched(shared[0])
    tally = Tally()
    descriptor: Descriptor | None
    try:
        descriptor, kept = describe(
            method,
            samples,
            cues=cues,
            batch_size=options.batch_size,
            device=options.device,
            precision=options.precision,
            on_corrupt=options.on_corrupt,
            tally=tally,
        )
    except DataError:
        if options.on_corrupt == "fatal" or tally.images or tally.skipped.total() != len(samples):
            raise
        descriptor, kept = None, []
    folder.write(chunk, descriptor, [chunk.start + index for index in kept], tally.uncropped)


def _join(
    out: Path,
    folder: ChunkFolder,
    plan: dict[str, list[Chunk]],
    method: Method[Any],
    dataset: ReidDataset,
    how: tuple[str, CueSettings | None],
    device: str,
) -> None:
    """Makes the described folder from its chunks; the processor that it names is that of this process."""
    (out / "described.json").unlink(missing_ok=True)
    kept: dict[str, list[Sample]] = {}
    skipped: dict[str, list[str]] = {}
    uncropped: dict[str, int] = {}
    for split in _SPLITS:
        samples = getattr(dataset, split)
        records = [(chunk, _required(folder, chunk)) for chunk in plan[split]]
        numbers = [number for _, record in records for number in record.kept]
        if not numbers:
            raise DataError(f"none of the {len(samples)} images of {split} could be described")
        pieces = [(folder.descriptors(chunk), len(record.kept)) for chunk, record in records if record.kept]
        try:
            join_descriptors(pieces, out / f"{split}.safetensors")
        except DataError:
            for chunk, done in records:
                folder.discard_if_damaged(chunk, done)
            raise
        kept[split] = [samples[number] for number in numbers]
        skipped[split] = [str(samples[number].path) for number in sorted(set(range(len(samples))) - set(numbers))]
        uncropped[split] = sum(record.uncropped for _, record in records)
    record = dataset_record(method, dataset, skipped, uncropped, *how, {"processor": processor(device)})
    write_index(out, kept["query"], kept["gallery"], method.rule, dataset.protocol, method.regions, record)


def _required(folder: ChunkFolder, chunk: Chunk) -> ChunkRecord:
    record = folder.read(chunk)
    if record is None:
        raise DataError(
            f"{folder.descriptors(chunk)}: a worker finished it, and it is not here; the folder must be one that all machines "
            "share. Call again to do what is missing"
        )
    return record
