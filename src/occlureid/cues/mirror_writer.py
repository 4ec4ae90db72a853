"""The walk over images that building any kind of cue shares: a file an image, resumable, never two makers in a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from occlureid.cues.cache import CueCache
from occlureid.cues.degraded import Degraded
from occlureid.cues.mirror import check_distinct, file_names, mirrored, stems
from occlureid.cues.providers import Provider, cached_cues, fingerprint_of
from occlureid.data.images import read_image
from occlureid.data.loader import CueSource
from occlureid.errors import DataError, UsageError
from occlureid.types import Cues, Sample

__all__ = ["MirrorWriter", "write_file"]


class MirrorWriter:
    """Writes a file for each image into a folder that mirrors them, and says in the folder what made its files.

    Args:
        provider: what gives the cues.
        folder: gets the files.
        root: the folder of the images that it mirrors.
        suffix: of the files.
        record_file: the name of the file in ``folder`` that says what made the others.
        extra: more to say there.
        write: writes the cues of an image to a path, and counts them.
        reread: counts what an earlier call wrote; raises DataError where that is damaged.
    """

    def __init__(
        self,
        provider: Provider | CueSource,
        folder: Path,
        root: Path,
        suffix: str,
        record_file: str,
        extra: dict[str, Any],
        write: Callable[[Sample, Cues, Path], None],
        reread: Callable[[Sample, Path], None],
    ) -> None:
        self._provider, self._folder, self._root, self._suffix = provider, folder, root, suffix
        self._record_path, self._extra = folder / record_file, extra
        self._write, self._reread = write, reread

    def run(
        self,
        samples: Sequence[Sample],
        cache: CueCache | None,
        batch_size: int,
        overwrite: bool,
        on_corrupt: Literal["fatal", "skip"],
        progress: Callable[[int, int], None] | None,
        absent: frozenset[Path] = frozenset(),
    ) -> tuple[int, list[str]]:
        """Goes through the images; the arguments are those of ``build_pose``, and images that get no file.

        Returns:
            How many files were there already, and why images were skipped.

        Raises:
            UsageError: the folder holds cues of another maker, or would be read and written at once.
            DataError: two images would share a file, an image cannot be read, or a file cannot be written.
        """
        if on_corrupt not in ("fatal", "skip"):
            raise UsageError(f'on_corrupt must be "fatal" or "skip", got {on_corrupt!r}')
        check_distinct(samples, self._root)
        self._claim(samples, overwrite)
        samples = [sample for sample in samples if sample.path not in absent]
        reused, done, skipped = 0, 0, list[str]()
        for start in range(0, len(samples), batch_size):
            chunk = samples[start : start + batch_size]
            missing = [sample for sample in chunk if not self._keeps(sample)]
            reused += len(chunk) - len(missing)
            for sample, cues in self._computed(missing, cache, on_corrupt, skipped):
                self._write(sample, cues, self._path(sample))
            done += len(chunk)
            if progress is not None:
                progress(done, len(samples))
        return reused, skipped

    def _path(self, sample: Sample) -> Path:
        return self._folder / (stems(mirrored(sample.path, self._root))[0] + self._suffix)

    def _keeps(self, sample: Sample) -> bool:
        """Whether an image's file is there and good; then it is counted."""
        path = self._path(sample)
        try:
            if path.stat().st_mtime_ns < sample.path.stat().st_mtime_ns:
                return False
            self._reread(sample, path)
        except (OSError, DataError):
            return False
        return True

    def _computed(
        self, samples: list[Sample], cache: CueCache | None, on_corrupt: str, skipped: list[str]
    ) -> list[tuple[Sample, Cues]]:
        try:
            return list(zip(samples, self._cues(samples, cache), strict=True)) if samples else []
        except DataError as error:
            if on_corrupt == "fatal":
                raise
            if len(samples) == 1:
                skipped.append(str(error))
                return []
        # One of them is at fault: the others go through alone.
        return [pair for sample in samples for pair in self._computed([sample], cache, on_corrupt, skipped)]

    def _cues(self, samples: list[Sample], cache: CueCache | None) -> list[Cues]:
        if isinstance(self._provider, Provider):
            return cached_cues(self._provider, [sample.path for sample in samples], cache)
        found = []
        for sample in samples:
            image = read_image(sample.path)
            found.append(self._provider(sample, (image.height, image.width)))
        return found

    def _claim(self, samples: Sequence[Sample], overwrite: bool) -> None:
        """Says in the folder what makes its files, and makes sure that nothing else has."""
        source: object = self._provider.source if isinstance(self._provider, Degraded) else self._provider
        own = getattr(source, "root", None)
        read = [own, getattr(getattr(source, "_parts", None), "root", None)]
        if any(place is not None and Path(place).resolve() == self._folder.resolve() for place in read):
            raise UsageError(f"{self._folder} would be read and written at once; choose another folder with out")
        record = _record_of(self._provider)
        fingerprint = getattr(self._provider, "fingerprint", None) or fingerprint_of(record)
        wanted = {**self._extra, "fingerprint": fingerprint, "provider": record}
        # First whether there are files, then whose: another process may be claiming the folder at this moment.
        names = [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []
        occupied = any(not name.startswith(".") for name in names)
        found: object = None
        if self._record_path.is_file():
            try:
                found = json.loads(self._record_path.read_text(encoding="utf-8")).get("fingerprint")
            except (OSError, ValueError, AttributeError):
                found = "something unreadable"
        if found == fingerprint:
            return
        if occupied:
            if not overwrite:
                made = f"made by {found}" if found else "of unknown origin"
                raise UsageError(
                    f"{self._folder} holds cues {made}, not by {fingerprint}; choose another folder (out), or overwrite them"
                )
            # What is left of the old ones when this call is killed must not pass for the new ones.
            for sample in samples:
                for name in file_names(mirrored(sample.path, self._root)):
                    for suffix in {self._suffix, ".npz", ".npy", ".confidence_fields.npy"}:
                        (self._folder / f"{name}{suffix}").unlink(missing_ok=True)
        write_file(self._record_path, json.dumps(wanted, indent=2).encode())


def _record_of(provider: object) -> dict[str, Any]:
    """What made a folder of cues, as JSON values."""
    if isinstance(provider, Degraded):
        return {
            "name": "degraded", "settings": provider.settings.to_dict(), "source": _record_of(provider.source),
        }  # fmt: skip
    if isinstance(provider, Provider):
        return provider.record
    names = ("labels", "grouping", "threshold")
    settings = {name: getattr(provider, name) for name in names if hasattr(provider, name)}
    return {"name": type(provider).__name__.lower(), **settings}


def write_file(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
