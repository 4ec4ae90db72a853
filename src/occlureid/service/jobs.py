"""Long jobs: done one after the other by a thread, watched and cancelled by their number."""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Literal

from starlette.exceptions import HTTPException

from occlureid.errors import BusyError, OcclureidError
from occlureid.service.describer import BatchedDescriber
from occlureid.service.intake import add_crops
from occlureid.service.models import CropFields, JobError, JobOut
from occlureid.service.problems import refuse, said
from occlureid.service.settings import ServiceSettings
from occlureid.service.shelf import OpenGallery

__all__ = ["JobBoard"]

_LOG = logging.getLogger(__name__)
_TOGETHER = 16
_ERRORS = 100
_REMEMBERED = 200

State = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(eq=False)
class _Job:
    kind: Literal["add", "compact"]
    opened: OpenGallery
    by: str
    of: int
    steps: Callable[[_Job], Iterator[None]]
    size: int
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: State = "waiting"
    done: int = 0
    added: int = 0
    present: int = 0
    expired: int = 0
    overdue: int = 0
    errors: list[JobError] = field(default_factory=list)
    error_count: int = 0
    cancelled: bool = False

    def report(self) -> JobOut:
        return JobOut(
            id=self.id, kind=self.kind, gallery=self.opened.name, by=self.by, state=self.state, done=self.done,
            of=self.of, added=self.added, present=self.present, expired=self.expired, overdue=self.overdue,
            errors=list(self.errors), error_count=self.error_count,
        )  # fmt: skip

    def fail(self, item: str | None, message: str) -> None:
        self.error_count += 1
        if len(self.errors) < _ERRORS:
            self.errors.append(JobError(item=item, message=message))


class JobBoard:
    """The jobs of one process.

    Args:
        settings: how many may wait, and with how many bytes.
        describer: describes what is added.
    """

    def __init__(self, settings: ServiceSettings, describer: BatchedDescriber) -> None:
        self._settings = settings
        self._describer = describer
        self._jobs: dict[str, _Job] = {}
        self._waiting: deque[_Job] = deque()
        self._changed = Condition()
        self._running: _Job | None = None
        self._closing = False
        self._thread: Thread | None = None

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether none waits and none runs."""
        with self._changed:
            return not self._waiting and self._running is None

    def start(self) -> None:
        """Begins to work."""
        self._thread = Thread(target=self._run, name="occlureid-jobs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finishes what waits, and ends."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def add(self, opened: OpenGallery, fields: Sequence[CropFields], images: Sequence[bytes], by: str) -> JobOut:
        """A job that adds crops; one that cannot be taken is an error of the job and leaves the others alone.

        Raises:
            BusyError: too many jobs wait.
        """
        opened.check_fit()
        pairs = list(zip(fields, images, strict=True))

        def steps(job: _Job) -> Iterator[None]:
            for start in range(0, len(pairs), _TOGETHER):
                yield
                self._add_some(job, pairs[start : start + _TOGETHER])

        return self._accept(_Job("add", opened, by, len(pairs), steps, sum(map(len, images))))

    def compact(self, opened: OpenGallery, by: str) -> JobOut:
        """A job that joins small files, and takes what was removed off the disk.

        Raises:
            BusyError: too many jobs wait.
        """

        def steps(job: _Job) -> Iterator[None]:
            yield
            with opened.writing() as gallery:
                gallery.compact()
            job.done = 1

        return self._accept(_Job("compact", opened, by, 1, steps, 0))

    def get(self, id: str) -> JobOut:
        """How far a job is.

        Raises:
            HTTPException: 404 if there is none.
        """
        return self._find(id).report()

    def all(self) -> list[JobOut]:
        """All jobs that are remembered, the newest first."""
        with self._changed:
            return [job.report() for job in reversed(self._jobs.values())]

    def cancel(self, id: str) -> JobOut:
        """Stops a job after the step that it is in; what it has done stays.

        Raises:
            HTTPException: 404 if there is none.
        """
        job = self._find(id)
        with self._changed:
            job.cancelled = True
            if job in self._waiting:
                self._waiting.remove(job)
                job.state = "cancelled"
                job.steps = _nothing
        return job.report()

    def _find(self, id: str) -> _Job:
        with self._changed:
            job = self._jobs.get(id)
        if job is None:
            raise refuse(404, "there is no such job; jobs are forgotten when the service ends")
        return job

    def _accept(self, job: _Job) -> JobOut:
        with self._changed:
            pending = sum(other.size for other in self._waiting)
            if len(self._waiting) >= self._settings.jobs or pending + job.size > self._settings.pending_bytes:
                raise BusyError("too many jobs wait; try again when some are done")
            self._jobs[job.id] = job
            ended = [other.id for other in self._jobs.values() if other.state not in ("waiting", "running")]
            for old in ended[: max(0, len(self._jobs) - _REMEMBERED)]:
                del self._jobs[old]
            self._waiting.append(job)
            self._changed.notify_all()
            return job.report()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                job = self._running = self._waiting.popleft()
                job.state = "running"
            state = self._work(job)
            with self._changed:
                job.state, job.steps, self._running = state, _nothing, None  # lets go of the images

    def _work(self, job: _Job) -> State:
        try:
            for _ in job.steps(job):
                if job.cancelled:
                    return "cancelled"
        except OcclureidError as error:
            job.fail(None, said(error))
            return "failed"
        except HTTPException as error:
            job.fail(None, str(error.detail))
            return "failed"
        except Exception as error:
            _LOG.error("job %s failed", job.id, exc_info=error)
            job.fail(None, "this could not be done; the server's log says why")
            return "failed"
        return "done"

    def _add_some(self, job: _Job, pairs: Sequence[tuple[CropFields, bytes]]) -> None:
        """Adds some crops together, and if that fails each alone, to tell which cannot be."""
        try:
            fields, images = [one for one, _ in pairs], [data for _, data in pairs]
            result = add_crops(job.opened, self._describer, self._settings, fields, images, by=job.by)
        except BusyError:
            raise
        except OcclureidError as error:
            if len(pairs) > 1:
                for pair in pairs:
                    self._add_some(job, [pair])
                return
            job.fail(pairs[0][0].id, said(error))
        else:
            job.added += result.added
            job.present += result.present
            job.expired += result.expired
            job.overdue = max(job.overdue, result.overdue)
        job.done += len(pairs)


def _nothing(job: _Job) -> Iterator[None]:
    yield from ()
