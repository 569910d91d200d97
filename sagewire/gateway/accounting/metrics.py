"""Metrics for Prometheus: requests, tokens, latencies, requests in flight, and errors of deployments."""

from __future__ import annotations

import os
from typing import Any, Generic, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["CONTENT_TYPE", "Metrics", "shared_registry"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
# Set before prometheus_client is imported, if several worker processes share their numbers.
_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


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


class Metrics:
    """The gateway's metrics. Label values come from the configuration, never from callers."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Series(
            Counter(
                "sagewire_gateway_requests",
                "Requests that have ended.",
                ["route", "model", "status"],
                registry=registry,
            )
        )
        self.tokens = Series(
            Counter(
                "sagewire_gateway_tokens",
                "Tokens, as the servers counted.",
                ["model", "key", "kind"],
                registry=registry,
            )
        )
        self.cost = Series(
            Counter(
                "sagewire_gateway_cost_dollars", "Cost by the configured prices.", ["model", "key"], registry=registry
            )
        )
        self.seconds = Series(
            Histogram(
                "sagewire_gateway_request_seconds",
                "Until the last byte.",
                ["route", "model"],
                buckets=_SECONDS,
                registry=registry,
            )
        )
        self.first_token = Series(
            Histogram(
                "sagewire_gateway_first_token_seconds",
                "Until the first piece of a stream.",
                ["model"],
                buckets=_SECONDS,
                registry=registry,
            )
        )
        self.in_flight = Gauge(
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

    def report_health(self, model: str, deployment: str, closed: bool) -> None:
        """Note whether the circuit breaker of a deployment is closed."""
        self.healthy.labels(model, deployment).set(int(closed))

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format; of all workers if there are several."""
        return generate_latest(self.registry())

    def registry(self) -> CollectorRegistry:
        """Return the registry to serve; that of all workers if there are several."""
        return shared_registry() if _DIRECTORY in os.environ else self._registry


def shared_registry() -> CollectorRegistry:
    """Return a registry with the metrics of all worker processes."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
