"""What is counted and timed, for Prometheus; each application has its own registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"})
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

Reading = tuple[str, str, str, str, float]
"""kind ("gauge" or "counter"), name, label's name, label's value, value"""


class _Now(Collector):
    """Numbers that are looked up when somebody asks."""

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
        for kind, name, label, value, number in self._read():
            made = GaugeMetricFamily if kind == "gauge" else CounterMetricFamily
            if name not in families:
                families[name] = made(name, name.replace("_", " "), labels=[label] if label else [])
            families[name].add_metric([value] if label else [], number)
        yield from families.values()


class Metrics:
    """The numbers of one application.

    Args:
        read: gives those that are not counted here.
    """

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "occlureid_requests", "Requests", ["route", "method", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "occlureid_request_seconds", "Time to answer", ["route", "method"], registry=self._registry, buckets=_BOUNDS
        )
        self._registry.register(_Now(read))

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts a request that was answered; ``route`` is the path with its parameters unfilled."""
        known = method if method in _METHODS else "other"
        self._requests.labels(route, known, str(status)).inc()
        self._seconds.labels(route, known).observe(seconds)

    def text(self) -> bytes:
        """All numbers as Prometheus reads them."""
        return generate_latest(self._registry)
