"""The connection of this process to a Ray cluster."""

from __future__ import annotations

import importlib
from types import TracebackType
from typing import Any, Self

from occlureid.errors import UsageError, reason

__all__ = ["Connection", "cause_of", "library"]


def library() -> Any:
    """Ray, loaded when it is first needed.

    Raises:
        UsageError: it is not installed.
    """
    try:
        found = importlib.import_module("ray")
        importlib.import_module("ray.exceptions")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"working on several machines needs the package ray ({error.name} is missing): pip install 'occlureid[ray]'"
        ) from error
    return found


class Connection:
    """A connection to a cluster, made unless this process has one already; ``close`` ends only what was made here.

    Args:
        address: of the cluster ("host:6379"), or "auto" for the one that this machine belongs to.

    Attributes:
        ray: the library.

    Raises:
        UsageError: ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, address: str) -> None:
        self.ray = library()
        self._own = not self.ray.is_initialized()
        if not self._own:
            return
        try:
            self.ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            text = reason(error)
            raise UsageError(
                f"no Ray cluster at {address!r} ({text}); start one with 'ray start --head' on one machine and "
                f"'ray start --address=HOST:6379' on the others"
            ) from error

    def nodes(self) -> int:
        """How many machines are alive."""
        return sum(bool(node["Alive"]) for node in self.ray.nodes())

    def cpus(self) -> int:
        """How many processors the machines offer in all, at least 1."""
        return max(1, int(self.ray.cluster_resources().get("CPU", 1)))

    def close(self) -> None:
        """Leaves the cluster, if this object joined it."""
        if self._own and self.ray.is_initialized():
            self.ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def cause_of(error: Any) -> BaseException:
    """What was raised on the other machine, from the error that Ray wraps it in."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, BaseException) else error
