"""Work that is cheaper done together: a thread that collects what several requests ask for, for a few milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, Full, Queue
from threading import Thread
from typing import Generic, TypeVar

from occlureid.errors import BusyError

__all__ = ["Batcher"]

Ask = TypeVar("Ask")
Reply = TypeVar("Reply")

_Waiting = tuple[Ask, "Future[Reply]"]


class Batcher(Generic[Ask, Reply]):
    """Collects, works, answers; ``start`` begins it.

    Args:
        name: of the queue, for messages.
        work: from several asks to as many replies, in order. If it fails, each is tried alone, so that one that cannot be
            answered does not spoil the others.
        weight: how much of ``most`` an ask takes.
        most: what is done together.
        wait: seconds to wait for more after the first.
        queue: asks that may wait.
        patience: seconds that an ask waits for its reply.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Ask]], Sequence[Reply]],
        *,
        weight: Callable[[Ask], int] = lambda _: 1,
        most: int,
        wait: float,
        queue: int,
        patience: float,
    ) -> None:
        self._name = name
        self._work = work
        self._weight = weight
        self._most = most
        self._wait = wait
        self._patience = patience
        self._queue: Queue[_Waiting[Ask, Reply] | None] = Queue(queue)
        self._thread: Thread | None = None

    @property
    def waiting(self) -> int:
        """How many asks wait."""
        return self._queue.qsize()

    def start(self) -> None:
        """Begins to work."""
        self._thread = Thread(target=self._run, name=f"occlureid-{self._name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answers what waits, and ends."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def ask(self, what: Ask) -> Reply:
        """Waits for the reply.

        Raises:
            BusyError: too many wait already, or it takes too long.
            Exception: whatever the work raised.
        """
        future: Future[Reply] = Future()
        try:
            self._queue.put_nowait((what, future))
        except Full:
            raise BusyError(f"too many requests wait for the {self._name}; try again") from None
        try:
            return future.result(self._patience)
        except TimeoutError:
            future.cancel()
            raise BusyError(f"the {self._name} did not come to this within {self._patience:g} s; try again") from None

    def _run(self) -> None:
        going = True
        while going:
            first = self._queue.get()
            if first is None:
                return
            batch, size = [first], self._weight(first[0])
            end = time.monotonic() + self._wait
            while size < self._most:
                try:
                    more = self._queue.get(timeout=max(0.0, end - time.monotonic()))
                except Empty:
                    break
                if more is None:
                    going = False
                    break
                batch.append(more)
                size += self._weight(more[0])
            self._answer([(what, future) for what, future in batch if future.set_running_or_notify_cancel()])

    def _answer(self, batch: list[_Waiting[Ask, Reply]]) -> None:
        if not batch:
            return
        try:
            replies = self._work([what for what, _ in batch])
        except Exception as error:  # goes to whoever asked
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for one in batch:
                self._answer([one])
            return
        for (_, future), reply in zip(batch, replies, strict=True):
            future.set_result(reply)
