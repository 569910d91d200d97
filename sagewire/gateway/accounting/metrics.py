"""Metrics for Prometheus: requests, tokens, latencies, requests in flight, and errors of deployments."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["CONTENT_TYPE", "Kind", "Metrics", "shared_registry"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
# Set before prometheus_client is imported, if several worker processes share their numbers.
_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
# Seconds until the other workers, and the port for metrics alone, see what has happened.
_DELAY = 0.1

M = TypeVar("M", Counter, Gauge, Histogram)


class Series(Generic[M]):
    """A metric with labels, whose series are looked up once: the client library does so anew at each use.

    Args:
        metric: The metric.
    """

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._known: dict[tuple[Any, ...], M] = {}

    def labels(self, *values: Any) -> M:
        """Return the series of these label values."""
        found = self._known.get(values)
        if found is None:
            found = self._known[values] = self._metric.labels(*values)
        return found


class Kind(NamedTuple):
    """The labels of a request that has ended.

    Args:
        route: The route's name.
        model: The model that was asked for.
        status: The HTTP status.
        served: The model that answered.
        key: The name of the key; `None` if none was shown.
    """

    route: str
    model: str
    status: int
    served: str
    key: str | None


@dataclass(slots=True)
class _Sums:
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens_known: bool = False
    dollars: float = 0.0
    seconds: list[float] = field(default_factory=list)
    first_pieces: list[float] = field(default_factory=list)


class Metrics:
    """The gateway's metrics. Label values come from the configuration, never from callers.

    Requests are summed up for a moment before they are counted: a counter of the client library takes a lock and four
    calls each time.

    Args:
        in_flight: Returns how many requests are in flight.
    """

    def __init__(self, in_flight: Callable[[], int]) -> None:
        self._requests_in_flight = in_flight
        self._sums: dict[Kind, _Sums] = {}
        self._counting: asyncio.TimerHandle | None = None
        self._registry = registry = CollectorRegistry()
        self._requests = Series(
            Counter(
                "sagewire_gateway_requests",
                "Requests that have ended.",
                ["route", "model", "status"],
                registry=registry,
            )
        )
        self._tokens = Series(
            Counter(
                "sagewire_gateway_tokens",
                "Tokens, as the servers counted.",
                ["model", "key", "kind"],
                registry=registry,
            )
        )
        self._cost = Series(
            Counter(
                "sagewire_gateway_cost_dollars", "Cost by the configured prices.", ["model", "key"], registry=registry
            )
        )
        self._seconds = Series(
            Histogram(
                "sagewire_gateway_request_seconds",
                "Until the last byte.",
                ["route", "model"],
                buckets=_SECONDS,
                registry=registry,
            )
        )
        self._first_token = Series(
            Histogram(
                "sagewire_gateway_first_token_seconds",
                "Until the first piece of a stream.",
                ["model"],
                buckets=_SECONDS,
                registry=registry,
            )
        )
        self._in_flight = Gauge(
            "sagewire_gateway_in_flight",
            "Requests in flight.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.upstream_errors = Series(
            Counter(
                "sagewire_gateway_upstream_errors",
                "Failed calls of deployments, also those that a retry made good.",
                ["model", "deployment", "type"],
                registry=registry,
            )
        )
        self.healthy = Series(
            Gauge(
                "sagewire_gateway_deployment_healthy",
                "1 while the circuit breaker is closed.",
                ["model", "deployment"],
                registry=registry,
                multiprocess_mode="livemin",
            )
        )
        self.config_current = Gauge(
            "sagewire_gateway_config_current",
            "0 while the file is not in use: it has a mistake, or needs a restart.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.config_current.set(1)
        self.refused = Series(
            Counter("sagewire_gateway_refused", "Requests the gateway itself refused.", ["code"], registry=registry)
        )

    def note(
        self, kind: Kind, seconds: float, *, first_piece: float | None, tokens: tuple[int, int] | None, cost: float
    ) -> None:
        """Note a request that has ended.

        Args:
            kind: Its labels.
            seconds: How long it took.
            first_piece: Seconds until the first piece of a stream.
            tokens: Those of prompt and answer, if the server counted them.
            cost: Its cost in dollars.
        """
        sums = self._sums.get(kind)
        if sums is None:
            sums = self._sums[kind] = _Sums()
        sums.requests += 1
        sums.seconds.append(seconds)
        if first_piece is not None:
            sums.first_pieces.append(first_piece)
        if tokens is not None:
            sums.tokens_known = True
            sums.prompt_tokens += tokens[0]
            sums.completion_tokens += tokens[1]
        sums.dollars += cost
        self.count_soon()

    def count_soon(self) -> None:
        """Count a tenth of a second from now what has happened, and how many requests are in flight then."""
        if self._counting is None:
            self._counting = asyncio.get_running_loop().call_later(_DELAY, self.count)

    def count(self) -> None:
        """Count what has happened since the last time."""
        if self._counting is not None:
            self._counting.cancel()
            self._counting = None
        self._in_flight.set(self._requests_in_flight())
        waiting, self._sums = self._sums, {}
        for kind, sums in waiting.items():
            self._requests.labels(kind.route, kind.model, kind.status).inc(sums.requests)
            took = self._seconds.labels(kind.route, kind.model)
            for seconds in sums.seconds:
                took.observe(seconds)
            for seconds in sums.first_pieces:
                self._first_token.labels(kind.model).observe(seconds)
            if kind.key is not None:
                self._count_tokens(kind.served, kind.key, sums)

    def _count_tokens(self, model: str, key: str, sums: _Sums) -> None:
        if sums.tokens_known:
            self._tokens.labels(model, key, "prompt").inc(sums.prompt_tokens)
            self._tokens.labels(model, key, "completion").inc(sums.completion_tokens)
        if sums.dollars:
            self._cost.labels(model, key).inc(sums.dollars)

    def report_health(self, model: str, deployment: str, closed: bool) -> None:
        """Note whether the circuit breaker of a deployment is closed."""
        self.healthy.labels(model, deployment).set(int(closed))

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format; of all workers if there are several."""
        self.count()
        return generate_latest(self.registry())

    def registry(self) -> CollectorRegistry:
        """Return the registry to serve; that of all workers if there are several."""
        return shared_registry() if _DIRECTORY in os.environ else self._registry


def shared_registry() -> CollectorRegistry:
    """Return a registry with the metrics of all worker processes."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
